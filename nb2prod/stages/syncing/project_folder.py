"""A project's folder: what it was when it was exported, and what it is now."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from nb2prod.core.errors import NotProved, StoreError, UsageError
from nb2prod.core.origin import FILE, SCHEMA, Origin, Piece
from nb2prod.storage import codec

OURS, THEIRS = "<<<<<<< ", ">>>>>>> "


def read_origin(project: Path) -> Origin:
    """Raises UsageError for a folder that is no exported project, StoreError for a file that is spoilt."""
    path = project / FILE
    try:
        content = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        fix = "name the folder that `nb2prod export --to project` wrote, with this file in it"
        raise UsageError(f"it has no {FILE}, so nobody knows what it came from", where=str(project), fix=fix) from error
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"it cannot be read: {error}", where=str(path)) from error
    try:
        return origin_from(content)
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        fix = "take it back from the project's history, or export again"
        raise StoreError(f"it is spoilt: {error}", where=str(path), fix=fix) from error


def origin_from(content: str) -> Origin:
    """Raises ValueError, KeyError, TypeError or zlib.error for what is none."""
    document = json.loads(content)
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise ValueError(f"its schema is not {SCHEMA}")
    texts = json.loads(zlib.decompress(base64.b64decode(document["texts"])))
    _refuse_outside([*texts, *document["data"], *(place["file"] for place in document["places"])])
    places = [{**place, "pieces": [codec.plain(Piece(*p)) for p in place["pieces"]]} for place in document["places"]]
    fields = {name: value for name, value in document.items() if name != "schema"}
    origin: Origin = codec.build(Origin, {**fields, "places": places, "texts": texts})
    return origin


def _refuse_outside(names: list[str]) -> None:
    """A name in the file is never a way to a file outside of the project."""
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise ValueError(f"it names {name!r}")


def texts_now(project: Path, origin: Origin) -> dict[str, str]:
    """The project's files: those that were exported, as far as they are there, and further Python files of it."""
    names = [*origin.texts, *_further(project, origin)]
    return {name: text for name in names if (text := read_text(project / name)) is not None}


def read_text(path: Path) -> str | None:
    """None when there is no file. Line ends are LF."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise StoreError("it is not UTF-8", where=str(path), fix="save it as UTF-8") from error


def _further(project: Path, origin: Origin) -> Iterator[str]:
    for folder in (f"src/{origin.package}", "tests"):
        for path in sorted((project / folder).rglob("*.py")):
            name = path.relative_to(project).as_posix()
            if name not in origin.texts and "__pycache__" not in name:
                yield name


def refuse_markers(texts: Mapping[str, str], project: Path) -> None:
    """A conflict that was left in a file is resolved first."""
    for name, text in texts.items():
        for number, line in enumerate(text.split("\n"), 1):
            if line.startswith((OURS, THEIRS)):
                raise NotProved(
                    "a conflict of an earlier update is still open",
                    where=f"{project / name}:{number}",
                    fix="decide for one side or join both, and take the markers out",
                )
