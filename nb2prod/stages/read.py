"""A notebook file is read: any form that a notebook is kept in, in memory; nothing executed, nothing written."""

from __future__ import annotations

import difflib
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nb2prod.core.errors import NotANotebook, StoreError
from nb2prod.core.finding import Finding
from nb2prod.core.notebook import Cell, Notebook
from nb2prod.storage import notebook_file
from nb2prod.storage.notebook_file import part

PATIENCE = 1.0  # seconds that somebody may take to save a notebook


def read(path: Path) -> Notebook:
    """The notebook at `path`. Raises NotANotebook with the place, or StoreError when there is no file to read."""
    content = _bytes(path)
    document = notebook_file.parsed(path, content)
    metadata = document.metadata
    cells = notebook_file.cells(path, document)
    if "metadata" in document.content and not isinstance(document.content["metadata"], dict):
        raise notebook_file.not_a_notebook(path, "its metadata is no object")
    _refuse_other_languages(path, metadata)
    kernel = part(metadata, "kernelspec").get("name")
    return Notebook(
        path=path,
        cells=cells,
        kernel=str(kernel) if kernel else None,
        format=document.format,
        digest=hashlib.sha256(content).hexdigest(),
        notes=(*_repeated_ids(cells), *_kernel_notes(metadata)),
        metadata=metadata,
    )


def _bytes(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        end = time.monotonic() + PATIENCE
        while _is_being_written(path, content) and time.monotonic() < end:
            time.sleep(0.05)
            content = path.read_bytes()
        return content
    except IsADirectoryError as error:
        raise NotANotebook("it is a folder", where=str(path), fix="name a notebook in it") from error
    except FileNotFoundError as error:
        beside = [there.name for pattern in ("*.ipynb", "*.py") for there in path.parent.glob(pattern)]
        near = difflib.get_close_matches(path.name, beside, n=1)
        fix = f"did you mean {path.parent / near[0]}?" if near else "check the path"
        raise StoreError("there is no such file", where=str(path), fix=fix) from error
    except OSError as error:
        raise StoreError(f"it cannot be read: {error.strerror}", where=str(path)) from error


def _is_being_written(path: Path, content: bytes) -> bool:
    """Jupyter empties a notebook's file and writes it anew when it saves: meanwhile it is empty, or has no end."""
    whole = content.rstrip().endswith(b"}") if path.suffix == ".ipynb" else bool(content)
    return not whole and time.time() - path.stat().st_mtime < PATIENCE


def _refuse_other_languages(path: Path, metadata: dict[str, Any]) -> None:
    kernel, about = part(metadata, "kernelspec"), part(metadata, "language_info")
    language = str(kernel.get("language") or about.get("name") or "python")
    if not language.lower().startswith(("python", "ipython")):
        raise NotANotebook(f"it is written in {language}", where=str(path), fix="nb2prod reads Python notebooks")


def _repeated_ids(cells: tuple[Cell, ...]) -> Iterator[Finding]:
    seen: dict[str, int] = {}
    for cell in cells:
        if cell.id and cell.id in seen:
            message = f"the cell has the same id as cell {seen[cell.id]} ({cell.id!r})"
            yield Finding("duplicate-cell-id", "warning", message, "cells are told apart by position", cell.index)
        seen.setdefault(cell.id, cell.index)


def _kernel_notes(metadata: dict[str, Any]) -> Iterator[Finding]:
    name = part(metadata, "kernelspec").get("name")
    version = str(part(metadata, "language_info").get("version", ""))
    if not name:
        message = "the notebook names no kernel: it runs with the current interpreter"
        yield Finding("no-kernel", "note", message, "choose a kernel in Jupyter and save")
    if name == "python2" or version.startswith("2."):
        message = f"the notebook was written for Python {version or '2'}: what means something else in Python 3 gives "
        fix = "rewrite it for Python 3 (2to3 does most of it); divide with `//`; run it with --kernel python3"
        yield Finding("python-2", "warning", f"{message}other values or fails", fix)
