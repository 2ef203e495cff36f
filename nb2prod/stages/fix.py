"""Findings are corrected in a copy of the notebook: only what is certain, and nothing else of the file changes.

A check that knows the correction says it as edits (`core.edit`): a module of `checks/` may offer

    def fixes(pipeline, finding) -> tuple[Edit | Retag, ...]: ...

Fixes whose edits meet wait for another round, in which the copy is read and checked again. The input is never written.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nb2prod.core.edit import Edit, Fix, Retag
from nb2prod.core.errors import UsageError
from nb2prod.core.finding import Finding
from nb2prod.core.notebook import Notebook
from nb2prod.core.pipeline import Pipeline
from nb2prod.language.secrets import masked

Offer = Callable[[Pipeline, Finding], tuple[Edit | Retag, ...]]


def fixes_for(pipeline: Pipeline, findings: Iterable[Finding], offers: Mapping[str, Offer]) -> tuple[Fix, ...]:
    """The fixes that can be made together, in order. `offers` gives, by code, who knows a correction."""
    chosen: list[Fix] = []
    for finding in findings:
        offer = offers.get(finding.code)
        edits = offer(pipeline, finding) if offer is not None else ()
        if edits and not any(_meet(edit, other) for edit in edits for fix in chosen for other in fix.edits):
            chosen.append(Fix(finding, edits))
    return tuple(chosen)


def _meet(one: Edit | Retag, other: Edit | Retag) -> bool:
    if isinstance(one, Retag) or isinstance(other, Retag):
        return one == other
    return one.cell == other.cell and one.start <= other.end and other.start <= one.end


def fixed(content: bytes, fixes: Iterable[Fix]) -> bytes:
    """The notebook file with the fixes made."""
    return rewritten(content, [edit for fix in fixes for edit in fix.edits])


def rewritten(content: bytes, edits: Iterable[Edit | Retag], *, clear: bool = False) -> bytes:
    """The notebook file with its cells edited; with `clear` the edited ones lose their outputs, which are others'."""
    text = content.decode("utf-8-sig")
    document = json.loads(text)
    edits = list(edits)
    # from the end of a cell to its beginning, so that an edit leaves the places of those to come as they are
    for edit in sorted((e for e in edits if isinstance(e, Edit)), key=lambda e: (e.cell, e.start), reverse=True):
        cell = document["cells"][edit.cell]
        cell["source"] = _in_form_of(cell["source"], edited(_text(cell["source"]), edit))
        cell |= {"outputs": [], "execution_count": None} if clear else {}
    for retag in (e for e in edits if isinstance(e, Retag)):
        tags = document["cells"][retag.cell]["metadata"]["tags"]
        tags[:] = [retag.new if tag == retag.old else tag for tag in tags]
    return _written(document, text).encode()


def refuse_other_formats(path: Path, notebook: Notebook) -> None:
    """Only what is JSON in the format of today can be corrected and stay as it is elsewhere."""
    if path.suffix != ".ipynb":
        raise UsageError("--fix corrects .ipynb files", where=str(path), fix="correct the script by hand")
    if not notebook.format.startswith("4."):
        raise UsageError(
            f"--fix does not correct nbformat {notebook.format}", where=str(path), fix="save it in Jupyter"
        )


def _text(source: Any) -> str:
    return "".join(source) if isinstance(source, list) else str(source)


def _in_form_of(source: Any, text: str) -> Any:
    return text.splitlines(keepends=True) if isinstance(source, list) else text


def edited(source: str, edit: Edit) -> str:
    """A cell's source with one edit made; its line ends stay."""
    ends = "\r\n" if "\r\n" in source else "\n"
    lines = source.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    start, end = (sum(len(line) + 1 for line in lines[: place[0] - 1]) + place[1] for place in (edit.start, edit.end))
    whole = "\n".join(lines)
    return (whole[:start] + edit.text + whole[end:]).replace("\n", ends)


def _written(document: Mapping[str, Any], before: str) -> str:
    """The document in the form that the file had: its indentation, its way with letters that are not ASCII."""
    after = "\n" if before.endswith("\n") else ""
    loaded = json.loads(before)
    for indent in (1, 2, 4, None):
        for ascii_only in (False, True):
            if json.dumps(loaded, indent=indent, ensure_ascii=ascii_only) + after == before:
                return json.dumps(document, indent=indent, ensure_ascii=ascii_only) + after
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def difference(before: Notebook, after: Notebook) -> str:
    """What the fixes change, cell by cell, as a unified diff; secrets that stand near are masked."""
    parts: list[str] = []
    for old, new in zip(before.cells, after.cells, strict=True):
        if (old.source, old.tags) != (new.source, new.tags):
            lines = difflib.unified_diff(_shown(old), _shown(new), lineterm="", n=2)
            parts += [f"cell {old.index}", *(line for line in lines if not line.startswith(("---", "+++")))]
    return "\n".join(parts)


def _shown(cell: Any) -> Sequence[str]:
    tags = [f"tags: {' '.join(cell.tags)}"] if cell.tags else []
    return [*tags, *masked(cell.source).split("\n")]
