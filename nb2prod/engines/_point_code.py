"""What a resume point needs to know of the notebook's code: which values count, and why there can be no point.

    words       what the cells to come may read: other values need not be kept
    imports     statements that are done again in a new process, with what sets up a library in the same words
    refused     the first thing that no value shows and another process would not know

Each point looks at all cells before it. What is known of a cell or a statement is kept, or a run would cost the square
of its cells.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import re
from collections.abc import Iterable, Iterator
from typing import Any

from nb2prod.core.pipeline import Plan, Role
from nb2prod.engines._pieces import SETTINGS, Piece, may_define, only_imported
from nb2prod.engines._prepared import variable
from nb2prod.kernel.checkpoint import Wanted
from nb2prod.kernel.step_work import CellWork
from nb2prod.language import parameters, surroundings
from nb2prod.language.plain import plain
from nb2prod.language.same_code import key_of

# words with which code reaches names that it does not mention
ANY_NAME = frozenset(
    ["globals", "locals", "vars", "eval", "exec", "dir", "get_ipython", "user_ns", "who", "whos", "who_ls", "macro"]
)
HISTORY = re.compile(r"In|Out|_+|_dh|_oh|_ih|_i+|_i?\d+")
HISTORY_WORD = re.compile(rf"(?<!\w)(?:{HISTORY.pattern})(?!\w)")
# what sets up a library for good, and can be done again in the same words
AGAIN = ("autolog", "set_experiment", "set_tracking_uri", "basicConfig", "tqdm.pandas", "field_size_limit")
NO_AGAIN_LOST = ("set_experiment", "set_tracking_uri", "autolog")


@dataclasses.dataclass(frozen=True, slots=True)
class RunningCell:
    """A code cell that runs, and what of it counts for those that run after a point."""

    position: int
    index: int | None
    role: Role | None
    source: str
    code: str
    is_test: bool


def running_cells(plan: Plan, notebook: Any) -> Iterator[RunningCell]:
    """The code cells that a run of the plan runs, in order."""
    for position, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        index = cell.metadata.get("nb2prod", {}).get("cell")
        role = plan.pipeline.roles[index] if index is not None else None
        kind = role.kind if role is not None else ""
        if kind == "skip" or (plan.only_steps and kind == "exploration"):
            continue
        source = role.body if role is not None else str(cell.source)
        yield RunningCell(position, index, role, source, key_of(role) if role is not None else "", kind == "test")


def wanted_at(plan: Plan, cells: Iterable[RunningCell], position: int, notebook: Any) -> Wanted:
    """What is known of a point after the cell at `position` from the code alone."""
    cells = list(cells)
    past, later = _split(cells, position)
    trees = [tree for cell in past if not cell.is_test and (tree := plain(cell.source).tree) is not None]
    imports = frozenset(name for tree in trees for name in surroundings.names_of_imports(tree))
    statements = [statement for tree in trees for statement in tree.body]
    again = [s for s in statements if surroundings.is_import(s) or _again(s, imports)]
    once = [s for s in statements if s not in again]
    binds = frozenset().union(*map(_bound_in, trees))
    return Wanted(
        store="",
        run=plan.run,
        position=position,
        words=_words(plan, past, later),
        imports=tuple(ast.unparse(statement) for statement in again),
        imported=tuple(sorted(only_imported((_piece(past),)))),
        binds=tuple(sorted(binds)),
        magics=_settings(past),
        sources=tuple((_count(notebook, cell), cell.source) for cell in past if may_define(cell)),
        secrets=_secrets(plan),
        injected=_injected_secrets(plan),
        refused=_secret_in_the_way(plan) or _change_in_the_way(once, imports) or _history_in_the_way(later, binds),
    )


def _split(cells: list[RunningCell], position: int) -> tuple[list[RunningCell], list[RunningCell]]:
    return [c for c in cells if c.position <= position], [c for c in cells if c.position > position]


def _piece(cells: Iterable[RunningCell]) -> Piece:
    works = tuple(CellWork(c.position, c.index, c.source, 0, c.is_test) for c in cells)
    return Piece(0, "", works, frozenset(), frozenset(), frozenset())


def _words(plan: Plan, past: list[RunningCell], later: list[RunningCell]) -> tuple[str, ...] | None:
    """Every word that the cells to come contain, and what runs without being mentioned; None: any name may be read."""
    found = set().union(*(_all_words(cell.source) for cell in later), *(_words_in_functions(c.source) for c in past))
    if found & ANY_NAME:
        return None
    pipeline = plan.pipeline
    for step in pipeline.steps:
        found |= {*step.inputs, *step.metrics, *step.plots, step.model or "", step.example or ""}
    return tuple(sorted(found | set(pipeline.module.names) | {parameter.name for parameter in pipeline.parameters}))


@functools.lru_cache(maxsize=4096)
def _all_words(source: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", source))


@functools.lru_cache(maxsize=4096)
def _words_in_functions(source: str) -> frozenset[str]:
    """What functions, lambdas and class bodies mention: they may be called in any later cell."""
    tree = plain(source).tree
    made = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
    nodes = [node for node in ast.walk(tree) if isinstance(node, made)] if tree is not None else []
    return frozenset().union(*(_all_words(ast.unparse(node)) for node in nodes))


@functools.lru_cache(maxsize=4096)
def _history_read(source: str) -> frozenset[str]:
    """Names like `_` and `Out` that a cell reads and does not bind itself."""
    if not HISTORY_WORD.search(source):
        return frozenset()  # without a tree, which takes longer for all cells than a point does
    tree = plain(source).tree
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)] if tree is not None else []
    bound = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
    bound |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)} if tree is not None else set()
    return frozenset(node.id for node in names if HISTORY.fullmatch(node.id)) - bound


def _settings(cells: Iterable[RunningCell]) -> tuple[str, ...]:
    return tuple(
        f"%{magic.name.lstrip('%')} {magic.arguments}"
        for cell in cells
        if not cell.is_test
        for magic in plain(cell.source).magics
        if magic.name.lstrip("%") in (*SETTINGS, "autoreload")
    )


def _count(notebook: Any, cell: RunningCell) -> int:
    return int(notebook.cells[cell.position].get("execution_count") or 0)


@functools.lru_cache(maxsize=4096)
def _bound_in(tree: ast.Module) -> frozenset[str]:
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Name))
    return frozenset(node.id for node in nodes if isinstance(node.ctx, ast.Store))


@functools.lru_cache(maxsize=16_384)
def _lasting(statement: ast.stmt, imports: frozenset[str]) -> str:
    """What a statement does to its process that no value shows."""
    what = surroundings.lasting_change(ast.Module([statement], []), imports)
    text = ast.unparse(statement)
    return what or next((f"calls {name}" for name in NO_AGAIN_LOST if f".{name}(" in text), "")


@functools.lru_cache(maxsize=16_384)
def _again(statement: ast.stmt, imports: frozenset[str]) -> bool:
    """Whether a statement only sets up a library, in words that mean the same in every process."""
    if not isinstance(statement, ast.Expr) or not isinstance(statement.value, ast.Call):
        return False
    if not ast.unparse(statement.value.func).endswith(AGAIN):
        return False
    names = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
    return names <= imports and not any(isinstance(node, ast.Await | ast.NamedExpr) for node in ast.walk(statement))


def _secret_in_the_way(plan: Plan) -> str:
    secret = dict(_secrets(plan))
    if any(type(value) is not str for name, value in plan.given.items() if name in secret):
        return "a secret parameter that is no text cannot be told from other values"
    return ""


def _change_in_the_way(statements: Iterable[ast.stmt], imports: frozenset[str]) -> str:
    what = next((what for statement in statements if (what := _lasting(statement, imports))), "")
    return f"a cell {what}, which another process would not know" if what else ""


def _history_in_the_way(later: Iterable[RunningCell], binds: frozenset[str]) -> str:
    read = frozenset().union(*(_history_read(cell.source) for cell in later)) - binds
    return f"a later cell reads `{min(read)}`, which IPython remembers of the cells before" if read else ""


def _secrets(plan: Plan) -> tuple[tuple[str, str], ...]:
    given = (p.name for p in plan.pipeline.parameters if p.secret and p.name in plan.given)
    return tuple((name, variable(name)) for name in given)


def _injected_secrets(plan: Plan) -> str:
    secret = [p for p in plan.pipeline.parameters if p.secret and p.name in plan.given]
    return parameters.injected(secret, {p.name: plan.given[p.name] for p in secret}, secret_variable=variable)
