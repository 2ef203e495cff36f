"""One name is bound by several steps, or a parameter is bound again by a step.

nb2prod tells the versions apart (`df@c3`, `df@c7`), so the pipeline is right; a reader has to know which one is meant.
A parameter that a step binds again is worth a second look: from there on the caller's value no longer counts.
"""

from __future__ import annotations

from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline

CODE = "rebound"
SEVERITY: Severity = "note"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    steps = {step.name for step in pipeline.steps}
    parameters = {parameter.name: parameter.cell for parameter in pipeline.parameters}
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
        if name in parameters:
            message = f"step {source} binds the parameter `{name}` of cell {parameters[name]} again"
            yield Finding(CODE, "warning", message, f"use another name than `{name}`", binding.cell, binding.line)
        elif first.setdefault(name, source) != source:
            message = f"`{name}` is bound by step {first[name]} and again by step {source}"
            yield Finding(
                CODE, SEVERITY, message, "use two names where they mean two things", binding.cell, binding.line
            )
