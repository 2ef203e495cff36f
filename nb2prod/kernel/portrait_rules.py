"""How Python's own values are painted: containers, functions and classes by their code, and what nobody can compare.

`CONTAINERS` come before the rules of libraries (`portrait_libraries`), `OTHERS` after them.
"""

from __future__ import annotations

import contextlib
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
from collections.abc import Callable
from typing import Any

from nb2prod.kernel.portrait import Items, Members, Pairs, Said, Thing, kind_of, name_of
from nb2prod.kernel.portrait_painter import Painter, Rule


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
