"""The notebook makes a model, and does not say what it is for.

The model card of a package begins with the notebook's title and the first paragraph below it. A reader who has never
seen the notebook learns there what the model answers, for whom, and from which data. Begin the notebook with a cell of
Markdown: a heading, and two or three sentences.
"""

from __future__ import annotations

from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline
from nb2prod.language.opening import opening

CODE = "card-purpose"
SEVERITY: Severity = "note"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    if pipeline.model is not None and not opening(pipeline.notebook)[1]:
        fix = "begin with a Markdown cell: a heading, and below it what the model is for, in a sentence or two"
        yield Finding(CODE, SEVERITY, "the notebook has no prose that says what its model is for", fix)
