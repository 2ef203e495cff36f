"""A tag looks like a misspelling of one of ours.

`Step:train`, `step train` or `metrics:auc` would be ignored without a word, and the pipeline would lack a step, an
order or a metric. So the notebook is refused until the tag is corrected or renamed.

In a `.py` file a cell's line can look as if it had tags and have none: `# %% step:train` is a title, and
`# %% tags=step:train` is not read. Write `# %% tags=["step:train"]`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from nb2prod.core.edit import Retag
from nb2prod.core.finding import Finding, Severity
from nb2prod.core.notebook import Cell
from nb2prod.core.pipeline import Pipeline
from nb2prod.language import dialects, tags

CODE = "misspelled-tag"
SEVERITY: Severity = "error"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    for cell in pipeline.notebook.cells:
        if cell.kind == "code":
            yield from _misspelled(cell)
            yield from _on_the_marker(cell)


def _misspelled(cell: Cell) -> Iterator[Finding]:
    for tag in cell.tags:
        meant = None if dialects.known(tag) else tags.misspelled(tag)
        if meant is not None:
            message = f"the tag {tag!r} looks like a misspelling of {meant!r}"
            yield Finding(CODE, SEVERITY, message, f"write {meant!r}", cell.index)


def _on_the_marker(cell: Cell) -> Iterator[Finding]:
    """What jupytext read as a title, or could not read, on the line that begins a cell of a script."""
    title = str(cell.metadata.get("title", ""))
    words = [word.strip("\"',") for word in title.split()]
    if words and all(tags.is_ours(word) and word.partition(":")[2] for word in words):
        written = ", ".join(f'"{word}"' for word in words)
        message = f"the cell has the title {title!r}, and no tag"
        yield Finding(CODE, SEVERITY, message, f"write `# %% tags=[{written}]`", cell.index)
    unread = str(cell.metadata.get("incorrectly_encoded_metadata", ""))
    if re.search(r"\btags\s*=", unread):
        message = f"the cell's tags cannot be read: {unread!r}"
        yield Finding(CODE, SEVERITY, message, 'write `# %% tags=["step:train", "model:model"]`', cell.index)


def fixes(pipeline: Pipeline, finding: Finding) -> tuple[Retag, ...]:
    """The tag as it is meant, where it stands among the cell's tags."""
    for tag in pipeline.notebook.cells[finding.cell].tags if finding.cell is not None else ():
        meant = tags.misspelled(tag)
        if meant is not None and repr(tag) in finding.message and repr(meant) in finding.message:
            return (Retag(finding.cell or 0, tag, meant),)
    return ()
