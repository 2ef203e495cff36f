"""Values on their way from one process of a run to the next, with everything that they share.

    parcels, kept = pack(namespace, names)      at the end of a step
    namespace |= unpack(parcel, namespace)      at the beginning of the next

Names that share an object which can change (`m1 = m2 = []`, `data = [df]`, two views of one array) travel in one
parcel, so that what is one object stays one object. Functions and classes of the notebook travel with their values:
a function's code is bound to the namespace where it arrives, so that it sees a global that is bound again later, just
as in the notebook; `Parcel.needs` lists the globals that it reads.

What cannot leave its process unharmed (a generator, an open file, a lock, a set whose order would change) is `Kept`:
the reason, and the path of the object inside the value.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import gc
import hashlib
import importlib
import io
import marshal
import os
import pickle
import re
import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nb2prod.kernel import carry_arrays
from nb2prod.kernel.carry_limits import is_closed_file, obstacle
from nb2prod.kernel.pickling import path_to

ATOMS = (str, bytes, int, float, complex, bool, type(None), type(...), type(NotImplemented), range)
CONSTANT = frozenset((*ATOMS, tuple, frozenset, slice, types.CodeType))  # what a tuple holds is looked at by itself


@dataclass(frozen=True, slots=True)
class Parcel:
    """`content` is the pickle of `{name: value}`; `needs` are names of the notebook that its functions read.

    `identity` is the digest of the values without where in the notebook their functions stand, empty when there are
    none. `lasting` is False when
    a process of another run could not read it as it is meant: a set whose order hangs on where objects lie in memory.
    """

    names: tuple[str, ...]
    content: bytes
    needs: frozenset[str] = frozenset()
    identity: str = ""
    lasting: bool = True

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True)
class Kept:
    """A value that stays in its process: `path` leads from the name to what is in the way.

    `names` are all that share something with it, so that they stay too.
    """

    name: str
    path: str
    reason: str
    names: tuple[str, ...] = ()


def pack(
    namespace: Mapping[str, Any], names: Iterable[str], fresh: Iterable[str] | None = None
) -> tuple[list[Parcel], list[Kept]]:
    """The values of `names` (those that are bound) in parcels, and what cannot be packed.

    With `fresh`, only those parcels that hold one of these names: the others rest as they are.
    """
    chosen = None if fresh is None else set(fresh)
    looks = [_look(namespace, name) for name in names if name in namespace]
    parcels: list[Parcel] = []
    kept: list[Kept] = []
    for group in _tied(looks):
        together = tuple(look.name for look in group)
        obstacle = next((look.kept for look in group if look.kept is not None), None)
        if obstacle is None and chosen is not None and chosen.isdisjoint(together):
            continue
        packed = obstacle or _packed(namespace, group)
        if isinstance(packed, Parcel):
            parcels.append(packed)
        else:
            kept.append(dataclasses.replace(packed, names=together))
    for look in looks:
        look.alive.clear()  # what the notebook deletes must end then, and not when we are done with it
    return parcels, kept


def unpack(content: bytes, namespace: MutableMapping[str, Any]) -> dict[str, Any]:
    """The values of a parcel. Functions of the notebook read and write `namespace` from now on."""
    with _arriving(namespace):
        found: dict[str, Any] = _Unpickler(io.BytesIO(content)).load()
    return found


def fingerprint(namespace: Mapping[str, Any], names: Iterable[str]) -> str:
    """A digest of the values as they are now, with what they share: equal before and after means nothing changed.

    Only meant for comparing within one process. Empty when there is none: then nobody can tell.
    """
    sink = _Hash()
    pickler = _Pickler(sink, namespace, carry_arrays.by_digest)
    try:
        pickler.dump({name: namespace[name] for name in names})
    except Exception:  # noqa: BLE001 - a value without a fingerprint is taken for changed
        return ""
    finally:
        pickler.clear_memo()
    return sink.hash.hexdigest()


class Before:
    """Values of one parcel as they were, to tell later which of them are not what they were.

    `values` must hold all of its names as they are bound in `namespace` now.
    """

    def __init__(self, namespace: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        self._values = values
        self.names = tuple(values)
        self._together = fingerprint(namespace, self.names)
        several = len(self.names) > 1
        self._each = {name: fingerprint(namespace, [name]) for name in self.names} if several else {}
        self._parts = _parts(namespace, self.names) if several else {}

    def changed(self, namespace: Mapping[str, Any]) -> set[str]:
        """Names that are bound to something else, that hold something else, or that share something else."""
        there = [name for name in self.names if namespace.get(name, self) is self._values[name]]
        if len(there) == len(self.names) and self._together and fingerprint(namespace, there) == self._together:
            return set()
        kept = [name for name in there if (old := self._each.get(name)) and old == fingerprint(namespace, [name])]
        now = _parts(namespace, kept)
        # the names that something else is shared between now are not what they were, though each looks the same
        return set(self.names) - set(kept) if _shared(self._parts, kept) == _shared(now, kept) else set(self.names)


def _parts(namespace: Mapping[str, Any], names: Iterable[str]) -> dict[str, set[int]]:
    looks = [_look(namespace, name) for name in names]
    for look in looks:
        look.alive.clear()
    return {look.name: look.parts | look.roots.keys() for look in looks}


def _shared(parts: Mapping[str, set[int]], names: Iterable[str]) -> dict[int, list[str]]:
    """What more than one of the names consists of, and of which of them."""
    found: dict[int, list[str]] = {}
    for name in names:
        for part in parts[name]:
            found.setdefault(part, []).append(name)
    return {part: having for part, having in found.items() if len(having) > 1}


# -- what shares what ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Look:
    """What one name's value consists of: the identities of all that can change, and of the buffers of its arrays."""

    name: str
    parts: set[int] = field(default_factory=set)
    roots: dict[int, int] = field(default_factory=dict)  # buffer -> how many arrays look into it
    behind: set[int] = field(default_factory=set)
    alive: list[Any] = field(default_factory=list)  # so that no identity is given out twice meanwhile
    kept: Kept | None = None


