"""A notebook file: its bytes become one document of nbformat 4, whatever it was, and the document's cells values.

    .ipynb of nbformat 4      its JSON, as lenient as Jupyter is
    .ipynb of nbformat 1-3    upgraded by nbformat, in memory
    .py                       by `scripts.py`: jupytext's formats, Databricks

Nothing is validated that is not needed: saved outputs are neither copied nor looked at, so that reading takes about
the time that parsing the JSON takes.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nb2prod.core.errors import NotANotebook
from nb2prod.core.notebook import Cell

# what is often saved under a notebook's name by mistake: the beginning of the file, what it is, what to do
TAKEN_FOR_NOTEBOOKS: tuple[tuple[bytes, str, str], ...] = (
    (rb"\s*<(!DOCTYPE|html)", "it is a web page", "download the file itself (on GitHub: Raw)"),
    (rb"version https://git-lfs", "it is a pointer of Git LFS", "fetch the file: git lfs pull"),
    (rb"PK\x03\x04", "it is a zip archive", "unpack it"),
    (rb"\x1f\x8b", "it is compressed with gzip", "unpack it"),
)
CONFLICT = re.compile(rb"^<<<<<<< ", re.MULTILINE)
SAVE_AGAIN = "open it in Jupyter and save it again"


@dataclass(frozen=True, slots=True)
class Document:
    """`content` is a notebook of nbformat 4 as JSON has it, with a list of `cells`; `format` is what the file was."""

    content: dict[str, Any]
    format: str

    @property
    def metadata(self) -> dict[str, Any]:
        return part(self.content, "metadata")


def parsed(path: Path, content: bytes) -> Document:
    """Raises NotANotebook with the place."""
    if not content.strip(b"\xef\xbb\xbf \t\r\n"):
        raise not_a_notebook(path, "the file is empty")
    if path.suffix.lower() == ".py":
        from nb2prod.storage import scripts

        return Document(*scripts.parsed(path, content))
    raw = _json(path, content)
    version = _version(path, raw)
    if version[0] == 4:
        return Document(raw, f"{version[0]}.{version[1]}")
    return Document(_upgraded(path, raw), f"{version[0]}.{version[1]}")


def cells(path: Path, document: Document) -> tuple[Cell, ...]:
    """The document's cells as values. Raises NotANotebook for one that is none."""
    return tuple(_cell(path, index, cell) for index, cell in enumerate(document.content["cells"]))


def part(value: dict[str, Any], name: str) -> dict[str, Any]:
    """An object inside of another, empty where there is none, or something else."""
    inner = value.get(name)
    return inner if isinstance(inner, dict) else {}


def not_a_notebook(path: Path, reason: str, fix: str = SAVE_AGAIN) -> NotANotebook:
    return NotANotebook(f"not a notebook: {reason}", where=str(path), fix=fix)


# -- JSON -----------------------------------------------------------------------------------------------------------


