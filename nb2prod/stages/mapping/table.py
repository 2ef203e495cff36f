"""A table as items: one a row, or one a group of rows that share the key columns.

Of rows, every column is a parameter by name, and every value is checked before anything runs. A CSV file's cells are
texts, and count as `-p` texts do: `001` stays a text for a `str`, and is no `int` that has lost its zeros. Of groups,
the rows are data and are read as pandas reads them; only key columns that are parameters must be of their types.
"""

from __future__ import annotations

import csv
import datetime
import difflib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nb2prod.core.errors import BadParameter, StoreError, UsageError
from nb2prod.core.mapping import Item
from nb2prod.core.pipeline import Parameter, ParameterType
from nb2prod.language.parameter_values import expectation, from_text, from_value

KEYS = (str, bool, int, float, datetime.date)  # what can identify an item
SHOWN = 40  # characters of a value in an error


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows and groups of the table. `rows` is the parameter that takes a group's rows."""

    by: tuple[str, ...] = ()
    rows: str = ""
    only: str = ""
    limit: int | None = None
    min_rows: int = 1


@dataclass(frozen=True, slots=True)
class Items:
    """`frame` is the table in group mode, where an item's `rows` are positions in it."""

    items: tuple[Item, ...]
    frame: Any = None
    left_out: int = 0


def items_of(path: Path, parameters: Sequence[Parameter], wanted: Wanted) -> Items:
    """The items of a table. Raises StoreError, BadParameter or UsageError with the row, column and value."""
    if path.suffix not in (".csv", ".parquet"):
        raise UsageError(
            f"a table is a .csv or a .parquet file, not {path.suffix or 'one without an ending'}", where=str(path)
        )
    if not path.is_file():
        raise StoreError("there is no such table", where=str(path))
    found = _groups(path, parameters, wanted) if wanted.by else _rows(path, parameters, wanted)
    if not found.items:
        raise UsageError("no item is left of the table", where=str(path), fix="see --only, --limit and --min-rows")
    return found


# -- an item a row ----------------------------------------------------------------------------------------------------


def _rows(path: Path, parameters: Sequence[Parameter], wanted: Wanted) -> Items:
    columns, rows = _texts(path) if path.suffix == ".csv" else _values(path)
    known = _known(path, columns, parameters)
    convert: Callable[[ParameterType, Any], Any] = _from_cell if path.suffix == ".csv" else _from_scalar
    items = [
        Item(number, {}, {name: _converted(path, known[name], number, value, convert) for name, value in given})
        for number, given in ((number, zip(columns, row, strict=True)) for number, row in enumerate(rows))
    ]
    if wanted.only:
        import pandas

        frame = pandas.DataFrame([item.given for item in items])
        items = [items[position] for position in _matching(path, frame, wanted.only)]
    return Items(tuple(items[: wanted.limit]))


