"""How good the model is for parts of the example: rows with one value of a column that has few."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nb2prod.stages.carding.judged import Again, Answers, Judged, pair_of

VALUES = 6  # of a column, at most
FEWEST = 30  # rows of a part
COLUMNS = 12
METRICS = 3


@dataclass(frozen=True, slots=True)
class Slice:
    """`metrics` are in the order of `Slices.metrics`; `positive` is the share predicted as the second class."""

    column: str
    value: str
    rows: int
    metrics: tuple[float, ...]
    positive: float | None


@dataclass(frozen=True, slots=True)
class Gap:
    """How far the parts of one column are apart in one respect."""

    column: str
    what: str
    gap: float
    low: str
    high: str


@dataclass(frozen=True, slots=True)
class Slices:
    metrics: tuple[str, ...] = ()
    slices: tuple[Slice, ...] = ()
    gaps: tuple[Gap, ...] = ()
    left_out: int = 0
    positive: str = ""


def slices(judged: Judged, example: Any) -> Slices:
    """Empty when the truth is not known, or the example has no column with few values."""
    if judged.truth is None or judged.answers is None or not hasattr(example, "columns"):
        return Slices()
    chosen = list(judged.again.values())[:METRICS]
    made, left_out = [], 0
    for column, value, mask in _parts(example):
        if mask.sum() < FEWEST:
            left_out += 1
        else:
            made.append(_slice(str(column), value, mask, chosen, judged))
    names = tuple(one.metric for one in chosen)
    positive = str(judged.answers.classes[1]) if len(judged.answers.classes) == 2 else ""
    return Slices(names, tuple(made), tuple(_gaps(names, made, positive)), left_out, positive) if made else Slices()


def _parts(example: Any) -> Iterator[tuple[str, str, Any]]:
    few = [
        name for name in example.columns if example[name].dtype.kind != "f" and 2 <= example[name].nunique() <= VALUES
    ]
    for name in few[:COLUMNS]:
        for value in sorted(example[name].dropna().unique(), key=str):
            yield name, str(value), (example[name] == value).fillna(False).to_numpy(dtype=bool)


def _slice(column: str, value: str, mask: Any, chosen: list[Again], judged: Judged) -> Slice:
    import numpy

    answers = judged.answers
    assert answers is not None
    part = Answers(answers.predicted[mask], None if answers.scores is None else answers.scores[mask], answers.classes)
    truth, ones = numpy.asarray(judged.truth)[mask], numpy.ones(int(mask.sum()))
    values = []
    for one in chosen:
        pair = pair_of(one.measure, truth, part)
        values.append(one.measure.of(*pair, ones) if pair is not None else math.nan)
    positive = float((part.predicted == part.classes[1]).mean()) if len(part.classes) == 2 else None
    return Slice(column, value, int(mask.sum()), tuple(values), positive)


def _gaps(names: tuple[str, ...], made: list[Slice], positive: str) -> Iterator[Gap]:
    for column in dict.fromkeys(one.column for one in made):
        parts = [one for one in made if one.column == column]
        respects = [(name, [one.metrics[place] for one in parts]) for place, name in enumerate(names)]
        if positive:
            respects.append((f"share predicted {positive}", [one.positive or 0.0 for one in parts]))
        for what, values in respects:
            known = [(value, one.value) for value, one in zip(values, parts, strict=True) if not math.isnan(value)]
            if len(known) > 1:
                (low, at_low), (high, at_high) = min(known), max(known)
                yield Gap(column, what, high - low, at_low, at_high)
