"""A notebook file is read: any nbformat version, upgraded in memory; nothing executed, nothing written."""

from __future__ import annotations

import difflib
import hashlib
import json
from pathlib import Path
from typing import Any

from nb2prod.core.errors import NotANotebook, StoreError
from nb2prod.core.finding import Finding
from nb2prod.core.notebook import Cell, Notebook


def read(path: Path) -> Notebook:
    """The notebook at `path`. Raises NotANotebook with the place, or StoreError when there is no file to read."""
    content = _bytes(path)
    raw = _document(path, content)
    version = (raw.get("nbformat"), raw.get("nbformat_minor", 0))
    document = raw if version[0] == 4 else _upgraded(path, raw)
    metadata = document.get("metadata", {})
    if not isinstance(metadata, dict):
        raise _not_a_notebook(path, "its metadata is no object")
    cells = tuple(_cell(path, index, cell) for index, cell in enumerate(document["cells"]))
    kernel, language_info = _object(metadata, "kernelspec"), _object(metadata, "language_info")
    language = kernel.get("language") or language_info.get("name")
    if language and str(language).lower() not in ("python", "ipython"):
        raise NotANotebook(f"it is written in {language}", where=str(path), fix="nb2prod reads Python notebooks")
    return Notebook(
        path=path,
        cells=cells,
        kernel=str(kernel["name"]) if kernel.get("name") else None,
        format=f"{version[0]}.{version[1]}",
        digest=hashlib.sha256(content).hexdigest(),
        notes=tuple(_notes(cells, metadata)),
    )


def _object(metadata: dict[str, Any], name: str) -> dict[str, Any]:
    value = metadata.get(name)
    return value if isinstance(value, dict) else {}


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except IsADirectoryError as error:
        raise NotANotebook("it is a folder", where=str(path), fix="name a notebook in it") from error
    except FileNotFoundError as error:
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.ipynb")], n=1)
        fix = f"did you mean {path.parent / near[0]}?" if near else "check the path"
        raise StoreError("there is no such file", where=str(path), fix=fix) from error
    except OSError as error:
        raise StoreError(f"it cannot be read: {error.strerror}", where=str(path)) from error


def _document(path: Path, content: bytes) -> dict[str, Any]:
    if not content.strip():
        raise _not_a_notebook(path, "the file is empty")
    try:
        document = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise _not_a_notebook(path, f"it is not UTF-8 (byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise _not_a_notebook(
            path, f"it is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from error
    except ValueError as error:
        raise _not_a_notebook(path, f"its JSON cannot be read: {error}") from error
    except RecursionError as error:
        raise _not_a_notebook(path, "its JSON is nested too deeply") from error
    if not isinstance(document, dict):
        raise _not_a_notebook(path, f"its top level is a {type(document).__name__}, not an object")
    if document.get("nbformat") == 4 or "cells" in document:
        if not isinstance(document.get("cells"), list):
            raise _not_a_notebook(path, "it has no list `cells`")
        document.setdefault("nbformat", 4)
    elif "worksheets" not in document:
        raise _not_a_notebook(path, "it has neither `cells` nor `worksheets`")
    return document


def _upgraded(path: Path, document: dict[str, Any]) -> dict[str, Any]:
    """nbformat 3 and older, through nbformat's own upgrade; the file stays as it is."""
    import nbformat

    try:
        notebook = nbformat.reads(json.dumps(document), as_version=4)
    except Exception as error:
        raise _not_a_notebook(path, f"nbformat cannot upgrade it: {error}") from error
    return dict(notebook)


def _cell(path: Path, index: int, cell: Any) -> Cell:
    if not isinstance(cell, dict) or cell.get("cell_type") not in ("code", "markdown", "raw"):
        raise _not_a_notebook(path, f"cell {index} has no known cell_type")
    source = cell.get("source", "")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        raise _not_a_notebook(path, f"the source of cell {index} is neither text nor a list of lines")
    metadata = _object(cell, "metadata")
    tags = metadata.get("tags", [])
    if not isinstance(tags, list):
        raise _not_a_notebook(path, f"the tags of cell {index} are no list")
    return Cell(
        index=index,
        kind=cell["cell_type"],
        source=source.replace("\r\n", "\n").replace("\r", "\n"),
        tags=tuple(str(tag) for tag in tags),
        id=str(cell.get("id", "")),
        execution_count=cell.get("execution_count"),
        metadata=metadata,
    )


def _notes(cells: tuple[Cell, ...], metadata: dict[str, Any]) -> list[Finding]:
    notes: list[Finding] = []
    seen: dict[str, int] = {}
    for cell in cells:
        if cell.id and cell.id in seen:
            message = f"the cell has the same id as cell {seen[cell.id]} ({cell.id!r})"
            notes.append(
                Finding("duplicate-cell-id", "warning", message, "cells are told apart by position", cell.index)
            )
        seen.setdefault(cell.id, cell.index)
    if not _object(metadata, "kernelspec").get("name"):
        message = "the notebook names no kernel: it runs with the current interpreter"
        notes.append(Finding("no-kernel", "note", message, "choose a kernel in Jupyter and save"))
    return notes


def _not_a_notebook(path: Path, reason: str) -> NotANotebook:
    return NotANotebook(f"not a notebook: {reason}", where=str(path), fix="open it in Jupyter and save it again")
