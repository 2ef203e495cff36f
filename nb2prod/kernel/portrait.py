"""A value's portrait: all that it consists of in plain parts, made where the value lives, compared somewhere else.

Nothing of the notebook has to be imported to look at a portrait, and what the value's class says of its own pickling is
not asked where the class is the notebook's (a `__reduce__` that drops a part would drop it on both sides, and nobody
would see the difference). What cannot be written down (a generator, a lock, an open file) is a `Blank` with the reason.

    {"a": [1, 2.5]}   ->   Pairs("dict", ["a"], [Items("list", [1, 2.5])])
"""

from __future__ import annotations

import contextlib
import copyreg
import enum
import functools
import hashlib
import io
import logging
import sys
import threading
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

ATOMS = (type(None), bool, int, float, complex, str, bytes)
Ours = Callable[[type], bool]  # whether a class is written in the notebook or beside it
Rule = tuple[Callable[[Any], bool], Callable[[Any, Any], Any]]  # what is meant, and how a painter paints it


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


class Painter:
    """Makes portraits; of one object one, however often it is met. The first of the rules that means a value counts."""

    def __init__(self, ours: Ours, rules: Sequence[Rule]) -> None:
        self.ours = ours
        self.rules = rules
        self.blanks: list[str] = []
        self.done: dict[int, Any] = {}
        self.alive: list[Any] = []  # so that no identity is given out twice meanwhile

    def paint(self, value: Any) -> Any:
        if type(value) in ATOMS:
            return value
        if id(value) in self.done:
            return self.done[id(value)]
        self.alive.append(value)
        try:
            return self._painted(value)
        except RecursionError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever an object raises when it is looked at
            return self.remember(
                value, self.blank(f"a {kind_of(value)} that cannot be written ({type(error).__name__})")
            )

    def _painted(self, value: Any) -> Any:
        for meant, paint in self.rules:
            if meant(value):
                return self.remember(value, paint(self, value))
        return thing(self, value)

    def remember(self, value: Any, made: Any) -> Any:
        """Known from now on, so that what contains itself comes to an end."""
        self.done[id(value)] = made
        return made

    def blank(self, reason: str) -> Blank:
        self.blanks.append(reason)
        return Blank(reason)


def kind_of(value: Any) -> str:
    """The name of a value's class, with its module unless that is Python's or the notebook's."""
    return name_of(type(value))


def name_of(kind: Any) -> str:
    module = getattr(kind, "__module__", "") or ""
    name = getattr(kind, "__qualname__", str(kind))
    return str(name) if module in ("builtins", "__main__", "") else f"{module}.{name}"


# -- containers ------------------------------------------------------------------------------------------------------


def _items(painter: Painter, value: Any) -> Items:
    made = painter.remember(value, Items(kind_of(value)))
    made.items.extend(map(painter.paint, value))
    return made  # type: ignore[no-any-return]


def _pairs(painter: Painter, value: Any) -> Pairs:
    made = painter.remember(value, Pairs(kind_of(value)))
    for key, item in value.items():
        made.keys.append(painter.paint(key))
        made.values.append(painter.paint(item))
    return made  # type: ignore[no-any-return]


def _members(painter: Painter, value: Any) -> Members:
    return Members(kind_of(value), [painter.paint(item) for item in value])


# -- code ------------------------------------------------------------------------------------------------------------


def _function(painter: Painter, value: types.FunctionType) -> Any:
    """A function of the notebook by its code and what it holds on to; one of a module by its name."""
    made = painter.remember(value, Thing(f"function {value.__qualname__}"))
    made.parts["'s code"] = Said("code", digest_of_code(value.__code__))
    made.parts["'s defaults"] = painter.paint(value.__defaults__)
    made.parts["'s keyword defaults"] = painter.paint(value.__kwdefaults__)
    for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # a name that has no value yet
            made.parts[f"'s {name}"] = painter.paint(cell.cell_contents)
    made.parts |= {f".{name}": painter.paint(item) for name, item in vars(value).items()}
    return made


def digest_of_code(code: types.CodeType) -> str:
    """What the code does, without where it stands."""
    return hashlib.sha256(repr(_code(code)).encode("utf-8", "surrogatepass")).hexdigest()


def _code(code: types.CodeType) -> Any:
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_flags, code.co_argcount)
    return code.co_code, names, [_constant(constant) for constant in code.co_consts]


def _constant(constant: Any) -> Any:
    if isinstance(constant, types.CodeType):
        return _code(constant)
    if isinstance(constant, frozenset):
        return "frozenset", sorted(map(repr, constant))
    return [_constant(item) for item in constant] if isinstance(constant, tuple) else repr(constant)


