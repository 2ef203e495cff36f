"""An exploration cell draws random numbers, or seeds, from the same stream as a later step.

    (exploration)   df.sample(5)                       draws from numpy's stream
    step:split      X.sample(frac=0.8)                 goes on where the cell above stopped

Isolated steps leave exploration out, so the step would draw other numbers than the notebook did. Give one of them a
`random_state=` (or a generator) of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import RANDOM, Pipeline

CODE = "exploration-random"
SEVERITY: Severity = "warning"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    told: set[int] = set()
    for read in pipeline.reads:
        made = read.binding
        if read.name != RANDOM or read.source == "exploration" or made is None or made.source != "exploration":
            continue
        if made.cell not in told:
            told.add(made.cell)
            message = (
                f"the cell seeds or draws from a global random stream, from which {read.source} draws "
                f"in cell {read.cell}"
            )
            fix = f"give the call here, or that in cell {read.cell}, a random_state= of its own"
            yield Finding(CODE, SEVERITY, message, fix, made.cell, made.line, isolated=True)
