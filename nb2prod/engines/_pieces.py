"""A notebook cut into pieces, each to run in a process of its own: the cells of one step that stand together.

    cell 0  parameters          piece 0   (no step)
    cell 1  imports             piece 0
    cell 2  step:load           piece 1   load
    cell 3  (exploration)       only its imports, where a later cell may use them
    cell 4  step:load           piece 1   load
    cell 5  test:load           piece 1   load
    cell 6  step:train          piece 2   train

Pieces keep the notebook's order. Cells of no step between two cells of one step run in its process, in their place.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from nb2prod.core.pipeline import Pipeline, Role
from nb2prod.kernel.step_work import CellWork
from nb2prod.language import downloads, surroundings
from nb2prod.language.names import functions_of, names_of
from nb2prod.language.plain import PlainCell, plain

SHARED = ("parameters", "imports", "functions", "setup")
SETTINGS = ("load_ext", "reload_ext", "config", "matplotlib", "precision", "xmode", "colors")


@dataclass(frozen=True, slots=True)
class Piece:
    """`step` is empty for cells of no step.

    `reads` are names that it may read from before, `loads` all that it mentions, `binds` what it gives a value.
    `magics` are the settings that its cells make in IPython and `imports` their import statements, for the processes
    that come after. `keeps` says what it does to its process that no value shows: then what comes after runs there too.
    """

    order: int
    step: str
    cells: tuple[CellWork, ...]
    reads: frozenset[str]
    loads: frozenset[str]
    binds: frozenset[str]
    magics: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    keeps: str = ""

    @property
    def indexes(self) -> tuple[int, ...]:
        return tuple(cell.index for cell in self.cells if cell.index is not None)


@dataclass(frozen=True, slots=True)
class _Part:
    """One cell on its way into a piece: `step` is None for a cell that belongs to whatever is around it."""

    step: str | None
    work: CellWork
    plain: PlainCell


def pieces_of(pipeline: Pipeline, notebook: Any) -> tuple[Piece, ...]:
    """The pieces of the notebook as it is to run (`notebook` has the injected parameters already)."""
    parts = list(_parts(pipeline, notebook))
    trees = [part.plain.tree for part in parts if part.plain.tree is not None]
    imports = frozenset(name for tree in trees for name in surroundings.names_of_imports(tree))
    return tuple(_piece(order, step, cells, imports) for order, (step, cells) in enumerate(_together(parts)))


def _parts(pipeline: Pipeline, notebook: Any) -> Iterator[_Part]:
    count = 0
    for position, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        count += 1
        index = cell.metadata.get("nb2prod", {}).get("cell")
        role = pipeline.roles[index] if index is not None else None
        if role is not None and role.kind == "skip":
            continue
        may_fail = "raises-exception" in cell.metadata.get("tags", ())
        source, step = _source(cell, role), _step(role)
        if source.strip():
            work = CellWork(position, index, source, count, role is not None and role.kind == "test", may_fail)
            yield _Part(step, work, plain(role.body if role is not None and role.kind == "test" else source))


def _step(role: Role | None) -> str | None:
    if role is None or role.kind in (*SHARED, "exploration"):
        return None
    return role.name


def _source(cell: Any, role: Role | None) -> str:
    if role is None:
        return str(cell.source)
    if role.kind == "exploration":
        return _imports_only(role.body)
    body = _whole_downloads(role.body)
    text = body.lstrip("\n")
    above = role.line_offset + len(body) - len(text)
    # IPython drops empty lines at the top: comments hold their place, so that lines count as the author counts them
    return text if text.startswith("%%") else "#\n" * above + text


def _whole_downloads(source: str) -> str:
    """The source with each `!wget` and `!curl` on a line of its own written so that no half file is left behind.

    A step that is run again, or that comes later, would take half a file for the data.
    """
    if not re.search(r"![ \t]*(?:wget|curl)\b", source):
        return source
    lines = source.split("\n")
    for magic in plain(source).magics:
        shell = re.fullmatch(r"(\s*)!(.*)", lines[magic.line - 1]) if magic.name == "!" else None
        if shell is not None and shell[2].strip() == magic.arguments.strip():
            anew = downloads.safe(magic.arguments)
            lines[magic.line - 1] = f"{shell[1]}!{anew}" if anew else lines[magic.line - 1]
    return "\n".join(lines)


def _imports_only(source: str) -> str:
    """The import statements of a cell, each on its line."""
    tree = plain(source).tree
    if tree is None:
        return ""
    lines = [""] * (source.count("\n") + 2)
    for statement in tree.body:
        if surroundings.is_import(statement):
            lines[statement.lineno] = ast.unparse(statement)
    return "\n".join(lines).strip("\n")


def _together(parts: list[_Part]) -> list[tuple[str, list[_Part]]]:
    """Parts of one step that only parts of no step stand between."""
    pieces: list[tuple[str, list[_Part]]] = []
    waiting: list[_Part] = []
    for part in parts:
        if part.step is None:
            waiting.append(part)
        elif pieces and part.step and pieces[-1][0] == part.step:
            pieces[-1][1].extend([*waiting, part])
            waiting = []
        else:
            if waiting:
                pieces.append(("", waiting))
            pieces.append((part.step, [part]))
            waiting = []
    return [*pieces, ("", waiting)] if waiting else pieces


def _piece(order: int, step: str, parts: list[_Part], imports: frozenset[str]) -> Piece:
    trees = [part.plain.tree for part in parts if part.plain.tree is not None]
    tests = [part.plain.tree for part in parts if part.plain.tree is not None and part.work.is_test]
    # a test's functions are called right away
    reads = {node.id for tree in tests for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for position, tree in enumerate(trees):
        names = names_of(tree, functions_of(trees[:position]))
        reads |= {read.name for read in names.reads if not read.inside}
        reads |= {name for name, _ in names.changes}
        reads |= set(_in_queries(tree)) | set(_in_classes(tree))
    nodes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name)]
    loads = {node.id for node in nodes} | reads
    settings = [
        f"%{magic.name.lstrip('%')} {magic.arguments}"
        for part in parts
        for magic in part.plain.magics
        if magic.name.lstrip("%") in SETTINGS
    ]
    return Piece(
        order,
        step,
        tuple(part.work for part in parts),
        frozenset(reads),
        frozenset(loads),
        frozenset(node.id for node in nodes if isinstance(node.ctx, ast.Store)),
        tuple(settings),
        tuple(ast.unparse(statement) for tree in trees for statement in tree.body if surroundings.is_import(statement)),
        next((what for tree in trees if (what := surroundings.lasting_change(tree, imports))), ""),
    )


def _in_classes(tree: ast.Module) -> Iterator[str]:
    """Names in the body of a class, where a comprehension sees the notebook's and not the class's; and names that an
    `except … as error` takes away when it has been there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield from (inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name))
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield node.name


