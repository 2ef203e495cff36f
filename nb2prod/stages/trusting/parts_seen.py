"""What a package's own loading code is told by files beside the model: `model.json` of a model in parts, `routes.json`
of many models behind one. That code opens what they name, so they may name nothing but their neighbours.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

PARTS = "artifacts/model/model.json"
ROUTES = "artifacts/models/routes.json"
FORMATS = ("json", "skops", "cloudpickle", "statsmodels", "xgboost", "lightgbm")


def formats(folder: Path, names: frozenset[str]) -> tuple[str, ...]:
    """How the parts of a model are written; those of a map are pickles."""
    if ROUTES in names:
        return ("cloudpickle",)
    return tuple(sorted({str(part.get("format")) for part in _parts(folder, names)} - {"json"}))


def trusted(folder: Path, names: frozenset[str]) -> tuple[str, ...]:
    """The types that the parts ask to be trusted."""
    found = {str(name) for part in _parts(folder, names) for name in part.get("trusted") or ()}
    return tuple(sorted(found))


def problems(folder: Path, names: frozenset[str], module: str, defined: frozenset[str]) -> Iterator[str]:
    """`defined` is what the package's module, of this name, defines."""
    if PARTS in names:
        yield from _of_parts(_json(folder / PARTS), names, module, defined)
    if ROUTES in names:
        yield from _of_routes(_json(folder / ROUTES), names)


def slices(shard: Path) -> Iterator[bytes]:
    """What the package's code reads of one file of models: what `routes.json` says, whatever is there."""
    content = _json(shard.parent / ROUTES.rpartition("/")[2])
    with shard.open("rb") as file:
        for place in _places(content):
            if _shard(place) == shard.name and all(type(number) is int and number >= 0 for number in place[1:3]):
                file.seek(place[1])
                yield file.read(place[2])


def _parts(folder: Path, names: frozenset[str]) -> list[Mapping[str, Any]]:
    content = _json(folder / PARTS) if PARTS in names else {}
    listed = content.get("parts")
    return [part for part in listed if isinstance(part, dict)] if isinstance(listed, list) else []


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _of_parts(content: Mapping[str, Any], names: frozenset[str], module: str, defined: frozenset[str]) -> Iterator[str]:
    home = PARTS.rpartition("/")[0]
    parts = content.get("parts")
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        yield f"{PARTS} lists no parts"
        return
    for part in parts:
        if part.get("format") not in FORMATS:
            yield f"{PARTS} has a part that is written as {part.get('format')}"
        file = part.get("file")
        if part.get("format") != "json" and (not _is_neighbour(file) or f"{home}/{file}" not in names):
            yield f"{PARTS} names {file}, which is not beside it"
    asked = content.get("module") or ""
    asking = content.get("asking")
    function = asking.get("function", "") if isinstance(asking, dict) else ""
    if asked and asked != module:
        yield f"{PARTS} takes the notebook's code from {asked}, which is not the package's module"
    if function and (not asked or function not in defined):
        yield f"{PARTS} asks for the function {asked}.{function}, which the package's module does not define"
    methods = asking.get("methods", ()) if isinstance(asking, dict) else ()
    for method in methods if isinstance(methods, list) else ["?"]:
        if not isinstance(method, str) or not method.isidentifier() or method.startswith("_"):
            yield f"{PARTS} asks the model by {method}"


def _of_routes(content: Mapping[str, Any], names: frozenset[str]) -> Iterator[str]:
    home = ROUTES.rpartition("/")[0]
    for shard in sorted({_shard(place) for place in _places(content)}):
        if not _is_neighbour(shard) or f"{home}/{shard}" not in names:
            yield f"{ROUTES} names {shard}, which is not beside it"


def _places(content: Mapping[str, Any]) -> list[Any]:
    models, fallback = content.get("models"), content.get("fallback_model")
    return [*(models.values() if isinstance(models, dict) else [None]), *([] if fallback is None else [fallback])]


def _shard(place: Any) -> str:
    """A place is a file with offset, length and digest."""
    return place[0] if isinstance(place, list) and place and isinstance(place[0], str) else "?"


def _is_neighbour(name: Any) -> bool:
    return isinstance(name, str) and bool(name) and "/" not in name and "\\" not in name and name not in (".", "..")
