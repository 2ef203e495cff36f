"""A cell gives a parameter a new value that does not come from the old one, so the caller's value is lost.

    n_trees: int = 200         in the parameters cell
    n_trees = 50               further down: `nb2prod run NB -p n_trees 500` still grows 50

A run with other parameters then gives the same numbers, and nothing says why. Delete the line, or use another name.
What is made from the parameter itself (`data = Path(data)`) is no such case.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline
from nb2prod.language.code_cells import CodeCell, code_cells

CODE = "parameter-reassigned"
SEVERITY: Severity = "warning"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    declared = {parameter.name: parameter.cell for parameter in pipeline.parameters}
    told: set[tuple[str, int]] = set()
    for cell in code_cells(pipeline, without=("skip", "test", "parameters")) if declared else ():
        for name, statement in _given(cell):
            if declared.get(name, cell.index) < cell.index and (name, cell.index) not in told:
                told.add((name, cell.index))
                message = (
                    f"the parameter `{name}` of cell {declared[name]} gets another value here: the caller's is lost"
                )
                fix = f"delete the line, or use another name than `{name}`"
                yield Finding(CODE, SEVERITY, message, fix, cell.index, cell.line(statement))


def _given(cell: CodeCell) -> Iterator[tuple[str, ast.stmt]]:
    """(name, statement) of what is bound for certain and without a look at the name's value before."""
    read: set[str] = set()
    for statement in cell.tree.body:
        # a loop reads what it goes over before it binds, and its body after
        read |= _read(statement.iter if isinstance(statement, ast.For) else statement)
        for target in _targets(statement):
            yield from ((n.id, statement) for n in ast.walk(target) if isinstance(n, ast.Name) and n.id not in read)
        read |= _read(statement)


def _read(part: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(part) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def _targets(statement: ast.stmt) -> list[ast.expr]:
    match statement:
        case ast.Assign(targets=targets):
            return [target for target in targets if isinstance(target, ast.Name | ast.Tuple | ast.List)]
        case ast.AnnAssign(target=ast.Name() as target, value=value) if value is not None:
            return [target]
        case ast.For(target=target):
            return [target]
    return []
