"""A step reads a name between two cells of another step that both give it a value.

Cells with one name are one step, and a step as a whole comes before or after another. Here the notebook reads the value
of the step's earlier cell, and the pipeline could only give that of its last. Give the later cell a name of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import RANDOM, Pipeline

CODE = "interleaved-step"
SEVERITY: Severity = "error"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    last = {(binding.source, binding.name): binding for binding in pipeline.bindings if binding.kind == "value"}
    steps = {step.name for step in pipeline.steps}
    told: set[tuple[str, str, str]] = set()
    for read in pipeline.reads:
        seen = read.surviving
        if seen is None or seen.source not in steps or read.source not in steps or read.source == seen.source:
            continue
        if read.name == RANDOM:
            continue  # `cycle` speaks of a stream from which two steps draw in turn
        final = last.get((seen.source, read.name))
        if final is None or final.cell <= read.cell or (read.source, seen.source, read.name) in told:
            continue
        told.add((read.source, seen.source, read.name))
        message = (
            f"step {read.source} reads `{read.name}` of step {seen.source} as cell {seen.cell} leaves it, "
            f"and cell {final.cell} of that step gives it another value"
        )
        fix = f"give cell {final.cell} a step name of its own"
        yield Finding(CODE, SEVERITY, message, fix, final.cell, final.line)
