"""A model's pickle, made in the kernel, that loads where the notebook is not.

The notebook's classes and functions live in `__main__`, which means another thing in every process. While a model is
written they belong to the notebook's module instead (`HoistedModule`), so that the pickle refers to them by that name;
afterwards they are in `__main__` again. What cannot go to another process at all is found while pickling, at the
moment the pickler meets it, and named by its path from the model: `model.steps[0][1].func is a lambda`.
"""

from __future__ import annotations

import dis
import io
import os
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from nb2prod.core.pipeline import HoistedModule

MAIN = "__main__"
# attributes in which a library notes where an object lies in memory: without them two runs write one file
ADDRESSES = ("_stop_words_id",)  # of scikit-learn's vectorizers
NO_MODULE = HoistedModule(name="", source="")


class CannotPickle(Exception):
    """`what` cannot rest in a file; `fix` says what to do instead."""

    def __init__(self, what: str, fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix


@dataclass(frozen=True, slots=True)
class Pickled:
    """`used` names what of the notebook's module the value needs; `packages` the top-level packages of its types."""

    content: bytes
    used: tuple[str, ...]
    packages: tuple[str, ...]


def dump(value: Any, name: str, module: HoistedModule, namespace: Mapping[str, Any]) -> Pickled:
    """Pickle `value`, which the notebook calls `name`. Raises CannotPickle with the path of what is in the way."""
    file = io.BytesIO()
    with hoisted(module, namespace):
        pickler = _make_pickler(file, module)
        try:
            pickler.dump(value)
        except _InTheWay as found:
            raise CannotPickle(f"{path_to(value, found.value, name)} is {found.reason}", found.fix) from None
        except Exception as error:
            raise CannotPickle(f"{name} cannot be written: {type(error).__name__}: {error}") from error
    used = tuple(sorted(pickler.used))
    _refuse_unresolved(name, used, module, namespace)
    return Pickled(file.getvalue(), used, tuple(sorted(pickler.packages)))


def load(content: bytes, module: HoistedModule, namespace: Mapping[str, Any]) -> Any:
    """What `dump` wrote, in the same kernel: with the notebook's own classes and functions."""
    import cloudpickle

    with hoisted(module, namespace):
        return cloudpickle.loads(content)


@contextmanager
def hoisted(module: HoistedModule, namespace: Mapping[str, Any]) -> Iterator[None]:
    """Meanwhile the notebook's classes and functions belong to `module`, and importing it gives them."""
    if not module.names:
        yield
        return
    shim = types.ModuleType(module.name)
    owned = [namespace[name] for name in module.names if name in namespace]
    moved = [found for value in owned for found in _definitions(value)]
    vars(shim).update({name: namespace[name] for name in module.names if name in namespace})
    before = sys.modules.get(module.name)
    sys.modules[module.name] = shim
    try:
        for found in moved:
            found.__module__ = module.name
        yield
    finally:
        for found in moved:
            found.__module__ = MAIN
        if before is None:
            del sys.modules[module.name]
        else:
            sys.modules[module.name] = before


class _InTheWay(Exception):
    def __init__(self, value: Any, reason: str, fix: str) -> None:
        super().__init__(reason)
        self.value = value
        self.reason = reason
        self.fix = fix


def _make_pickler(file: io.BytesIO, module: HoistedModule) -> Any:
    import cloudpickle

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
        """Looks at every object that is written: refuses some, and notes what the file will need."""

        def __init__(self) -> None:
            super().__init__(file, protocol=5)
            self.used: set[str] = set()
            self.packages: set[str] = set()

        def reducer_override(self, value: Any) -> Any:
            reason, fix = _refusal(value, module)
            if reason:
                raise _InTheWay(value, reason, fix)
            home, name = _home(value)
            if home == module.name:
                self.used.add(name.partition(".")[0])
            elif home != MAIN:
                self.packages.add(home.partition(".")[0])
            return _without_addresses(value) or super().reducer_override(value)

    return Pickler()


def _without_addresses(value: Any) -> Any:
    """How an object is made again without what is true of this process alone; None for one that has no such thing."""
    own = getattr(value, "__dict__", ())
    if isinstance(value, type) or not any(name in own for name in ADDRESSES):
        return None
    make, given, state, *rest = value.__reduce_ex__(5)
    return make, given, {name: part for name, part in state.items() if name not in ADDRESSES}, *rest


def _home(value: Any) -> tuple[str, str]:
    """(module, qualified name) of the class, function or module that loading `value` will need."""
    if isinstance(value, types.ModuleType):
        return value.__name__, ""
    if callable(value) and isinstance(getattr(value, "__module__", None), str) and hasattr(value, "__qualname__"):
        return value.__module__, value.__qualname__
    return type(value).__module__, type(value).__qualname__


def _definitions(value: Any) -> Iterator[Any]:
    """A class or function that is the notebook's own, with the methods and classes inside it."""
    own = vars(value) if hasattr(value, "__dict__") else {}
    is_definition = isinstance(value, type | types.FunctionType) or "__module__" in own
    if not is_definition or getattr(value, "__module__", None) != MAIN:
        return
    yield value
    if isinstance(value, type):
        for member in tuple(own.values()):
            inner = getattr(member, "__func__", member)
            if isinstance(inner, type | types.FunctionType):
                yield from _definitions(inner)


def _refusal(value: Any, module: HoistedModule) -> tuple[str, str]:
    """(what the value is, what to do) for a value that must not be pickled; two empty texts for any other."""
    if isinstance(value, types.FunctionType) and value.__module__ in (MAIN, module.name):
        if value.__name__ == "<lambda>":
            return "a lambda", "give it a name with def in a functions cell"
        if "<locals>" in value.__qualname__:
            return (
                f"the function {value.__name__}, which is defined inside another one",
                "define it in a functions cell and give it its values with functools.partial",
            )
    kind = _resource(value)
    return (kind, "open or make it where it is used, not when the model is made") if kind else ("", "")


def _resource(value: Any) -> str:
    if isinstance(value, io.IOBase | os.DirEntry) and not isinstance(value, io.BytesIO | io.StringIO):
        return "an open file"
    if isinstance(value, types.GeneratorType | types.CoroutineType):
        return "a generator"
    module, name = type(value).__module__, type(value).__name__
    if module == "_thread" and name in ("lock", "RLock"):
        return "a lock"
    if (module, name) in (("socket", "socket"), ("_socket", "socket"), ("sqlite3", "Connection")):
        return "an open connection"
    return ""


def path_to(root: Any, wanted: Any, name: str) -> str:
    """How the notebook reaches `wanted` from the value it calls `name`; the name alone when it cannot be told."""
    waiting: list[tuple[Any, str]] = [(root, name)]
    seen: set[int] = set()
    while waiting:
        value, path = waiting.pop(0)
        if value is wanted:
            return path
        if id(value) not in seen:
            seen.add(id(value))
            waiting += [(inner, path + step) for inner, step in _inside(value)]
    return f"something in {name}"


def _inside(value: Any) -> Iterable[tuple[Any, str]]:
    numpy = sys.modules.get("numpy")
    if isinstance(value, dict):
        return [(inner, f"[{key!r}]") for key, inner in value.items()]
    if isinstance(value, list | tuple):
        return [(inner, f"[{position}]") for position, inner in enumerate(value)]
    if isinstance(value, set | frozenset):
        return [(inner, "{…}") for inner in value]
    if numpy is not None and isinstance(value, numpy.ndarray):
        return (
            [(inner, f".ravel()[{n}]") for n, inner in enumerate(value.ravel().tolist())]
            if value.dtype == object
            else ()
        )
    if isinstance(value, type | types.FunctionType | types.ModuleType | str | bytes):
        return ()
    names = [*getattr(value, "__dict__", {}), *_slots(value), *_CALLABLE_PARTS]
    return [(getattr(value, name), f".{name}") for name in names if _has(value, name)]


# of functools.partial and of bound methods
_CALLABLE_PARTS = ("func", "args", "keywords", "__self__", "__func__")


def _slots(value: Any) -> list[str]:
    slots = [getattr(kind, "__slots__", ()) for kind in type(value).__mro__]
    return [name for names in slots for name in ((names,) if isinstance(names, str) else names)]


def _has(value: Any, name: str) -> bool:
    try:
        getattr(value, name)
    except Exception:  # noqa: BLE001 - an attribute of the user's may raise anything; then it leads nowhere
        return False
    return True


def _refuse_unresolved(name: str, used: Iterable[str], module: HoistedModule, namespace: Mapping[str, Any]) -> None:
    """The code that the value needs must not read what only the notebook has."""
    cells = dict(module.unresolved)
    for definition, reads in _reads(used, module, namespace):
        for read in sorted(reads & cells.keys()):
            cell = cells[read]
            place = f"which cell {cell} binds" if cell is not None else "which nothing in the notebook binds"
            raise CannotPickle(
                f"{name} needs {definition}, and that reads {read}, {place}: elsewhere there is no {read}",
                f"move {read} to an imports or functions cell, or pass it to {definition} as an argument",
            )


def _reads(used: Iterable[str], module: HoistedModule, namespace: Mapping[str, Any]) -> Iterator[tuple[str, set[str]]]:
    """(name, the global names that its code reads) of every definition that `used` leads to."""
    waiting = list(used)
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in namespace:
            continue
        seen.add(name)
        reads = {read for code in _codes(namespace[name]) for read in _globals_of(code)}
        reads |= {base.__name__ for base in getattr(namespace[name], "__mro__", ())}
        yield name, reads
        waiting += sorted(reads.intersection(module.names))


def _codes(value: Any) -> Iterator[types.CodeType]:
    for wrapping in ("__func__", "func", "__wrapped__"):
        value = getattr(value, wrapping, value)
    if isinstance(value, types.FunctionType):
        yield value.__code__
    elif isinstance(value, property):
        for part in (value.fget, value.fset, value.fdel):
            yield from _codes(part)
    elif isinstance(value, type) and value.__module__ != "builtins":
        for member in vars(value).values():
            if not isinstance(member, type) or member.__qualname__.startswith(f"{value.__qualname__}."):
                yield from _codes(member)


def _globals_of(code: types.CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _globals_of(constant)
