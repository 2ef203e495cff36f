"""The notebook is read in another tool's words, and something about that should not go unsaid.

In a notebook of Kale or SAME-Project an untagged cell belongs to the cell above it. Parameters that papermill once
injected are left out, as a caller gives them anew. Names that only Ploomber or Databricks can give are not there
when the notebook runs elsewhere. What each word of each tool is here says the page docs/dialects.md.
"""

from __future__ import annotations

from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline
from nb2prod.language import dialects

CODE = "dialect"
SEVERITY: Severity = "note"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    for remark in dialects.remarks(pipeline.notebook):
        yield Finding(CODE, remark.severity, remark.message, remark.fix, remark.cell, remark.line)
