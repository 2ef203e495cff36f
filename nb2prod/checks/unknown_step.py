"""`after:NAME` or `test:NAME` names a step that does not exist.

An order or a test that points nowhere would be lost without a word. Correct the name, or give the step that is meant
that name.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline

CODE = "unknown-step"
SEVERITY: Severity = "error"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    known = [step.name for step in pipeline.steps]
    for cell, role in enumerate(pipeline.roles):
        if role is None:
            continue
        said = [("after", name) for name in role.after]
        said += [("test", role.name)] if role.kind == "test" and role.name else []
        for word, name in said:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                fix = f"did you mean {word}:{near[0]}?" if near else f"the steps are: {', '.join(known) or 'none'}"
                yield Finding(CODE, SEVERITY, f"{word}:{name} names a step that does not exist", fix, cell)
