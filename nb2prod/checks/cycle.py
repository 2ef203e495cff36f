"""Steps need each other in a circle, so that none of them can run first.

It happens when several cells share a step's name and another step stands between them and needs, or changes, what
they make; or when `after:` says the opposite of what the data say. Give the later cells a step name of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline

CODE = "cycle"
SEVERITY: Severity = "error"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    known = {step.name for step in pipeline.steps}
    graph = {step.name: [name for name in step.upstream if name in known] for step in pipeline.steps}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = list(reversed(error.args[1]))
        names = ", ".join(
            sorted({edge.name for s in circle for edge in pipeline.step(s).edges if edge.source in circle})
        )
        because = f" (through {names})" if names else ""
        fix = "give the later cells of one of them a step name of their own"
        cell = pipeline.step(circle[0]).cells[-1]
        yield Finding(CODE, SEVERITY, f"steps need each other: {' → '.join(circle)}{because}", fix, cell)
