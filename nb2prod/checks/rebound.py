"""One name is bound by several steps.

nb2prod tells the versions apart (`df@c3`, `df@c7`), so the pipeline is right; a reader has to know which one is meant.
What happens to a parameter that is bound again is told by `parameter-reassigned`.
"""

from __future__ import annotations

from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline

CODE = "rebound"
SEVERITY: Severity = "note"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    steps = {step.name for step in pipeline.steps}
    parameters = {parameter.name for parameter in pipeline.parameters}
    first: dict[str, str] = {}
    told: set[tuple[str, str]] = set()
    for binding in pipeline.bindings:
        unimportant = binding.changed or binding.kind != "value" or binding.name.startswith("_")
        if binding.source not in steps or unimportant:
            continue
        name, source = binding.name, binding.source
        if (name, source) in told:
            continue
        told.add((name, source))
        if name not in parameters and first.setdefault(name, source) != source:
            message = f"`{name}` is bound by step {first[name]} and again by step {source}"
            yield Finding(
                CODE, SEVERITY, message, "use two names where they mean two things", binding.cell, binding.line
            )
