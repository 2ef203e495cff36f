"""A step changes options that hold for the whole process: display options, warnings, the environment, the folder.

    pd.set_option("mode.copy_on_write", False)       in a cell tagged step:load

Whatever runs afterwards depends on it without naming it, and where steps run apart it has to be found out and repeated.
Put it into a cell tagged `setup`, which every step has first, or use `with pd.option_context(…):`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline
from nb2prod.language.code_cells import CodeCell, code_cells
from nb2prod.language.imported import dotted, imported

CODE = "ambient-state"
SEVERITY: Severity = "note"
CALLS = re.compile(
    r"pandas\.(set_option|reset_option)|numpy\.(set_printoptions|seterr)|os\.(chdir|putenv|umask)"
    r"|os\.environ\.(update|setdefault|pop|clear)|warnings\.(filterwarnings|simplefilter|resetwarnings)"
    r"|locale\.setlocale|sklearn\.set_config|torch\.set_(default_dtype|default_device|num_threads)"
    r"|sys\.setrecursionlimit|socket\.setdefaulttimeout|decimal\.setcontext|faulthandler\.enable"
)
TARGETS = re.compile(r"pandas\.options\..+|os\.environ|decimal\.getcontext.*|sys\.(stdout|stderr|stdin)")
MAGICS = ("%cd", "%env", "%set_env")


def check(pipeline: Pipeline) -> Iterator[Finding]:
    cells = tuple(code_cells(pipeline))
    names = imported(cells)
    for cell in (cell for cell in cells if cell.role.kind == "step"):
        bounded = _in_with(cell)
        for node, what in _changes(cell, names):
            if id(node) not in bounded:
                message = f"`{what}` changes what every later cell runs with"
                yield Finding(CODE, SEVERITY, message, "move it to a cell tagged setup", cell.index, cell.line(node))
        for magic in cell.parsed.magics:
            if magic.name in MAGICS and magic.arguments:
                message = f"`{magic.name}` changes what every later cell runs with"
                line = magic.line + cell.role.line_offset
                yield Finding(CODE, SEVERITY, message, "move it to a cell tagged setup", cell.index, line)


def _changes(cell: CodeCell, names: Mapping[str, str]) -> Iterator[tuple[ast.AST, str]]:
    for call in cell.top(ast.Call):
        if CALLS.fullmatch(dotted(call.func, names)):
            yield call, ast.unparse(call.func)
    for statement in cell.top(ast.Assign):
        for target in statement.targets:
            place = target.value if isinstance(target, ast.Subscript) else target
            if isinstance(target, ast.Attribute | ast.Subscript) and TARGETS.fullmatch(dotted(place, names)):
                yield statement, ast.unparse(place)


def _in_with(cell: CodeCell) -> set[int]:
    """What stands in a `with` block, which puts things back, as far as one can see."""
    return {id(part) for block in cell.top(ast.With) for part in ast.walk(block)}
