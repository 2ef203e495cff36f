"""Imports that an engineer added to a module of the project, for the cell of imports of the notebook."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping

from nb2prod.core.edit import Edit
from nb2prod.core.notebook import Notebook
from nb2prod.core.origin import Origin
from nb2prod.language.plain import plain
from nb2prod.stages.syncing.segments import Body, Unclear, parsed


def import_edits(notebook: Notebook, now: Mapping[str, str], fresh: Origin, changed: Iterable[Body]) -> list[Edit]:
    """The edit that adds the imports which changed functions use and the notebook does not have."""
    if fresh.imports is None:
        return []
    used = {name for body in changed for segment in body.segments for name in _names(segment.text)}
    there = set(_imported(notebook))
    found = {
        statement
        for file in {place.file for place in fresh.places}
        for name, statement in _imports(now.get(file, ""))
        if name in used and name not in there and not _of_project(statement, fresh.package)
    }
    cell, line = fresh.imports
    end = (line, len(notebook.cells[cell].source.split("\n")[line - 1]))
    text = "".join(f"\n{statement}" for statement in sorted(found))
    return [Edit(cell, end, end, text)] if text else []


def _imported(notebook: Notebook) -> Iterator[str]:
    for cell in notebook.cells:
        tree = plain(cell.source).tree if cell.kind == "code" else None
        for node in ast.walk(tree) if tree is not None else ():
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)


def _names(text: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}


def _imports(text: str) -> Iterator[tuple[str, str]]:
    """(name, statement that binds it alone) of a module's top level."""
    try:
        tree = parsed(text)
    except Unclear:
        return
    for node in tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.asname or alias.name.partition(".")[0], ast.unparse(ast.Import(names=[alias]))
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                alone = ast.ImportFrom(module=node.module, names=[alias], level=node.level)
                yield alias.asname or alias.name, ast.unparse(alone)


def _of_project(statement: str, package: str) -> bool:
    node = ast.parse(statement).body[0]
    module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
    return module.partition(".")[0] == package
