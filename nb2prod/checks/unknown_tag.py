"""A tag that nobody knows is kept and ignored.

It does no harm: other tools keep theirs beside ours, and those that nb2prod knows are on the page docs/dialects.md.
A tag of ours on a text cell does nothing either; put it on the cell with the code.
"""

from __future__ import annotations

from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.notebook import Cell
from nb2prod.core.pipeline import Pipeline
from nb2prod.language import dialects, tags

CODE = "unknown-tag"
SEVERITY: Severity = "note"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    for cell in pipeline.notebook.cells:
        if cell.kind != "code":
            yield from _of_text(cell)
            continue
        for tag in cell.tags:
            if not tags.is_ours(tag) and not dialects.known(tag) and tags.misspelled(tag) is None:
                message = f"the tag {tag!r} means nothing here and is ignored"
                yield Finding(CODE, SEVERITY, message, _fix(tag), cell.index)


def _of_text(cell: Cell) -> Iterator[Finding]:
    for tag in cell.tags:
        if tags.is_ours(tag) and tag != "skip":
            message = f"the tag {tag!r} is ignored, as the cell holds no code"
            yield Finding(CODE, SEVERITY, message, "put it on the cell with the code", cell.index)


def _fix(tag: str) -> str:
    """`model` alone may be another's tag, or ours without its name."""
    if tag.strip().lower() in tags.OPTIONS:
        return f"write {tag.strip().lower()}:NAME if you mean nb2prod's; else nothing"
    near = dialects.near(tag)
    return f"did you mean {near!r}?" if near else "nothing, if it is another tool's"
