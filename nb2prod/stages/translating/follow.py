"""From a fitted model to its answer: what `predict` gives, and the probabilities of a classifier."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nb2prod.stages.translating import boosters, ensembles, histograms, linear, others, tables, trees
from nb2prod.stages.translating.blocks import Block
from nb2prod.stages.translating.ensembles import Answer as Answer
from nb2prod.stages.translating.ensembles import highest, labelled
from nb2prod.stages.translating.features import Value, numbers, require_finite, through
from nb2prod.stages.translating.graph import Graph, Untranslatable
from nb2prod.stages.translating.tables import Table

MARGIN = 1e-3  # of a score; single precision errs by some 1e-6
BEYOND = "a number beyond those that the translation was compared with"
BORDER = "so close to the border between two labels that single precision may decide otherwise"


def answer(model: Any, value: Value) -> Answer:
    """What the fitted model answers to these columns. Raises Untranslatable."""
    library, kind = type(model).__module__.partition(".")[0], type(model).__name__
    if library != "sklearn" and (library, kind) not in boosters.RULES:
        raise Untranslatable(f"there is no rule for a {kind}")
    rule = boosters.RULES[library, kind] if library != "sklearn" else RULES.get(kind)
    if rule is not None:
        return rule(model, value)
    if _has_method_of(model, "LinearClassifierMixin"):
        return _linear_classifier(model, value)
    if _has_method_of(model, "LinearModel"):
        return Answer(linear.product(model, _given(model, value)))
    return _other(model, value)


def bound(graph: Graph, value: Value, example: Any) -> None:
    """Keep a translation in single precision to the numbers of the example."""
    blocks = [(value[name], np.asarray(example[name])) for name in value.columns] if isinstance(value, Table) else []
    for block, seen in blocks or [(value, np.asarray(example))]:
        if isinstance(block, Block) and block.dtype not in ("text", "bool"):
            low, high = np.nanmin(seen, axis=0), np.nanmax(seen, axis=0)
            within = (block >= _constant(block, low)) & (block <= _constant(block, high))
            is_in = within | block.isna() if block.dtype.startswith("float") else within
            graph.require(_every(is_in).name, BEYOND)


def _every(tests: Block) -> Block:
    """[rows, 1]: whether it is true of every column."""
    axis = tests.graph.constant(np.array([1], dtype="int64"))
    return tests if tests.width == 1 else tests.to("int32").made("ReduceMin", axis, width=1, keepdims=1).to("bool")


def _constant(block: Block, values: Any) -> Block:
    return Block(
        block.graph, block.graph.constant(np.reshape(values, (1, -1)).astype(block.dtype)), block.dtype, block.width
    )


def _given(model: Any, value: Value) -> Block:
    """The numbers that the model gets. scikit-learn refuses rows with infinite ones, most models with missing ones."""
    block = numbers(value)
    require_finite(
        model, trees.narrowed(block) if type(model).__name__ in _NARROWING and block.dtype != "text" else block
    )
    return block


def _has_method_of(model: Any, owner: str) -> bool:
    """Whether `predict` is the one of this class of sklearn.linear_model, and not a subclass's own."""
    predict = getattr(type(model), "predict", None)
    return (
        predict is not None
        and predict.__module__ == "sklearn.linear_model._base"
        and predict.__qualname__ == (f"{owner}.predict")
    )


def _pipeline(model: Any, value: Value) -> Answer:
    *before, (_, last) = model.steps
    value.graph.takes_infinite = value.graph.takes_infinite or _takes_infinite(last)
    return answer(last, through(before, value))


def _takes_infinite(model: Any) -> bool:
    kind = type(model).__name__
    return kind.startswith("HistGradientBoosting") or any(kind == one for _, one in boosters.RULES)


def _target_transformed(model: Any, value: Value) -> Answer:
    found = answer(model.regressor_, value).prediction
    assert found is not None  # of a regressor there always is one
    transformer = model.transformer_
    if type(transformer).__name__ != "FunctionTransformer" or transformer.inverse_func is None:
        raise Untranslatable(f"a target transformed by a {type(transformer).__name__}")
    back = tables.followed(transformer.inverse_func, found, {})
    return Answer(numbers(back))


def _linear_classifier(model: Any, value: Value) -> Answer:
    scores = linear.product(model, _given(model, value))
    label = labelled(model.classes_, linear.place_of_label(scores))
    probable = linear.probabilities(model, scores) if type(model).__name__.startswith("LogisticRegression") else None
    return Answer(label, probable)


def _naive_bayes(model: Any, value: Value) -> Answer:
    joint = linear.naive_bayes(model, _given(model, value))
    return Answer(labelled(model.classes_, highest(joint)), linear.softmax(joint))


