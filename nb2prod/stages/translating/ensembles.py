"""Ensembles of other models: each is followed by itself, and what they answer is put together as scikit-learn does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nb2prod.stages.translating.blocks import Block, side_by_side
from nb2prod.stages.translating.features import Value, numbers
from nb2prod.stages.translating.graph import Untranslatable


@dataclass(frozen=True, slots=True)
class Answer:
    """`probabilities` of a classifier; None stands for what the model has not, or what is not translated of it."""

    prediction: Block | None
    probabilities: Block | None = None


Follow = Callable[[Any, Value], Answer]


def highest(scores: Block) -> Block:
    """Which column: the first of the highest."""
    return scores.made("ArgMax", dtype="int64", width=1, axis=1, keepdims=1)


def labelled(classes: Any, place: Block) -> Block:
    known = np.asarray(classes)
    dtype = "text" if known.dtype.kind in "OUT" else known.dtype.name
    if dtype == "text" and not all(isinstance(one, str) for one in known.tolist()):
        raise Untranslatable("classes that are neither numbers nor text")
    name = place.graph.add("Gather", place.graph.constant(known), place.name, axis=0)
    return Block(place.graph, name, dtype, 1)


def probable(answer: Answer) -> Block:
    if answer.probabilities is None:
        raise Untranslatable("a model of an ensemble has no probabilities that are translated")
    return answer.probabilities


def predicted(answer: Answer) -> Block:
    if answer.prediction is None:
        raise Untranslatable("a model of an ensemble has no labels that can be proved")
    return answer.prediction


def average(parts: Sequence[Block], weights: Sequence[float] | None = None) -> Block:
    scaled = parts if weights is None else [part * weight for part, weight in zip(parts, weights, strict=True)]
    total = scaled[0]
    for part in scaled[1:]:
        total = total + part
    return total / float(len(parts) if weights is None else sum(weights))


def voting(follow: Follow, model: Any, value: Value) -> Answer:
    answers = [follow(one, value) for one in model.estimators_]
    weights = _weights(model)
    if not hasattr(model, "classes_"):
        return Answer(average([predicted(one).real for one in answers], weights))
    if model.voting == "soft":
        shares = average([probable(one) for one in answers], weights)
        return Answer(labelled(model.classes_, highest(shares)), shares)
    # the models were fitted on the places of the classes, and answer them
    votes = average([_each_place(predicted(one), len(model.classes_)) for one in answers], weights)
    return Answer(labelled(model.classes_, highest(votes)))


def _weights(model: Any) -> list[float] | None:
    if model.weights is None:
        return None
    kept = zip(model.weights, model.estimators, strict=True)
    return [float(weight) for weight, (_, one) in kept if not isinstance(one, str)]


def _each_place(place: Block, count: int) -> Block:
    known = Block(place.graph, place.graph.constant(np.arange(count, dtype="int64")[None]), "int64", count)
    return (place.to("int64") == known).real


def stacking(follow: Follow, model: Any, value: Value) -> Answer:
    methods = [method for method in model.stack_method_ if method is not None]
    made = [_meta(follow(one, value), method, model) for one, method in zip(model.estimators_, methods, strict=True)]
    if model.passthrough:
        made.append(numbers(value))
    last = follow(model.final_estimator_, side_by_side(made))
    if not hasattr(model, "classes_"):
        return last
    label = predicted(last)
    return Answer(labelled(model.classes_, label.to("int64")), last.probabilities)


def _meta(answer: Answer, method: str, model: Any) -> Block:
    """What the last model is given of one of the others."""
    if method == "predict":
        return predicted(answer).real
    if method != "predict_proba":
        raise Untranslatable(f"stacking by {method}")
    shares = probable(answer)
    return shares.columns([1]) if len(model.classes_) == 2 else shares


def bagging(follow: Follow, model: Any, value: Value) -> Answer:
    block = numbers(value)
    parts = zip(model.estimators_, model.estimators_features_, strict=True)
    answers = [follow(one, _chosen(block, features)) for one, features in parts]
    if not hasattr(model, "classes_"):
        return Answer(average([predicted(one).real for one in answers]))
    if any(len(one.classes_) != len(model.classes_) for one in model.estimators_):
        raise Untranslatable("bagging of models that did not see every class")
    shares = average([probable(one) for one in answers])
    return Answer(labelled(model.classes_, highest(shares)), shares)


def _chosen(block: Block, features: Any) -> Block:
    places = [int(place) for place in features]
    return block if places == list(range(block.width)) else block.columns(places)


def ada_boost(follow: Follow, model: Any, value: Value) -> Answer:
    """SAMME: every model votes for its label with its weight, and against the others with a share of it."""
    count = len(model.classes_)
    block = numbers(value)
    votes = []
    for one, weight in zip(model.estimators_, model.estimator_weights_, strict=False):
        label = predicted(follow(one, block))
        known = Block(label.graph, label.graph.constant(np.asarray(model.classes_)[None]), label.dtype, count)
        is_label = label.made("Equal", known.name, dtype="bool", width=count).real
        against = -float(weight) / (count - 1)
        votes.append(is_label * (float(weight) - against) + against)
    total = float(model.estimator_weights_.sum())
    scores = average(votes) * (len(votes) / total)
    if count == 2:
        score = scores.columns([1]) - scores.columns([0])
        shares = side_by_side([score * -0.5, score * 0.5]).made("Softmax", axis=1)
        return Answer(labelled(model.classes_, (score > 0.0).to("int64")), shares)
    shares = (scores / float(count - 1)).made("Softmax", axis=1)
    return Answer(labelled(model.classes_, highest(scores)), shares)
