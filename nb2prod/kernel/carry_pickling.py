"""The picklers with which values of a notebook travel: what would not arrive as it left is refused, not written.

They see every object, also those that pickle writes without asking anybody (a set, a float): NaN keeps its identity,
because a list finds it by that; a function of the notebook lists the globals that it reads.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import importlib
import io
import marshal
import pickle
import re
import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nb2prod.kernel import carry_arrays
from nb2prod.kernel.carry_functions import (
    HERE,
    cached,
    closed_file,
    home_of,
    names_read,
    of_file,
    reduced_cell,
    reduced_function,
    singleton_name,
    the_singleton,
)
from nb2prod.kernel.carry_limits import is_closed_file, obstacle

ATOMS = (str, bytes, int, float, complex, bool, type(None), type(...), type(NotImplemented), range)
CONSTANT = frozenset((*ATOMS, tuple, frozenset, slice, types.CodeType))  # what a tuple holds is looked at by itself


def _placeless(code: types.CodeType) -> types.CodeType:
    constants = tuple(_placeless(one) if isinstance(one, types.CodeType) else one for one in code.co_consts)
    return code.replace(co_filename="", co_firstlineno=1, co_linetable=b"", co_consts=constants)


@dataclass(slots=True)
class Parts:
    """What a value consists of: the identities of all that can change, and of the buffers of its arrays."""

    changeable: set[int] = field(default_factory=set)
    roots: dict[int, int] = field(default_factory=dict)  # buffer -> how many arrays look into it
    alive: list[Any] = field(default_factory=list)  # so that no identity is given out twice meanwhile


class InTheWay(Exception):
    """A part of a value that would not arrive as it left."""

    def __init__(self, value: Any, reason: str) -> None:
        super().__init__(reason)
        self.value = value
        self.reason = reason


class Hash(io.RawIOBase):
    """A file of which only the digest is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.hash = hashlib.sha256()

    def write(self, content: Any) -> int:
        self.hash.update(content)
        return len(content)


class _Pickler:
    """Refuses what would not arrive as it left, and gives functions the namespace where they arrive."""

    def __init__(self, file: Any, namespace: Mapping[str, Any], arrays: Callable[[Any], Any]) -> None:
        super().__init__(file, protocol=5)  # type: ignore[call-arg]  # that of cloudpickle
        self.namespace = namespace
        self.arrays = arrays
        self.needs: set[str] = set()
        self.nans: dict[int, tuple[str, float]] = {}
        self.codes = False  # whether there is code of the notebook's in it
        self.placeless = False
        self.lasting = True

    def persistent_id(self, value: Any) -> str | None:
        """Called for every object, also those that pickle writes without asking anybody (a set, a float)."""
        if type(value) in (set, frozenset):
            if reason := obstacle(value):
                raise InTheWay(value, reason)
            self.lasting = self.lasting and all(map(_hashes_by_content, value))
        if type(value) is float and value != value:
            return _name_of_nan(value) or self.nans.setdefault(id(value), (str(len(self.nans)), value))[0]
        return None

    def reducer_override(self, value: Any) -> Any:
        reason = obstacle(value)
        if reason:
            raise InTheWay(value, reason)
        if isinstance(value, types.FunctionType) and (home := home_of(value, self.namespace)) is not None:
            if home == HERE:
                self.needs |= names_read(value.__code__)
            return reduced_function(value, home)
        if isinstance(value, types.CellType):
            return reduced_cell(value)
        if isinstance(value, types.CodeType):
            self.codes = True
            # what a newer format writes hangs on who else refers to a text
            return marshal.loads, (marshal.dumps(_placeless(value), 2) if self.placeless else marshal.dumps(value),)
        if isinstance(value, functools._lru_cache_wrapper) and value.__wrapped__.__globals__ is self.namespace:
            return cached, (value.__wrapped__, value.cache_parameters())
        if isinstance(value, io.IOBase) and is_closed_file(value):
            return closed_file, of_file(value)
        if name := singleton_name(value):
            return the_singleton, (name,)
        reduced = self.arrays(value) or carry_arrays.own_dtype(value)
        if reduced is None:
            reduced = super().reducer_override(value)  # type: ignore[misc]  # that of cloudpickle
        self.codes = self.codes or (isinstance(value, type) and value.__module__ == "__main__")
        return _without_number(reduced) if self.placeless and isinstance(value, type) else reduced


