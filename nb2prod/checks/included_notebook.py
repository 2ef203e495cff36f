"""A cell stands for another notebook, which is not read.

Kale's `notebook:NAME` makes another notebook a step of the pipeline. Here a pipeline is one notebook: without the other
one's step the pipeline would lack what that step does, and run all the same. So it is refused. Bring the other
notebook's cells here as `step:NAME`, or run the notebooks one after the other and tag this cell `skip`.
"""

from __future__ import annotations

from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline

CODE = "included-notebook"
SEVERITY: Severity = "error"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    for cell, role in enumerate(pipeline.roles):
        if role is None or role.kind == "skip":
            continue
        for name in role.options.get("notebook", ()):
            path = pipeline.notebook.cells[cell].metadata.get("notebook_path", name)
            message = f"the cell stands for the notebook {path}, which is not read"
            fix = "copy its cells here as steps, or tag the cell `skip` and run that notebook by itself"
            yield Finding(CODE, SEVERITY, message, fix, cell)
