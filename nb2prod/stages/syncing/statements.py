"""The statements of a module by what they define, to compare modules whatever their layout and order."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterable, Iterator

from nb2prod.stages.syncing.segments import Body, Function, Unclear, comments_in, parsed

IMPORT = "the import of "


def placed_items(text: str) -> dict[str, tuple[int, str]]:
    """By name: (line, what it means, comments included). Raises Unclear."""
    return dict(_items(text))


def items(text: str) -> dict[str, str]:
    """By name what it means; empty for what is no Python."""
    try:
        return {name: meaning for name, (_, meaning) in _items(text)}
    except Unclear:
        return {}


def without_unused(body: Body, before: str, texts: Iterable[str]) -> tuple[Body, list[tuple[str, int]]]:
    """(the module without new definitions that nothing uses, which an export leaves out, those: name and line)."""
    old = items(before)
    used = {inner.id for text in texts for inner in _nodes(text) if isinstance(inner, ast.Name)}
    left_out: dict[int, str] = {}
    for segment in body.segments:
        for node in _nodes(segment.text):
            if (
                isinstance(node, Function | ast.ClassDef)
                and node.col_offset == 0
                and node.name not in old
                and node.name not in used
            ):
                left_out[segment.line] = node.name
    kept = tuple(segment for segment in body.segments if segment.line not in left_out or not segment.text)
    return dataclasses.replace(body, segments=kept), [(name, line) for line, name in left_out.items()]


def _nodes(text: str) -> Iterator[ast.AST]:
    try:
        yield from ast.walk(parsed(text))
    except Unclear:
        return


def _items(text: str) -> Iterator[tuple[str, tuple[int, str]]]:
    """The statements of a module by what they define: (line, what they mean, comments included)."""
    tree = parsed(text)
    lines = text.split("\n")
    count = 0
    for node in tree.body:
        said = "\n".join(lines[node.lineno - 1 : node.end_lineno])
        meaning = f"{ast.dump(node)} {comments_in(said)}"
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                where = f"{'.' * node.level}{node.module}." if isinstance(node, ast.ImportFrom) else ""
                yield f"{IMPORT}{alias.asname or alias.name}", (node.lineno, f"{where}{alias.name}")
        elif isinstance(node, Function | ast.ClassDef):
            yield node.name, (node.lineno, meaning)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            yield ast.unparse(target), (node.lineno, meaning)
        elif node is tree.body[0] and ast.get_docstring(tree) is not None:
            yield "the docstring of the module", (1, " ".join((ast.get_docstring(tree) or "").split()))
        else:
            count += 1
            yield f"statement {count} of the module", (node.lineno, meaning)
