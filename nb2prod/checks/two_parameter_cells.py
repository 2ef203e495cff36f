"""Two cells are tagged `parameters`.

papermill puts the caller's values behind the first, and the second then overrides them without a word. Merge the two
cells, so that there is one place where a caller's value counts.
"""

from __future__ import annotations

from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline

CODE = "two-parameter-cells"
SEVERITY: Severity = "error"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    cells = [i for i, role in enumerate(pipeline.roles) if role is not None and role.kind == "parameters"]
    for cell in cells[1:]:
        message = f"this is a second parameters cell, after cell {cells[0]}"
        yield Finding(CODE, SEVERITY, message, f"move its lines to cell {cells[0]}", cell)