class _Looker(_Pickler):
    """Notes what a value consists of, and writes nothing."""

    def __init__(self, parts: Parts, namespace: Mapping[str, Any]) -> None:
        super().__init__(_Nowhere(), namespace, functools.partial(carry_arrays.counted, parts.roots, parts.alive))
        self.found = parts

    def persistent_id(self, value: Any) -> str | None:
        name: str | None = super().persistent_id(value)
        if (name is None and not is_constant(value, self.namespace)) or (name or "").isdecimal():
            self.found.changeable.add(id(value))
            self.found.alive.append(value)
        return name


class Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.nans: dict[str, float] = {}

    def persistent_load(self, name: str) -> float:
        if name.isdecimal():
            return self.nans.setdefault(name, float("nan"))
        nan: float = importlib.import_module(name).nan
        return nan


def _name_of_nan(value: float) -> str:
    """NaN equals nothing, so that a list finds it by its identity: that of a library's own; empty for any other."""
    own = (name for name in ("math", "numpy") if value is getattr(sys.modules.get(name), "nan", None))
    return next(own, "")


def _without_number(reduced: Any) -> Any:
    """How a class is made again, without the number that cloudpickle draws for it in each process."""
    if not isinstance(reduced, tuple) or len(reduced) < 2:
        return reduced
    made = tuple("" if isinstance(one, str) and re.fullmatch("[0-9a-f]{32}", one) else one for one in reduced[1])
    return (reduced[0], made, *reduced[2:])


def _hashes_by_content(item: Any) -> bool:
    """Whether an item's hash is the same in every process with one hash seed, and not where it lies in memory."""
    if isinstance(item, tuple | frozenset):
        return all(map(_hashes_by_content, item))
    if item is None:
        return sys.version_info >= (3, 12)
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(item, numpy.generic):
        return True
    return type(item).__module__ in ("builtins", "datetime", "decimal", "fractions", "uuid", "pathlib") or isinstance(
        item, enum.Enum
    )


class _Nowhere(io.RawIOBase):
    def write(self, content: Any) -> int:
        return len(content)


def is_constant(value: Any, namespace: Mapping[str, Any]) -> bool:
    """Whether sharing the object cannot be noticed: it never changes, or every process has its own already."""
    if type(value) in CONSTANT or isinstance(value, types.ModuleType | types.BuiltinFunctionType | enum.Enum):
        return True
    if isinstance(value, types.FunctionType):
        return home_of(value, namespace) is None
    if isinstance(value, type):
        return value.__module__ != "__main__"
    return _is_library_constant(value)


def _is_library_constant(value: Any) -> bool:
    kind = type(value)
    if kind.__module__ in ("datetime", "decimal", "fractions", "uuid", "re", "pathlib", "zoneinfo"):
        return kind.__name__ != "Context"
    numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
    if numpy is not None and isinstance(value, numpy.dtype | numpy.generic | numpy.ufunc):
        return True
    return pandas is not None and isinstance(
        value, pandas.api.extensions.ExtensionDtype | pandas.Timestamp | pandas.Timedelta | type(pandas.NA)
    )


def pickler_of(file: Any, namespace: Mapping[str, Any], arrays: Callable[[Any], Any]) -> Any:
    """Writes values of the notebook; `arrays` says how an array is written, or None for the usual way."""
    return _with_cloudpickle(_Pickler)(file, namespace, arrays)


def looker_of(parts: Parts, namespace: Mapping[str, Any]) -> Any:
    """Writes nothing, and notes in `parts` what a value consists of."""
    return _with_cloudpickle(_Looker)(parts, namespace)


@functools.cache
def _with_cloudpickle(kind: type) -> type:
    """Every kernel has this module, and few need cloudpickle: it is loaded when the first value travels."""
    import cloudpickle

    return type(kind.__name__, (kind, cloudpickle.Pickler), {})
