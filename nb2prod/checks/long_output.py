"""The saved output of a cell is larger than a megabyte.

Every copy of the notebook, every version in git and every executed notebook of a run carries it, and the page is slow
to open. Show less (`df.head()`, a smaller or rasterised figure), or clear the output before saving.
"""

from __future__ import annotations

from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline

CODE = "long-output"
SEVERITY: Severity = "note"
MOST = 1_000_000


def check(pipeline: Pipeline) -> Iterator[Finding]:
    for cell in pipeline.notebook.cells:
        if cell.output_size > MOST:
            message = f"the saved output of the cell takes {cell.output_size / MOST:.1f} MB"
            yield Finding(CODE, SEVERITY, message, "show less, or clear it before saving", cell.index)
