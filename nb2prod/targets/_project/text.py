"""Changes of the author's source: the smallest edit of the text, proved on the syntax tree.

    vectorize(X)                 ->  vectorize(X, vectorizer=vectorizer)
    STOPWORDS |= {"given"}       ->  functions.STOPWORDS |= {"given"}

Every edit is made twice: in the text, where comments and layout stay, and in the tree. When the new text does not parse
to the new tree, the statement is written from the tree instead: layout may be lost, meaning never.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from nb2prod.language.scopes import local_names, targets_of

Scope = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)


@dataclass(frozen=True, slots=True)
class Changes:
    """`renamed` are names with the dotted expression that they become; `passed` are functions with the names that they
    take as further arguments: their definitions and every call of them are changed. `counts` say how many arguments a
    function takes by position alone: a call with so many gets the further ones by position too."""

    renamed: Mapping[str, str] = field(default_factory=dict)
    passed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    counts: Mapping[str, int | None] = field(default_factory=dict)


class CannotRename(ValueError):
    """A name stands where only a plain name can stand (a walrus, `except … as`, an import)."""


def changed(text: str, changes: Changes) -> str:
    """The text with the changes made in it. Raises CannotRename."""
    if not changes.renamed and not changes.passed:
        return text
    before = ast.parse(text)
    walk = _Changing(text, changes)
    tree = ast.fix_missing_locations(walk.visit(before))
    if not walk.edits:
        return text
    anew = _applied(text, walk.edits)
    if _same(anew, tree):
        return anew
    return ast.unparse(tree)


def _same(text: str, tree: ast.Module) -> bool:
    try:
        return ast.dump(ast.parse(text)) == ast.dump(tree)
    except SyntaxError:
        return False


def _applied(text: str, edits: Iterable[tuple[int, int, str]]) -> str:
    # two insertions in one place keep their order
    for start, end, anew in sorted(set(edits), reverse=True):
        text = text[:start] + anew + text[end:]
    return text


class _Changing(ast.NodeTransformer):
    """Makes the new tree, and notes where the text changes."""

    def __init__(self, text: str, changes: Changes) -> None:
        self.text = text
        self.changes = changes
        self.edits: list[tuple[int, int, str]] = []
        self.hidden: list[frozenset[str]] = []
        self.in_string = 0
        self.starts = [0]
        for line in text.split("\n"):
            self.starts.append(self.starts[-1] + len(line) + 1)
        self.lines = text.split("\n")

    def at(self, line: int, column: int) -> int:
        return self.starts[line - 1] + len(self.lines[line - 1].encode()[:column].decode(errors="ignore"))

    def span(self, node: ast.AST) -> tuple[int, int]:
        place = (node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]
        return self.at(place[0], place[1]), self.at(place[2], place[3])

    def edit(self, start: int, end: int, anew: str) -> None:
        if not self.in_string:
            self.edits.append((start, end, anew))

    def shown(self, name: str) -> str:
        """What a name is called here."""
        return self.changes.renamed.get(name, name) if not self._is_hidden(name) else name

    def _is_hidden(self, name: str) -> bool:
        return any(name in names for names in self.hidden)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        anew = self.shown(node.id)
        if anew == node.id:
            return node
        self.edit(*self.span(node), anew)
        made = ast.parse(anew, mode="eval").body
        if isinstance(made, ast.Attribute):
            made.ctx = node.ctx
        return made

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        # before Python 3.12 what stands in an f-string has no place of its own
        if not self.in_string:
            start, end = self.span(node)
            self.edits += [(start + a, start + b, anew) for a, b, anew in self._in_braces(self.text[start:end])]
        self.in_string += 1
        made = self.generic_visit(node)
        self.in_string -= 1
        return made

    def _in_braces(self, literal: str) -> Iterator[tuple[int, int, str]]:
        depth = 0
        for found in re.finditer(r"\{\{|\}\}|[{}]|(?<![\w.])[^\W\d]\w*", literal):
            if found[0] == "{":
                depth += 1
            elif found[0] == "}":
                depth -= 1
            elif depth > 0 and self.shown(found[0]) != found[0]:
                yield found.start(), found.end(), self.shown(found[0])

    def visit_NamedExpr(self, node: ast.NamedExpr) -> ast.AST:
        if self.shown(node.target.id) != node.target.id:
            raise CannotRename(node.target.id)
        return self.generic_visit(node)

    # -- scopes -----------------------------------------------------------------------------------------------------

    def _within(self, names: Iterable[str], node: ast.AST, parts: Iterable[str]) -> None:
        self.hidden.append(frozenset(names))
        for part in parts:
            self._replace(node, part)
        self.hidden.pop()

    def _replace(self, node: ast.AST, part: str) -> None:
        there = getattr(node, part)
        if isinstance(there, list):
            setattr(node, part, [self.visit(inner) for inner in there])
        elif isinstance(there, ast.AST):
            setattr(node, part, self.visit(there))

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        own = local_names(node)
        for part in ("decorator_list", "returns", "args"):
            self._replace(node, part)
        self._within(own, node, ("body",))
        more = self.changes.passed.get(node.name, ()) if not self.hidden else ()
        if more:
            self._take(node, [name for name in more if name not in own])
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        self._replace(node, "args")
        self._within(local_names(node), node, ("body",))
        return node

    def visit_arguments(self, node: ast.arguments) -> ast.AST:
        node.defaults = [self.visit(default) for default in node.defaults]
        node.kw_defaults = [default and self.visit(default) for default in node.kw_defaults]
        for argument in [*node.posonlyargs, *node.args, *node.kwonlyargs]:
            self._replace(argument, "annotation")
        return node

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> ast.AST:
        # the first iterable is evaluated outside, but a name that is both would be a puzzle for any reader
        own = {name for part in node.generators for name in targets_of(part.target)}
        self.hidden.append(frozenset(own))
        made = self.generic_visit(node)
        self.hidden.pop()
        return made

    visit_SetComp = visit_GeneratorExp = visit_DictComp = visit_ListComp

    # -- further arguments -------------------------------------------------------------------------------------------

    def visit_Call(self, node: ast.Call) -> ast.AST:
        name = node.func.id if isinstance(node.func, ast.Name) and not self._is_hidden(node.func.id) else ""
        more = self.changes.passed.get(name, ())
        last = max((self.span(part)[1] for part in [*node.args, *node.keywords]), default=None)
        end = self.span(node)[1]
        self.generic_visit(node)
        if more:
            starred = any(isinstance(argument, ast.Starred) for argument in node.args)
            by_name = node.keywords or starred or len(node.args) != self.changes.counts.get(name)
            given = ", ".join(f"{word}={self.shown(word)}" if by_name else self.shown(word) for word in more)
            self.edit(*((end - 1, end - 1, given) if last is None else (last, last, f", {given}")))
            values = [ast.parse(self.shown(word), mode="eval").body for word in more]
            if by_name:
                node.keywords += [ast.keyword(arg=word, value=v) for word, v in zip(more, values, strict=True)]
            else:
                node.args += values
        return node

    def _take(self, node: ast.FunctionDef | ast.AsyncFunctionDef, more: list[str]) -> None:
        arguments = node.args
        made = [ast.arg(arg=name) for name in more]
        alone = bool(arguments.defaults) and arguments.vararg is None and not arguments.kwonlyargs
        plain = not (arguments.defaults or arguments.vararg or arguments.kwonlyargs)
        words = ", ".join([*(["*"] if alone else []), *more])
        there = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        parts: list[ast.AST] = [*there, *arguments.defaults, *(d for d in arguments.kw_defaults if d is not None)]
        parts += [arguments.vararg] if arguments.vararg else []
        if parts and not arguments.kwarg:
            last = max(self.span(part)[1] for part in parts)
            self.edit(last, last, f", {words}")
        elif not parts and not arguments.kwarg:
            found = re.compile(rf"def\s+{node.name}\s*\(").search(self.text, self.span(node)[0])
            if found:
                self.edit(found.end(), found.end(), words)
        else:
            self.edit(0, 0, "")  # the tree alone says it
        if plain:
            arguments.args += made
        else:
            arguments.kwonlyargs += made
            arguments.kw_defaults += [None] * len(made)
