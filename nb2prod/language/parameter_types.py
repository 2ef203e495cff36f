"""The types that a parameter may declare, and the values that a syntax tree gives without being run."""

from __future__ import annotations

import ast
import datetime
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath, PurePosixPath
from typing import Any

from nb2prod.core.errors import BadParameter
from nb2prod.core.pipeline import ParameterType

ANY = ParameterType("any", "any")
UNDECLARED = ParameterType("unknown", "undeclared")
SIMPLE: dict[str, str] = {
    "int": "int",
    "float": "float",
    "str": "str",
    "bool": "bool",
    "list": "list",
    "List": "list",
    "dict": "dict",
    "Dict": "dict",
    "tuple": "tuple",
    "Tuple": "tuple",
    "None": "none",
    "Path": "path",
    "PurePath": "path",
    "date": "date",
    "datetime": "datetime",
    "Any": "any",
    "object": "any",
}


# what some calls give that often make a default
MADE_BY: dict[str, ParameterType] = {
    "os.path.join": ParameterType("str", "str"),
    "os.path.expanduser": ParameterType("str", "str"),
    "os.getcwd": ParameterType("str", "str"),
    "date.today": ParameterType("date", "date"),
    "datetime.date.today": ParameterType("date", "date"),
    "datetime.now": ParameterType("datetime", "datetime"),
    "datetime.datetime.now": ParameterType("datetime", "datetime"),
}


class NotStatic(ValueError):
    """An expression whose value the syntax tree alone does not give."""


def type_of(annotation: ast.expr, enums: Mapping[str, ParameterType]) -> ParameterType:
    """A declared type as a value. A type that is not understood becomes one of kind `unknown`, which takes no value."""
    name = ast.unparse(annotation)
    match annotation:
        case ast.Constant(value=None):
            return ParameterType("none", "None")
        case ast.Constant(value=str(text)):
            return type_of(ast.parse(text, mode="eval").body, enums)
        case ast.Name(id=word) if word in enums:
            return enums[word]
        case ast.Name(id=word) | ast.Attribute(attr=word) if word in SIMPLE:
            return ParameterType(SIMPLE[word], word)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _union(name, (type_of(left, enums), type_of(right, enums)))
        case ast.Subscript(value=value, slice=inner):
            return _subscripted(ast.unparse(value).rpartition(".")[2], inner, name, enums)
    return ParameterType("unknown", name)


def _subscripted(word: str, inner: ast.expr, name: str, enums: Mapping[str, ParameterType]) -> ParameterType:
    items = list(inner.elts) if isinstance(inner, ast.Tuple) else [inner]
    if word == "Literal":
        return ParameterType("literal", name, choices=tuple(literal(item, enums) for item in items))
    if word == "Annotated":
        return type_of(items[0], enums)
    if word == "Optional":
        return _union(name, (type_of(items[0], enums), ParameterType("none", "None")))
    if word == "Union":
        return _union(name, tuple(type_of(item, enums) for item in items))
    variadic = word.lower() == "tuple" and len(items) == 2 and is_ellipsis(items[1])
    arguments = tuple(type_of(item, enums) for item in (items[:1] if variadic else items))
    if word.lower() in ("list", "dict", "tuple"):
        return ParameterType(word.lower(), name, arguments, variadic=variadic)
    return ParameterType("unknown", name)


def _union(name: str, members: tuple[ParameterType, ...]) -> ParameterType:
    flat = tuple(inner for member in members for inner in (member.arguments if member.kind == "union" else (member,)))
    return ParameterType("union", name, flat)


def type_of_value(value: Any) -> ParameterType:
    """The type that a default without annotation implies: a plain value's own, `any` for None."""
    kinds: tuple[tuple[type, str], ...] = (
        (bool, "bool"),
        (int, "int"),
        (float, "float"),
        (str, "str"),
        (list, "list"),
        (dict, "dict"),
        (tuple, "tuple"),
        (PurePath, "path"),
        (datetime.datetime, "datetime"),
        (datetime.date, "date"),
    )
    if isinstance(value, EnumMember):
        return value.type
    other = ANY if value is None else UNDECLARED
    return next((ParameterType(word, word) for kind, word in kinds if isinstance(value, kind)), other)


class EnumMember(str):
    """A member of a notebook's Enum, known by name: `EnumMember("RED", type)` prints as `Color.RED`."""

    __slots__ = ("type",)
    type: ParameterType

    def __new__(cls, member: str, type_: ParameterType) -> EnumMember:
        made = super().__new__(cls, member)
        made.type = type_
        return made

    def __repr__(self) -> str:
        return f"{self.type.name}.{self!s}"


def enums_of(trees: Iterable[ast.Module]) -> dict[str, ParameterType]:
    """The Enum classes that a notebook defines, with their members, as types."""
    found: dict[str, ParameterType] = {}
    for tree in trees:
        for node in tree.body:
            if not isinstance(node, ast.ClassDef):
                continue
            bases = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
            if not bases & {"Enum", "IntEnum", "StrEnum"}:
                continue
            members = [
                (member, _member_value(member, value, is_text="StrEnum" in bases))
                for statement in node.body
                for member, value in _members(statement)
                if not member.startswith("_")
            ]
            found[node.name] = ParameterType("enum", node.name, choices=tuple(members))
    return found