# what a class has besides what its author wrote
NOT_WRITTEN = frozenset(
    [
        "__dict__",
        "__weakref__",
        "__slotnames__",
        "__dataclass_fields__",
        "__dataclass_params__",
        "__module__",
        "__doc__",
        "__qualname__",
        "__firstlineno__",
        "__static_attributes__",
        "_abc_impl",
        "__abstractmethods__",
        "__annotations_cache__",
        "__annotate_func__",
        "__match_args__",
    ]
)


def _class(painter: Painter, value: type) -> Any:
    if not painter.ours(value):
        return Said("class", name_of(value))
    made = painter.remember(value, Thing(f"class {value.__qualname__}"))
    made.parts["'s bases"] = Items("tuple", [Said("class", name_of(base)) for base in value.__bases__])
    for name, item in vars(value).items():
        if name not in NOT_WRITTEN and not isinstance(item, types.MemberDescriptorType | types.GetSetDescriptorType):
            made.parts[f".{name}"] = painter.paint(item)
    return made


def _method(painter: Painter, value: types.MethodType) -> Thing:
    parts = {"'s function": painter.paint(value.__func__), ".__self__": painter.paint(value.__self__)}
    return Thing("method", parts)


def _partial(painter: Painter, value: functools.partial[Any]) -> Thing:
    parts = {".func": value.func, ".args": value.args, ".keywords": value.keywords}
    return Thing("functools.partial", {name: painter.paint(part) for name, part in parts.items()})


def _descriptor(painter: Painter, value: Any) -> Thing:
    inner = {"fget": None, "fset": None, "fdel": None, "__func__": None}
    return Thing(
        kind_of(value), {f".{name}": painter.paint(getattr(value, name)) for name in inner if hasattr(value, name)}
    )


def _remembering(painter: Painter, value: Any) -> Thing:
    parts = {"'s function": painter.paint(value.__wrapped__)}
    if value.cache_info().currsize:
        parts["'s cache"] = painter.blank("what a cache has remembered")
    return Thing("a cached function", parts)


# -- any object ------------------------------------------------------------------------------------------------------

HOLDING = (list, tuple, deque, dict, set, frozenset, str, bytes, int, float, complex)
OWN_WAY = ("__reduce__", "__reduce_ex__", "__getstate__", "__getnewargs__", "__getnewargs_ex__")


def thing(painter: Painter, value: Any) -> Any:
    """An object by its attributes; one of a library that says how it is pickled, by what it says."""
    kind = type(value)
    made = painter.remember(value, Thing(kind_of(value)))
    attributes = _attributes(value)
    written = _has_own_way(kind) and not painter.ours(kind)
    if written or (not attributes and not painter.ours(kind) and not hasattr(value, "__dict__")):
        _reduced(painter, value, made)
        return made
    made.parts |= {f".{name}": painter.paint(item) for name, item in attributes}
    held = next((base for base in HOLDING if isinstance(value, base)), None)
    if held is not None:
        made.parts["'s content"] = painter.paint(_content(value, held))
    return made


def _attributes(value: Any) -> list[tuple[str, Any]]:
    slots = [names for kind in type(value).__mro__ for names in [vars(kind).get("__slots__", ())]]
    names = [name for found in slots for name in ((found,) if isinstance(found, str) else found)]
    inside = [(name, getattr(value, name)) for name in names if not name.startswith("__") and hasattr(value, name)]
    return [*inside, *getattr(value, "__dict__", {}).items()]


def _content(value: Any, held: type) -> Any:
    if held is dict:
        return dict(dict.items(value))
    plain: Any = held
    return plain.__new__(held, value) if held in (str, bytes, int, float, complex) else plain(plain.__iter__(value))


def _has_own_way(kind: type) -> bool:
    return any(name in vars(base) for base in kind.__mro__ if base is not object for name in OWN_WAY)


def _reduced(painter: Painter, value: Any, made: Thing) -> None:
    """By what pickle would write. Raises what the object's own pickling raises."""
    own = copyreg.dispatch_table.get(type(value))
    reduced: Any = own(value) if own is not None else value.__reduce_ex__(4)
    if isinstance(reduced, str):
        made.parts["'s name"] = reduced
        return
    made_by, arguments, state, items, pairs = (tuple(reduced) + (None,) * 5)[:5]
    made.parts["'s maker"] = painter.paint(made_by)
    made.parts |= {f"'s argument {n}": painter.paint(item) for n, item in enumerate(arguments or ())}
    if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):
        state = {**(state[0] or {}), **state[1]} if isinstance(state[0] or {}, dict) else state
    if isinstance(state, dict) and all(isinstance(name, str) for name in state):
        made.parts |= {f".{name}": painter.paint(item) for name, item in state.items()}
    elif state is not None:
        made.parts["'s state"] = painter.paint(state)
    if items is not None:
        made.parts["'s content"] = painter.paint(list(items))
    if pairs is not None:
        made.parts["'s content"] = painter.paint(dict(pairs))


