"""Two sides of one question compared: the notebook's object, and a path to the package's answers.

Numbers that are floats may differ by a path's tolerance, relative to the larger of the two, or to a millionth of the
largest answer where they are smaller than that; everything else has to be the same. NaN equals NaN, 0.0 equals -0.0. A
row that raises on both sides is the same outcome, whatever the exception is called on the way. A row that the path's
schema does not take is *refused*: said, listed, and no difference.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nb2prod.core import parity
from nb2prod.core.errors import NotProved
from nb2prod.core.outcome import Outcome, digest_of
from nb2prod.core.parity import FRESH, PathParity, RowFound, Verdict

TOLERANCE = 1e-12
NEAR_ZERO = 1e-6  # of the largest answer: what the tolerance is relative to for numbers that are smaller
LISTED = 100  # rows that are told one by one
LONGEST = 120  # letters of an answer that is told
_SIGN = 1 << 63


@dataclass(frozen=True, slots=True)
class Gap:
    """How far two answers are apart: absolutely, relative to the first, in steps from one float to the next."""

    absolute: float = 0.0
    relative: float = 0.0
    ulps: int = 0
    flips: int = 0

    def __or__(self, other: Gap) -> Gap:
        return Gap(
            max(self.absolute, other.absolute),
            max(self.relative, other.relative),
            max(self.ulps, other.ulps),
            self.flips + other.flips,
        )


@dataclass(frozen=True, slots=True)
class Rows:
    """What became of rows of the probe set: the first `real` are of the example, `what` names each."""

    what: Sequence[str]
    real: int
    expected: Sequence[Outcome]


# -- the probe set ---------------------------------------------------------------------------------------------------


def path_of(
    name: str, rows: Rows, found: Sequence[Outcome], tolerance: float, versions: Mapping[str, str], note: str = ""
) -> PathParity:
    """A path that was asked about the probe set."""
    least = tolerance * NEAR_ZERO * _largest_answer(rows.expected)
    judged = [judge(one, other, tolerance, least) for one, other in zip(rows.expected, found, strict=True)]
    marks = "".join(mark for mark, _ in judged)
    gap = sum_of(gap for _, gap in judged)
    real, boundary = marks[: rows.real], marks[rows.real :]
    return PathParity(
        path=name,
        rows=len(real),
        exact=real.count(parity.EQUAL),
        difference=gap.absolute,
        flips=gap.flips,
        verdict=verdict(marks),
        relative=gap.relative,
        ulps=gap.ulps,
        tolerance=tolerance,
        boundary=len(boundary),
        alike=boundary.count(parity.EQUAL) + boundary.count(parity.RAISES),
        refused=marks.count(parity.REFUSED),
        raised=marks.count(parity.RAISES),
        marks=marks,
        found=told(rows, found, marks),
        outputs=digest_of(found),
        versions=dict(versions),
        note=note,
    )


def judge(expected: Outcome, found: Outcome, tolerance: float, least: float = 0.0) -> tuple[str, Gap]:
    """The mark of a row, and how far its answers are apart; `least` is what numbers near zero may differ by."""
    if found.kind == "refused":
        return parity.REFUSED, Gap()
    if expected.kind != "answer" or found.kind != "answer":
        return (parity.RAISES if expected.kind == found.kind else parity.DIFFERENT), Gap()
    if len(expected.values) != len(found.values):
        return parity.DIFFERENT, Gap(flips=1)
    gaps = [gap_of(one, other) for one, other in zip(expected.values, found.values, strict=True)]
    gap = sum_of(gaps)
    if gap == Gap():
        return parity.EQUAL, gap
    close = not gap.flips and all(one.relative <= tolerance or one.absolute <= least for one in gaps)
    return (parity.CLOSE if close else parity.DIFFERENT), gap


def _largest_answer(outcomes: Iterable[Outcome]) -> float:
    numbers = [abs(v) for one in outcomes for v in one.values if type(v) is float and math.isfinite(v)]
    return max(numbers, default=0.0)


def gap_of(one: Any, other: Any) -> Gap:
    """Two values of an answer. A type is a part of a value: 1 is not 1.0, and neither is True."""
    if type(one) is not float or type(other) is not float:
        return Gap() if type(one) is type(other) and one == other else Gap(flips=1)
    if one == other or (math.isnan(one) and math.isnan(other)):
        return Gap()
    if not math.isfinite(one) or not math.isfinite(other):
        return Gap(flips=1)
    absolute = abs(one - other)
    if not math.isfinite(absolute):
        return Gap(flips=1)
    return Gap(absolute, absolute / max(abs(one), abs(other)), abs(_place(one) - _place(other)))


def _place(number: float) -> int:
    """Where a float stands among all floats in their order."""
    bits: int = struct.unpack("<Q", struct.pack("<d", number))[0]
    return -(bits - _SIGN) if bits & _SIGN else bits


def sum_of(gaps: Iterable[Gap]) -> Gap:
    total = Gap()
    for gap in gaps:
        total |= gap
    return total


def verdict(marks: str) -> Verdict:
    if parity.DIFFERENT in marks:
        return "different"
    return "tolerant" if parity.CLOSE in marks else "equal"


def told(rows: Rows, found: Sequence[Outcome], marks: str) -> tuple[RowFound, ...]:
    """The rows that are not as the notebook's object answers them, those that differ first."""
    order = [parity.DIFFERENT, parity.REFUSED, parity.CLOSE]
    places = sorted((p for p, mark in enumerate(marks) if mark in order), key=lambda p: (order.index(marks[p]), p))
    return tuple(
        RowFound(p, rows.what[p], marks[p], _short(rows.expected[p]), _short(found[p])) for p in places[:LISTED]
    )


