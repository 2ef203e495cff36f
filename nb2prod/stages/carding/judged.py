"""What the notebook's metrics are worth: computed again from the example, and from resamples of it.

Nobody says which of the notebook's values is the truth, nor how a metric was computed. Both are found by trying: a
metric is computed again when exactly one known formula and one column beside the example give the very number that the
notebook logged. Then its interval is the bootstrap's: 95 % of resamples of the example's rows lie within it. A metric
that does not come out again gets no interval, and the card says why.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nb2prod.core.result import Result
from nb2prod.stages.carding.measures import MEASURES, Measure
from nb2prod.stages.model_folder import Kept
from nb2prod.storage import artifacts

logger = logging.getLogger(__name__)
CLOSE = 1e-9
RESAMPLES = 300
WORK = 6_000_000  # values that resampling may look at, for each metric
FEWEST = 20  # rows below which an interval says nothing
NOT_KNOWN = "the run kept nothing beside the example that could be the truth"
NOT_AGAIN = "it does not come out again from the example's rows by a formula that is known here"
TOO_FEW = f"the example has fewer than {FEWEST} rows"
NOT_FINITE = "it is not a finite number"
SEVERAL = "several formulas give the same number"


@dataclass(frozen=True, slots=True)
class Answers:
    """What the model says of the example: what `predict` gives, and the chance of the second class where it tells."""

    predicted: Any
    scores: Any = None
    classes: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Again:
    """A metric that comes out again: by which measure, from which column, and within which interval."""

    metric: str
    measure: Measure
    truth: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Judged:
    """`again` by the metric's name, `why_not` for the others. `truth` is the column's values, None when not known."""

    rows: int
    again: Mapping[str, Again] = field(default_factory=dict)
    why_not: Mapping[str, str] = field(default_factory=dict)
    truth: Any = None
    answers: Answers | None = None


def judge(result: Result, kept: Kept) -> Judged:
    rows = len(kept.predictions)
    beside = _beside(result)
    answers = answers_of(kept, kept.example, kept.predictions)
    metrics = {name: value for name, value in result.metrics.items() if math.isfinite(value)}
    why_not = {name: NOT_FINITE for name in result.metrics if name not in metrics}
    if beside is None:
        return Judged(rows, why_not=why_not | dict.fromkeys(metrics, NOT_KNOWN), answers=answers)
    fitting = {name: list(_fitting(name, value, beside, answers)) for name, value in metrics.items()}
    fitting = {name: _one_truth(found, fitting) for name, found in fitting.items()}
    again = {}
    for name, found in fitting.items():
        if len(found) != 1:
            why_not[name] = SEVERAL if found else NOT_AGAIN
        elif rows < FEWEST:
            why_not[name] = TOO_FEW
        else:
            measure, truth = found[0]
            pair = _pair(measure, beside[truth], answers)
            assert pair is not None  # it fitted
            again[name] = Again(name, measure, truth, *_interval(measure, *pair))
    names = {one.truth for one in again.values()}
    return Judged(rows, again, why_not, beside[names.pop()] if len(names) == 1 else None, answers)


def _beside(result: Result) -> Any:
    found = result.artifact("truths")
    return None if found is None else artifacts.read(Path(result.directory) / found.path, found.digest)


def answers_of(kept: Kept, rows: Any, predicted: Any) -> Answers:
    """The model's answers to rows of which it predicts this; chances only of an estimator of two classes."""
    import numpy

    classes = tuple(getattr(kept.model, "classes_", ()))
    ask = getattr(kept.model, "predict_proba", None)
    if getattr(predicted, "ndim", 0) == 2 and "prediction" in getattr(predicted, "columns", ()):
        predicted = predicted["prediction"]
    given = numpy.asarray(predicted)
    if given.ndim != 1 or len(classes) != 2 or ask is None:
        return Answers(given, None, classes)
    try:
        chances = numpy.asarray(ask(rows))
    except Exception as error:  # noqa: BLE001 - the package promises predict and nothing of predict_proba
        logger.debug("predict_proba: %s", error)
        return Answers(given, None, classes)
    return Answers(given, chances[:, 1] if chances.shape == (len(given), 2) else None, classes)


def _fitting(name: str, value: float, beside: Any, answers: Answers) -> Iterator[tuple[Measure, str]]:
    """(measure, column) that give the metric's number; those alone that are called so, where there are such."""
    import numpy

    ones = numpy.ones(len(beside))
    found = []
    for measure in MEASURES:
        for column in beside.columns:
            pair = _pair(measure, beside[column], answers)
            if pair is not None and math.isclose(measure.of(*pair, ones), value, rel_tol=CLOSE, abs_tol=CLOSE):
                found.append((measure, str(column)))
    named = [one for one in found if any(word in name.lower() for word in one[0].words)]
    yield from named or found


def _one_truth(found: list[tuple[Measure, str]], every: Mapping[str, list[tuple[Measure, str]]]) -> list[Any]:
    """Where several columns fit one metric: those of the column that fits the most metrics."""
    if len({column for _, column in found}) < 2:
        return found
    counts: dict[str, int] = {}
    for fitting in every.values():
        for column in {column for _, column in fitting}:
            counts[column] = counts.get(column, 0) + 1
    most = max(counts[column] for _, column in found)
    best = {column for _, column in found if counts[column] == most}
    return [one for one in found if one[1] in best] if len(best) == 1 else found


def pair_of(measure: Measure, truth: Any, answers: Answers) -> tuple[Any, Any] | None:
    """Truth and answer as the measure takes them; None when it has no meaning for them."""
    return _pair(measure, truth, answers)


def _pair(measure: Measure, truth: Any, answers: Answers) -> tuple[Any, Any] | None:
    import numpy

    given = numpy.asarray(truth)
    if answers.predicted.ndim != 1 or len(given) != len(answers.predicted):
        return None
    match measure.needs:
        case "labels":
            return (given, answers.predicted) if answers.classes else None
        case "two classes":
            return _as_two(given, answers.predicted, answers.classes)
        case "scores":
            two = _as_two(given, given, answers.classes)
            return (two[0], answers.scores) if two is not None and answers.scores is not None else None
    is_number = not answers.classes and given.dtype.kind in "iuf" and answers.predicted.dtype.kind in "iuf"
    return (given.astype(float), answers.predicted.astype(float)) if is_number else None


def _as_two(given: Any, other: Any, classes: tuple[Any, ...]) -> tuple[Any, Any] | None:
    import numpy

    if len(classes) != 2 or not numpy.isin(given, classes).all() or not numpy.isin(other, classes).all():
        return None
    return (given == classes[1]).astype(float), (other == classes[1]).astype(float)


def _interval(measure: Measure, truth: Any, answer: Any) -> tuple[float, float]:
    """The middle 95 % of resamples, drawn with a fixed seed."""
    import numpy

    rows = len(truth)
    rng = numpy.random.default_rng(0)
    count = max(50, min(RESAMPLES, WORK // max(1, rows)))
    chances = numpy.full(rows, 1 / rows)
    drawn = [measure.of(truth, answer, rng.multinomial(rows, chances).astype(float)) for _ in range(count)]
    low, high = numpy.nanpercentile(drawn, [2.5, 97.5])
    return float(low), float(high)
