"""Two arrays of one dtype and shape, number by number: NaN equals NaN, and what counts as rounding is said.

Sums in another order differ in their last digits. Within the tolerance of its type a float is `tolerant`, which is told
apart from `equal`; anything beyond is `different`. Integers, truth values, dates and texts are equal or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

TOLERANCES: dict[str, float] = {
    "float16": 1e-2,
    "float32": 1e-5,
    "complex64": 1e-5,
    "float64": 1e-9,
    "complex128": 1e-9,
    "longdouble": 1e-9,
    "clongdouble": 1e-9,
}
LARGE, RATE_OF_LARGE = 1e9, 1e-12  # seconds since 1970 differ by a second in their tenth digit
ROUNDINGS = 4  # of the largest number of an array: what a difference of nearly equal numbers may keep


@dataclass(frozen=True, slots=True)
class Gap:
    """Where two arrays differ: `place` is the first number beyond the tolerance, or the first that is not the same."""

    place: tuple[int, ...]
    count: int
    beyond: bool
    absolute: float = 0.0
    relative: float = 0.0
    ulps: float = 0.0
    tolerance: str = ""


def gap(one: Any, other: Any) -> Gap | None:
    """None when all numbers are the same."""
    with np.errstate(all="ignore"):
        same = _same(one, other)
        if same.all():
            return None
        return _measured(one, other, ~same) if one.dtype.kind in "fc" else _counted(one, other, ~same)


def _same(one: Any, other: Any) -> Any:
    if one.dtype.kind in "mM":
        return one.view(np.int64) == other.view(np.int64)
    equal = np.asarray(one == other)
    if one.dtype.kind == "f":  # 0.0 and -0.0 are told apart, as a notebook shows them
        return (equal & (np.signbit(one) == np.signbit(other))) | (np.isnan(one) & np.isnan(other))
    return equal | (np.isnan(one) & np.isnan(other)) if one.dtype.kind == "c" else equal


def _counted(one: Any, other: Any, unlike: Any) -> Gap:
    count, place = int(unlike.sum()), _first(unlike)
    if one.dtype.kind not in "iu":
        return Gap(place, count, True)
    apart = np.abs(one[unlike].astype(np.float64) - other[unlike].astype(np.float64))
    scale = np.maximum(np.abs(one[unlike].astype(np.float64)), np.abs(other[unlike].astype(np.float64)))
    return Gap(place, count, True, float(apart.max()), _largest(apart / np.where(scale == 0, 1, scale)))


def _measured(one: Any, other: Any, unlike: Any) -> Gap:
    name = one.dtype.newbyteorder("=").name
    rate = TOLERANCES.get(name, 1e-9)
    a, b = one[unlike], other[unlike]
    apart = np.abs(a - b)
    scale = np.maximum(np.abs(a), np.abs(b))
    finite = np.abs(one[np.isfinite(one)])
    noise = ROUNDINGS * float(np.finfo(one.dtype).eps) * (float(finite.max()) if finite.size else 0.0)
    rates = np.where(scale > LARGE, min(rate, RATE_OF_LARGE), rate) if one.dtype.itemsize >= 8 else rate
    beyond = ~(apart <= rates * scale + noise) | ~np.isfinite(apart)
    known = np.isfinite(apart)
    relative = np.where(scale == 0, 0.0, apart / np.where(scale == 0, 1, scale))
    everywhere = np.zeros(one.shape, bool)
    everywhere[unlike] = beyond
    return Gap(
        _first(everywhere if beyond.any() else unlike),
        int(unlike.sum()),
        bool(beyond.any()),
        _largest(apart[known]),
        _largest(relative[known]),
        _ulps(a, b, apart) if one.dtype.kind == "f" else 0.0,
        f"{name}: 1 part in 10^{round(-np.log10(rate))}",
    )


def _first(where: Any) -> tuple[int, ...]:
    return tuple(int(place) for place in np.unravel_index(int(np.argmax(where)), where.shape)) if where.ndim else ()


def _largest(values: Any) -> float:
    return float(values.max()) if values.size else 0.0


def _ulps(one: Any, other: Any, apart: Any) -> float:
    """The largest difference in steps of the floating point format: 1 between neighbours."""
    steps = apart / np.spacing(np.minimum(np.abs(one), np.abs(other)))
    return _largest(steps[np.isfinite(steps)])
