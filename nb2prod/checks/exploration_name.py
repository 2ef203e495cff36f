"""A step reads a name that an exploration cell binds or changes.

A cell without a tag is exploration: it runs in the notebook and in a headless run of the whole notebook, and goes no
further. A step that depends on one would get another value, or none, in a package or a project. Tag the cell as part
of a step, or let the step bind the name itself.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import RANDOM, Pipeline, Read
from nb2prod.language.code_cells import CodeCell, code_cells
from nb2prod.language.places import root_name

CODE = "exploration-name"
SEVERITY: Severity = "error"


# methods that change their object whatever it is; of any other the finding is a guess, and says so
CHANGING = frozenset({"append", "extend", "insert", "remove", "pop", "popitem", "clear", "sort", "reverse", "add",
                      "discard", "update", "setdefault", "fit", "partial_fit", "fit_transform", "fill", "put", "resize",
                      "shuffle", "write", "writelines", "execute", "seed", "setflags", "set_params"})  # fmt: skip


def check(pipeline: Pipeline) -> Iterator[Finding]:
    functions = {binding.name for binding in pipeline.bindings if binding.kind == "function"}
    sure = {cell.index for cell in code_cells(pipeline) if cell.source == "exploration" and _changes(cell, functions)}
    for read in pipeline.reads:
        binding = read.binding
        if read.source == "exploration" or read.name == RANDOM or binding is None or binding == read.surviving:
            continue
        isolated = binding.changed and binding.cell in sure
        guess: Severity = "warning" if isolated else "note"
        severity = guess if binding.changed else SEVERITY
        yield Finding(CODE, severity, _message(read), _fix(read), read.cell, read.line, isolated=isolated)


def _changes(cell: CodeCell, functions: set[str]) -> bool:
    """Whether the cell does something that changes an object it did not make, and not only something that may."""
    own = cell.parsed.stored
    stores: list[ast.Attribute | ast.Subscript] = [*cell.every(ast.Attribute), *cell.every(ast.Subscript)]
    if any(not isinstance(node.ctx, ast.Load) and root_name(node) not in own for node in stores):
        return True
    for call in cell.every(ast.Call):
        if isinstance(call.func, ast.Name) and call.func.id in functions:
            return True
        if isinstance(call.func, ast.Attribute) and root_name(call.func) not in own:
            in_place = any(keyword.arg in ("inplace", "out") for keyword in call.keywords)
            if in_place or call.func.attr in CHANGING:
                return True
    return any(isinstance(node.target, ast.Name) for node in cell.every(ast.AugAssign))


def _message(read: Read) -> str:
    assert read.binding is not None
    through = f" through {read.through}" if read.through else ""
    rebinds = "binds" if read.surviving is None else "binds again"
    verb = "may change in place" if read.binding.changed else rebinds
    return f"{read.source} reads `{read.name}`{through}, which exploration cell {read.binding.cell} {verb}"


def _fix(read: Read) -> str:
    assert read.binding is not None
    if read.binding.changed:
        return f"if cell {read.binding.cell} does change it, tag the cell as a step; else let it work on a copy"
    return f"tag cell {read.binding.cell} (step:NAME), or use another name there"
