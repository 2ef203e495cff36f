"""Rows against what the package says of its input: the signature's types, and the rules of its contract.

The rules are those of the service. Nothing is converted that could come out as another value: a text of a CSV file
becomes what the signature says when it is spelled so, a whole number becomes a float when the float is that number.
Everything is done column by column; a row is bad when one of its values is, and each bad value is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from nb2prod.core.errors import UsageError
from nb2prod.serving.contract import Contract, Facts
from nb2prod.serving.signature import INTEGERS, Column, Signature
from nb2prod.stages.scoring import parquet_values, texts, typed
from nb2prod.stages.scoring.reading import Block
from nb2prod.stages.scoring.typed import Found, mask_of, only, type_of

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

    def __init__(
        self,
        signature: Signature,
        contract: Contract,
        there: Sequence[str],
        *,
        where: str,
        restored: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    ) -> None:
        """`restored` says of columns what the package makes of them again before the model gets them."""
        self._columns = tuple(_wanted(signature, there, where=where))
        self._contract, self._restored = contract, restored
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
        given = block.table.column(column.name).combine_chunks()
        if is_text:
            values, found = texts.converted(given, column)
        else:
            values, found = parquet_values.converted(given, column, self._restored.get(column.name, {}))
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
