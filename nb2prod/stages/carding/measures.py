"""The metrics that a card can compute again, each row with a weight: how often a resample has drawn it.

Each is a function of the truth, what the model answered, and the weights. Labels are compared as they are; for a model
of two classes truth and answer are also 1 for the second class and 0 for the first. A measure that a resample cannot
have (one class only) is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Needs = Literal["labels", "two classes", "scores", "numbers"]


@dataclass(frozen=True, slots=True)
class Measure:
    """`words` are what a notebook calls it; `needs` is what of the model it looks at."""

    name: str
    needs: Needs
    of: Callable[[Any, Any, Any], float]
    words: tuple[str, ...]


def _mean(values: Any, weights: Any) -> float:
    return float((values * weights).sum() / weights.sum())


def accuracy(truth: Any, answer: Any, weights: Any) -> float:
    return _mean((truth == answer).astype(float), weights)


def _ratio(part: Any, whole: Any, weights: Any) -> float:
    total = float((whole * weights).sum())
    return float((part * weights).sum()) / total if total else math.nan


def recall(truth: Any, answer: Any, weights: Any) -> float:
    return _ratio((truth == 1) & (answer == 1), truth == 1, weights)


def precision(truth: Any, answer: Any, weights: Any) -> float:
    return _ratio((truth == 1) & (answer == 1), answer == 1, weights)


def f1(truth: Any, answer: Any, weights: Any) -> float:
    hits = float((((truth == 1) & (answer == 1)) * weights).sum())
    both = float(((truth == 1) * weights).sum() + ((answer == 1) * weights).sum())
    return 2 * hits / both if both else math.nan


def balanced_accuracy(truth: Any, answer: Any, weights: Any) -> float:
    return (recall(truth, answer, weights) + recall(1 - truth, 1 - answer, weights)) / 2


def roc_auc(truth: Any, score: Any, weights: Any) -> float:
    """The chance that a row of the second class has the higher score; equal scores count half."""
    import numpy

    _, place = numpy.unique(score, return_inverse=True)
    ones = numpy.bincount(place, weights * (truth == 1))
    others = numpy.bincount(place, weights * (truth != 1))
    pairs = float(ones.sum() * others.sum())
    below = numpy.cumsum(others) - others
    return float((ones * (below + others / 2)).sum()) / pairs if pairs else math.nan


def average_precision(truth: Any, score: Any, weights: Any) -> float:
    import numpy

    _, place = numpy.unique(-score, return_inverse=True)
    hits = numpy.cumsum(numpy.bincount(place, weights * (truth == 1)))
    drawn = numpy.cumsum(numpy.bincount(place, weights))
    if not hits[-1]:
        return math.nan
    with numpy.errstate(invalid="ignore"):
        precisions = numpy.where(drawn > 0, hits / drawn, 0.0)
    return float((numpy.diff(hits, prepend=0.0) * precisions).sum() / hits[-1])


def brier(truth: Any, score: Any, weights: Any) -> float:
    return _mean((score - truth) ** 2, weights)


def log_loss(truth: Any, score: Any, weights: Any) -> float:
    import numpy

    least = numpy.finfo(float).eps
    sure = numpy.clip(score, least, 1 - least)
    return _mean(-(truth * numpy.log(sure) + (1 - truth) * numpy.log(1 - sure)), weights)


def mean_absolute_error(truth: Any, answer: Any, weights: Any) -> float:
    return _mean(abs(truth - answer), weights)


def mean_squared_error(truth: Any, answer: Any, weights: Any) -> float:
    return _mean((truth - answer) ** 2, weights)


def root_mean_squared_error(truth: Any, answer: Any, weights: Any) -> float:
    return math.sqrt(mean_squared_error(truth, answer, weights))


def r2(truth: Any, answer: Any, weights: Any) -> float:
    spread = _mean((truth - _mean(truth, weights)) ** 2, weights)
    return 1 - mean_squared_error(truth, answer, weights) / spread if spread else math.nan


def mean_absolute_percentage_error(truth: Any, answer: Any, weights: Any) -> float:
    import numpy

    return _mean(abs(truth - answer) / numpy.maximum(abs(truth), numpy.finfo(float).eps), weights)


MEASURES = (
    Measure("accuracy", "labels", accuracy, ("acc", "accuracy", "score")),
    Measure("balanced accuracy", "two classes", balanced_accuracy, ("balanced",)),
    Measure("precision", "two classes", precision, ("precision", "ppv")),
    Measure("recall", "two classes", recall, ("recall", "sensitivity", "tpr")),
    Measure("F1", "two classes", f1, ("f1",)),
    Measure("area under the ROC curve", "scores", roc_auc, ("auc", "roc")),
    Measure("average precision", "scores", average_precision, ("ap", "average_precision", "pr_auc")),
    Measure("Brier score", "scores", brier, ("brier",)),
    Measure("log loss", "scores", log_loss, ("log_loss", "logloss", "cross_entropy")),
    Measure("mean absolute error", "numbers", mean_absolute_error, ("mae", "absolute")),
    Measure("mean squared error", "numbers", mean_squared_error, ("mse", "squared")),
    Measure("root of the mean squared error", "numbers", root_mean_squared_error, ("rmse", "root")),
    Measure("R²", "numbers", r2, ("r2", "r_squared", "rsquared", "score")),
    Measure("mean absolute percentage error", "numbers", mean_absolute_percentage_error, ("mape", "percentage")),
)