def _look(namespace: Mapping[str, Any], name: str) -> _Look:
    look = _Look(name)
    looker = _Looker(look, namespace)
    try:
        looker.dump(namespace[name])
    except _InTheWay as found:
        look.kept = _kept(namespace, name, found)
    except Exception as error:  # noqa: BLE001 - whatever an object's own pickling raises, it stays where it is
        look.kept = _unpicklable(name, error)
    finally:
        looker.clear_memo()
    if look.kept is not None:
        _look_behind(look, namespace)
    return look


def _look_behind(look: _Look, namespace: Mapping[str, Any]) -> None:
    """What pickle does not show (the frame of a generator, say), the garbage collector does."""
    waiting = [namespace[look.name]]
    while waiting:
        value = waiting.pop()
        if id(value) in look.behind or value is namespace or _is_constant(value, namespace):
            continue
        if isinstance(value, types.FrameType) or (isinstance(value, dict) and "__builtins__" in value):
            continue  # what runs now, or the globals of a module: they lead everywhere
        look.behind.add(id(value))
        look.alive.append(value)
        if not isinstance(value, types.ModuleType | type) or getattr(value, "__module__", "") == "__main__":
            waiting += gc.get_referents(value)
        if isinstance(value, tuple):
            waiting += value
        if isinstance(value, weakref.ref):
            waiting.append(value())
    look.parts |= look.behind


def _unpicklable(name: str, error: Exception) -> Kept:
    return Kept(name, name, f"it cannot be pickled ({type(error).__name__}: {error})")


def _kept(namespace: Mapping[str, Any], name: str, found: _InTheWay) -> Kept:
    return Kept(name, path_to(namespace[name], found.value, name), found.reason)


def _tied(looks: list[_Look]) -> list[list[_Look]]:
    """Names in groups that share nothing with each other, each in the order given."""
    leader = list(range(len(looks)))

    def lead(position: int) -> int:
        while leader[position] != position:
            position = leader[position]
        return position

    first: dict[int, int] = {}
    for position, look in enumerate(looks):
        for part in (*look.parts, *look.roots):
            leader[lead(position)] = lead(first.setdefault(part, position))
    groups: dict[int, list[_Look]] = {}
    for position, look in enumerate(looks):
        groups.setdefault(lead(position), []).append(look)
    return list(groups.values())


def _packed(namespace: Mapping[str, Any], group: list[_Look]) -> Parcel | Kept:
    roots: dict[int, int] = {}
    for look in group:
        for root, count in look.roots.items():
            roots[root] = roots.get(root, 0) + count
    shared = {root for root, count in roots.items() if count > 1}
    file = io.BytesIO()
    pickler = _Pickler(file, namespace, carry_arrays.with_views(shared))
    names = tuple(look.name for look in group)
    try:
        pickler.dump({name: namespace[name] for name in names})
    except _InTheWay as found:
        return _kept(namespace, names[0], found)
    except Exception as error:  # noqa: BLE001 - whatever an object's own pickling raises, it stays where it is
        return _unpicklable(names[0], error)
    finally:
        pickler.clear_memo()
    content = file.getvalue()
    identity = _identity(namespace, names, shared) if pickler.codes else ""
    return Parcel(names, content, frozenset(pickler.needs), identity, pickler.lasting)


