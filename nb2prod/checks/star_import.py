"""`from module import *` binds names that the notebook does not show.

Nobody can tell from the cell which names they are, so a name that is misspelled, or that a later version of the module
hides, is found only when the notebook runs. Name what is used; isolated steps get such names by looking at what the
import binds. `nb2prod check --resolve-imports` asks the module itself, by importing it in a process of its own: then
these names are known, and a misspelled one is found.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline
from nb2prod.language.code_cells import CodeCell, code_cells

CODE = "star-import"
SEVERITY: Severity = "note"
MOST = 8


def check(pipeline: Pipeline) -> Iterator[Finding]:
    cells = list(code_cells(pipeline, without=("skip",)))
    for position, cell in enumerate(cells):
        for node in cell.every(ast.ImportFrom):
            if any(alias.name == "*" for alias in node.names):
                module = "." * node.level + (node.module or "")
                there = pipeline.stars.get(module)
                used = _unbound(pipeline, cells[position:]) if there is None else _used(there, cells[position:])
                names = ", ".join(used[:MOST]) if 0 < len(used) <= MOST else "the names that you use"
                binds = "is not known" if there is None else f"are {len(there)} names, of which {len(used)} are used"
                message = f"what `from {module} import *` binds {binds}"
                fix = f"write from {module} import {names}"
                yield Finding(CODE, SEVERITY, message, fix, cell.index, cell.line(node))


def _used(there: tuple[str, ...], cells: list[CodeCell]) -> list[str]:
    """The names of those that are read anywhere."""
    read = {node.id for cell in cells for node in cell.every(ast.Name) if isinstance(node.ctx, ast.Load)}
    return sorted(read & set(there))


def _unbound(pipeline: Pipeline, cells: list[CodeCell]) -> list[str]:
    """Names that are read and that nothing else binds: they come from a star import."""
    bound = {binding.name for binding in pipeline.bindings} | set(dir(builtins)) | {"get_ipython", "display"}
    bound |= {name for cell in cells for name in cell.parsed.stored}
    read = {node.id for cell in cells for node in cell.every(ast.Name) if isinstance(node.ctx, ast.Load)}
    return sorted(name for name in read - bound if not name.startswith("_"))
