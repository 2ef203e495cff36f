"""Literals that may become parameters: a whole cell of them, or lines that can move to a new parameters cell.

    SEED = 42                     bound once, to a plain name, read later, never above: it may move
    n = 0 … n += 1                bound twice: it stays

A line moves only when the notebook means the same afterwards, so a name that anything binds again, changes or deletes
stays, and nothing moves in a notebook that looks names up at run time or imports names it does not list.
"""

from __future__ import annotations

import ast
import builtins
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nb2prod.core.pipeline import Pipeline
from nb2prod.language.plain import PlainCell
from nb2prod.language.suggesting.statements import is_literal
from nb2prod.language.suggesting.trees import dotted, outside

LOOKS_UP = frozenset({"globals", "locals", "vars", "exec", "eval", "dir"})
MAKERS = frozenset({"Path", "pathlib.Path", "date", "datetime", "timedelta"})
MOVED = "# moved to the parameters cell"


@dataclass(frozen=True, slots=True)
class Moved:
    """One line that moves to the new parameters cell: `text` as its author wrote it, with its comment."""

    name: str
    cell: int
    line: int
    text: str


def is_parameters_cell(cell: PlainCell, index: int, pipeline: Pipeline) -> bool:
    """Whether a cell only assigns literals (and what is computed from them) to names that later cells read."""
    body = [s for s in (cell.tree.body if cell.tree else ()) if not _is_text(s)]
    bound: list[str] = []
    for statement in body:
        name, value = _assigned(statement)
        if not name or value is None or not _is_plain(value, bound):
            return False
        bound.append(name)
    read = {read.name for read in pipeline.reads if read.cell > index}
    counts = _times_bound(pipeline)
    return bool(bound) and all(counts[name] == 1 for name in bound) and bool(read & set(bound))


def movable(cells: Sequence[PlainCell | None], sources: Sequence[str], pipeline: Pipeline) -> Iterator[Moved]:
    """Every line that may move, in order. `sources` are the cells' texts; a cell that must not be touched is None."""
    if any(_looks_names_up(cell) for cell in map(_plain_of, cells)):
        return
    counts = _times_bound(pipeline)
    for index, cell in enumerate(cells):
        for statement in cell.tree.body if cell is not None and cell.tree is not None else ():
            name, value = _assigned(statement)
            if not name or value is None or not _is_scalar(value) or name.startswith("_"):
                continue
            if counts[name] != 1 or hasattr(builtins, name) or not _means_the_same_above(statement):
                continue
            here, read = (index, statement.lineno), _places_read(name, pipeline, cells)
            text = _line_of(sources[index], statement)
            if text and read and min(read) > here:
                yield Moved(name, index, statement.lineno, text)


def without(source: str, moved: Sequence[Moved]) -> str:
    """A cell's source without the lines that moved."""
    gone = {line.line for line in moved}
    lines = [text for number, text in enumerate(source.split("\n"), 1) if number not in gone]
    left = "\n".join(lines).strip("\n")
    return left if left.strip() else MOVED


def _plain_of(cell: PlainCell | None) -> PlainCell:
    return cell if cell is not None else PlainCell("", None)


def _assigned(statement: ast.stmt) -> tuple[str, ast.expr | None]:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            return name, value
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            return name, value
    return "", None


def _means_the_same_above(statement: ast.stmt) -> bool:
    """Whether an annotation needs no import, which would stand below the new cell."""
    annotation = statement.annotation if isinstance(statement, ast.AnnAssign) else None
    names = [node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)] if annotation else []
    return all(hasattr(builtins, name) for name in names)


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _is_scalar(value: ast.expr) -> bool:
    if isinstance(value, ast.UnaryOp):
        return isinstance(value.op, ast.USub) and _is_scalar(value.operand)
    return isinstance(value, ast.Constant) and isinstance(value.value, str | int | float | bool)


def _is_plain(value: ast.expr, bound: Sequence[str]) -> bool:
    """A literal, a path or date of literals, or what is computed from the names above without a call."""
    if isinstance(value, ast.List | ast.Set | ast.Tuple) and not value.elts:
        return False  # an empty container is there to be filled
    if isinstance(value, ast.Dict) and not value.keys:
        return False
    if is_literal(value):
        return True
    calls = [node for node in ast.walk(value) if isinstance(node, ast.Call)]
    names = {node.id for node in ast.walk(value) if isinstance(node, ast.Name)}
    makers = {name.partition(".")[0] for name in MAKERS}
    return all(dotted(call.func) in MAKERS for call in calls) and names <= {*bound, *makers}


def _times_bound(pipeline: Pipeline) -> Counter[str]:
    """How often each name gets a value. A change in place does not count: it is another version of the same object."""
    return Counter(binding.name for binding in pipeline.bindings if not binding.changed)


def _places_read(name: str, pipeline: Pipeline, cells: Sequence[PlainCell | None]) -> list[tuple[int, int]]:
    """(cell, line) of every read, those included that the compiler leaves out as the cell's own affair.

    A function reads where it is called, which the compiler says.
    """
    found = [(read.cell, read.line) for read in pipeline.reads if read.name == name]
    for index, cell in enumerate(cells):
        found += [
            (index, inner.lineno)
            for statement in (cell.tree.body if cell is not None and cell.tree is not None else ())
            for inner, _ in outside(statement)
            if isinstance(inner, ast.Name) and inner.id == name and isinstance(inner.ctx, ast.Load)
        ]
    return found


def _looks_names_up(cell: PlainCell) -> bool:
    """What could see that a name is bound earlier, or bind it unseen: `globals()`, star imports, unknown magics."""
    if any(magic.treatment == "opaque" and not magic.name.startswith("%%") for magic in cell.magics):
        return True
    for node in ast.walk(cell.tree) if cell.tree is not None else ():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in LOOKS_UP:
            return True
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            return True
    return False


def _line_of(source: str, statement: ast.stmt) -> str:
    """The statement's line, when it holds the statement alone and nothing but a comment behind it."""
    if statement.end_lineno != statement.lineno or statement.col_offset:
        return ""
    text = source.split("\n")[statement.lineno - 1]
    try:
        alone = ast.parse(text).body
    except SyntaxError:
        return ""
    return text.rstrip() if len(alone) == 1 and ast.dump(alone[0]) == ast.dump(statement) else ""
