"""Steps need each other in a circle, so that none of them can run first.

It happens when several cells share a step's name and another step stands between them and needs, or changes, what
they make; or when `after:` says the opposite of what the data say. Give the later cells a step name of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import RANDOM, Pipeline

CODE = "cycle"
SEVERITY: Severity = "error"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    circle = _circle(pipeline, random=False)
    drawn = [] if circle else _circle(pipeline, random=True)
    if circle:
        names = ", ".join(
            sorted({edge.name for s in circle for edge in pipeline.step(s).edges if edge.source in circle})
        )
        because = f" (through {names})" if names else ""
        fix = "give the later cells of one of them a step name of their own"
        message = f"steps need each other: {' → '.join(circle)}{because}"
        yield Finding(CODE, SEVERITY, message, fix, pipeline.step(circle[0]).cells[-1])
    elif drawn:
        message = f"steps draw in turn from one random stream: {' → '.join(drawn)}"
        fix = "give the calls that draw a random_state= (or a generator) of their own"
        yield Finding(CODE, "warning", message, fix, pipeline.step(drawn[0]).cells[-1])


def _circle(pipeline: Pipeline, *, random: bool) -> list[str]:
    known = {step.name for step in pipeline.steps}
    graph = {
        step.name: [
            *(edge.source for edge in step.edges if edge.source in known and (random or edge.name != RANDOM)),
            *(name for name in step.after if name in known),
        ]
        for step in pipeline.steps
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []
