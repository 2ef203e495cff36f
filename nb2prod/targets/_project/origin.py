"""Where the project's code comes from, for the way back: kept in the project as a file that nothing of it reads."""

from __future__ import annotations

import ast
import base64
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from nb2prod.core.notebook import Notebook
from nb2prod.core.origin import SCHEMA, Origin, Piece, Place
from nb2prod.core.pipeline import Pipeline
from nb2prod.language.plain import plain
from nb2prod.language.surroundings import is_import
from nb2prod.storage import codec, files
from nb2prod.targets._project.cells import Statement
from nb2prod.targets._project.code import function_names
from nb2prod.targets._project.meaning import STATE, Meaning, Unit


def origin_of(
    found: Meaning,
    units: Sequence[Unit],
    package: str,
    destination: Path,
    written: Sequence[str],
    copied: Sequence[str],
) -> Origin:
    """`written` are the project's own files, `copied` its data."""
    return Origin(
        notebook=found.pipeline.notebook.path.name,
        package=package,
        places=(*_steps(found, units, package), *_module(found, package)),
        renamed=dict(found.changes.renamed),
        passed=dict(found.changes.passed),
        imports=_imports_end(found.pipeline),
        texts={name: (destination / name).read_text(encoding="utf-8") for name in written},
        data={name: files.digest_of(destination / name) for name in copied},
    )


def _steps(found: Meaning, units: Sequence[Unit], package: str) -> Iterator[Place]:
    names = function_names(found, units)
    notebook = found.pipeline.notebook
    for unit in units:
        cell, at = unit.tail_at
        end = _behind(notebook, cell, at)
        yield Place(f"src/{package}/steps.py", names[unit.name], (*map(_piece, unit.statements), end), unit.step)


def _module(found: Meaning, package: str) -> Iterator[Place]:
    if not found.module:
        return
    last = found.module[-1]
    declared = [Piece(last.cell, 1, 1, 0, made=True)] * len(found.declared)
    end = Piece(last.cell, last.end + 1, last.end + 1, last.end, made=True)
    yield Place(f"src/{package}/{STATE}.py", "", (*declared, *map(_piece, found.module), end))


def _piece(statement: Statement) -> Piece:
    return Piece(statement.cell, statement.above, statement.line, statement.end, statement.made)


def _behind(notebook: Notebook, cell: int, above: int) -> Piece:
    lines = notebook.cells[cell].source.count("\n") + 1
    return Piece(cell, min(above or lines + 1, lines + 1), lines + 1, lines, made=True)


def _imports_end(pipeline: Pipeline) -> tuple[int, int] | None:
    """The end of the imports in the first cell that is for them, or in the first that has some and a role."""
    ends: list[tuple[str, int, int]] = []
    for index, role in enumerate(pipeline.roles):
        tree = plain(role.body).tree if role is not None and role.kind not in ("exploration", "skip", "test") else None
        there = (
            [node for node in tree.body if is_import(node) and isinstance(node, ast.Import | ast.ImportFrom)]
            if tree
            else []
        )
        if role is not None and there:
            ends.append((role.kind, index, (there[-1].end_lineno or there[-1].lineno) + role.line_offset))
    ends.sort(key=lambda end: (end[0] != "imports", end[0] == "step", end[1]))
    return (ends[0][1], ends[0][2]) if ends else None


# -- the file ---------------------------------------------------------------------------------------------------------


def as_text(origin: Origin) -> str:
    """Legible where a person may look; the texts are packed, so that a search in the project finds each line once."""
    document = codec.plain(origin)
    packed = zlib.compress(json.dumps(document.pop("texts"), ensure_ascii=False).encode(), 9)
    places = [{**place, "pieces": [list(piece.values()) for piece in place["pieces"]]} for place in document["places"]]
    document = {"schema": SCHEMA, **document, "places": places, "texts": base64.b64encode(packed).decode()}
    return _short(document)


def _short(document: Mapping[str, object]) -> str:
    """JSON with one line for each place."""
    lines = []
    for name, value in document.items():
        if name == "places" and isinstance(value, list):
            inner = ",\n".join(f"    {json.dumps(place, ensure_ascii=False)}" for place in value)
            lines.append(f'  "places": [\n{inner}\n  ]')
        else:
            lines.append(f"  {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"
