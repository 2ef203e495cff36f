"""A tag that nobody knows is kept and ignored.

It does no harm: other tools keep theirs beside ours. If you meant one of nb2prod's, see docs/tags.md.
"""

from __future__ import annotations

from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline
from nb2prod.language import dialects, tags

CODE = "unknown-tag"
SEVERITY: Severity = "note"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    for cell in pipeline.notebook.cells:
        for tag in dialects.translate(cell.tags, cell.source) if cell.kind == "code" else ():
            if not tags.is_ours(tag) and not tags.FOREIGN.match(tag) and tags.misspelled(tag) is None:
                message = f"the tag {tag!r} means nothing here and is ignored"
                yield Finding(CODE, SEVERITY, message, "nothing, if it is another tool's", cell.index)
