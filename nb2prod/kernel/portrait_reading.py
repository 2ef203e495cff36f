"""Portraits read back: the numbers of an array, the rows of a table, and a key by which equal portraits are found."""

from __future__ import annotations

from typing import Any

import numpy as np

from nb2prod.kernel.portrait import ATOMS, Array, Items, Members, Pairs, Said, Table, Thing


def numbers_of(portrait: Array) -> Any:
    """The numbers as numpy has them."""
    return np.frombuffer(bytes_of(portrait), dtype=np.dtype(_description(portrait.dtype))).reshape(portrait.shape)


def bytes_of(portrait: Array) -> Any:
    content = portrait.content
    return content.raw() if hasattr(content, "raw") else content


def _description(dtype: Any) -> Any:
    """Descriptions of fields are tuples; JSON and lists do not matter, but numpy insists."""
    return [tuple(part) for part in dtype] if isinstance(dtype, list) else dtype


def dtype_of(portrait: Array) -> str:
    return str(np.dtype(_description(portrait.dtype)))


def rows_of(table: Table) -> int:
    column = table.columns[0].values if table.columns else None
    if isinstance(column, Array):
        return int(column.shape[0]) if column.shape else 0
    if isinstance(column, Items):
        return len(column.items)
    return rows_of(table.index) if isinstance(table.index, Table) else 0


def key_of(portrait: Any) -> Any:
    """Something that equals for equal portraits, and can be looked up."""
    if type(portrait) in ATOMS:
        return ("NaN",) if portrait != portrait else (type(portrait).__name__, portrait)
    if isinstance(portrait, Said):
        return portrait.kind, portrait.text
    if isinstance(portrait, Array):
        return portrait.kind, dtype_of(portrait), portrait.shape, bytes(bytes_of(portrait))
    if isinstance(portrait, Items):
        return (portrait.kind, *map(key_of, portrait.items))
    if isinstance(portrait, Members):
        return portrait.kind, frozenset(map(key_of, portrait.items))
    if isinstance(portrait, Thing):
        return (portrait.kind, *((name, key_of(part)) for name, part in portrait.parts.items()))
    if isinstance(portrait, Pairs):
        return (portrait.kind, *zip(map(key_of, portrait.keys), map(key_of, portrait.values), strict=True))
    return (type(portrait).__name__, getattr(portrait, "reason", ""))
