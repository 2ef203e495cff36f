"""Values at the edges of a column's type, and beyond what the example has: where two programs that agree may part.

A value is taken only if the column's type can hold it: no missing value among whole numbers, no new category in a
column of categories. Each comes with the words that name it in the certificate.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

Edge = tuple[str, Any]  # what it is called, the value
LONG = 10_000  # letters
BIG = 2**53  # from here on a float of 64 bits has not every whole number
MISSING = "missing"
TEXTS: tuple[Edge, ...] = (
    ("a text never seen", "nb2prod: never seen"),
    ("empty text", ""),
    ("text beyond ASCII", "Ünïcödé 漢字 \U0001f642 e\u0301"),
    ("a very long text", "long " * (LONG // 5)),
    ("text with quotes and line ends", 'a "b"\n\\c,\t;'),
    ("a number as text", "1e5"),
)
MOMENTS: tuple[Edge, ...] = (
    ("1970 begins", datetime.datetime(1970, 1, 1)),
    ("a leap day", datetime.datetime(2024, 2, 29, 23, 59, 59, 999999)),
    ("the hour that summer time leaves out", datetime.datetime(2024, 3, 31, 1, 30)),
    ("the hour that winter time repeats", datetime.datetime(2024, 10, 27, 0, 30)),
    ("that hour again", datetime.datetime(2024, 10, 27, 1, 30)),
    ("long ago", datetime.datetime(1700, 1, 1)),
    ("far ahead", datetime.datetime(2200, 1, 1)),
)


def of_column(column: Any) -> list[Edge]:
    """The edges of a pandas column, the most telling first."""
    import pandas as pd

    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return [(MISSING, None), *_unused(column)]
    if pd.api.types.is_bool_dtype(dtype):
        return [*_missing(dtype), ("true", True), ("false", False)]
    if pd.api.types.is_integer_dtype(dtype):
        return [*_missing(dtype), *integers(_numbers(column), getattr(dtype, "numpy_dtype", dtype))]
    if pd.api.types.is_float_dtype(dtype):
        return [(MISSING, None), *floats(_numbers(column), getattr(dtype, "numpy_dtype", dtype))]
    if pd.api.types.is_datetime64_any_dtype(dtype):
        return [(MISSING, pd.NaT), *_moments(column)]
    if _is_text(column):
        return [(MISSING, None), *TEXTS, *_seen_otherwise(column)]
    return [(MISSING, None)] if dtype.kind == "O" else []


def of_array(values: Any) -> list[Edge]:
    """The edges of one column of a numpy array."""
    if values.dtype.kind == "f":
        return [(MISSING, float("nan")), *floats(values[~_is_nan(values)], values.dtype)]
    if values.dtype.kind in "iu":
        return integers(values, values.dtype)
    return [("true", True), ("false", False)] if values.dtype.kind == "b" else []


def floats(seen: Any, dtype: Any) -> list[Edge]:
    import numpy as np

    kind, finite = np.dtype(dtype).type, seen[np.isfinite(seen)]
    lowest, highest = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    span = (highest - lowest) or 1.0
    large = 1e38 if np.dtype(dtype).itemsize == 4 else 1e308
    with np.errstate(over="ignore", under="ignore"):
        least, next_after = np.nextafter(kind(0), kind(1)), np.nextafter(kind(highest), kind("inf"))
    return [
        ("above all seen", kind(min(highest + span, large))),
        ("below all seen", kind(max(lowest - span, -large))),
        ("infinite", kind("inf")),
        ("very large", kind(large)),
        ("minus zero", kind(-0.0)),
        ("the least float above zero", least),
        ("the next float after the largest seen", next_after),
        ("very large and negative", kind(-large)),
        ("zero", kind(0.0)),
        ("the smallest seen", kind(lowest)),
        ("the largest seen", kind(highest)),
    ]


def integers(seen: Any, dtype: Any) -> list[Edge]:
    import numpy as np

    room = np.iinfo(dtype)
    lowest, highest = (int(seen.min()), int(seen.max())) if len(seen) else (0, 1)
    span = (highest - lowest) or 1
    wanted = [
        ("above all seen", highest + span),
        ("below all seen", lowest - span),
        ("2^53 + 1", BIG + 1),
        ("zero", 0),
        ("minus one", -1),
        ("the largest of its type", int(room.max)),
        ("the smallest of its type", int(room.min)),
        ("2^53", BIG),
        ("-2^53 - 1", -BIG - 1),
        ("the smallest seen", lowest),
        ("the largest seen", highest),
    ]
    return [(name, value) for name, value in wanted if room.min <= value <= room.max]


def _missing(dtype: Any) -> list[Edge]:
    """A type of pandas's own may lack a value, one of numpy's whole numbers or truth values may not."""
    return [(MISSING, None)] if hasattr(dtype, "na_value") else []


def _numbers(column: Any) -> Any:
    import numpy as np

    there = column.dropna()
    return there.to_numpy(dtype=getattr(there.dtype, "numpy_dtype", np.dtype("float64")))


def _moments(column: Any) -> Iterator[Edge]:
    import pandas as pd

    zone = getattr(column.dtype, "tz", None)
    for name, moment in MOMENTS:
        made = pd.Timestamp(moment)
        yield name, (made if zone is None else made.tz_localize("UTC").tz_convert(zone)).as_unit(column.dt.unit)


def _is_text(column: Any) -> bool:
    there = column.dropna()
    return bool(len(there)) and all(type(value) is str for value in there)


def _unused(column: Any) -> list[Edge]:
    """A category that the example has no row of."""
    there = set(column.dropna().unique())
    return [("a category without rows", one) for one in column.cat.categories if one not in there][:1]


def _seen_otherwise(column: Any) -> list[Edge]:
    seen = str(column.dropna().iloc[0])
    return [("a seen text with spaces around it", f" {seen} "), ("a seen text in other letters", seen.swapcase())]


def _is_nan(values: Any) -> Any:
    import numpy as np

    return np.isnan(values)
