"""The house's values as JSON and back: `build(type(value), plain(value)) == value` where JSON can hold the rest."""

from __future__ import annotations

import collections.abc
import dataclasses
import types
import typing
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any


def plain(value: Any) -> Any:
    """A value as JSON has it: dataclasses and mappings become objects, tuples lists, what is left its text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return str(value)


@cache
def _fields(kind: type) -> Mapping[str, Any]:
    return typing.get_type_hints(kind)


def build(kind: Any, content: Any) -> Any:
    """Give JSON back the type it was written from: dataclasses, tuples, mappings, paths; anything else as it is."""
    origin = typing.get_origin(kind)
    if content is None:
        return None
    if origin in (types.UnionType, typing.Union):
        members = [member for member in typing.get_args(kind) if member is not types.NoneType]
        return build(members[0], content) if len(members) == 1 else content
    if origin is tuple:
        arguments = typing.get_args(kind)
        items = arguments[:1] * len(content) if arguments[-1] is Ellipsis else arguments
        return tuple(build(item, value) for item, value in zip(items, content, strict=True))
    if origin is collections.abc.Mapping:
        inner = typing.get_args(kind)[1]
        return {key: build(inner, value) for key, value in content.items()}
    if kind is Path:
        return Path(content)
    if dataclasses.is_dataclass(kind):
        fields = _fields(typing.cast(type, kind))
        return typing.cast(Any, kind)(**{name: build(fields[name], value) for name, value in content.items()})
    return content
