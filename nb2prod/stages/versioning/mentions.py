"""Where names are mentioned, so that names nobody mentions again need not be followed."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field

from nb2prod.language.plain import PlainCell
from nb2prod.language.scopes import targets_of

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


@dataclass
class _Mentions:
    """`last` is the last cell that mentions each name; names in the body of a function count to the end.

    `roaming` are names that are read outside of the loops that bind them. Any other loop variable is over with
    its loop.
    """

    last: dict[str, int] = field(default_factory=dict)
    looping: set[str] = field(default_factory=set)
    roaming: set[str] = field(default_factory=set)

    def alive(self, cell: int, name: str) -> bool:
        return self.last.get(name, 0) >= cell


def mentions_in(cells: Sequence[PlainCell | None]) -> _Mentions:
    found = _Mentions()
    for index, cell in enumerate(cells):
        if cell is not None and cell.tree is not None:
            _mention(found, cell.tree, index, len(cells))
    return found


def _mention(found: _Mentions, tree: ast.AST, cell: int, end: int) -> None:
    pending: list[tuple[ast.AST, int, frozenset[str]]] = [(tree, cell, frozenset())]
    while pending:
        node, at, loops = pending.pop()
        if isinstance(node, ast.Name):
            found.last[node.id] = max(found.last.get(node.id, 0), at)
            if node.id not in loops and not isinstance(node.ctx, ast.Store):
                found.roaming.add(node.id)
        elif isinstance(node, ast.For | ast.AsyncFor):
            targets = targets_of(node.target)
            found.looping |= targets
            inside = loops | targets
            pending += [(part, at, inside) for part in (node.target, *node.body)]
            pending += [(part, at, loops) for part in (node.iter, *node.orelse)]
            continue
        elif isinstance(node, DEFINITIONS):
            at = end
        elif isinstance(node, ast.Constant):
            continue
        pending += [(child, at, loops) for child in ast.iter_child_nodes(node)]
