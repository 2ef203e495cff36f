"""The columns of a Parquet file as what the signature says, where that is the same value; nothing is guessed.

boolean            boolean
integer, long      any whole number that fits
float, double      any number that is the same number as such a float
datetime           a timestamp without a time zone, a date
string             text; where the notebook's column was one, which the package says: a timestamp with a time
                   zone, as text with an offset, or a decimal number, to its last digit
binary             binary

Dictionaries (a category of pandas is one) are what their values are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nb2prod.core.errors import UsageError
from nb2prod.serving.signature import Column
from nb2prod.stages.scoring import typed
from nb2prod.stages.scoring.typed import Found, mask_of, only, type_of, without

TIME, DECIMAL = "time", "decimal"  # the package's words for what a text becomes again
FIX = "convert the column where the data is made: nothing is guessed here"
FIXES = {
    "a zone": "drop the time zone where the data is made, in the zone in which the model learnt the times",
    "no zone": "give the times the time zone that they are in, where the data is made",
    "a decimal": "convert the column to floats where the data is made: that rounds, so it is not done here",
}


def converted(values: Any, column: Column, recipe: Mapping[str, Any]) -> Found:
    """The column in its type; a bad value is null in it. `recipe` is how the package makes it again what it was."""
    import pyarrow
    import pyarrow.compute as pc
    from pyarrow import types

    wanted, restored = type_of(column.kind.name), recipe.get("as", "")
    if types.is_dictionary(values.type):
        values = values.dictionary_decode()
    there = values.type
    if there == wanted:
        return values, []
    if types.is_null(there):
        return pyarrow.nulls(len(values), wanted), []
    if types.is_integer(wanted) and types.is_integer(there):
        return _narrowed(values, wanted)
    if types.is_floating(wanted) and (types.is_integer(there) or types.is_floating(there)):
        return _as_float(values, wanted)
    if types.is_timestamp(wanted) and (types.is_date(there) or (types.is_timestamp(there) and there.tz is None)):
        return _as_time(values, wanted)
    if restored == TIME and types.is_timestamp(there) and there.tz is not None:
        return _with_offset(values, recipe["unit"])
    if _is_spelling_of(wanted, there) or (restored == DECIMAL and types.is_decimal(there)):
        return pc.cast(values, wanted), []
    raise UsageError(
        f"the column {column.name} is {there}, and the model's signature says {_said(column, restored)}",
        fix=FIXES.get(_special(there, wanted, restored), FIX),
    )


def _said(column: Column, restored: str) -> str:
    meant = {TIME: "a time with a time zone", DECIMAL: "a decimal number"}.get(restored)
    return f"{column.kind.name}, which is {meant}" if meant else column.kind.name


def _special(there: Any, wanted: Any, restored: str) -> str:
    from pyarrow import types

    if types.is_timestamp(there) and restored == TIME:
        return "no zone"
    if types.is_timestamp(there) and types.is_timestamp(wanted):
        return "a zone"
    return "a decimal" if types.is_decimal(there) and types.is_floating(wanted) else ""


def _is_spelling_of(wanted: Any, there: Any) -> bool:
    """Whether the two types differ in how values lie in memory only."""
    from pyarrow import types

    text = types.is_large_string(there) or types.is_string_view(there)
    content = types.is_large_binary(there) or types.is_fixed_size_binary(there) or types.is_binary_view(there)
    return bool((types.is_string(wanted) and text) or (types.is_binary(wanted) and content))


def _narrowed(values: Any, wanted: Any) -> Found:
    """Whole numbers as others, those apart that do not fit."""
    import numpy
    import pyarrow
    import pyarrow.compute as pc

    held, room = numpy.iinfo(values.type.to_pandas_dtype()), numpy.iinfo(wanted.to_pandas_dtype())
    found = []
    for beyond, limit, reason in ((pc.less, room.min, typed.TOO_SMALL), (pc.greater, room.max, typed.TOO_LARGE)):
        if held.min <= limit <= held.max:
            mask = mask_of(beyond(values, pyarrow.scalar(int(limit), values.type)))
            values = without(values, mask)
            found.append((mask, reason))
    return pc.cast(values, wanted), only(*found)


def _as_float(values: Any, wanted: Any) -> Found:
    """Numbers as floats, those apart for which that would be another number."""
    import numpy
    import pyarrow
    import pyarrow.compute as pc

    null = mask_of(pc.is_null(values))
    plain = pc.fill_null(values, 0).to_numpy(zero_copy_only=False)
    with numpy.errstate(over="ignore"):
        made = plain.astype(wanted.to_pandas_dtype())
    if plain.dtype.kind == "f":
        same = (made.astype(plain.dtype) == plain) | numpy.isnan(plain)
    else:
        same = _is_exact(plain, made)
    bad = ~same & ~null
    infinite = bad & numpy.isinf(made)
    reasons = only((infinite, typed.TOO_LARGE), (bad & ~infinite, typed.INEXACT))
    return pyarrow.array(made, mask=null | bad), reasons


def _is_exact(whole: Any, made: Any) -> Any:
    """Which whole numbers a float holds: all up to 2^53 (2^24), and of larger ones those that lose nothing."""
    import numpy

    most = 2**53 if made.dtype == numpy.float64 else 2**24
    if whole.dtype.itemsize * 8 <= 16 or (whole.dtype.itemsize == 4 and made.dtype == numpy.float64):
        return numpy.ones(len(whole), dtype=bool)
    small = whole <= most if whole.dtype.kind == "u" else (whole >= -most) & (whole <= most)
    rest = numpy.flatnonzero(~small)
    small[rest] = [int(value) == int(other) for value, other in zip(whole[rest], made[rest], strict=True)]
    return small


def _as_time(values: Any, wanted: Any) -> Found:
    import pyarrow
    import pyarrow.compute as pc

    try:
        return pc.cast(values, wanted), []
    except pyarrow.ArrowInvalid:
        least, end = (pyarrow.scalar(f"{year}-01-01").cast(pyarrow.timestamp("s")) for year in (1678, 2262))
        seconds = pc.cast(values, pyarrow.timestamp("s"), safe=False)
        outside = mask_of(pc.or_(pc.less(seconds, least), pc.greater_equal(seconds, end)))
        return pc.cast(without(values, outside), wanted), only((outside, typed.NOT_IN_YEARS))


def _with_offset(values: Any, unit: str) -> Found:
    """Instants as texts with an offset: the package puts them into the notebook's zone and `unit`, which must do."""
    import pyarrow
    import pyarrow.compute as pc

    moments = pc.cast(values, pyarrow.timestamp(values.type.unit))  # in UTC
    moments, outside = _as_time(moments, pyarrow.timestamp("ns"))
    held = pc.cast(moments, pyarrow.timestamp(unit), safe=False)
    finer = mask_of(pc.not_equal(pc.cast(held, moments.type), moments))
    texts = pc.binary_join_element_wise(pc.cast(without(moments, finer), pyarrow.string()), "+00:00", "")
    return texts, [*outside, *only((finer, typed.INEXACT))]
