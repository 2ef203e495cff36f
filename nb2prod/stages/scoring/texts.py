"""The texts of a CSV file as what the signature says, strictly by their spelling.

boolean            true, True, TRUE, false, False, FALSE
integer, long      12, -3, +5
float, double      1.5, -.5, 2e-3, 7; no nan, no inf, no comma
datetime           2024-01-31, 2024-01-31 12:30, 2024-01-31T12:30:00.5; no time zone
string             as it stands
binary             base64
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from nb2prod.serving.signature import Column
from nb2prod.stages.scoring.typed import NOT_IN_YEARS, TOO_LARGE, Found, mask_of, only, type_of, without

NUMBER = r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$"
WHOLE = r"^[+-]?\d+$"
TIME = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?)?$"
NOT_A_TIME = "not a date or time as 2024-01-31T12:30:00, without time zone"
BOOLEANS = ("true", "True", "TRUE", "false", "False", "FALSE")
DIGITS = 40  # more than any type of whole numbers holds


def converted(values: Any, column: Column) -> Found:
    """The column in its type; a bad value is null in it."""
    wanted = type_of(column.kind.name)
    match column.kind.name:
        case "string":
            return values, []
        case "boolean":
            return _booleans(values)
        case "integer" | "long":
            return _numbers(values, wanted, WHOLE, "not an integer")
        case "datetime":
            return _times(values, wanted)
        case "binary":
            return _each(values, wanted, lambda text: base64.b64decode(text, validate=True), "not base64")
    return _numbers(values, wanted, NUMBER, "not a number")


def _numbers(values: Any, wanted: Any, spelling: str, reason: str) -> Found:
    """As a whole, which Arrow does fast; and text by text where it cannot, or would read more than decimal numbers."""
    import pyarrow
    import pyarrow.compute as pc
    from pyarrow import types

    whole = types.is_integer(wanted)
    if not _has(values, "[A-Za-z]" if whole else "[A-DF-Za-df-z]"):  # 0x10, nan, inf
        try:
            made = pc.cast(values, wanted)
        except pyarrow.ArrowInvalid:
            made = None
        if made is not None and (whole or pc.any(pc.is_inf(made)).as_py() is not True):
            return made, []
    misspelled = _misspelled(values, spelling)
    made, large = _each(without(values, misspelled), wanted, _within(wanted, whole), TOO_LARGE)
    return made, [*only((misspelled, reason)), *large]


def _has(values: Any, pattern: str) -> bool:
    import pyarrow.compute as pc

    return pc.any(pc.match_substring_regex(values, pattern)).as_py() is True


def _misspelled(values: Any, spelling: str) -> Any:
    import pyarrow.compute as pc

    return ~mask_of(pc.match_substring_regex(values, spelling)) & ~mask_of(pc.is_null(values))


def _within(wanted: Any, whole: bool) -> Callable[[str], float]:
    """How one text becomes a number. It raises ValueError for one that is too large."""
    import numpy

    kind = wanted.to_pandas_dtype()
    limits = numpy.iinfo(kind) if whole else numpy.finfo(kind)

    def number(text: str) -> float:
        value = int(text[:DIGITS]) if whole else float(text)
        if not float(limits.min) <= value <= float(limits.max) or (whole and not limits.min <= value <= limits.max):
            raise ValueError
        return value

    return number


def _booleans(values: Any) -> Found:
    import pyarrow
    import pyarrow.compute as pc

    bad = ~mask_of(pc.is_in(values, value_set=pyarrow.array(BOOLEANS))) & ~mask_of(pc.is_null(values))
    return pc.cast(pc.utf8_lower(without(values, bad)), pyarrow.bool_()), only((bad, "not true or false"))


def _times(values: Any, wanted: Any) -> Found:
    import pyarrow
    import pyarrow.compute as pc

    misspelled = _misspelled(values, TIME)
    rest = without(values, misspelled)
    found = only((misspelled, NOT_A_TIME))
    try:
        return pc.cast(rest, wanted), found
    except pyarrow.ArrowInvalid:
        made, impossible = _each(rest, wanted, lambda t: pyarrow.scalar(t).cast(wanted), f"no date, or {NOT_IN_YEARS}")
        return made, [*found, *impossible]


def _each(values: Any, wanted: Any, convert: Callable[[str], Any], reason: str) -> Found:
    """Text by text; one for which `convert` raises ValueError is bad."""
    import numpy
    import pyarrow

    bad = numpy.zeros(len(values), dtype=bool)
    made: list[Any] = []
    for place, text in enumerate(values.to_pylist()):
        try:
            made.append(None if text is None else convert(text))
        except ValueError:  # ArrowInvalid and base64's error are ones
            bad[place] = True
            made.append(None)
    return pyarrow.array(made, wanted), only((bad, reason))
