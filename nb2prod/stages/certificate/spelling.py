"""Rows of the probe set as a client spells them, exactly: every float keeps its last bit.

What JSON has no word for is not guessed: a row with an infinite number is spelled `None`, no row. A missing value is
`null`; whether the service takes it is for the service to say.
"""

from __future__ import annotations

import json
import math
from typing import Any


class CannotSpell(Exception):
    """JSON has no word for this value."""


def rows_of(table: Any) -> list[Any]:
    """One JSON value a row: an object of a frame, a list of an array; None where JSON cannot say the row."""
    if hasattr(table, "columns"):
        names = list(table.columns)
        columns = [_column(table.iloc[:, place]) for place in range(len(names))]
        rows = zip(*columns, strict=True)
        by_position = any(not isinstance(name, str) for name in names)
        return [_spelled(list(row) if by_position else dict(zip(names, row, strict=True))) for row in rows]
    return [_spelled(row) for row in table.tolist()]


def _column(column: Any) -> list[Any]:
    missing = column.isna().tolist()
    return [None if gone else value for gone, value in zip(missing, column.tolist(), strict=True)]


def _spelled(row: Any) -> Any:
    try:
        return _plain(row)
    except CannotSpell:
        return None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        if math.isnan(value):
            return None
        raise CannotSpell
    if value is None or type(value) in (bool, int, float, str):
        return value
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, bytes):
        import base64

        return base64.b64encode(value).decode("ascii")
    return str(value)


def encoded(body: Any) -> bytes:
    return json.dumps(body, allow_nan=False).encode()