def _members(statement: ast.stmt) -> list[tuple[str, ast.expr | None]]:
    """(name, value) of each member that a statement in the body of an Enum makes; no value when it is not seen."""
    match statement:
        case ast.AnnAssign(target=ast.Name(id=member), value=ast.expr() as value):
            return [(member, value)]
        case ast.Assign(targets=[ast.Name(id=member)], value=value):
            return [(member, value)]
        case ast.Assign(targets=targets):
            names = [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
            return [(member, None) for member in names]
    return []


def _member_value(member: str, value: ast.expr | None, *, is_text: bool) -> Any:
    """The value by which a caller may name a member too; its name when the syntax tree does not give it."""
    try:
        return ast.literal_eval(value) if value is not None else member
    except ValueError:
        return member.lower() if is_text else member


def literal(node: ast.expr, enums: Mapping[str, ParameterType] | None = None) -> Any:
    """The value of an expression that is a literal, a Path, a date, a datetime or an Enum member, without running it.

    Raises NotStatic otherwise.
    """
    match node:
        case ast.Call(func=func, args=arguments, keywords=[]) if arguments or ast.unparse(func).endswith("Path"):
            return _constructed(
                ast.unparse(func).rpartition(".")[2], [literal(argument, enums) for argument in arguments]
            )
        case ast.Attribute(value=ast.Name(id=word), attr=member) if enums and word in enums:
            if member in dict(enums[word].choices):
                return EnumMember(member, enums[word])
        case ast.List(elts=items):
            return [literal(item, enums) for item in items]
        case ast.Tuple(elts=items):
            return tuple(literal(item, enums) for item in items)
        case ast.Dict(keys=keys, values=values) if all(key is not None for key in keys):
            return {literal(key, enums): literal(value, enums) for key, value in zip(keys, values, strict=True) if key}
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise NotStatic(ast.unparse(node)) from error


def _constructed(word: str, arguments: list[Any]) -> Any:
    makers: dict[str, Callable[..., Any]] = {
        "Path": PurePosixPath,
        "PurePath": PurePosixPath,
        "date": datetime.date,
        "datetime": datetime.datetime,
        "float": float,
    }
    if word not in makers:
        raise NotStatic(word)
    try:
        return makers[word](*arguments)
    except (TypeError, ValueError) as error:
        raise NotStatic(word) from error


def source_of(value: Any) -> str:
    """Python that makes the value again, with the imports it needs inside: what the injected cell holds."""
    if isinstance(value, EnumMember):
        return repr(value)
    if value is None or isinstance(value, bool):
        return repr(value)
    # a subclass (numpy's numbers, an object of the caller's) may print as any code: the value alone is written
    if isinstance(value, str):
        return str.__repr__(value)
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return float.__repr__(value) if math.isfinite(value) else f"float({float.__repr__(value)!r})"
    if isinstance(value, PurePath):
        return f"__import__('pathlib').Path({str(value)!r})"
    if isinstance(value, datetime.datetime):
        return f"__import__('datetime').datetime.fromisoformat({value.isoformat()!r})"
    if isinstance(value, datetime.date):
        return f"__import__('datetime').date.fromisoformat({value.isoformat()!r})"
    if isinstance(value, list):
        return f"[{', '.join(source_of(item) for item in value)}]"
    if isinstance(value, tuple):
        return f"({', '.join(source_of(item) for item in value)}{',' if len(value) == 1 else ''})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{source_of(key)}: {source_of(item)}" for key, item in value.items()) + "}"
    raise BadParameter(f"a value of type {type(value).__name__} cannot be a parameter")


def type_of_expression(node: ast.expr, known: Mapping[str, ParameterType]) -> ParameterType:
    """The type of a default that is computed, where its form alone tells; else of kind `unknown`.

    `known` are the types of the parameters that it may read.
    """
    match node:
        case ast.Constant(value=bool() | int() | float() | str() as value):
            return type_of_value(value)
        case ast.JoinedStr():
            return ParameterType("str", "str")
        case ast.Call(func=ast.Name(id="Path") | ast.Attribute(attr="Path")):
            return ParameterType("path", "Path")
        case ast.Name(id=name):
            return known.get(name, UNDECLARED)
        case ast.List() | ast.ListComp():
            return ParameterType("list", "list")
        case ast.Dict() | ast.DictComp():
            return ParameterType("dict", "dict")
        case ast.Tuple():
            return ParameterType("tuple", "tuple")
        case ast.Compare() | ast.UnaryOp(op=ast.Not()):
            return ParameterType("bool", "bool")
        case ast.UnaryOp(operand=operand):
            return type_of_expression(operand, known)
        case ast.BinOp(left=left, op=operator, right=right):
            return (
                _type_of_sum(type_of_expression(left, known), operator, type_of_expression(right, known)) or UNDECLARED
            )
        case ast.Call(func=ast.Name(id="int" | "float" | "str" | "bool" | "list" | "dict" | "tuple" as word)):
            return ParameterType(word, word)
        case ast.Call(func=func) if ast.unparse(func) in MADE_BY:
            return MADE_BY[ast.unparse(func)]
        case ast.Subscript(value=value) if ast.unparse(value) == "os.environ":
            return ParameterType("str", "str")
    return UNDECLARED


def _type_of_sum(left: ParameterType, operator: ast.operator, right: ParameterType) -> ParameterType | None:
    kinds = {left.kind, right.kind}
    if kinds == {"str"} and isinstance(operator, ast.Add):
        return left
    if kinds <= {"int", "float"} and isinstance(operator, ast.Add | ast.Sub | ast.Mult | ast.FloorDiv | ast.Mod):
        return left if left.kind == "float" else right
    if kinds <= {"int", "float"} and isinstance(operator, ast.Div):
        return ParameterType("float", "float")
    if kinds == {"int"} and isinstance(operator, ast.Pow):
        return left
    return left if left.kind == "path" and kinds <= {"path", "str"} and isinstance(operator, ast.Div) else None


def is_ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is Ellipsis
