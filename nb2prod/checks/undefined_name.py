"""A cell reads a name that nothing before it binds.

The notebook may run in a kernel that still remembers the name from a deleted cell, or from a later cell that ran
first; from top to bottom it fails with a NameError. Bind the name in an earlier cell, or move the cell that does.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline, Read

CODE = "undefined-name"
SEVERITY: Severity = "error"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    bound = {binding.name: binding.cell for binding in reversed(pipeline.bindings)}
    for read in pipeline.reads:
        if read.binding is None:
            severity: Severity = "warning" if read.source == "exploration" else SEVERITY
            through = f" (in the body of {read.through})" if read.through else ""
            message = f"nothing before this cell binds `{read.name}`{through}"
            yield Finding(CODE, severity, message, _fix(read, bound), read.cell, read.line)


def _fix(read: Read, bound: dict[str, int]) -> str:
    if read.name in bound:
        return f"cell {bound[read.name]} binds it: move that cell up"
    near = difflib.get_close_matches(read.name, bound, n=1, cutoff=0.8)
    return f"did you mean `{near[0]}`?" if near else f"bind `{read.name}` or import it in an earlier cell"