# -- the rules -------------------------------------------------------------------------------------------------------


def _named(*names: str) -> Callable[[Any], bool]:
    """Whether a value's class is one of these, by module and name: the module need not be imported for that."""
    wanted = frozenset(names)
    return lambda value: f"{type(value).__module__}.{type(value).__qualname__}" in wanted


def _is_file(value: Any) -> bool:
    return isinstance(value, io.IOBase) and not isinstance(value, io.BytesIO | io.StringIO)


WEAK = (weakref.WeakKeyDictionary, weakref.WeakValueDictionary, weakref.WeakSet)
BLANKS: tuple[tuple[str, Callable[[Any], bool]], ...] = (
    ("an open file", _is_file),
    ("a generator", lambda value: isinstance(value, types.GeneratorType | types.AsyncGeneratorType)),
    ("a coroutine", lambda value: isinstance(value, types.CoroutineType)),
    ("a lock", _named("_thread.lock", "_thread.RLock", "threading.Condition", "threading.Event")),
    ("a thread", lambda value: isinstance(value, threading.Thread)),
    ("a connection", _named("sqlite3.Connection", "sqlite3.Cursor", "socket.socket", "_socket.socket")),
    ("a weak reference", lambda value: isinstance(value, weakref.ReferenceType | weakref.finalize)),
    ("a container of weak references", lambda value: isinstance(value, WEAK)),
    ("a pointer", lambda value: type(value).__module__ in ("ctypes", "_ctypes")),
    ("a frame of the interpreter", lambda value: isinstance(value, types.FrameType | types.TracebackType)),
)
AS_TEXT = ("datetime", "decimal", "fractions", "uuid", "pathlib", "zoneinfo", "ipaddress")


def _blank_rule(reason: str, meant: Callable[[Any], bool]) -> Rule:
    return meant, lambda painter, value: painter.blank(reason)


def _is_text_kind(value: Any) -> bool:
    return type(value).__module__ in AS_TEXT and type(value).__name__ != "Context"


def _exactly(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: type(value) in kinds


def _is_plain_dictionary(value: Any) -> bool:
    if isinstance(value, types.MappingProxyType):
        return True
    return isinstance(value, dict) and type(value).__module__ in ("builtins", "collections")


NONE: dict[str, str] = {}
VIEWS = (type(NONE.keys()), type(NONE.values()), type(NONE.items()))
CONTAINERS: tuple[Rule, ...] = (
    (_exactly(list, tuple, deque), _items),
    (_is_plain_dictionary, _pairs),
    (_exactly(set, frozenset), _members),
)
OTHERS: tuple[Rule, ...] = (
    *(_blank_rule(reason, meant) for reason, meant in BLANKS),
    (lambda value: isinstance(value, types.FunctionType), _function),
    (lambda value: isinstance(value, type), _class),
    (lambda value: isinstance(value, types.ModuleType), lambda _, value: Said("module", value.__name__)),
    (lambda value: isinstance(value, types.MethodType), _method),
    (
        lambda value: isinstance(
            value, types.BuiltinFunctionType | types.MethodDescriptorType | types.WrapperDescriptorType
        ),
        lambda _, value: Said("builtin function", name_of(value)),
    ),
    (lambda value: isinstance(value, functools.partial), _partial),
    (lambda value: isinstance(value, functools._lru_cache_wrapper), _remembering),
    (_exactly(property, staticmethod, classmethod), _descriptor),
    (lambda value: isinstance(value, enum.Enum), lambda _, value: Said(kind_of(value), value.name)),
    (_exactly(slice, range, type(...), type(NotImplemented)), lambda _, value: Said(kind_of(value), repr(value))),
    (_exactly(bytearray, memoryview), lambda _, value: Thing(kind_of(value), {"'s content": bytes(value)})),
    (_exactly(*VIEWS), lambda painter, value: Thing(kind_of(value), {"": painter.paint(list(value))})),
    (_is_text_kind, lambda _, value: Said(kind_of(value), repr(value))),
    (_named("re.Pattern"), lambda _, value: Said("re.Pattern", repr((value.pattern, value.flags)))),
    (lambda value: isinstance(value, logging.Logger), lambda _, value: Said("logger", value.name)),
    (
        lambda value: isinstance(value, BaseException),
        lambda painter, value: Thing(kind_of(value), {".args": painter.paint(value.args)}),
    ),
    (lambda value: value is sys.stdout or value is sys.stderr, lambda _, value: Said("stream", "of the process")),
)


def plain_parts(painter: Painter, kind: str, parts: Iterable[tuple[str, Any]]) -> Thing:
    """An object of which only these parts count."""
    return Thing(kind, {name: painter.paint(part) for name, part in parts})
