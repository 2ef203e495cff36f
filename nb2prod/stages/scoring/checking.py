"""Rows against what the package says of its input: the signature's types, and the rules of its contract.

The rules are those of the service. Nothing is converted that could come out as another value: a text of a CSV file
becomes what the signature says when it is spelled so, a whole number becomes a float when the float is that number.
Everything is done column by column; a row is bad when one of its values is, and each bad value is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from nb2prod.core.errors import UsageError
from nb2prod.serving.contract import Contract, Facts
from nb2prod.serving.signature import INTEGERS, Column, Signature
from nb2prod.stages.scoring import texts, typed
from nb2prod.stages.scoring.reading import Block
from nb2prod.stages.scoring.typed import Found, mask_of, only, type_of, without

THE_ROW = "(the row)"
NAMED = 20  # columns in a message


@dataclass(frozen=True, slots=True)
class Problem:
    """`row` counts from 0 within the file."""

    row: int
    column: str
    reason: str


@dataclass(frozen=True, slots=True)
class Checked:
    """`table` has the good rows' input as the signature has it; `good` are their places in the block's table."""

    table: Any
    good: Any
    problems: tuple[Problem, ...]


class Checker:
    """The rows of files with the columns `there`, checked against one signature and contract."""

    def __init__(self, signature: Signature, contract: Contract, there: Sequence[str], *, where: str) -> None:
        self._columns = tuple(_wanted(signature, there, where=where))
        self._contract = contract
        self.inputs = tuple(column.name for column in self._columns if column.name in there)

    def check(self, block: Block, *, is_text: bool) -> Checked:
        """Raises UsageError for a column whose type is another than the signature's altogether."""
        import numpy
        import pyarrow

        bad = numpy.zeros(block.table.num_rows, dtype=bool)
        problems = [Problem(row, THE_ROW, reason) for row, reason in block.broken]
        made = {}
        for column in self._columns:
            made[column.name], found = self._column(block, column, is_text)
            for mask, reason in found:
                problems += [Problem(int(row), column.name, reason) for row in block.numbers[mask]]
                bad |= mask
        table, good = pyarrow.table(made), numpy.flatnonzero(~bad)
        table = table.take(pyarrow.array(good)) if bad.any() else table
        return Checked(table, good, tuple(sorted(problems, key=lambda problem: problem.row)))

    def _column(self, block: Block, column: Column, is_text: bool) -> Found:
        import numpy
        import pyarrow

        if column.name not in block.table.column_names:  # optional: it is there, with nothing in it
            return pyarrow.nulls(block.table.num_rows, type_of(column.kind.name)), []
        to_signature = texts.converted if is_text else converted
        values, found = to_signature(block.table.column(column.name), column)
        told = numpy.logical_or.reduce([numpy.zeros(len(values), dtype=bool), *(mask for mask, _ in found)])
        judged = _judged(values, column, self._contract.of(column.name))
        return values, [*found, *only(*((mask & ~told, reason) for mask, reason in judged))]


def _wanted(signature: Signature, there: Sequence[str], *, where: str) -> Iterator[Column]:
    """The signature's columns. Raises UsageError when the data cannot have them."""
    if signature.form != "named columns":
        raise UsageError(
            "the model takes an array, whose columns have no names, and those of a table have",
            where=where,
            fix="tag a frame with named columns as example, and package the model again",
        )
    lacking = [column.name for column in signature.columns if column.required and column.name not in there]
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        listed = f"{', '.join(there[:NAMED])}{' …' if len(there) > NAMED else ''}"
        raise UsageError(
            f"the model requires the column {lacking[0]}{more}, which the data has not",
            where=where,
            fix=f"name the columns as the model does; the data has: {listed}",
        )
    for column in signature.columns:
        if type_of(column.kind.name) is None:
            raise UsageError(f"the column {column.name} is of the type {column.kind.name}, which a table cannot say")
        if column.required or column.name in there or column.kind.name not in INTEGERS:
            yield column


# -- from the types of Parquet ----------------------------------------------------------------------------------------


def converted(given: Any, column: Column) -> Found:
    """The column in its type; a bad value is null in it."""
    import pyarrow
    import pyarrow.compute as pc
    from pyarrow import types

    values, wanted = given.combine_chunks(), type_of(column.kind.name)
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
    if _is_spelling_of(wanted, there):
        return pc.cast(values, wanted), []
    raise UsageError(
        f"the column {column.name} is {there}, and the model's signature says {column.kind.name}",
        fix="convert the column where the data is made: nothing is guessed here",
    )


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


# -- what the signature and the contract require ----------------------------------------------------------------------


def _judged(values: Any, column: Column, facts: Facts) -> Iterator[tuple[Any, str]]:
    """(which rows are bad, why) of a column in its type."""
    import numpy
    import pyarrow.compute as pc
    from pyarrow import types

    if types.is_floating(values.type):
        plain = values.to_numpy(zero_copy_only=False)
        null = numpy.isnan(plain)
        yield numpy.isinf(plain), typed.NOT_FINITE
    else:
        null = mask_of(pc.is_null(values)) if values.null_count else numpy.zeros(len(values), dtype=bool)
    if not typed.may_be_null(column):
        yield null, typed.NULL
    if facts.enforced:
        for mask, reason in _broken(values, facts):
            yield mask & ~null, reason


def _broken(values: Any, facts: Facts) -> Iterator[tuple[Any, str]]:
    import pyarrow
    import pyarrow.compute as pc

    if facts.values:
        known = pyarrow.array(list(facts.values)).cast(values.type)
        yield ~mask_of(pc.is_in(values, value_set=known)), typed.UNKNOWN_VALUE
    for bound, beyond in ((facts.minimum, pc.less), (facts.maximum, pc.greater)):
        if bound is not None:
            yield mask_of(beyond(pc.cast(values, pyarrow.float64(), safe=False), float(bound))), typed.OUT_OF_RANGE
