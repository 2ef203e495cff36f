"""Two steps may change one object, and nothing but their order in the notebook says which comes first.

    step b    df["y"] = …       changes df in place
    step c    df["z"] = …       changes it too: c waits for b

They keep the notebook's order, so the numbers are right; they do not run side by side. Let one of them work on a copy,
or bind a new name, where they mean to be independent.
"""

from __future__ import annotations

from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import RANDOM, Pipeline, Step

CODE = "branch-change"
SEVERITY: Severity = "note"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    changed = {(b.source, b.version): b for b in pipeline.bindings if b.changed}
    made = {(b.source, b.version) for b in pipeline.bindings if not b.changed}
    told: set[str] = set()
    for later in pipeline.steps:
        for edge in later.edges:
            first = changed.get((edge.source, edge.version))
            if first is None or edge.name == RANDOM or edge.name not in later.changes or edge.name in told:
                continue
            if (edge.source, edge.version) in made or first.source in _by_data(pipeline, later, changed):
                continue
            told.add(edge.name)
            here = next(b for b in pipeline.bindings if b.source == later.name and b.name == edge.name)
            message = (
                f"steps {first.source} (cell {first.cell}) and {later.name} (cell {here.cell}) may both change "
                f"`{edge.name}` in place, so {later.name} waits for {first.source}"
            )
            yield Finding(CODE, SEVERITY, message, "let one of them work on a copy", here.cell, here.line)


def _by_data(pipeline: Pipeline, step: Step, changed: object) -> set[str]:
    """The steps above by what they bind: an order that no change in place decides."""
    assert isinstance(changed, dict)
    steps = {there.name: there for there in pipeline.steps}
    found: set[str] = set()
    pending = [step]
    while pending:
        for edge in pending.pop().edges:
            if edge.source in steps and edge.source not in found and (edge.source, edge.version) not in changed:
                found.add(edge.source)
                pending.append(steps[edge.source])
    return found