def _identity(namespace: Mapping[str, Any], names: tuple[str, ...], shared: set[int]) -> str:
    """The digest of what was just packed, with the code of its functions as if it stood nowhere."""
    sink = _Hash()
    pickler = _Pickler(sink, namespace, carry_arrays.with_views(shared))
    pickler.placeless = True
    try:
        pickler.dump({name: namespace[name] for name in names})
    finally:
        pickler.clear_memo()
    return sink.hash.hexdigest()


def _placeless(code: types.CodeType) -> types.CodeType:
    constants = tuple(_placeless(one) if isinstance(one, types.CodeType) else one for one in code.co_consts)
    return code.replace(co_filename="", co_firstlineno=1, co_linetable=b"", co_consts=constants)


# -- pickling --------------------------------------------------------------------------------------------------------


class _InTheWay(Exception):
    def __init__(self, value: Any, reason: str) -> None:
        super().__init__(reason)
        self.value = value
        self.reason = reason


class _Hash(io.RawIOBase):
    def __init__(self) -> None:
        super().__init__()
        self.hash = hashlib.sha256()

    def write(self, content: Any) -> int:
        self.hash.update(content)
        return len(content)


def _make_picklers() -> tuple[type, type]:
    import cloudpickle

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
        """Refuses what would not arrive as it left, and gives functions the namespace where they arrive."""

        def __init__(self, file: Any, namespace: Mapping[str, Any], arrays: Callable[[Any], Any]) -> None:
            super().__init__(file, protocol=5)
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
                    raise _InTheWay(value, reason)
                self.lasting = self.lasting and all(map(_hashes_by_content, value))
            if type(value) is float and value != value:
                return _name_of_nan(value) or self.nans.setdefault(id(value), (str(len(self.nans)), value))[0]
            return None

        def reducer_override(self, value: Any) -> Any:
            reason = obstacle(value)
            if reason:
                raise _InTheWay(value, reason)
            if isinstance(value, types.FunctionType) and (home := _home(value, self.namespace)) is not None:
                if home == HERE:
                    self.needs |= names_read(value.__code__)
                return _reduced_function(value, home)
            if isinstance(value, types.CellType):
                return _reduced_cell(value)
            if isinstance(value, types.CodeType):
                self.codes = True
                # what a newer format writes hangs on who else refers to a text
                return marshal.loads, (marshal.dumps(_placeless(value), 2) if self.placeless else marshal.dumps(value),)
            if isinstance(value, functools._lru_cache_wrapper) and value.__wrapped__.__globals__ is self.namespace:
                return _cached, (value.__wrapped__, value.cache_parameters())
            if isinstance(value, io.IOBase) and is_closed_file(value):
                return _closed_file, _of_file(value)
            singleton = _singleton(value)
            if singleton:
                return _singleton_named, (singleton,)
            reduced = self.arrays(value) or carry_arrays.own_dtype(value)
            if reduced is None:
                reduced = super().reducer_override(value)
            self.codes = self.codes or (isinstance(value, type) and value.__module__ == "__main__")
            return _without_number(reduced) if self.placeless and isinstance(value, type) else reduced

    class Looker(Pickler):
        """Notes what a value consists of, and writes nothing."""

        def __init__(self, look: _Look, namespace: Mapping[str, Any]) -> None:
            super().__init__(_Nowhere(), namespace, functools.partial(carry_arrays.counted, look.roots, look.alive))
            self.look = look

        def persistent_id(self, value: Any) -> str | None:
            name: str | None = super().persistent_id(value)
            if (name is None and not _is_constant(value, self.namespace)) or (name or "").isdecimal():
                self.look.parts.add(id(value))
                self.look.alive.append(value)
            return name

    return Pickler, Looker


class _Unpickler(pickle.Unpickler):
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


def _Pickler(file: Any, namespace: Mapping[str, Any], arrays: Callable[[Any], Any]) -> Any:
    return _picklers()[0](file, namespace, arrays)


def _Looker(look: _Look, namespace: Mapping[str, Any]) -> Any:
    return _picklers()[1](look, namespace)


_picklers = functools.cache(_make_picklers)


