"""A step makes something that cannot leave its process, and another step reads it.

An open file, a connection, a lock, a thread, a generator: it lives where it was made. Steps that share one run in one
process together, so they are neither cached nor parallel. Make it where it is used (`with open(path) as file:`), or
hand on what it gives (a list, a frame) instead.
"""

from __future__ import annotations

from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline

CODE = "cannot-cross"
SEVERITY: Severity = "note"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    steps = {step.name for step in pipeline.steps}
    told: set[tuple[str, str, str]] = set()
    for read in pipeline.reads:
        made = read.surviving
        if made is None or not made.resource or made.source == read.source or read.source not in steps:
            continue
        if made.source not in steps or (made.source, read.source, read.name) in told:
            continue
        told.add((made.source, read.source, read.name))
        message = (
            f"step {read.source} reads `{read.name}` of step {made.source} (cell {made.cell}, line {made.line}): "
            f"it is or holds a resource ({made.resource}) that cannot leave its process, so both run in one"
        )
        fix = f"make it in step {read.source}, or hand on what it gives as a list or a frame"
        yield Finding(CODE, SEVERITY, message, fix, read.cell, read.line)
