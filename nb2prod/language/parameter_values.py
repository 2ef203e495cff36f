"""A caller's values for parameters, checked against what the notebook declares: words, or values of Python and YAML."""

from __future__ import annotations

import ast
import datetime
import difflib
import enum
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath, PurePosixPath
from typing import Any

from nb2prod.core.errors import BadParameter
from nb2prod.core.pipeline import Parameter, ParameterType
from nb2prod.language.parameter_types import ANY, SIMPLE, UNDECLARED, EnumMember, source_of, type_of_value


def resolve(
    declared: Sequence[Parameter], values: Mapping[str, Any], texts: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The caller's values, checked and typed: `values` from Python, YAML or JSON, `texts` from a command line.

    Of a name in both the text counts. Raises BadParameter for a name that is not declared, a required one that is
    missing, a value of another type.
    """
    texts = texts or {}
    known = {parameter.name: parameter for parameter in declared}
    for name in (*values, *texts):
        if name not in known:
            raise _unknown(name, known)
    missing = [p.name for p in declared if p.required and p.name not in values and p.name not in texts]
    if missing:
        raise BadParameter(
            f"{_plural('parameter', missing)} {', '.join(missing)} must be given", fix=f"-p {missing[0]} VALUE"
        )
    typed = {name: _converted(known[name], value, from_value) for name, value in values.items() if name not in texts}
    return typed | {name: _converted(known[name], text, from_text) for name, text in texts.items()}


def _converted(parameter: Parameter, value: Any, convert: Callable[[ParameterType, Any], Any]) -> Any:
    try:
        return convert(parameter.type, value)
    except (ValueError, TypeError, RecursionError, MemoryError) as error:
        shown = "a value that is not shown, as it is secret" if parameter.secret else _short(value)
        reason = "" if parameter.secret or not str(error) else f" ({error})"
        raise BadParameter(
            f"parameter {parameter.name} expects {expectation(parameter.type)}, and was given {shown}{reason}",
            where=f"cell {parameter.cell}, line {parameter.line}",
        ) from None


def expectation(type_: ParameterType) -> str:
    if type_.kind == "literal":
        return "one of " + ", ".join(map(repr, type_.choices))
    if type_.kind == "enum":
        return "one of " + ", ".join(name for name, _ in type_.choices)
    if type_.kind == "unknown":
        if type_ == UNDECLARED:
            return "a value of a type that it does not declare (write `name: TYPE = …` in the notebook)"
        return f"a {type_.name}, a type that cannot be given from outside"
    return type_.name


def from_text(type_: ParameterType, text: str) -> Any:
    """A value from a command line's text: `"001"` stays a text for a `str`, and is refused for nothing else."""
    match type_.kind:
        case "str":
            return text
        case "int":
            return int(_number_text(text))
        case "float":
            return _float(text)
        case "bool":
            return _bool(text)
        case "none":
            return _none(text)
        case "path":
            return PurePosixPath(text)
        case "date":
            return datetime.date.fromisoformat(text)
        case "datetime":
            return datetime.datetime.fromisoformat(text)
        case "enum":
            return _enum(type_, text)
        case "literal":
            return _choice(type_, text)
        case "union":
            return _union_text(type_, text)
        case "list" | "dict" | "tuple":
            return from_value(type_, _structure(type_, text))
        case "any":
            return _guess(text)
    raise ValueError(f"use a type that nb2prod knows: {', '.join(sorted(set(SIMPLE.values())))}, Literal, Enum")


def _union_text(type_: ParameterType, text: str) -> Any:
    # None first and text last: `int | None` reads "none" as None, `str | int` reads "7" as the number
    order = {"none": 0, "int": 1, "date": 1, "str": 3, "path": 3, "any": 3}
    kinds = {member.kind for member in type_.arguments}
    for member in sorted(type_.arguments, key=lambda member: order.get(member.kind, 2)):
        try:
            if not _means_more(member.kind, text, kinds):
                return from_text(member, text)
        except (ValueError, TypeError):
            continue
    raise ValueError("no member of the union takes it")


def _means_more(kind: str, text: str, kinds: set[str]) -> bool:
    """Whether another member of a union keeps what this one would lose: `001` and `nan` are texts where a text may be,
    and `1` or `no` is no bool where a number or a text may be."""
    if kind == "bool":
        return bool(kinds & {"int", "float", "str"}) and text.lower() not in ("true", "false")
    return kind in ("int", "float") and "str" in kinds and not re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?", text)


def from_value(type_: ParameterType, value: Any) -> Any:
    """A typed value (from Python, YAML or JSON), checked. An int is taken for a float; nothing else is converted
    but text for a Path, a date, a datetime or an Enum, and a list for a tuple."""
    match type_.kind:
        case "any":
            source_of(value)
            return _exact(value)
        case "bool" if isinstance(value, bool):
            return value
        case "int" if isinstance(value, int) and not isinstance(value, bool):
            return int(value)
        case "float" if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        case "str" if isinstance(value, str):
            return str(value)
        case "none" if value is None:
            return None
        case "path" if isinstance(value, str | PurePath):
            return PurePosixPath(value)
        case "datetime" if isinstance(value, datetime.datetime | str):
            return datetime.datetime.fromisoformat(value) if isinstance(value, str) else _datetime(value)
        case "date" if isinstance(value, datetime.date | str) and not isinstance(value, datetime.datetime):
            return datetime.date.fromisoformat(value) if isinstance(value, str) else value
        case "enum":
            return _enum(type_, value.name if isinstance(value, enum.Enum) else value)
        case "literal":
            for choice in type_.choices:
                if choice == value and type(choice) is type(value):
                    return choice
        case "union":
            return _union_value(type_, value)
        case "list" if isinstance(value, list | tuple):
            return [from_value(_item(type_, 0), item) for item in value]
        case "tuple" if isinstance(value, list | tuple):
            return _tuple(type_, value)
        case "dict" if isinstance(value, Mapping):
            return {from_value(_item(type_, 0), k): from_value(_item(type_, 1), v) for k, v in value.items()}
    raise TypeError("" if type_.kind == "literal" else f"it is {_article(type(value).__name__)}")


def _exact(value: Any) -> Any:
    """A value of plain types alone: a subclass (numpy's, say) would print or compare as something else."""
    match value:
        case EnumMember() | bool() | None | PurePath():
            return value
        case str():
            return str(value)
        case int():
            return int(value)
        case float():
            return float(value)
        case datetime.datetime():
            return _datetime(value)
        case list():
            return [_exact(item) for item in value]
        case tuple():
            return tuple(_exact(item) for item in value)
        case dict():
            return {_exact(key): _exact(item) for key, item in value.items()}
    return value


def _datetime(value: datetime.datetime) -> datetime.datetime:
    """A datetime of the standard library; one of pandas' may be no time, or finer than a microsecond."""
    made = datetime.datetime.fromisoformat(value.isoformat())
    if made != value:
        raise ValueError("it is finer than a microsecond")
    return made


def _union_value(type_: ParameterType, value: Any) -> Any:
    exact = [member for member in type_.arguments if member.kind == type_of_value(value).kind]
    for member in (*exact, *type_.arguments):
        try:
            return from_value(member, value)
        except (ValueError, TypeError):
            continue
    raise TypeError(f"it is {_article(type(value).__name__)}")


def _tuple(type_: ParameterType, value: Sequence[Any]) -> tuple[Any, ...]:
    if not type_.arguments or type_.variadic:
        return tuple(from_value(_item(type_, 0), item) for item in value)
    if len(value) != len(type_.arguments):
        raise ValueError(f"it has {len(value)} items")
    return tuple(from_value(kind, item) for kind, item in zip(type_.arguments, value, strict=True))


def _item(type_: ParameterType, position: int) -> ParameterType:
    return type_.arguments[position] if position < len(type_.arguments) else ANY


def _float(text: str) -> float:
    value = float(_number_text(text))
    if math.isinf(value) and "inf" not in text.lower():
        raise ValueError("it is larger than a float can be")
    return value


def _number_text(text: str) -> str:
    if "_" in text or text != text.strip():
        raise ValueError("write a number as digits")
    return text


def _bool(text: str) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in words:
        raise ValueError("write true or false")
    return words[text.lower()]


def _none(text: str) -> None:
    if text.lower() not in ("none", "null"):
        raise ValueError("write none")


def _enum(type_: ParameterType, given: Any) -> EnumMember:
    # a name counts before a value: with A = "B" and B = "A", B is the member B
    by_name = [name for name, _ in type_.choices if given in (name, f"{type_.name}.{name}")]
    by_value = [name for name, value in type_.choices if type(given) is type(value) and given == value]
    by_text = [name for name, value in type_.choices if isinstance(given, str) and given == str(value)]
    for name in (*by_name, *by_value, *by_text):
        return EnumMember(name, type_)
    raise ValueError("")


def _choice(type_: ParameterType, text: str) -> Any:
    matching = [choice for choice in type_.choices if str(choice) == text or repr(choice) == text]
    if not matching:
        raise ValueError("")
    return matching[0]


def _structure(type_: ParameterType, text: str) -> Any:
    """A list, dict or tuple from JSON or a Python literal."""
    try:
        return json.loads(text, object_pairs_hook=_without_duplicates)
    except json.JSONDecodeError:
        return _literal(type_, text)


def _literal(type_: ParameterType, text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        raise ValueError(f"write it as JSON or as a Python {type_.kind}") from None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands in it twice")
    return found


def _guess(text: str) -> Any:
    """For a parameter that declares no type: none, a Python literal, else the text."""
    if text.lower() in ("none", "null"):
        return None
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        value = ast.literal_eval(text)
        source_of(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError, BadParameter):
        return text
    return value


def _unknown(name: str, known: Mapping[str, Parameter]) -> BadParameter:
    if not name.isidentifier():
        return BadParameter(f"{name!r} is not a parameter's name: a name is an identifier that the notebook declares")
    near = difflib.get_close_matches(name, known, n=1)
    there = f"the notebook declares {', '.join(known)}" if known else "the notebook has no parameters cell"
    return BadParameter(f"unknown parameter {name}", fix=f"did you mean {near[0]}?" if near else there)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _plural(word: str, items: Sequence[Any]) -> str:
    return word if len(items) == 1 else f"{word}s"


def _article(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"
