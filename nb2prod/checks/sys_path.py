"""A cell adds a folder to the places where modules are looked for.

    sys.path.append("../src")

It works where that folder lies beside the notebook. A package, a container or a worker process has no such folder, and
a model that needs a module from there cannot be loaded. Make the folder an installable package, or move what is used
into a `functions` cell, which travels with the model.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline
from nb2prod.language.code_cells import CodeCell, code_cells
from nb2prod.language.imported import dotted, imported

CODE = "sys-path"
SEVERITY: Severity = "note"
CALLS = ("sys.path.append", "sys.path.insert", "sys.path.extend", "site.addsitedir")


def check(pipeline: Pipeline) -> Iterator[Finding]:
    cells = tuple(code_cells(pipeline))
    names = imported(cells)
    for cell in cells:
        for node in _changes(cell, names):
            message = "modules are looked for in a folder that is not part of the notebook"
            fix = "install that folder as a package, or move what is used to a cell tagged functions"
            yield Finding(CODE, SEVERITY, message, fix, cell.index, cell.line(node))


def _changes(cell: CodeCell, names: dict[str, str]) -> Iterator[ast.AST]:
    yield from (call for call in cell.top(ast.Call) if dotted(call.func, names) in CALLS)
    for statement in cell.top(ast.Assign):
        if any(dotted(target, names) == "sys.path" for target in statement.targets):
            yield statement
    yield from (node for node in cell.top(ast.AugAssign) if dotted(node.target, names) == "sys.path")
