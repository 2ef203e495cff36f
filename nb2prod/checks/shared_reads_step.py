"""An imports, functions or setup cell computes with what a step makes.

Such cells are what every step has from the start, so where steps run apart they run first, when that value is not
there. Move the line to a step. (A function may read it: that counts where the function is called.)
"""

from __future__ import annotations

from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline

CODE = "shared-reads-step"
SEVERITY: Severity = "warning"
SHARED = ("imports", "functions", "setup")


def check(pipeline: Pipeline) -> Iterator[Finding]:
    steps = {step.name for step in pipeline.steps}
    for read in pipeline.reads:
        made = read.binding
        if read.source in SHARED and made is not None and made.source in steps and made.kind == "value":
            message = f"a cell tagged {read.source} reads `{read.name}`, which step {made.source} makes"
            yield Finding(CODE, SEVERITY, message, "move that line to a step", read.cell, read.line)