def _texts(path: Path) -> tuple[list[str], Iterator[list[str]]]:
    """The header and the cells of a CSV file, as texts."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file, strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise StoreError(f"it is no CSV in UTF-8: {error}", where=str(path)) from error
    except OSError as error:
        raise StoreError(f"it cannot be read: {error.strerror}", where=str(path)) from error
    header = lines[0] if lines else []
    return header, _records(path, header, lines[1:])


def _records(path: Path, header: Sequence[str], lines: Iterable[list[str]]) -> Iterator[list[str]]:
    for number, line in enumerate(lines):
        cells = line or ([""] if len(header) == 1 else [])
        if len(cells) != len(header):
            raise StoreError(
                f"row {number + 1} has {len(cells)} values, and the header names {len(header)} columns", where=str(path)
            )
        yield cells


def _values(path: Path) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
    table = _parquet(path)
    columns = [column.to_pylist() for column in table.columns]
    return list(table.column_names), zip(*columns, strict=True)


def _parquet(path: Path) -> Any:
    import pyarrow
    from pyarrow import parquet

    try:
        return parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise StoreError(f"it is no Parquet file that can be read: {error}", where=str(path)) from error


def _known(path: Path, columns: Sequence[str], parameters: Sequence[Parameter]) -> Mapping[str, Parameter]:
    """The parameters that the columns name."""
    _refuse_twice(path, columns)
    known = {parameter.name: parameter for parameter in parameters}
    for column in columns:
        if column not in known:
            near = difflib.get_close_matches(column, known, n=1)
            there = f"the notebook declares {', '.join(known) or 'none'}"
            raise BadParameter(
                f"column {column} is no parameter of the notebook ({there})",
                where=str(path),
                fix=f"did you mean {near[0]}?" if near else "take it out, or give groups of rows with --by COLUMNS",
            )
        if known[column].secret:
            raise BadParameter(
                f"column {column} is a secret parameter, and the results would hold it", where=str(path), fix="-p"
            )
    return known


def _refuse_twice(path: Path, columns: Sequence[str]) -> None:
    twice = [column for position, column in enumerate(columns) if column in columns[:position]]
    if twice:
        raise UsageError(f"column {twice[0]} is there twice", where=str(path))


def _converted(
    path: Path, parameter: Parameter, number: int, value: Any, convert: Callable[[ParameterType, Any], Any]
) -> Any:
    try:
        return convert(parameter.type, value)
    except (ValueError, TypeError) as error:
        text = repr(value)
        shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
        reason = f" ({error})" if str(error) else ""
        raise BadParameter(
            f"row {number + 1}, column {parameter.name}: the parameter expects {expectation(parameter.type)}, "
            f"and was given {shown}{reason}",
            where=str(path),
        ) from None


def _from_cell(type_: ParameterType, text: str) -> Any:
    """An empty cell is None where the type allows it, and else a text: the empty one."""
    if text == "" and _takes_none(type_):
        return None
    return from_text(type_, text)


def _takes_none(type_: ParameterType) -> bool:
    return type_.kind == "none" or any(_takes_none(member) for member in type_.arguments if type_.kind == "union")


def _from_scalar(type_: ParameterType, value: Any) -> Any:
    if isinstance(value, float) and math.isnan(value) and _takes_none(type_):
        value = None
    return from_value(type_, value)


# -- an item a group --------------------------------------------------------------------------------------------------


def _groups(path: Path, parameters: Sequence[Parameter], wanted: Wanted) -> Items:
    known = {parameter.name: parameter for parameter in parameters if parameter.name in wanted.by}
    frame = _frame(path, known)
    for column in wanted.by:
        if column not in frame.columns:
            near = difflib.get_close_matches(column, list(frame.columns), n=1)
            raise UsageError(
                f"there is no column {column} to group by",
                where=str(path),
                fix=f"did you mean {near[0]}?" if near else f"there are {', '.join(map(str, frame.columns))}",
            )
    if wanted.only:
        frame = frame.iloc[_matching(path, frame, wanted.only)].reset_index(drop=True)
    _refuse_empty_keys(path, frame, wanted.by)
    groups = list(_positions(frame, wanted.by))
    keys = list(zip(*(frame[column].iloc[[rows[0] for rows in groups]].tolist() for column in wanted.by), strict=True))
    items = [
        _group_item(path, number, dict(zip(wanted.by, key, strict=True)), rows, known)
        for number, (key, rows) in enumerate(zip(keys, groups, strict=True))
    ]
    large = [item for item in items if len(item.rows) >= wanted.min_rows]
    return Items(tuple(large[: wanted.limit]), frame, len(items) - len(large))


def _frame(path: Path, known: Mapping[str, Parameter]) -> Any:
    import pandas

    if path.suffix == ".parquet":
        return _parquet(path).to_pandas()
    _refuse_twice(path, _header(path))
    texts = {name: str for name, parameter in known.items() if parameter.type.kind == "str"}
    try:
        return pandas.read_csv(path, dtype=texts, low_memory=False)
    except (ValueError, UnicodeDecodeError) as error:
        raise StoreError(f"it is no CSV that can be read: {error}", where=str(path)) from error


def _header(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return next(csv.reader(file), [])
    except (csv.Error, UnicodeDecodeError) as error:
        raise StoreError(f"it is no CSV in UTF-8: {error}", where=str(path)) from error


def _refuse_empty_keys(path: Path, frame: Any, by: Sequence[str]) -> None:
    for column in by:
        empty = frame[column].isna().to_numpy()
        if empty.any():
            raise UsageError(
                f"row {int(empty.argmax()) + 1}, column {column}: the key is empty, so the row belongs to no group",
                where=str(path),
                fix=f"--only '{column}.notna()' leaves such rows out",
            )


def _positions(frame: Any, by: Sequence[str]) -> Iterator[tuple[int, ...]]:
    """The positions of each group's rows, groups in the order in which they come first."""
    import numpy

    if not len(frame):
        return
    number = frame.groupby(list(by), sort=False, observed=True).ngroup().to_numpy()
    order = numpy.argsort(number, kind="stable")
    for rows in numpy.split(order, numpy.flatnonzero(numpy.diff(number[order])) + 1):
        yield tuple(rows.tolist())


def _group_item(
    path: Path, number: int, key: Mapping[str, Any], rows: tuple[int, ...], known: Mapping[str, Parameter]
) -> Item:
    plain = {column: _plain_key(path, rows[0], column, value) for column, value in key.items()}
    given = {name: _converted(path, parameter, rows[0], plain[name], _from_scalar) for name, parameter in known.items()}
    return Item(number, plain, given, rows)


def _plain_key(path: Path, row: int, column: str, value: Any) -> Any:
    if hasattr(value, "to_pydatetime"):
        value = value.to_pydatetime()
    if not isinstance(value, KEYS):
        raise UsageError(
            f"row {row + 1}, column {column}: a {type(value).__name__} cannot identify an item",
            where=str(path),
            fix="group by columns of texts, numbers, booleans or dates",
        )
    return value


def _matching(path: Path, frame: Any, expression: str) -> list[int]:
    """The positions of the rows for which the expression of `--only` is true."""
    try:
        matches = frame.eval(expression, engine="python")
    except Exception as error:
        raise UsageError(
            f"`{expression}` cannot be said of the table: {type(error).__name__}: {error}",
            where=str(path),
            fix="an expression over columns, as pandas' query takes it: --only 'month == 1 and dest == \"LAX\"'",
        ) from error
    if (
        getattr(matches, "dtype", None) is None
        or str(matches.dtype) not in ("bool", "boolean")
        or len(matches) != len(frame)
    ):
        raise UsageError(f"`{expression}` is neither true nor false for each row", where=str(path))
    return [position for position, true in enumerate(matches.fillna(False).tolist()) if true]
