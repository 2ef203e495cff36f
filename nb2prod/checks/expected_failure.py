"""A cell of a step, a test or shared code is expected to fail.

`raises-exception` lets a cell fail and the run go on, as nbclient has it. In exploration that shows something to a
reader. In a step it leaves the values that the lines below the failing one would have made, as they were before: the
step counts as done all the same, and nothing says which of its values are there.

    parse("not a date")      # fails, as the text above the cell promises
    model = fit(rows)        # never runs

Steps that run each in a process of its own refuse such a cell. Write `with pytest.raises(…)` in a test cell, or
`try: … except …:` in the step; or leave the cell to exploration. nbval's `# NBVAL_RAISES_EXCEPTION` counts for nbval
alone: a run stops at the cell unless it is tagged `raises-exception`.
"""

from __future__ import annotations

from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline

CODE = "expected-failure"
SEVERITY: Severity = "warning"
TAG = "raises-exception"
NBVAL = "nbval-raises-exception"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    for cell, role in enumerate(pipeline.roles):
        if role is None or role.kind == "skip":
            continue
        tags = pipeline.notebook.cells[cell].tags
        if TAG in tags and role.kind != "exploration":
            place = f"step {role.name}" if role.kind == "step" else f"a cell `{role.kind}`"
            message = f"the cell may fail without stopping {place}: values that it would have made are missing then"
            fix = "catch the exception in the cell, or leave the cell to exploration"
            yield Finding(CODE, SEVERITY, message, fix, cell, isolated=True)
        elif NBVAL in role.options and TAG not in tags:
            message = "nbval expects the cell to fail, and a run stops there"
            yield Finding(CODE, SEVERITY, message, f"tag it `{TAG}`, or `skip`", cell)
