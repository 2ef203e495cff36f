"""A path that exists on one machine only stands in the code.

    df = pd.read_csv("/home/ada/data/loans.csv")

Another machine, a container or a service has no such folder. Make it a parameter, so that a caller can name another
place: `data: str = "/home/ada/data/loans.csv"` in the parameters cell. `--fix` does that where there is such a cell.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from nb2prod.core.edit import Edit
from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline
from nb2prod.language.code_cells import CodeCell, code_cells
from nb2prod.language.places import replaced

CODE = "absolute-path"
SEVERITY: Severity = "warning"
# folders that are somebody's own, or a mounted disk; `/api/v1` and `/usr/bin` are none of them
POSIX = re.compile(
    r"/(?:home|Users|root|mnt|media|Volumes|dbfs|content|kaggle|scratch|workspace|workspaces|gpfs|lustre|nfs)"
    r"/[^\s/<>*?|][^\n<>*?|]*\Z"
)
WINDOWS = re.compile(r"[A-Za-z]:(?:\\|/)(?:[\w .()-]+[\\/])*[\w .()-]{3,}[\\/]?\Z")
SHARE = re.compile(r"\\\\[\w.-]{2,}\\[\w$.-]+")


def check(pipeline: Pipeline) -> Iterator[Finding]:
    for cell in code_cells(pipeline, without=("skip", "test", "parameters")):
        for literal in _paths(cell):
            message = f"`{literal.value!s}` is a place on one machine"
            fix = "make it a parameter: NAME: str = … in the parameters cell"
            yield Finding(CODE, SEVERITY, message, fix, cell.index, cell.line(literal))


def fixes(pipeline: Pipeline, finding: Finding) -> tuple[Edit, ...]:
    """The literal moves to the end of the parameters cell, when there is exactly one and it stands above."""
    homes = [cell for cell in code_cells(pipeline) if cell.role.kind == "parameters"]
    cell = next((cell for cell in code_cells(pipeline) if cell.index == finding.cell), None)
    if cell is None or len(homes) != 1 or homes[0].index >= cell.index:
        return ()
    here = [literal for literal in _paths(cell) if cell.line(literal) == finding.line]
    literals = [literal for literal in here if f"`{literal.value!s}`" in finding.message]
    moved = [edit for literal in literals for edit in replaced(cell, literal, _name(pipeline, literal))]
    if len(literals) != 1 or len(moved) != 1 or _in_text(cell, literals[0]):
        return ()
    home = homes[0]
    lines = home.role.body.rstrip("\n").split("\n")
    end = (len(lines) + home.role.line_offset, len(lines[-1]))
    declared = f"\n{_name(pipeline, literals[0])}: str = {literals[0].value!r}"
    return (*moved, Edit(home.index, end, end, declared))


def _paths(cell: CodeCell) -> list[ast.Constant]:
    written = {id(statement.value) for statement in cell.every(ast.Expr)}  # docstrings and bare texts
    return [
        literal
        for literal in cell.every(ast.Constant)
        if isinstance(literal.value, str) and id(literal) not in written and _is_path(literal.value)
    ]


def _is_path(text: str) -> bool:
    return len(text) < 400 and any(pattern.match(text) for pattern in (POSIX, WINDOWS, SHARE))


def _in_text(cell: CodeCell, literal: ast.Constant) -> bool:
    """Whether it is a part of an f-string, or of a function, which a parameter does not reach everywhere."""
    parts = {id(part) for text in cell.every(ast.JoinedStr) for part in ast.walk(text)}
    return id(literal) in parts or all(literal is not outside for outside in cell.top(ast.Constant))


def _name(pipeline: Pipeline, literal: ast.Constant) -> str:
    """A name that the notebook does not use yet: `loans_path` for `/home/ada/loans.csv`."""
    stem = re.split(r"[\\/]", str(literal.value).rstrip("\\/"))[-1].partition(".")[0]
    word = re.sub(r"\W+", "_", stem.lower()).strip("_")
    name = f"{word}_path" if word.isidentifier() else "data_path"
    used = {*(b.name for b in pipeline.bindings), *(r.name for r in pipeline.reads)}
    used |= {name for cell in code_cells(pipeline) for name in cell.parsed.stored}
    number = 2
    while name in used:
        name = f"{name.rstrip('0123456789')}{number}"
        number += 1
    return name
