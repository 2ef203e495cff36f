'''A module of a project as statements with the comments above them, function by function.

    def train(df: pd.DataFrame) -> Model:      a function: what it takes, what it returns
        """The model."""                       its docstring
        # the usual suspects                   the lead of a segment
        model = fit(df)                        the segment: compared by what it means and by its comments
        return model                           behind the last segment: its lead is the last segment's, the empty one

Layout is no difference: line breaks and empty lines are each side's own.
'''

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass, field

from nb2prod.language.layout import INDENT, lines_in_strings

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Unclear(ValueError):
    """The text of a module cannot be taken apart; `line` says where."""

    def __init__(self, what: str, line: int) -> None:
        super().__init__(what)
        self.line = line


@dataclass(frozen=True, slots=True)
class Segment:
    """A statement as it would stand at the left margin; the comment lines above it are its `lead`.

    `line` is where it stands in the file; `apart` says that an empty line is above it. The one behind the last
    statement has no text.
    """

    text: str
    lead: tuple[str, ...] = ()
    line: int = field(default=0, compare=False)
    apart: bool = field(default=False, compare=False)
    meaning: str = ""

    @property
    def key(self) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        """Equal for what means the same and has the same comments."""
        return self.meaning, tuple(map(_said, self.lead)), comments_in(self.text)


@dataclass(frozen=True, slots=True)
class Body:
    """The statements of a function, or of a module without its docstring and imports.

    `takes` is the function's head, annotations and decorators included; `gives` its last statement, a return. What
    cannot be taken apart is `unclear` for the reason given, and has no segments.
    """

    segments: tuple[Segment, ...]
    takes: str = ""
    gives: str = ""
    docstring: str = ""
    line: int = 0
    unclear: Unclear | None = None

    @property
    def keys(self) -> tuple[object, ...]:
        return tuple(segment.key for segment in self.segments)


def parsed(source: str) -> ast.Module:
    """Raises Unclear."""
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError) as error:
        line = error.lineno if isinstance(error, SyntaxError) else None
        raise Unclear(f"it is no Python: {error.args[0]}", line or 1) from error


def functions_in(source: str) -> dict[str, Body]:
    """The functions of a module by name. Raises Unclear for what is no Python."""
    found: dict[str, Body] = {}
    for node in parsed(source).body:
        if isinstance(node, Function):
            try:
                found[node.name] = _function(source, node)
            except Unclear as error:
                found[node.name] = Body((), line=node.lineno, unclear=error)
    return found


def module_body(source: str) -> Body:
    """The module's own statements."""
    tree = parsed(source)
    there = [
        n for n in tree.body[1 if ast.get_docstring(tree) else 0 :] if not isinstance(n, ast.Import | ast.ImportFrom)
    ]
    skipped = [node.end_lineno or 0 for node in tree.body if node not in there]
    above = max((line for line in skipped if not there or line < _first(there[0])), default=0)
    return Body(_segments(source.split("\n"), there, above, len(source.split("\n")), ""))


def _function(source: str, node: Function) -> Body:
    lines = source.split("\n")
    body, docstring = node.body, ast.get_docstring(node, clean=False) or ""
    above = (body[0].end_lineno or 0) if docstring else _end_of_signature(lines, node)
    there = body[1:] if docstring else list(body)
    returned = there.pop() if there and isinstance(there[-1], ast.Return) else None
    inside = [inner for statement in there for inner in _own(statement)]
    early = next((inner for inner in inside if isinstance(inner, ast.Return | ast.Yield | ast.YieldFrom)), None)
    if early is not None:
        raise Unclear("it returns from the middle, which the cells of a notebook cannot", early.lineno)
    there = [statement for statement in there if not isinstance(statement, ast.Pass) or len(there) > 1]
    end = returned.lineno - 1 if returned is not None else _end_of_block(lines, node)
    segments = _segments(lines, there, above, end, INDENT)
    return Body(segments, _head(node), ast.unparse(returned) if returned else "", docstring, node.lineno)


def _own(statement: ast.AST) -> list[ast.AST]:
    """What is inside of a statement and not inside of a function within it."""
    found: list[ast.AST] = [statement]
    if not isinstance(statement, Function | ast.Lambda | ast.ClassDef):
        found += [inner for child in ast.iter_child_nodes(statement) for inner in _own(child)]
    return found


def _end_of_signature(lines: Sequence[str], node: Function) -> int:
    """The line of the colon: comments below it belong to the first statement."""
    line = node.body[0].lineno - 1
    while line > node.lineno and (not lines[line - 1].strip() or lines[line - 1].strip().startswith("#")):
        line -= 1
    return line


def _end_of_block(lines: Sequence[str], node: Function) -> int:
    """The last line that is indented as the function's statements are: comments below the last one."""
    end = line = node.end_lineno or node.lineno
    while line < len(lines) and (not lines[line].strip() or lines[line].startswith(INDENT)):
        line += 1
        end = line if lines[line - 1].strip() else end
    return end


def _head(node: Function) -> str:
    decorators = "".join(f"@{ast.unparse(decorator)} " for decorator in node.decorator_list)
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{decorators}({ast.unparse(node.args)}){returns}"


def _segments(
    lines: Sequence[str], there: Sequence[ast.stmt], above: int, end: int, margin: str
) -> tuple[Segment, ...]:
    found: list[Segment] = []
    for node in there:
        first, last = _first(node), node.end_lineno or node.lineno
        if first <= above:
            raise Unclear("two statements stand on one line", first)
        lead, apart = _lead(lines[above : first - 1])
        text = _dedented("\n".join(lines[first - 1 : last]), margin)
        found.append(Segment(text, lead, first, apart, ast.dump(node)))
        above = last
    lead, apart = _lead(lines[above:end])
    return (*found, Segment("", lead, end, apart))


def _first(node: ast.stmt) -> int:
    return min([node.lineno, *(int(decorator.lineno) for decorator in getattr(node, "decorator_list", []))])


def _lead(lines: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    comments = tuple(line.strip() for line in lines if line.strip())
    return comments, bool(lines) and not lines[0].strip()


def _dedented(text: str, margin: str) -> str:
    if not margin:
        return text
    # a lone block cannot be tokenized where it stands, so the margin is a block of its own
    inside = {line - 1 for line in lines_in_strings(f"if True:\n{text}\n")}
    lines = text.split("\n")
    return "\n".join(line if n in inside else line.removeprefix(margin).rstrip() for n, line in enumerate(lines, 1))


def comments_in(text: str) -> tuple[str, ...]:
    """The comments of a statement, in their order."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, IndentationError):
        return ()
    return tuple(_said(token.string) for token in tokens if token.type == tokenize.COMMENT)


def _said(comment: str) -> str:
    """What a comment says: the space behind its sign is layout."""
    return comment.strip().lstrip("#").strip()


def same_code(text: str, other: str) -> bool:
    """Whether two texts mean the same and have the same comments; not when one of them is no Python."""
    if text == other:
        return True
    try:
        return ast.dump(parsed(text)) == ast.dump(parsed(other)) and comments_in(text) == comments_in(other)
    except Unclear:
        return False
