"""There is a model, and no example of the data it is shown.

The example gives a package its signature, its input example and the rows on which its answers are proved. Tag the
cell that makes such a frame `example:NAME`: the rows that `predict` gets, without the target. They are kept in the
package, so nobody's rows are taken without a tag that says so; the fix names the frame that `fit` got.
"""

from __future__ import annotations

from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline
from nb2prod.language.fitted import rows_of_fit

CODE = "missing-example"
SEVERITY: Severity = "warning"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    if pipeline.model is not None and pipeline.example is None:
        step, name = pipeline.model
        cell = pipeline.step(step).cells[0]
        rows = rows_of_fit(pipeline)
        fix = f"tag the step example:{rows or 'NAME'}, " + (
            "the rows that fit got, or a few of them" if rows else "with the rows that predict gets"
        )
        yield Finding(CODE, SEVERITY, f"the model `{name}` has no example data, so it cannot be packaged", fix, cell)
