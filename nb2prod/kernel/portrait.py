"""A value's portrait: all that it consists of in plain parts, made where the value lives, compared somewhere else.

Nothing of the notebook has to be imported to look at a portrait, and what the value's class says of its own pickling is
not asked where the class is the notebook's (a `__reduce__` that drops a part would drop it on both sides, and nobody
would see the difference). What cannot be written down (a generator, a lock, an open file) is a `Blank` with the reason.

    {"a": [1, 2.5]}   ->   Pairs("dict", ["a"], [Items("list", [1, 2.5])])
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ATOMS = (type(None), bool, int, float, complex, str, bytes)


@dataclass(slots=True, eq=False)
class Items:
    """A list, a tuple, a deque: things in their order."""

    kind: str
    items: list[Any] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Pairs:
    """A dictionary, in its order."""

    kind: str
    keys: list[Any] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Members:
    """A set: no order."""

    kind: str
    items: list[Any] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Thing:
    """Any other object: its class, and its parts by how one reaches them from it (`.coef_`, `[0]`)."""

    kind: str
    parts: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Said:
    """What a few words say in full: a class or module by its name, a date by its text."""

    kind: str
    text: str


@dataclass(slots=True, eq=False)
class Array:
    """Numbers in a buffer; `dtype` as numpy describes it."""

    kind: str
    dtype: Any
    shape: tuple[int, ...]
    content: Any


@dataclass(slots=True, eq=False)
class Column:
    """A pandas array. `missing` marks where a nullable one has no value, `categories` what codes stand for."""

    dtype: str
    values: Any
    missing: Any = None
    categories: Any = None


@dataclass(slots=True, eq=False)
class Table:
    """A frame or a series: labels of the rows, labels of the columns, the columns."""

    kind: str
    index: Any
    labels: list[Any]
    columns: list[Column]
    more: Any = None


@dataclass(slots=True, eq=False)
class Blank:
    """What cannot be compared: `reason` completes "it is …"."""

    reason: str


KINDS: Mapping[str, type] = {
    kind.__name__: kind for kind in (Items, Pairs, Members, Thing, Said, Array, Column, Table, Blank)
}


def kind_of(value: Any) -> str:
    """The name of a value's class, with its module unless that is Python's or the notebook's."""
    return name_of(type(value))


def name_of(kind: Any) -> str:
    module = getattr(kind, "__module__", "") or ""
    name = getattr(kind, "__qualname__", str(kind))
    return str(name) if module in ("builtins", "__main__", "") else f"{module}.{name}"
