"""A cell that is skipped binds a name that later cells read.

    threshold = 0.5      cell 2
    threshold = 0.9      cell 3, tagged `skip`
    risk > threshold     cell 4: 0.9 in Jupyter, 0.5 in a headless run

So the headless run gives other numbers than the notebook shows, or stops where nothing else binds the name. Take the
tag off, or let the skipped cell use names of its own.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline, Read
from nb2prod.language.code_cells import CodeCell, code_cells

CODE = "skipped-name"
SEVERITY: Severity = "warning"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    for cell in code_cells(pipeline, without=()):
        # what papermill has injected repeats the caller's values, which a run gives again
        if cell.role.kind != "skip" or "injected-parameters" in pipeline.notebook.cells[cell.index].tags:
            continue
        for name, line in _binds(cell):
            read = next((read for read in pipeline.reads if read.name == name and _sees(read, cell.index)), None)
            if read is not None:
                yield Finding(CODE, SEVERITY, _message(name, read), _fix(name), cell.index, line)


def _sees(read: Read, skipped: int) -> bool:
    """Whether the read would see what the skipped cell binds, if it ran."""
    return read.cell > skipped and (read.binding is None or read.binding.cell < skipped)


def _binds(cell: CodeCell) -> Iterator[tuple[str, int]]:
    told: set[str] = set()
    for statement in cell.tree.body:
        for name in _bound(statement):
            if name not in told:
                told.add(name)
                yield name, cell.line(statement)


def _bound(statement: ast.stmt) -> list[str]:
    match statement:
        case ast.Assign(targets=targets):
            return [
                n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
            ]
        case ast.AnnAssign(target=ast.Name(id=name), value=value) if value is not None:
            return [name]
        case ast.AugAssign(target=ast.Name(id=name)):
            return [name]
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
    return []


def _message(name: str, read: Read) -> str:
    if read.binding is None:
        return f"the cell is skipped, and cell {read.cell} reads `{name}`, which only this cell binds"
    return (
        f"the cell is skipped: headless, cell {read.cell} reads `{name}` as cell {read.binding.cell} leaves it, "
        "in Jupyter as this cell does"
    )


def _fix(name: str) -> str:
    return f"take the tag off, or use another name than `{name}` in this cell"
