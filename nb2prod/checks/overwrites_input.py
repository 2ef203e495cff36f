"""A cell writes the file that an earlier cell has read.

    df = pd.read_csv("loans.csv")          cell 2
    df.to_csv("loans.csv", index=False)    cell 9

The first run gets one result, the second starts from what the first has written and gets another; the data as they
were are gone. Write to another file.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline
from nb2prod.language.code_cells import CodeCell, code_cells
from nb2prod.language.imported import argument, dotted, imported
from nb2prod.language.kinds import bounds

CODE = "overwrites-input"
SEVERITY: Severity = "warning"
# callables that read, or write, the file that an argument names: (pattern, its position)
READERS = ((re.compile(r"pandas\.read_\w+|numpy\.(load|loadtxt|genfromtxt)|joblib\.load"), 0),)
WRITERS = (
    (re.compile(r"numpy\.(save|savez|savez_compressed|savetxt)"), 0),
    (re.compile(r"joblib\.dump"), 1),
)
METHODS = re.compile(r"to_(csv|parquet|excel|json|pickle|feather|stata|hdf)")


def check(pipeline: Pipeline) -> Iterator[Finding]:
    cells = tuple(code_cells(pipeline))
    names = imported(cells)
    once = _bound_once(cells)
    read: dict[str, int] = {}
    written: set[str] = set()
    for cell in cells:
        for call in cell.top(ast.Call):
            file = _file(_read_from(call, names), once)
            if file and file not in written:
                read.setdefault(file, cell.index)
            file = _file(_written_to(call, names), once)
            if file and file in read and file not in written:
                message = f"`{file}` is written here, and cell {read[file]} has read it"
                yield Finding(CODE, SEVERITY, message, "write to another file", cell.index, cell.line(call))
            if file:
                written.add(file)


def _read_from(call: ast.Call, names: Mapping[str, str]) -> ast.expr | None:
    name = dotted(call.func, names)
    if name == "open":
        return argument(call, 0, "file") if _mode(call) in ("r", "rb", "rt") else None
    return _by_table(call, name, READERS)


def _written_to(call: ast.Call, names: Mapping[str, str]) -> ast.expr | None:
    name = dotted(call.func, names)
    if name == "open":
        return argument(call, 0, "file") if _mode(call)[:1] in ("w", "a") else None
    if not name and isinstance(call.func, ast.Attribute) and METHODS.fullmatch(call.func.attr):
        return argument(call, 0, "path_or_buf", "path", "excel_writer")
    return _by_table(call, name, WRITERS)


def _by_table(call: ast.Call, name: str, table: tuple[tuple[re.Pattern[str], int], ...]) -> ast.expr | None:
    position = next((position for pattern, position in table if pattern.fullmatch(name)), None)
    return None if position is None else argument(call, position, "filepath_or_buffer", "path", "filename", "file")


def _mode(call: ast.Call) -> str:
    mode = argument(call, 1, "mode")
    if mode is None:
        return "r"
    return mode.value if isinstance(mode, ast.Constant) and isinstance(mode.value, str) else "?"


def _file(given: ast.expr | None, once: Mapping[str, str]) -> str:
    """What tells one file from another: its path, or the name that is bound once and holds it."""
    match given:
        case ast.Constant(value=str(text)) if "://" not in text:
            return PurePath(text).as_posix()
        case ast.Name(id=name):
            return once.get(name, "")
    return ""


def _bound_once(cells: tuple[CodeCell, ...]) -> dict[str, str]:
    values: dict[str, list[ast.expr | None]] = {}
    for bound in bounds(cells):
        values.setdefault(bound.name, []).append(bound.value)
    found = {name: given[0] for name, given in values.items() if len(given) == 1}
    return {name: _file(value, {}) or name for name, value in found.items()}
