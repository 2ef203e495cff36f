"""What a step makes depends on the time of day.

    df["age"] = datetime.now().year - df["born"]

Run again tomorrow, the same notebook on the same data gives something else. Make the moment a parameter:
`today: date = date(2024, 5, 1)`. Times that are only shown, measured (`time.time() - start`) or written into a name
of a file are not meant.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline
from nb2prod.language.code_cells import CodeCell, code_cells
from nb2prod.language.imported import dotted, imported

CODE = "clock"
SEVERITY: Severity = "note"
NOW = frozenset({"datetime.date.today", *(f"datetime.datetime.{word}" for word in ("now", "utcnow", "today"))}) | {
    f"pandas.Timestamp.{word}" for word in ("now", "utcnow", "today")
}
SECONDS = frozenset({"time.time", "time.time_ns", "time.monotonic", "time.perf_counter"})
SEEDING = ("seed", "random_state", "manual_seed", "default_rng", "RandomState")
AS_TEXT = ("strftime", "isoformat", "timestamp", "ctime", "date_string")


def check(pipeline: Pipeline) -> Iterator[Finding]:
    cells = tuple(code_cells(pipeline))
    names = imported(cells)
    asking = [cell for cell in cells if any(dotted(c.func, names) in NOW | SECONDS for c in cell.every(ast.Call))]
    read = _read_otherwise(cells) if asking else frozenset()
    for cell in asking:
        for statement in cell.tree.body if cell.role.kind in ("step", "setup") else ():
            call = _clock(statement, names)
            if call is not None and (_kept(statement, read) or _is_seed(statement)):
                message = f"`{ast.unparse(call.func)}()` gives another value in every run"
                fix = "make the moment a parameter, such as today: date = date(2024, 5, 1)"
                yield Finding(CODE, SEVERITY, message, fix, cell.index, cell.line(call))


def _clock(statement: ast.stmt, names: Mapping[str, str]) -> ast.Call | None:
    """The call that asks for the time, unless it only becomes text or a duration, or asks for the seconds."""
    parts = list(ast.walk(statement))
    if any(isinstance(part, ast.Attribute) and part.attr in AS_TEXT for part in parts):
        return None
    wanted = NOW | SECONDS if _is_seed(statement) else NOW
    return next((part for part in parts if isinstance(part, ast.Call) and dotted(part.func, names) in wanted), None)


def _is_seed(statement: ast.stmt) -> bool:
    calls = [part for part in ast.walk(statement) if isinstance(part, ast.Call)]
    named = any(isinstance(call.func, ast.Attribute) and call.func.attr in SEEDING for call in calls)
    return named or any(word.arg in SEEDING for call in calls for word in call.keywords)


def _kept(statement: ast.stmt, read: frozenset[str]) -> bool:
    """Whether a value of the statement goes on: into a frame, or into a name that is read as more than a start."""
    match statement:
        case ast.Assign(targets=targets):
            return any(isinstance(t, ast.Subscript) or (isinstance(t, ast.Name) and t.id in read) for t in targets)
        case ast.AnnAssign(target=ast.Name(id=name)):
            return name in read
    return False


def _read_otherwise(cells: tuple[CodeCell, ...]) -> frozenset[str]:
    """Names that are read, other than in a difference (`end - start`), in a call of print or as a text's part."""
    passing: set[int] = set()
    for cell in cells:
        for difference in cell.every(ast.BinOp):
            if isinstance(difference.op, ast.Sub):
                passing |= {id(side) for side in (difference.left, difference.right) if isinstance(side, ast.Name)}
        for text in cell.every(ast.JoinedStr):
            passing |= {id(part) for part in ast.walk(text)}
        for call in cell.every(ast.Call):
            if isinstance(call.func, ast.Name) and call.func.id in ("print", "display"):
                passing |= {id(part) for part in ast.walk(call)}
            elif isinstance(call.func, ast.Attribute) and call.func.attr in AS_TEXT:
                passing.add(id(call.func.value))
    names = (name for cell in cells for name in cell.every(ast.Name))
    return frozenset(name.id for name in names if isinstance(name.ctx, ast.Load) and id(name) not in passing)
