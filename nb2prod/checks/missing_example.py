"""There is a model, and no example of the data it is shown.

The example gives a package its signature, its input example and the rows on which its answers are proved. Tag the
cell that makes such a frame `example:NAME`: the rows that `predict` gets, without the target.
"""

from __future__ import annotations

from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline

CODE = "missing-example"
SEVERITY: Severity = "warning"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    if pipeline.model is not None and pipeline.example is None:
        step, name = pipeline.model
        cell = pipeline.step(step).cells[0]
        fix = "tag the cell that makes the rows for predict example:NAME"
        yield Finding(CODE, SEVERITY, f"the model `{name}` has no example data, so it cannot be packaged", fix, cell)
