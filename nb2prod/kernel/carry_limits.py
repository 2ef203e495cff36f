"""What cannot leave its process as it is, although pickle would write something.

pickle refuses locks, connections and generators by itself. Worse is what it writes without a word and reads back as
another thing: a view of a dictionary as a copy, a file as its content, a set in another order. Each row of OBSTACLES is
(what the value is, a test for it).
"""

from __future__ import annotations

import enum
import functools
import io
import mmap
import sys
import tempfile
import types
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

_TABLES: tuple[dict[str, str], ...] = ({}, OrderedDict())
VIEWS = tuple(type(view) for table in _TABLES for view in (table.keys(), table.values(), table.items()))
ITERATORS = tuple(type(iter(view)) for table in _TABLES for view in (table.keys(), table.values(), table.items()))


def _is_view(value: Any) -> bool:
    # dataclasses give every field an empty mapping that nobody can fill
    return isinstance(value, VIEWS) or (isinstance(value, types.MappingProxyType) and bool(value))


def _is_open_file(value: Any) -> bool:
    if not isinstance(value, io.IOBase) or type(value) in (io.BytesIO, io.StringIO) or _is_own_stream(value):
        return False
    return not is_closed_file(value)


def is_closed_file(value: Any) -> bool:
    """A file of a path that is closed: nothing is left of it but its name and how it was opened."""
    kinds = (io.TextIOWrapper, io.BufferedReader, io.BufferedWriter, io.BufferedRandom, io.FileIO)
    if type(value) not in kinds or not value.closed:
        return False
    if type(value) is io.TextIOWrapper and type(value.buffer) not in kinds:
        return False
    return isinstance(getattr(value, "name", None), str) and not vars(value).keys() - {"mode", "name"}


def _is_own_stream(value: Any) -> bool:
    return value is sys.stdout or value is sys.stderr


def _is_file_backed(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return isinstance(value, mmap.mmap) or (numpy is not None and isinstance(value, numpy.memmap))


def _has_remembered(value: Any) -> bool:
    return (
        isinstance(value, functools._lru_cache_wrapper)
        and getattr(value.__wrapped__, "__module__", "") == "__main__"
        and value.cache_info()[:2] != (0, 0)
    )


def _is_reordered(value: Any) -> bool:
    """Whether a set would be another one after the way: its order is part of what a notebook shows."""
    if type(value) not in (set, frozenset):
        return False
    if not all(_hashes_alike(item) for item in value):
        return True
    rebuilt: set[Any] = set()
    for item in value:
        rebuilt.add(item)
    again = frozenset(list(value)) if type(value) is frozenset else rebuilt
    return list(again) != list(value)


def _hashes_alike(item: Any) -> bool:
    """Whether an item's hash, and with it its place in a set, is the same in every process of the run."""
    if isinstance(item, tuple | frozenset):
        return all(_hashes_alike(inner) for inner in item)
    if isinstance(item, str | bytes | int | float | complex | bool | types.NoneType):
        return item is not None or sys.version_info >= (3, 12)
    own: Any = type(item).__hash__
    return own is not object.__hash__ and not isinstance(item, type | types.FunctionType)


OWN_WAY = ("__getstate__", "__setstate__", "__reduce__", "__reduce_ex__", "__getnewargs__", "__getnewargs_ex__")
FILLING = ("__setitem__", "append", "extend", "update", "add", "__init__")


def _of_notebook(kind: type) -> list[type]:
    """The notebook's own classes among those that a class is made of."""
    return [base for base in kind.__mro__ if base.__module__ == "__main__"]


def _is_plain_class(kind: type) -> bool:
    """Enumerations and named tuples have special methods that nobody wrote, and arrive as they left."""
    return issubclass(kind, enum.Enum) or (issubclass(kind, tuple) and hasattr(kind, "_fields"))


def _defines(value: Any, names: tuple[str, ...]) -> bool:
    kind = type(value)
    own = [] if kind.__module__ == "builtins" or _is_plain_class(kind) else _of_notebook(kind)
    return any(name in vars(base) for base in own for name in names)


def _is_filled_its_own_way(value: Any) -> bool:
    return isinstance(value, dict | list | set | deque | bytearray) and _defines(value, FILLING)


def _is_special_class(value: Any) -> bool:
    """A class that making it again would not give back: its metaclass or its base does something, or it has slots."""
    if not isinstance(value, type) or value.__module__ != "__main__" or _is_plain_class(value):
        return False
    bases = _of_notebook(value)
    hooks = any("__init_subclass__" in vars(base) for base in bases[1:])
    return hooks or type(value).__module__ == "__main__" or "__slots__" in vars(value)


OBSTACLES: tuple[tuple[str, Callable[[Any], bool]], ...] = (
    ("an open file", _is_open_file),
    ("a generator", lambda value: isinstance(value, types.GeneratorType | types.AsyncGeneratorType)),
    ("a coroutine", lambda value: isinstance(value, types.CoroutineType)),
    ("a view of a dictionary", _is_view),
    ("an iterator over a dictionary", lambda value: isinstance(value, ITERATORS)),
    ("a view of another object's memory", lambda value: isinstance(value, memoryview)),
    ("a set of weak references", lambda value: isinstance(value, weakref.WeakSet)),
    ("a temporary folder", lambda value: isinstance(value, tempfile.TemporaryDirectory | weakref.finalize)),
    ("an array in a file", _is_file_backed),
    ("a function that has remembered results", _has_remembered),
    ("a set whose order would change", _is_reordered),
    ("an exception with its traceback", lambda value: isinstance(value, BaseException) and bool(value.__traceback__)),
    ("an object that says itself how it is pickled", lambda value: _defines(value, OWN_WAY)),
    ("an object that does something when it ends", lambda value: _defines(value, ("__del__",))),
    ("a container that is filled in its own way", _is_filled_its_own_way),
    ("a class with slots, a metaclass or a watching base", _is_special_class),
)


def obstacle(value: Any) -> str:
    """What the value is, when it must stay in its process; empty for any other."""
    return next((what for what, holds in OBSTACLES if holds(value)), "")
