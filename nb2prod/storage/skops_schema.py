"""What loading a skops file would import and call, read from its schema: neither skops nor the types are loaded.

A skops file is a ZIP with `schema.json`: a tree of entries that each name a type, its module, and which of skops'
loaders makes it. The loaders differ in what they do with the name, and that is what matters for trust: most make an
empty object and fill it, some look a function up, and some *call* what the file names with arguments of the file.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nb2prod.core.package_contents import NameUse

SCHEMA = "schema.json"
_MOST_BYTES = 256_000_000  # of the schema; one of a thousand trees has ten
_DATA = frozenset({"JsonNode", "SliceNode", "CachedNode"})  # they make plain values, whatever name is beside them
_VALUES = frozenset({"FunctionNode", "TypeNode"})
_MADE = frozenset({"ObjectNode", "TreeNode", "QuantileForestNode", "MethodNode"})


class NotSkops(Exception):
    """The file is no skops file, or one whose schema cannot be read."""


@dataclass(frozen=True, slots=True)
class SkopsSchema:
    """`names` are (name, how it is used), sorted; `unpacked` the bytes of all members; `members` their names."""

    protocol: int
    version: str
    names: tuple[tuple[str, NameUse], ...]
    unpacked: int
    members: tuple[str, ...]


def read(path: Path) -> SkopsSchema:
    """Raises NotSkops, with the reason."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _refuse_members(members)
            schema = json.loads(archive.read(SCHEMA))
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, RecursionError, NotImplementedError, EOFError) as error:
        raise NotSkops(f"it is no skops file ({type(error).__name__})") from error
    except RuntimeError as error:  # a member with a password
        raise NotSkops("its members are encrypted") from error
    if not isinstance(schema, dict) or type(schema.get("protocol")) is not int:
        raise NotSkops("its schema says no protocol")
    return SkopsSchema(
        protocol=schema["protocol"],
        version=str(schema.get("_skops_version", "")),
        names=tuple(sorted(set(_names(schema)))),
        unpacked=sum(member.file_size for member in members),
        members=tuple(member.filename for member in members),
    )


def _refuse_members(members: list[zipfile.ZipInfo]) -> None:
    names = [member.filename for member in members]
    if len(set(names)) != len(names):
        raise NotSkops("two of its members have one name")
    if SCHEMA not in names:
        raise NotSkops(f"it has no {SCHEMA}")
    if next(member for member in members if member.filename == SCHEMA).file_size > _MOST_BYTES:
        raise NotSkops(f"its {SCHEMA} is too large")


def _names(schema: Mapping[str, Any]) -> Iterator[tuple[str, NameUse]]:
    """Every name in the tree, without recursion: a schema may be nested deeper than Python's stack."""
    waiting: list[tuple[Any, bool]] = [(schema, False)]
    while waiting:
        entry, is_called = waiting.pop()
        if isinstance(entry, list):
            waiting += [(one, is_called) for one in entry]
        elif isinstance(entry, dict):
            if "__loader__" in entry:
                yield from ((name, "called" if is_called else use) for name, use in _named(entry))
            # a dictionary's keys are text in the schema, and each is handed to the type that is named for it
            waiting += [(one, is_called or key == "key_types") for key, one in entry.items()]


def _named(entry: Mapping[str, Any]) -> Iterator[tuple[str, NameUse]]:
    loader, module, last = entry["__loader__"], entry.get("__module__"), entry.get("__class__")
    if not isinstance(loader, str) or not isinstance(module, str) or not isinstance(last, str):
        raise NotSkops("an entry of its schema names no loader, module and class")
    if loader in _DATA:
        return
    yield f"{module}.{last}", _use(loader)
    if loader == "MethodNode":
        yield f"{module}.{last}.{_text(entry, 'content', 'func')}", "value"
    if loader == "RandomGeneratorNode":
        yield f"numpy.random.{_bit_generator(entry)}", "called"


def _use(loader: str) -> NameUse:
    if loader in _VALUES:
        return "value"
    return "made" if loader in _MADE else "called"


def _text(entry: Any, *keys: str) -> str:
    for key in keys:
        entry = entry.get(key) if isinstance(entry, dict) else None
    if not isinstance(entry, str):
        raise NotSkops("an entry of its schema names no function")
    return entry


def _bit_generator(entry: Mapping[str, Any]) -> str:
    """skops keeps this class's name as JSON within JSON."""
    try:
        return str(json.loads(_text(entry, "content", "bit_generator", "content", "bit_generator", "content")))
    except ValueError as error:
        raise NotSkops("an entry of its schema names no bit generator") from error
