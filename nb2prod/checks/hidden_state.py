"""The notebook was not run from top to bottom in one kernel before it was saved.

Its execution counts are out of order, are there twice, or have gaps: cells were run again, moved or deleted. What it
shows may then come from values that no cell makes any more:

    In [7]: rate = 0.3         In [5]: price * rate     shows what another rate gave

Restart the kernel, run all cells, and save.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline

CODE = "hidden-state"
SEVERITY: Severity = "note"
FIX = "restart the kernel, run all cells and save"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    cells = pipeline.notebook.cells
    run = [(cell.index, cell.execution_count) for cell in cells if cell.kind == "code" and cell.execution_count]
    for (above, first), (below, second) in pairwise(run):
        if first is not None and second is not None and second <= first:
            when = "in another kernel than" if second == first else "before"
            message = f"cell {below} (In [{second}]) was run {when} cell {above} above it (In [{first}])"
            yield Finding(CODE, SEVERITY, message, FIX, below)
            return
    counts = [count for _, count in run if count]
    lost = counts[-1] - len(counts) if counts else 0
    if lost > 0:
        times = "1 run is" if lost == 1 else f"{lost} runs are"
        message = f"the last cell is In [{counts[-1]}] of {len(counts)}: {times} of cells run again or deleted"
        yield Finding(CODE, SEVERITY, message, FIX)
