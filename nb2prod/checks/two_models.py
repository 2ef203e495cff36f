"""Two objects are tagged as the model, or two as its example.

One package holds one model. Tag the object to package, and leave the tag off the others: they can still be metrics'
and plots' business.
"""

from __future__ import annotations

from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline

CODE = "two-models"
SEVERITY: Severity = "error"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    for word in ("model", "example"):
        first: tuple[str, int] | None = None
        for cell, role in enumerate(pipeline.roles):
            for name in (role.models if word == "model" else role.examples) if role and role.kind == "step" else ():
                if first is not None and name != first[0]:
                    message = f"{word}:{name} is tagged here, and {word}:{first[0]} in cell {first[1]}"
                    yield Finding(CODE, SEVERITY, message, f"tag the one {word} to package", cell)
                first = first or (name, cell)
