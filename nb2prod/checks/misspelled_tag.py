"""A tag looks like a misspelling of one of ours.

`Step:train`, `step train` or `metrics:auc` would be ignored without a word, and the pipeline would lack a step, an
order or a metric. So the notebook is refused until the tag is corrected or renamed.
"""

from __future__ import annotations

from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline
from nb2prod.language import dialects, tags

CODE = "misspelled-tag"
SEVERITY: Severity = "error"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    for cell in pipeline.notebook.cells:
        for tag in dialects.translate(cell.tags, cell.source) if cell.kind == "code" else ():
            meant = tags.misspelled(tag)
            if meant is not None:
                message = f"the tag {tag!r} looks like a misspelling of {meant!r}"
                yield Finding(CODE, SEVERITY, message, f"write {meant!r}", cell.index)
