"""A cell reads what an earlier cell showed: `_`, `Out[5]`, `_5`, `In`, `_i`.

Which value that is depends on the order in which cells were run by hand, and a step that runs apart has no such
history. Give the value a name in the cell that makes it, and read that name.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline
from nb2prod.language.code_cells import CodeCell, code_cells

CODE = "output-history"
SEVERITY: Severity = "warning"
OUTPUTS = re.compile(r"_{1,3}$|_\d+$|Out$|_oh$")
INPUTS = re.compile(r"_i{1,3}$|_i\d+$|In$|_ih$")


def check(pipeline: Pipeline) -> Iterator[Finding]:
    bound = {binding.name for binding in pipeline.bindings}
    for cell in code_cells(pipeline, without=("skip",)):
        told: set[str] = set()
        for node in cell.every(ast.Name):
            name = node.id
            if name in told or name in bound or name in cell.parsed.stored or not isinstance(node.ctx, ast.Load):
                continue
            what = "showed" if OUTPUTS.match(name) else "says" if INPUTS.match(name) else ""
            if what:
                told.add(name)
                message = f"`{name}` is what an earlier cell {what}, whichever ran before"
                yield Finding(CODE, SEVERITY, message, _fix(cell, name), cell.index, cell.line(node), isolated=True)


def _fix(cell: CodeCell, name: str) -> str:
    if INPUTS.match(name):
        return "write that source down where it is needed"
    return f"bind that value to a name in its own cell (`result = …`), and read it here instead of `{name}`"