def _voted(rule: Callable[[Any, Block], Block]) -> Callable[[Any, Value], Answer]:
    """Trees whose classes have shares: the label is the first class of the largest."""

    def follow(model: Any, value: Value) -> Answer:
        shares = rule(model, _given(model, value))
        return Answer(labelled(model.classes_, highest(shares)), shares)

    return follow


def _mean(rule: Callable[[Any, Block], Block]) -> Callable[[Any, Value], Answer]:
    return lambda model, value: Answer(rule(model, _given(model, value)))


def _boosted_classifier(model: Any, value: Value) -> Answer:
    if model.loss != "log_loss":
        raise Untranslatable(f"gradient boosting with the loss {model.loss}")
    raw = trees.boosted(model, _given(model, value))
    place = trees.at_least_zero(raw) if raw.width == 1 else highest(raw)
    return Answer(labelled(model.classes_, place), trees.boosted_probabilities(raw))


def _histogram_classifier(model: Any, value: Value) -> Answer:
    shares = trees.boosted_probabilities(histograms.scores(model, value))
    return Answer(labelled(model.classes_, highest(shares)), shares)


def _histogram_regressor(model: Any, value: Value) -> Answer:
    raw = histograms.scores(model, value)
    if model.loss in ("poisson", "gamma"):
        return Answer(raw.made("Exp"))
    return Answer(raw)


def _other(model: Any, value: Value) -> Answer:
    block = _given(model, value)
    found = others.answered(model, block)
    if not hasattr(model, "classes_"):
        return Answer(found[0].real)
    probable = found[1].real if len(found) > 1 and hasattr(model, "predict_proba") else None
    if block.graph.is_single and not _kept_off_the_border(model, found[1].real):
        return Answer(None, probable)
    return Answer(_as_classes(model.classes_, found[0]), probable)


def _kept_off_the_border(model: Any, scores: Block) -> bool:
    """Bind a label that single precision decides to clear scores; False where no score says how clear it is."""
    is_machine = type(model).__name__ in ("SVC", "NuSVC") and len(model.classes_) == 2
    if is_machine and model.probability is not True:  # else what it calls scores are probabilities
        is_clear = abs(scores.columns([0])) > MARGIN
        scores.graph.require(is_clear.name, BORDER)
        return True
    return False


def _as_classes(classes: Any, label: Block) -> Block:
    """skl2onnx answers whole numbers for every class that is no text."""
    return label if label.dtype == "text" else label.to(np.asarray(classes).dtype.name)


def _searched(model: Any, value: Value) -> Answer:
    return answer(model.best_estimator_, value)


_NARROWING = (
    "DecisionTreeClassifier", "ExtraTreeClassifier", "RandomForestClassifier", "ExtraTreesClassifier",
    "DecisionTreeRegressor", "ExtraTreeRegressor", "RandomForestRegressor", "ExtraTreesRegressor",
    "GradientBoostingClassifier", "GradientBoostingRegressor",
)  # fmt: skip
RULES: dict[str, Callable[[Any, Value], Answer]] = {
    "Pipeline": _pipeline,
    "GridSearchCV": _searched,
    "RandomizedSearchCV": _searched,
    "HalvingGridSearchCV": _searched,
    "HalvingRandomSearchCV": _searched,
    "TransformedTargetRegressor": _target_transformed,
    "RidgeClassifier": _linear_classifier,
    "RidgeClassifierCV": _linear_classifier,
    "VotingClassifier": lambda model, value: ensembles.voting(answer, model, value),
    "VotingRegressor": lambda model, value: ensembles.voting(answer, model, value),
    "StackingClassifier": lambda model, value: ensembles.stacking(answer, model, value),
    "StackingRegressor": lambda model, value: ensembles.stacking(answer, model, value),
    "BaggingClassifier": lambda model, value: ensembles.bagging(answer, model, value),
    "BaggingRegressor": lambda model, value: ensembles.bagging(answer, model, value),
    "AdaBoostClassifier": lambda model, value: ensembles.ada_boost(answer, model, value),
    "MultinomialNB": _naive_bayes,
    "DecisionTreeClassifier": _voted(trees.single),
    "ExtraTreeClassifier": _voted(trees.single),
    "RandomForestClassifier": _voted(trees.forest),
    "ExtraTreesClassifier": _voted(trees.forest),
    "DecisionTreeRegressor": _mean(trees.single),
    "ExtraTreeRegressor": _mean(trees.single),
    "RandomForestRegressor": _mean(trees.forest),
    "ExtraTreesRegressor": _mean(trees.forest),
    "GradientBoostingClassifier": _boosted_classifier,
    "GradientBoostingRegressor": _mean(trees.boosted),
    "HistGradientBoostingClassifier": _histogram_classifier,
    "HistGradientBoostingRegressor": _histogram_regressor,
}
