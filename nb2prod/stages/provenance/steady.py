"""A package's model files, made the same bytes whenever and wherever the same model is written.

Libraries write more than the model: skops names every object by its address in memory and stamps its files with the
time, MLflow draws a random id and takes the clock. Here a skops file gets its objects numbered in the order in which
they are read, sets in an order of their own and the one date that a zip file can always have. In pickles sets are
ordered too (`steady_pickle`). Attributes in which scikit-learn keeps an address in memory become 0, which no process
has for an address. `MLmodel` gets an id made from what it describes, and the moment only where `SOURCE_DATE_EPOCH` says
which one is meant.

What comes out is proved like any model: it is this file that the fresh process loads.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from nb2prod.core.errors import UsageError
from nb2prod.stages.provenance.steady_pickle import ADDRESSES, steady_pickle
from nb2prod.storage.files import digest_of, write_bytes

MODEL = "MLmodel"
SCHEMA = "schema.json"
EPOCH = "SOURCE_DATE_EPOCH"
PROOF = "parity"  # what is in there is named by its digest already, and is written by nb2prod
_FROZEN = ("ConstructorFromReduceNode", "builtins", "frozenset")
EARLIEST = (1980, 1, 1, 0, 0, 0)  # of a zip file


def make_steady(folder: Path) -> None:
    """Rewrite what was written into `folder` by skops, pickle and MLflow. Nothing else of the package is there yet."""
    change = 0
    for path in sorted(folder.rglob("*")):
        rewrite = _REWRITES.get(path.suffix) if path.parent.name != PROOF else None
        if rewrite is None or not path.is_file():
            continue
        before = path.read_bytes()
        after = rewrite(before)
        if after != before:
            write_bytes(path, after)
            change += len(after) - len(before)
    _steady_description(folder, change)


def created() -> dict[str, str]:
    """What `package.json` says of the moment: nothing, where none is meant."""
    when = moment()
    return {} if when is None else {"created": when.isoformat(timespec="seconds")}


def moment() -> datetime | None:
    """The moment that `SOURCE_DATE_EPOCH` names, as other makers of reproducible files take it; else None."""
    text = os.environ.get(EPOCH, "")
    if not text:
        return None
    try:
        return datetime.fromtimestamp(int(text), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(
            f"{EPOCH} is {text!r}, not a number of seconds", fix="give the seconds since 1970, or unset it"
        ) from error


# -- MLmodel --------------------------------------------------------------------------------------------------------


def _steady_description(folder: Path, change: int) -> None:
    """`change` is by how many bytes the model's files grew since MLflow counted them."""
    import yaml

    path = folder / MODEL
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name in ("model_uuid", "utc_time_created", "run_id"):
        content.pop(name, None)
    if "model_size_bytes" in content:
        content["model_size_bytes"] += change
    when = moment()
    if when is not None:
        content["utc_time_created"] = str(when.replace(tzinfo=None))
    content["model_uuid"] = _identity(folder, content)
    write_bytes(path, yaml.safe_dump(content, allow_unicode=True, default_flow_style=False).encode())


def _identity(folder: Path, content: dict[str, Any]) -> str:
    """An id that is the same for the same content, as MLflow writes one."""
    files = {
        path.relative_to(folder).as_posix(): digest_of(path)
        for path in folder.rglob("*")
        if path.is_file() and path.name != MODEL
    }
    text = json.dumps([content, sorted(files.items())], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


# -- skops ----------------------------------------------------------------------------------------------------------


def steady_skops(raw: bytes) -> bytes:
    """The same objects in a skops file whose bytes depend on nothing but them."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        schema = json.loads(archive.read(SCHEMA))
        members = {name: archive.read(name) for name in archive.namelist() if name != SCHEMA}
    names = _numbered(schema, members)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for old, new in names.items():
            archive.writestr(zipfile.ZipInfo(new, EARLIEST), members[old])
        archive.writestr(zipfile.ZipInfo(SCHEMA, EARLIEST), json.dumps(schema, separators=(",", ":")))
    return written.getvalue()


def _numbered(schema: Any, members: dict[str, bytes]) -> dict[str, str]:
    """Number objects and files in the order of reading, in place; returns each file's old name with its new one."""
    _order_sets(schema)
    _forget_addresses(schema)
    objects: dict[Any, int] = {}
    names: dict[str, str] = {}
    for state in _states(schema):
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


def _states(value: Any) -> Iterator[dict[str, Any]]:
    """Every object's state in the schema, before those that it holds. A user's dictionary may have any key, so what
    is told by it is that its loader is a word.
    """
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(value.get("__loader__"), str):
                yield value
            waiting.extend(reversed(value.values()))
        elif isinstance(value, list):
            waiting.extend(reversed(value))


def _order_sets(schema: Any) -> None:
    """A set of text is in another order in each process; inner sets come first, as the order looks into them."""
    for elements in reversed([elements for state in _states(schema) if (elements := _elements(state)) is not None]):
        elements.sort(key=_without_numbers)


def _elements(state: dict[str, Any]) -> list[Any] | None:
    """The elements of a set; None for any other object. A frozenset is written as the list that it is made from."""
    if state["__loader__"] == "SetNode":
        return cast(list[Any], state["content"])
    if (state["__loader__"], state["__module__"], state["__class__"]) == _FROZEN:
        return cast(list[Any], state["content"]["content"][0]["content"])
    return None


def _forget_addresses(schema: Any) -> None:
    for state in _states(schema):
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


_REWRITES: dict[str, Callable[[bytes], bytes]] = {".skops": steady_skops, ".pkl": steady_pickle}
