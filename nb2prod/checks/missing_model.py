"""No cell says which object is the model, so there is nothing to package.

Tag the cell that fits it `model:NAME` (or write `%%step train --model NAME`). A notebook that makes no model needs
none: then this note can stay.
"""

from __future__ import annotations

from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline

CODE = "missing-model"
SEVERITY: Severity = "note"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    if pipeline.steps and pipeline.model is None:
        fix = "tag the cell that fits it model:NAME"
        yield Finding(CODE, SEVERITY, "no cell is tagged with a model, so nothing can be packaged", fix)