def _short(outcome: Outcome) -> str:
    text = str(outcome)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


# -- the whole example -----------------------------------------------------------------------------------------------


def compared(
    expected: Any, actual: Any, *, path: str = FRESH, tolerance: float = TOLERANCE, least: float = 0.0
) -> PathParity:
    """Two answers on the whole example. Raises NotProved when they are not of one shape and kind."""
    import numpy as np

    if _labels(expected) != _labels(actual):
        raise NotProved(f"the package predicts {_labels(actual)}, the notebook {_labels(expected)}")
    one, other = np.asarray(expected), np.asarray(actual)
    if one.shape != other.shape or _kind(one) != _kind(other):
        raise NotProved(
            f"the package predicts {other.dtype} of shape {other.shape}, the notebook {one.dtype} of shape {one.shape}"
        )
    rows = one.shape[0] if one.ndim else 1
    same = _same(one, other).reshape(rows, -1).all(axis=1)
    exact = int(same.sum())
    if one.dtype.kind not in "fc":
        found: Verdict = "equal" if exact == rows else "different"
        return PathParity(path, rows, exact, _difference(one, other), rows - exact, found, tolerance=tolerance)
    close = bool(np.isclose(other, one, rtol=tolerance, atol=least, equal_nan=True).all())
    found = "equal" if exact == rows else "tolerant" if close else "different"
    gap = _largest(one, other)
    return PathParity(path, rows, exact, _difference(one, other), 0, found, gap.relative, gap.ulps, tolerance=tolerance)


def _labels(value: Any) -> str:
    """What is not in the values: the kind of container, and a frame's columns."""
    columns = f" with columns {list(value.columns)}" if hasattr(value, "columns") else ""
    return f"{type(value).__name__}{columns}"


def _kind(array: Any) -> str:
    kind = str(array.dtype.kind)
    return "text or objects" if kind in "OUT" else kind


def _same(one: Any, other: Any) -> Any:
    import numpy as np

    equal = np.asarray(one == other)
    if one.dtype.kind in "fc":
        return equal | (np.isnan(one) & np.isnan(other))
    return equal


def _largest(one: Any, other: Any) -> Gap:
    """Over the numbers that differ, which are few: the largest relative difference, and in floats of 64 bits."""
    places = ~_same(one, other)
    if one.dtype.kind == "c":
        return Gap()
    pairs = zip(one[places].astype(float).tolist(), other[places].astype(float).tolist(), strict=True)
    return sum_of(gap_of(a, b) for a, b in pairs)


def largest(numbers: Any) -> float:
    return float(abs(numbers).max()) if len(numbers) else 0.0


def _difference(one: Any, other: Any) -> float:
    """The largest absolute difference; 0.0 for what is not a number, whose differences are counted as flips."""
    import numpy as np

    if one.dtype.kind not in "iufc" or not one.size:
        return 0.0
    kind = np.complex128 if one.dtype.kind == "c" else np.float64
    gap = np.abs(one.astype(kind) - other.astype(kind))
    gap[_same(one, other)] = 0.0
    return float(np.nanmax(gap)) if not np.isnan(gap).all() else 0.0
