"""A model as a skops file whose bytes depend on nothing but the model, and the model that such a file gives back.

skops names every object by its address in memory, stamps its files with the time and writes sets in the order that this
process has for text. Here objects are numbered in the order in which they are read, sets have an order of their own,
and the moment is the first one of a zip file. Attributes in which scikit-learn keeps an address become 0.

For a forest of 200 trees most of what skops' public functions take goes into spaces: they indent the file's schema, for
which Python has no fast writer, and they read a file twice, once for its types and once for the model. The two halves
of which they are made are called here instead, for the releases of skops where both ways give the same (a test
compares them); with any other release its public functions are called.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

SCHEMA = "schema.json"
EARLIEST = (1980, 1, 1, 0, 0, 0)  # of a zip file
# attributes whose value is the `id` of something, kept to see whether it is the same still
ADDRESSES = frozenset({"_stop_words_id"})
COMPARED = ("0.16.",)
_FROZEN = ("ConstructorFromReduceNode", "builtins", "frozenset")


@dataclass(frozen=True, slots=True)
class Opened:
    """A file that was read, of which nothing is made yet. `untrusted` are its types beyond skops' own list; `make`
    gives the model, and must be called only when each of them may be made.
    """

    untrusted: tuple[str, ...]
    make: Callable[[], Any]


def dumps(model: Any) -> bytes:
    """The file. Raises, in many ways, what skops raises for a model that it cannot write."""
    import skops.io

    return _dumps_by_halves(model) if is_compared() else steady(skops.io.dumps(model))


def opened(raw: bytes) -> Opened:
    """Read a file, for its types and then for the model."""
    import skops.io

    if is_compared():
        return _opened_by_halves(raw)
    untrusted = tuple(skops.io.get_untrusted_types(data=raw))
    return Opened(untrusted, lambda: skops.io.loads(raw, trusted=list(untrusted)))


def is_compared() -> bool:
    import skops

    return bool(skops.__version__.startswith(COMPARED))


def steady(raw: bytes) -> bytes:
    """The same objects in a file whose bytes depend on nothing but them."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        schema = json.loads(archive.read(SCHEMA))
        members = {name: archive.read(name) for name in archive.namelist() if name != SCHEMA}
    return _archive(schema, members)


def states(schema: Any) -> Iterator[dict[str, Any]]:
    """Every object's state in the schema, before those that it holds. A user's dictionary may have any key, so what
    is told by it is that its loader is a word.
    """
    waiting = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(value.get("__loader__"), str):
                yield value
            waiting.extend(reversed(value.values()))
        elif isinstance(value, list):
            waiting.extend(reversed(value))


# -- the halves of skops' public functions ---------------------------------------------------------------------------


class _Members:
    """What skops writes an archive with, as far as it does: it looks the names up for every array."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}

    def namelist(self) -> Iterable[str]:
        return self.content

    def writestr(self, name: str, content: bytes | memoryview) -> None:
        self.content[name] = bytes(content)


def _dumps_by_halves(model: Any) -> bytes:
    import skops
    from skops.io._utils import SaveContext, get_state

    members = _Members()
    written = SaveContext(zip_file=members)  # which holds the objects whose addresses are names meanwhile
    state = get_state(model, written)
    state |= {"protocol": written.protocol, "_skops_version": skops.__version__}
    return _archive(json.loads(json.dumps(state)), members.content)


def _opened_by_halves(raw: bytes) -> Opened:
    from skops.io._audit import get_tree
    from skops.io._utils import read_schema

    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        tree = get_tree(*read_schema(archive), trusted=None)
    return Opened(tuple(sorted(tree.get_unsafe_set())), tree.construct)


# -- the same bytes --------------------------------------------------------------------------------------------------


def _archive(schema: Any, members: dict[str, bytes]) -> bytes:
    names = _numbered(schema, members)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for old, new in names.items():
            archive.writestr(zipfile.ZipInfo(new, EARLIEST), members[old])
        archive.writestr(zipfile.ZipInfo(SCHEMA, EARLIEST), json.dumps(schema, separators=(",", ":")))
    return written.getvalue()


def _numbered(schema: Any, members: dict[str, bytes]) -> dict[str, str]:
    """Number objects and files in the order of reading, in place; returns each file's old name with its new one."""
    objects: dict[Any, int] = {}
    names: dict[str, str] = {}
    for state in _in_order(schema):
        if "__id__" in state:
            state["__id__"] = objects.setdefault(_object(state), len(objects))
        file = state.get("file")
        if isinstance(file, str) and file in members:
            state["file"] = names.setdefault(file, f"{len(names)}{Path(file).suffix}")
    return {**names, **{name: name for name in sorted(members.keys() - names.keys())}}


def _object(state: dict[str, Any]) -> Any:
    """Which object this is: plain values are one when they are equal, whether Python keeps one or two of them."""
    if state["__loader__"] == "JsonNode":
        return state["__class__"], state["__module__"], state["content"]
    return state["__id__"]


def _in_order(schema: Any) -> list[dict[str, Any]]:
    """The states, once every set has its order and no address is left.

    A set of text is in another order in each process. Inner sets come first, as the order looks into them.
    """
    found = list(states(schema))
    sets = [elements for state in found if (elements := _elements(state)) is not None]
    for elements in reversed(sets):
        elements.sort(key=_without_numbers)
    for state in found:
        _forget_addresses(state)
    return list(states(schema)) if sets else found


def _elements(state: dict[str, Any]) -> list[Any] | None:
    """The elements of a set; None for any other object. A frozenset is written as the list that it is made from."""
    if state["__loader__"] == "SetNode":
        return cast(list[Any], state["content"])
    if (state["__loader__"], state["__module__"], state["__class__"]) == _FROZEN:
        return cast(list[Any], state["content"]["content"][0]["content"])
    return None


def _forget_addresses(state: dict[str, Any]) -> None:
    held = state["content"] if state["__loader__"] == "DictNode" else {}
    for name in ADDRESSES & held.keys():
        held[name]["content"] = "0"


def _without_numbers(value: Any) -> str:
    """An element of a set, told without its address. Elements that are equal are one."""

    def told(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: told(item) for key, item in value.items() if not _is_number(key, item)}
        return [told(item) for item in value] if isinstance(value, list) else value

    return json.dumps(told(value))


def _is_number(key: str, item: Any) -> bool:
    return key in ("__id__", "file") and isinstance(item, int | str)
