"""A test cell holds no test.

It has neither a function `test_…`, nor a class `Test…`, nor an `assert`, so nothing is checked although it looks as if
something were. Write an assert, or take the tag off.
"""

from __future__ import annotations

from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline

CODE = "empty-test"
SEVERITY: Severity = "warning"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    tested = {test.cell for test in pipeline.all_tests}
    for cell, role in enumerate(pipeline.roles):
        if role is not None and role.kind == "test" and cell not in tested:
            yield Finding(CODE, SEVERITY, "the test cell holds no test", "write a function test_… with an assert", cell)
