"""The cells that run, parsed once for all checks, with what stands at the top level told from what functions hold.

    for cell in code_cells(pipeline):
        for call in cell.every(ast.Call): ...      wherever it stands
        for call in cell.top(ast.Call): ...        what runs when the cell runs

A notebook has a few hundred cells and a few dozen checks: each cell is parsed and walked a single time.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar, cast

from nb2prod.core.pipeline import Pipeline, Role, RoleKind
from nb2prod.language.plain import Magic, plain

N = TypeVar("N", bound=ast.AST)
ByType = Mapping[type, tuple[ast.AST, ...]]
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


@dataclass(frozen=True, slots=True)
class Parsed:
    """`stored` are the names that the source binds anywhere, function arguments included, imports left out."""

    tree: ast.Module
    plain: bool
    magics: tuple[Magic, ...]
    nodes: ByType = field(repr=False)
    outside: ByType = field(repr=False)
    stored: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class CodeCell:
    index: int
    role: Role
    parsed: Parsed

    @property
    def tree(self) -> ast.Module:
        return self.parsed.tree

    @property
    def source(self) -> str:
        """The step that the cell belongs to, or its role: as `Binding.source` says it."""
        return self.role.name if self.role.kind == "step" else self.role.kind

    def every(self, kind: type[N]) -> tuple[N, ...]:
        return cast("tuple[N, ...]", self.parsed.nodes.get(kind, ()))

    def top(self, kind: type[N]) -> tuple[N, ...]:
        """Only what is in no function, lambda or class body: it runs when the cell runs."""
        return cast("tuple[N, ...]", self.parsed.outside.get(kind, ()))

    def line(self, node: ast.AST) -> int:
        """The line in the cell, from 1."""
        return int(getattr(node, "lineno", 1)) + self.role.line_offset


def code_cells(pipeline: Pipeline, *, without: tuple[RoleKind, ...] = ("skip", "test")) -> Iterator[CodeCell]:
    """The cells that are Python and take part, in order."""
    for index, role in enumerate(pipeline.roles):
        parsed = None if role is None or role.kind in without else _parsed(role.body)
        if role is not None and parsed is not None:
            yield CodeCell(index, role, parsed)


@lru_cache(maxsize=1024)
def _parsed(body: str) -> Parsed | None:
    cell = plain(body)
    if cell.tree is None:
        return None
    nodes = tuple(ast.walk(cell.tree))
    return Parsed(
        tree=cell.tree,
        plain=cell.source == body,
        magics=cell.magics,
        nodes=_by_type(nodes),
        outside=_by_type(_outside(cell.tree)),
        stored=frozenset(_stored(nodes)),
    )


def _by_type(nodes: tuple[ast.AST, ...]) -> ByType:
    found: dict[type, list[ast.AST]] = {}
    for node in nodes:
        found.setdefault(type(node), []).append(node)
    return {kind: tuple(of_kind) for kind, of_kind in found.items()}


def _outside(tree: ast.Module) -> tuple[ast.AST, ...]:
    """Every node that is in no function, lambda or class body, in the order of the source."""
    found: list[ast.AST] = []
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        found.append(node)
        if not isinstance(node, SCOPES):
            pending += reversed(list(ast.iter_child_nodes(node)))
    return tuple(found)


def _stored(nodes: tuple[ast.AST, ...]) -> Iterator[str]:
    for node in nodes:
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name
