"""`metric:`, `model:`, `example:` or `plot:` names what its step neither binds nor reads.

The value is looked up when the step has run, so it has to be a name that the step's cells bind, or one that came in.
`predict:` says how a model answers, and does nothing on a step without `model:`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline, Step

CODE = "unbound-tag"
SEVERITY: Severity = "error"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    for step in pipeline.steps:
        last = step.cells[-1]
        there = {b.name for b in pipeline.bindings if b.cell <= last and b.source != "exploration"}
        for word, name in _named(step):
            if name not in there:
                near = difflib.get_close_matches(name, there, n=1)
                fix = f"did you mean {word}:{near[0]}?" if near else f"bind `{name}` in step {step.name}"
                yield Finding(CODE, SEVERITY, f"{word}:{name} on step {step.name}, which has no `{name}`", fix, last)
        if step.predicts and not step.model:
            message = f"predict:{step.predicts[0]} on step {step.name}, which has no model"
            yield Finding(CODE, SEVERITY, message, "put it on the step that is tagged model:NAME", last)


def _named(step: Step) -> Iterator[tuple[str, str]]:
    yield from (("metric", name) for name in step.metrics)
    yield from (("plot", name) for name in step.plots)
    yield from (("model", name) for name in [step.model] if name)
    yield from (("example", name) for name in [step.example] if name)
