"""What a model answered, row by row as flat tuples of plain values, however it is wrapped.

    array([0.25, 0.5])                   (0.25,), (0.5,)
    array([[0.2, 0.8], [0.5, 0.5]])      (0.2, 0.8), (0.5, 0.5)
    a frame of two columns               (column, column) for each row
    {"predictions": [...]} of a service  its list, of scalars, lists or records

A number of 32 bits becomes the float of 64 bits that is the same number, a date its ISO text, NaT and NA become None.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from typing import Any

from nb2prod.core.outcome import Outcome


class NoRows(Exception):
    """The answer has not one item for each row."""


def rows_of_answer(answer: Any, count: int) -> list[tuple[Any, ...]]:
    """Raises NoRows unless there are `count` rows."""
    if hasattr(answer, "columns") and hasattr(answer, "iloc"):
        columns = [answer.iloc[:, place].tolist() for place in range(answer.shape[1])]
        items: list[Any] = list(zip(*columns, strict=True)) if columns else []
    elif hasattr(answer, "tolist") and bool(getattr(answer, "ndim", True)):
        items = answer.tolist()
    elif isinstance(answer, list | tuple):
        items = list(answer)
    else:
        raise NoRows(f"the answer is a {type(answer).__name__}, which has no rows")
    if len(items) != count:
        raise NoRows(f"{len(items)} answers for {count} rows")
    return [tuple(_flat(item)) for item in items]


def asked(predict: Callable[[Any], Any], rows: Any, count: int) -> list[Outcome]:
    """What became of each of the rows when they are asked about at once: answers, or the error for all of them."""
    try:
        return [Outcome("answer", values) for values in rows_of_answer(predict(rows), count)]
    except Exception as error:  # noqa: BLE001 - whatever a model raises is what it says of the rows
        return [outcome_of(error)] * count


def asked_apart(ask: Callable[[int, int], list[Outcome]], start: int, stop: int) -> Iterator[Outcome]:
    """The rows from `start` to `stop` asked about together; where that fails, each half by itself, down to one row.

    So one row that raises spoils no other, and rows that raise cost little where they stand together. Paths on which
    the same rows fail ask about the same groups, in which even the last bit of a sum is the same.
    """
    if start == stop:
        return
    found = ask(start, stop)
    if stop - start == 1 or all(one.kind == "answer" for one in found):
        yield from found
        return
    middle = (start + stop) // 2
    yield from asked_apart(ask, start, middle)
    yield from asked_apart(ask, middle, stop)


def outcome_of(error: Exception) -> Outcome:
    """An error of a model; what MLflow's check of the signature does not take is refused, and a key without a model."""
    if getattr(error, "unknown_rows", None) is not None:
        return Outcome("refused", reason="there is no model for this key")
    if getattr(error, "error_class", None) == "SCHEMA_ENFORCEMENT_FAILED":
        return Outcome("refused", reason="MLflow: it does not fit the signature")
    if type(error).__module__.startswith("mlflow.") and "schema" in str(error).lower():
        return Outcome("refused", reason="MLflow: it does not fit the signature")
    return Outcome("raises", reason=type(error).__name__)


def part(table: Any, start: int, stop: int) -> Any:
    """Rows of a table, as one of its own: a model may change what it is given."""
    return table.iloc[start:stop].copy() if hasattr(table, "iloc") else table[start:stop].copy()


def _flat(item: Any) -> Iterator[Any]:
    if isinstance(item, dict):
        item = list(item.values())
    if isinstance(item, list | tuple):
        for part in item:
            yield from _flat(part)
    else:
        yield _plain(item)


def _plain(value: Any) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value).__name__ in ("NaTType", "NAType"):
        return None
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    item = getattr(value, "item", None)
    plain = item() if callable(item) else value
    return plain if type(plain) in (bool, int, float, str) else str(plain)