def _in_queries(tree: ast.Module) -> Iterator[str]:
    """`limit` in `df.query("x > @limit")`: pandas looks it up where the method is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("query", "eval"):
            for argument in node.args:
                for inner in ast.walk(argument):
                    if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                        yield from re.findall(r"@(\w+)", inner.value)


class Sourced(Protocol):
    """Anything that has the source of a cell."""

    @property
    def source(self) -> str: ...

    @property
    def is_test(self) -> bool: ...


def may_define(cell: Sourced) -> bool:
    """Whether the cell may define something whose source a traceback shows later."""
    return not cell.is_test and any(word in cell.source for word in ("def ", "class ", "lambda"))


def only_imported(pieces: tuple[Piece, ...]) -> frozenset[str]:
    """Names that import statements at the top level bind, and nothing else does: every process imports them anew."""
    imported: dict[str, str] = {}
    bound: set[str] = set()
    for piece in pieces:
        for cell in piece.cells:
            tree = None if cell.is_test else plain(cell.source).tree
            for statement in tree.body if tree is not None else ():
                if surroundings.is_import(statement):
                    for name, source in _sources(statement):
                        # two imports that give one name two things: what it is depends on where one is
                        bound |= {name} if imported.setdefault(name, source) != source else set()
                else:
                    bound |= set(_bound_in(statement))
    return frozenset(imported.keys() - bound - {"*"})


def _sources(statement: ast.stmt) -> Iterator[tuple[str, str]]:
    """(name, what it is bound to) of an import statement."""
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            yield (alias.asname, alias.name) if alias.asname else (alias.name.partition(".")[0],) * 2
    elif isinstance(statement, ast.ImportFrom):
        for alias in statement.names:
            yield alias.asname or alias.name, f"{'.' * statement.level}{statement.module}:{alias.name}"
    else:
        for name in surroundings.names_of_imports(statement):
            yield name, ast.unparse(statement)


def _bound_in(statement: ast.stmt) -> Iterator[str]:
    """Every name that a statement may bind or delete at the top level, and some that it does not."""
    yield from surroundings.names_of_imports(statement)
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.ExceptHandler):
            yield node.name or ""


def names_in_functions(pieces: tuple[Piece, ...]) -> frozenset[str]:
    """Names that a function, lambda or class body mentions anywhere: it may be called in any later piece."""
    found: set[str] = set()
    for piece in pieces:
        for cell in piece.cells:
            tree = plain(cell.source).tree if not cell.is_test else None
            for node in ast.walk(tree) if tree is not None else ():
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
                    found |= {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
    return frozenset(found)
