"""A cell waits for a person: `input()`, `getpass()`, `breakpoint()`.

A headless run has nobody to answer and fails there. Make the answer a parameter (`city: str = "Ulm"`), a secret one an
environment variable, and take breakpoints out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline
from nb2prod.language.code_cells import SCOPES, CodeCell, code_cells
from nb2prod.language.imported import dotted, imported

CODE = "input"
SEVERITY: Severity = "warning"
WAITING = {
    "input": "make the answer a parameter",
    "getpass.getpass": "read it from the environment: os.environ[…]",
    "breakpoint": "take it out",
    "pdb.set_trace": "take it out",
    "ipdb.set_trace": "take it out",
    "IPython.core.debugger.set_trace": "take it out",
}


def check(pipeline: Pipeline) -> Iterator[Finding]:
    cells = tuple(code_cells(pipeline))
    names = imported(cells)
    used = {name.id for cell in cells for name in cell.every(ast.Name) if isinstance(name.ctx, ast.Load)}
    for cell in cells:
        unused = _in_unused_functions(cell, used)
        for call in cell.every(ast.Call):
            name = dotted(call.func, names)
            if name in WAITING and id(call) not in unused:
                message = f"`{ast.unparse(call.func)}()` waits for a person, and a headless run fails there"
                yield Finding(CODE, SEVERITY, message, WAITING[name], cell.index, cell.line(call))


def _in_unused_functions(cell: CodeCell, used: set[str]) -> set[int]:
    """What stands in functions that no cell names."""
    idle = [node for node in cell.tree.body if isinstance(node, SCOPES) and getattr(node, "name", "") not in used]
    return {id(part) for node in idle for part in ast.walk(node)}
