"""The cells of a map, compiled once, to be run once an item.

Cells run as plain code objects in one dictionary, the namespace of the module `__main__`. IPython takes part only as
its transformer (magics, shell lines) and, where a cell asks for it, as `get_ipython()`: there is no executed notebook
to keep, so that what a cell shows goes nowhere, and only what it prints is kept, the end of it.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nb2prod.core.pipeline import Parameter
from nb2prod.kernel.map_job import Job, JobCell
from nb2prod.language.future import future_flags

Namespace = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Compiled:
    """A cell with its code; of a parameters cell also its parameters, and the code of those that derive from others."""

    cell: JobCell
    code: types.CodeType
    parameters: tuple[Parameter, ...] = ()
    derived: Mapping[str, types.CodeType] = field(default_factory=dict)

    @property
    def filename(self) -> str:
        return self.code.co_filename


def filename_of(cell: JobCell) -> str:
    return f"<cell {cell.index}>"


def compile_cells(job: Job, cells: Sequence[JobCell]) -> list[Compiled]:
    """Code objects for cells, in order. Raises SyntaxError, which names its cell as the file."""
    flags = 0
    compiled = []
    for cell in cells:
        if cell.sort == "test":
            # pytest compiles it: the test cell is only known by its source
            compiled.append(Compiled(cell, compile("", filename_of(cell), "exec")))
            continue
        source = executable(cell.source)
        tree = ast.parse(source, filename_of(cell))
        flags |= future_flags(tree)
        if cell.sort == "parameters":
            tree = _without_rows(tree, job)
        lines = source.splitlines(keepends=True)
        linecache.cache[filename_of(cell)] = (len(source), None, lines, filename_of(cell))
        code = compile(
            tree, filename_of(cell), "exec", flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True, optimize=0
        )
        own = tuple(p for p in job.parameters if p.cell == cell.index) if cell.sort == "parameters" else ()
        derived = {p.name: compile(p.expression, filename_of(cell), "eval") for p in own if p.derived_from}
        compiled.append(Compiled(cell, code, own, derived))
    return compiled


def executable(source: str) -> str:
    """Plain Python with the lines of the cell, magics and shell lines as calls of `get_ipython()`."""
    try:
        compile(source, "<cell>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except (SyntaxError, ValueError):
        return _without_magics(source)
    return source


def _without_magics(source: str) -> str:
    from IPython.core.inputtransformer2 import TransformerManager

    above = len(source) - len(source.lstrip("\n"))
    transformed: str = TransformerManager().transform_cell(source[above:])
    return "\n" * above + transformed


def _without_rows(tree: ast.Module, job: Job) -> ast.Module:
    """The parameters cell without the default of the rows, and without what derives from it: both are given."""
    fresh = {job.rows} if job.rows else set()
    for parameter in job.parameters:
        if fresh & set(parameter.derived_from):
            fresh.add(parameter.name)
    return ast.Module(body=[statement for statement in tree.body if not _is_about(statement, fresh)], type_ignores=[])


def _is_about(statement: ast.stmt, fresh: set[str]) -> bool:
    """Whether a statement gives a fresh name its default, or only shows one."""
    if bound := _binds(statement):
        return bound <= fresh
    names = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
    return isinstance(statement, ast.Expr) and bool(names & fresh)


def _binds(statement: ast.stmt) -> set[str]:
    match statement:
        case ast.AnnAssign(target=ast.Name(id=name)):
            return {name}
        case ast.Assign(targets=targets):
            return {target.id for target in targets if isinstance(target, ast.Name)}
    return set()


def execute(code: types.CodeType, namespace: Namespace) -> None:
    """Run a cell; one with `await` at its top level runs in the loop that IPython would use."""
    if code.co_flags & inspect.CO_COROUTINE:
        from IPython.core.async_helpers import get_asyncio_loop

        get_asyncio_loop().run_until_complete(eval(code, namespace))
    else:
        exec(code, namespace)


def close_figures() -> None:
    """As Jupyter's inline plots do after each cell."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None and pyplot.get_fignums():
        pyplot.close("all")
