"""A step has no test.

A `%%test NAME` cell, or one tagged `test:NAME`, runs right after its step, in the notebook and headless, so that a
step that stops doing its work is found where it happens.
"""

from __future__ import annotations

from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline

CODE = "untested-step"
SEVERITY: Severity = "warning"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    for step in pipeline.steps:
        if not step.tests:
            fix = f"add a cell tagged test:{step.name} that asserts what the step must give"
            yield Finding(CODE, SEVERITY, f"step {step.name} has no test", fix, step.cells[0])
