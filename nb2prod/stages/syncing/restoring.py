"""The exporter's changes of the author's names, taken back.

    functions.STOPWORDS |= {"given"}      ->  STOPWORDS |= {"given"}
    vectorize(X, vectorizer)              ->  vectorize(X)
    def price(day, rates):                ->  def price(day):

Whether the result means what it should is proved by another export.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

Edit = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class Names:
    """`renamed` has what a name became (`functions.STATE`), `passed` the further arguments of functions."""

    renamed: Mapping[str, str]
    passed: Mapping[str, tuple[str, ...]]


def restored(text: str, names: Names) -> str:
    """A statement as the notebook would say it."""
    if not names.renamed and not names.passed:
        return text
    edits = sorted(set(_edits(text, names)), reverse=True)
    for start, end, anew in edits:
        text = text[:start] + anew + text[end:]
    return text


def _edits(text: str, names: Names) -> Iterator[Edit]:
    places = _Places(text)
    back = {dotted: name for name, dotted in names.renamed.items()}
    for node in _walked(ast.parse(text)):
        if isinstance(node, ast.JoinedStr):
            # before Python 3.12 what stands in an f-string has no place of its own
            start, end = places.span(node)
            for found in re.finditer(r"(?<![\w.])[^\W\d]\w*\.\w+", text[start:end]):
                if found[0] in back:
                    yield start + found.start(), start + found.end(), back[found[0]]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and ast.unparse(node) in back:
            yield (*places.span(node), back[ast.unparse(node)])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names.passed:
            given: list[ast.expr | ast.keyword | ast.arg] = [*node.args, *node.keywords]
            yield from _without(places, given, names.passed[node.func.id])
        elif isinstance(node, ast.FunctionDef) and node.name in names.passed:
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            yield from _without(places, given, names.passed[node.name])


def _walked(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes, without those in f-strings."""
    yield node
    for child in ast.iter_child_nodes(node) if not isinstance(node, ast.JoinedStr) else ():
        yield from _walked(child)


def _without(places: _Places, given: list[ast.expr | ast.keyword | ast.arg], more: tuple[str, ...]) -> Iterator[Edit]:
    """Take the last arguments out, when they are the further ones."""
    there = sorted(given, key=lambda part: (part.lineno, part.col_offset))
    last = there[len(there) - len(more) :]
    if len(last) != len(more) or [_name(part) for part in last] != list(more):
        return
    before = there[: len(there) - len(more)]
    start = places.span(before[-1])[1] if before else places.span(last[0])[0]
    yield start, places.span(last[-1])[1], ""


def _name(part: ast.expr | ast.keyword | ast.arg) -> str:
    match part:
        case ast.keyword(arg=str(name), value=ast.Name(id=value)) if name == value:
            return name
        case ast.Name(id=name) | ast.arg(arg=name):
            return name
        case ast.keyword(arg=str(name), value=ast.Attribute(attr=value)) if name == value:
            return name
        case ast.Attribute(attr=name):
            return name
    return ""


class _Places:
    """Where nodes stand in a text."""

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line) + 1)

    def at(self, line: int, column: int) -> int:
        return self.starts[line - 1] + len(self.lines[line - 1].encode()[:column].decode(errors="ignore"))

    def span(self, node: ast.AST) -> tuple[int, int]:
        place = (node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]
        return self.at(place[0], place[1]), self.at(place[2], place[3])
