"""A step uses `id(…)` of an object.

    seen = {id(frame): "first"}     the number of a place in this process's memory
    seen.get(id(frame))             nothing, in a process where frame lies elsewhere

`id` tells whether two objects are one, here and now. Isolated steps, and any later run, have other numbers. Give the
object a name or a key of your own; `is` compares identities.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline
from nb2prod.language.code_cells import code_cells

CODE = "object-id"
SEVERITY: Severity = "note"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    for cell in code_cells(pipeline, without=("skip", "test", "exploration")):
        if "id" in cell.parsed.stored:
            continue
        compared = {side for node in cell.every(ast.Compare) for side in (node.left, *node.comparators)}
        for call in cell.every(ast.Call):
            if (
                isinstance(call.func, ast.Name)
                and call.func.id == "id"
                and len(call.args) == 1
                and call not in compared
            ):
                message = "`id(…)` is another number in every process"
                fix = "use a key of your own, or compare with `is`"
                yield Finding(CODE, SEVERITY, message, fix, cell.index, cell.line(call), isolated=True)