def _json(path: Path, content: bytes) -> dict[str, Any]:
    for beginning, what, fix in TAKEN_FOR_NOTEBOOKS:
        if re.match(beginning, content, re.IGNORECASE):
            raise not_a_notebook(path, what, fix)
    try:
        document = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise not_a_notebook(path, f"it is not UTF-8 (byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise _no_json(path, content, error) from error
    except ValueError as error:
        raise not_a_notebook(path, f"its JSON cannot be read: {error}") from error
    except RecursionError as error:
        raise not_a_notebook(path, "its JSON is nested too deeply") from error
    if not isinstance(document, dict):
        raise not_a_notebook(path, f"its top level is a {type(document).__name__}, not an object")
    return document


def _no_json(path: Path, content: bytes, error: json.JSONDecodeError) -> NotANotebook:
    conflict = CONFLICT.search(content)
    if conflict:
        line = content[: conflict.start()].count(b"\n") + 1
        return not_a_notebook(path, f"it holds a merge conflict at line {line}", "resolve it: nbdime's `nbmerge` can")
    reason = f"it is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
    if path.suffix.lower() in (".md", ".rmd", ".qmd"):
        return not_a_notebook(path, reason, f"make a notebook of it: jupytext --to ipynb {path.name}")
    return not_a_notebook(path, reason)


def _version(path: Path, document: dict[str, Any]) -> tuple[int, int]:
    """nbformat's number; 4 where a file does not say, and has the form of 4."""
    said, minor = document.get("nbformat"), document.get("nbformat_minor", 0)
    major = said if isinstance(said, int) else 4 if "cells" in document else 3
    if major > 4:
        raise not_a_notebook(path, f"it has nbformat {major}, and 4 is the newest known", "save it as nbformat 4")
    if major == 4 and not isinstance(document.get("cells"), list):
        raise not_a_notebook(path, "it has no list `cells`")
    if major < 4 and "worksheets" not in document and "cells" not in document:
        raise not_a_notebook(path, "it has neither `cells` nor `worksheets`")
    document["nbformat"] = major
    return major, minor if isinstance(minor, int) else 0


# -- nbformat 3 and older -------------------------------------------------------------------------------------------


def _upgraded(path: Path, document: dict[str, Any]) -> dict[str, Any]:
    """Through nbformat's own upgrade, which gets no outputs to look at, and invents no cell ids for us."""
    from nbformat import reader
    from nbformat.converter import convert

    language = part(document, "metadata").get("language")
    try:
        with _quiet():
            for sheet in [document, *document.get("worksheets", ())]:
                for cell in sheet.get("cells", ()):
                    cell |= {"outputs": []} if "outputs" in cell else {}
            upgraded = convert(reader.reads(json.dumps(document)), 4)
    except Exception as error:
        raise not_a_notebook(path, f"nbformat cannot upgrade it: {type(error).__name__}: {error}") from error
    for cell in upgraded["cells"]:
        cell.pop("id", None)
    if language:
        upgraded["metadata"].setdefault("language_info", {"name": language})
    return {**upgraded, "nbformat_minor": 4}


@contextmanager
def _quiet() -> Iterator[None]:
    """nbformat logs what it finds invalid on the way; what counts is whether a notebook comes out."""
    from traitlets.log import get_logger

    logger = get_logger()
    before = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before


# -- cells ----------------------------------------------------------------------------------------------------------


def _cell(path: Path, index: int, cell: Any) -> Cell:
    if not isinstance(cell, dict) or cell.get("cell_type") not in ("code", "markdown", "raw"):
        raise not_a_notebook(path, f"cell {index} has no known cell_type")
    metadata = part(cell, "metadata")
    tags = metadata.get("tags") or []
    if not isinstance(tags, list):
        raise not_a_notebook(path, f"the tags of cell {index} are no list")
    count = cell.get("execution_count")
    return Cell(
        index=index,
        kind=cell["cell_type"],
        source=_source(path, index, cell),
        tags=tuple(str(tag) for tag in tags),
        id=str(cell.get("id") or ""),
        execution_count=count if isinstance(count, int) else None,
        output_size=_characters(cell.get("outputs")),
        metadata=metadata,
    )


def _source(path: Path, index: int, cell: dict[str, Any]) -> str:
    source = cell.get("source", "")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        raise not_a_notebook(path, f"the source of cell {index} is neither text nor a list of lines")
    try:
        source.encode()
    except UnicodeEncodeError as error:
        # half of a pair that JSON writes as \ud83d: Python can neither parse nor hash it
        if cell["cell_type"] == "code":
            line = source[: error.start].count("\n") + 1
            raise not_a_notebook(path, f"cell {index}, line {line} holds half of a character") from error
        source = source.encode(errors="replace").decode()
    return source.replace("\r\n", "\n").replace("\r", "\n")


def _characters(value: Any) -> int:
    """How much text a part of the document holds."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_characters, value.values()))
    return sum(map(_characters, value)) if isinstance(value, list) else 0
