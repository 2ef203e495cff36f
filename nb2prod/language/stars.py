"""`from module import *`: which modules a notebook asks for everything, and the cell with the names in its place."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Mapping
from typing import TypeGuard

Names = Mapping[str, tuple[str, ...]]


def modules(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """(module with its leading dots, line) of each star import."""
    for node in ast.walk(tree):
        if _is_star(node):
            yield _module(node), node.lineno


def named(tree: ast.Module, names: Names) -> ast.Module:
    """The tree with the names that a star import binds in its place, where they are known; the lines stay."""
    if not any(module in names for module, _ in modules(tree)):
        return tree
    changed: ast.Module = _Naming(names).visit(copy.deepcopy(tree))
    return changed


class _Naming(ast.NodeTransformer):
    def __init__(self, names: Names) -> None:
        self._names = names

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom | None:
        there = self._names.get(_module(node)) if _is_star(node) else None
        if there is None:
            return node
        node.names = [ast.copy_location(ast.alias(name), node) for name in there]
        return node if node.names else None


def _is_star(node: ast.AST) -> TypeGuard[ast.ImportFrom]:
    return isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names)


def _module(node: ast.ImportFrom) -> str:
    return "." * node.level + (node.module or "")
