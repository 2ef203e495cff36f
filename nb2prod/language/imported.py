"""What a dotted expression means when the notebook's imports are taken into account.

    import numpy as np                 np.float                 numpy.float
    from sklearn.datasets import *     load_boston              not known: no name is guessed
    time = 5                           time.time()              not known: the notebook uses the name otherwise

A name that the notebook binds in any other way, be it as an argument of some function, is not followed at all: that
costs a finding now and then, and never gives a false one.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator, Mapping

from nb2prod.language.code_cells import CodeCell

BUILTINS = frozenset(dir(builtins))


def imported(cells: Iterable[CodeCell]) -> dict[str, str]:
    """Local name to dotted name; Python's own functions stand for themselves (`input` is `input`)."""
    found: dict[str, set[str]] = {}
    stored: set[str] = set()
    for cell in cells:
        stored |= cell.parsed.stored
        for name, dotted in _imports(cell):
            found.setdefault(name, set()).add(dotted)
    known = {name: name for name in BUILTINS} | {name: next(iter(to)) for name, to in found.items() if len(to) == 1}
    return {name: dotted for name, dotted in known.items() if name not in stored and len(found.get(name, "1")) == 1}


def _imports(cell: CodeCell) -> Iterator[tuple[str, str]]:
    for statement in cell.every(ast.Import):
        for alias in statement.names:
            first = alias.name.partition(".")[0]
            yield (alias.asname, alias.name) if alias.asname else (first, first)
    for origin in cell.every(ast.ImportFrom):
        if origin.module and not origin.level:
            yield from ((alias.asname or alias.name, f"{origin.module}.{alias.name}") for alias in origin.names)


def dotted(node: ast.expr, names: Mapping[str, str]) -> str:
    """`numpy.random.rand` for `np.random.rand`; empty when it does not start at an import or a builtin."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in names:
        return ""
    return ".".join((names[node.id], *reversed(parts)))


def argument(call: ast.Call, position: int, *keywords: str) -> ast.expr | None:
    """The argument at a position, or by one of its names; None when it is not there or hidden behind a star."""
    for keyword in call.keywords:
        if keyword.arg in keywords:
            return keyword.value
    if len(call.args) > position and not any(isinstance(given, ast.Starred) for given in call.args[: position + 1]):
        return call.args[position]
    return None