def _is_constant(value: Any, namespace: Mapping[str, Any]) -> bool:
    """Whether sharing the object cannot be noticed: it never changes, or every process has its own already."""
    if type(value) in CONSTANT or isinstance(value, types.ModuleType | types.BuiltinFunctionType | enum.Enum):
        return True
    if isinstance(value, types.FunctionType):
        return _home(value, namespace) is None
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


# -- functions -------------------------------------------------------------------------------------------------------

HERE = "<notebook>"
_here = threading.local()


class _arriving:
    """Meanwhile functions that are unpickled belong to `namespace`."""

    def __init__(self, namespace: MutableMapping[str, Any]) -> None:
        self.namespace = namespace

    def __enter__(self) -> None:
        _here.namespace = self.namespace

    def __exit__(self, *_: Any) -> None:
        del _here.namespace


def _home(function: types.FunctionType, namespace: Mapping[str, Any]) -> str | None:
    """Where a function's globals are: in the notebook, or in a module; None when it is imported by its name."""
    if function.__globals__ is namespace:
        return HERE
    if _found(function.__module__, function.__qualname__) is function:
        return None
    module = sys.modules.get(function.__globals__.get("__name__", ""))
    return module.__name__ if module is not None and vars(module) is function.__globals__ else None


def _found(module: str | None, name: str) -> Any:
    """What importing that name from that module gives."""
    found: Any = sys.modules.get(module or "")
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _reduced_function(function: types.FunctionType, home: str) -> Any:
    state = {
        "__name__": function.__name__,
        "__qualname__": function.__qualname__,
        "__module__": function.__module__,
        "__doc__": function.__doc__,
        "__defaults__": function.__defaults__,
        "__kwdefaults__": function.__kwdefaults__,
        "__annotations__": function.__annotations__,
    }
    made = (function.__code__, home, function.__closure__)
    return _function, made, (state, dict(vars(function))), None, None, _fill_function


def _function(code: types.CodeType, home: str, closure: Any) -> types.FunctionType:
    if home != HERE:
        return types.FunctionType(code, vars(importlib.import_module(home)), None, None, closure)
    return types.FunctionType(code, _here.namespace, None, None, closure)


def _fill_function(function: types.FunctionType, parts: tuple[dict[str, Any], dict[str, Any]]) -> types.FunctionType:
    for name, value in parts[0].items():
        setattr(function, name, value)
    vars(function).update(parts[1])
    return function


def _cached(function: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    return functools.lru_cache(**parameters)(function)


def _reduced_cell(cell: types.CellType) -> Any:
    try:
        content = (cell.cell_contents,)
    except ValueError:
        return types.CellType, ()
    # filled after it is known, because a function may be in its own closure
    return types.CellType, (), content, None, None, _fill_cell


def _fill_cell(cell: types.CellType, content: tuple[Any]) -> types.CellType:
    cell.cell_contents = content[0]
    return cell


def names_read(code: types.CodeType) -> set[str]:
    """The global names that a function's code reads or writes, in inner functions too."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= names_read(constant)
    return found


# -- what each process has once --------------------------------------------------------------------------------------


def _singleton(value: Any) -> str:
    """The name of an object of which each process has its own, and that refers to the process's random stream."""
    random = sys.modules.get("random")
    if random is not None and value is vars(random).get("_inst"):
        return "random"
    mtrand = sys.modules.get("numpy.random.mtrand")
    if mtrand is not None and value is mtrand._rand:
        return "numpy.random"
    if value is sys.stdout or value is sys.stderr:
        return "stdout" if value is sys.stdout else "stderr"
    return ""


def _of_file(file: Any) -> tuple[Any, ...]:
    how = (file.encoding, file.errors) if type(file) is io.TextIOWrapper else (None, None)
    return (file.name, file.mode, type(file) is io.FileIO, *how)


def _closed_file(name: str, mode: str, raw: bool, encoding: str | None, errors: str | None) -> Any:
    """A file that is closed, and says of itself what the one did that left."""
    file: Any = Path(os.devnull).open(mode.replace("x", "w"), 0 if raw else -1, encoding=encoding, errors=errors)  # noqa: SIM115
    innermost = file if raw else getattr(file, "buffer", file).raw
    innermost.name = name
    file.close()
    return file


def _singleton_named(name: str) -> Any:
    if name == "random":
        import random

        return vars(random)["_inst"]
    if name == "numpy.random":
        import numpy.random.mtrand

        return numpy.random.mtrand._rand
    return getattr(sys, name)
