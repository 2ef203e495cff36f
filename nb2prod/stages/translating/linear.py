"""Linear models: a product, and for classifiers the label with the highest score, and probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np

from nb2prod.stages.translating.blocks import Block, side_by_side
from nb2prod.stages.translating.graph import REAL


def product(estimator: Any, block: Block) -> Block:
    """X · coefficients + intercept: [rows, targets]."""
    graph = block.graph
    coefficients = np.atleast_2d(np.asarray(estimator.coef_, dtype="float64"))
    intercept = np.asarray(estimator.intercept_, dtype="float64").reshape(1, -1)
    width = len(coefficients)
    found = block.real.made("MatMul", graph.reals(coefficients.T), width=width)
    return found + Block(graph, graph.reals(intercept), REAL, intercept.shape[1])


def place_of_label(scores: Block) -> Block:
    """Which class: the one of two when its score is above 0, else the first of the highest."""
    if scores.width == 1:
        return (scores > 0.0).to("int64")
    return scores.made("ArgMax", dtype="int64", width=1, axis=1, keepdims=1)


def probabilities(estimator: Any, scores: Block) -> Block:
    """As LogisticRegression gives them."""
    if scores.width == 1:
        return two(scores.made("Sigmoid"))
    if getattr(estimator, "solver", "") == "liblinear" or getattr(estimator, "multi_class", "") == "ovr":
        each = scores.made("Sigmoid")
        axis = scores.graph.constant(np.array([1], dtype="int64"))
        return each / each.made("ReduceSum", axis, width=1, keepdims=1)
    return softmax(scores)


def two(positive: Block) -> Block:
    return side_by_side([1.0 - positive, positive])


def softmax(scores: Block) -> Block:
    return scores.made("Softmax", axis=1)


def naive_bayes(estimator: Any, block: Block) -> Block:
    """MultinomialNB: the logarithm of each class's joint probability, but for what is the same of all."""
    graph = block.graph
    found = block.real.made("MatMul", graph.reals(estimator.feature_log_prob_.T), width=len(estimator.class_log_prior_))
    prior = graph.reals(np.reshape(estimator.class_log_prior_, (1, -1)))
    return found + Block(graph, prior, REAL, found.width)
