"""A cell's source as plain Python, line for line: IPython's own transformer, and one rule for each magic.

The text is for analysis and never runs. Lines keep their numbers, so that a position in the plain text is a position
in the cell.
"""

from __future__ import annotations

import ast
import re
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from nb2prod.language.uses import KEEPS_NO_NAMES

Treatment = Literal["strip", "unwrap", "translate", "requirement", "interactive", "opaque"]

# What becomes of each magic outside the notebook. A row is tested by tests/language/test_plain.py.
RULES: dict[str, Treatment] = {
    # line and cell magics that only change how the notebook looks or loads
    "matplotlib": "strip",
    "config": "strip",
    "load_ext": "strip",
    "reload_ext": "strip",
    "autoreload": "strip",
    "pylab": "interactive",
    "precision": "strip",
    "pipeline": "strip",
    "load_step": "strip",
    "compare": "strip",
    "xmode": "strip",
    "colors": "strip",
    # magics around code
    "time": "unwrap",
    "timeit": "unwrap",
    "prun": "unwrap",
    "capture": "unwrap",
    # magics that do work
    "env": "translate",
    "set_env": "translate",
    "cd": "translate",
    "pip": "requirement",
    "conda": "requirement",
    # magics that a person needs
    "debug": "interactive",
    "pdb": "interactive",
    "who": "interactive",
    "whos": "interactive",
    "history": "interactive",
    "edit": "interactive",
}
DEEPEST = 200  # what a recursive walk can follow within Python's own limit
TIMEIT_OPTIONS = re.compile(r"^\s*(?:-[nrtpcqov]+\s*\d*\s+)*")
CELL_MAGIC = re.compile(r"\s*%%(?P<name>!|[\w.]+)(?P<arguments>[^\n]*)(?:\n|$)")


@dataclass(frozen=True, slots=True)
class Magic:
    """One magic or shell line: `name` is `!` for a shell line."""

    name: str
    arguments: str
    line: int
    treatment: Treatment


@dataclass(frozen=True, slots=True)
class PlainCell:
    """`tree` is None and `error` says why when the cell is no Python even after the transformation."""

    source: str
    tree: ast.Module | None
    magics: tuple[Magic, ...] = ()
    error: str = ""
    error_line: int | None = None


@lru_cache(maxsize=2048)
def plain(source: str) -> PlainCell:
    """Plain Python for a cell's body (without a magic of ours on its first line). Nobody may change the tree."""
    magic = CELL_MAGIC.match(source)
    if magic is None:
        return _transformed(source, ())
    name, arguments = magic["name"], magic["arguments"].strip()
    treatment = RULES.get(name, "opaque")
    line = source[: magic.start("name")].count("\n") + 1
    found = Magic(f"%%{name}", arguments, line, treatment)
    body = source[magic.end() :]
    if treatment != "unwrap":
        # %%bash, %%writefile, %%html: what they hold is not Python
        return PlainCell("", ast.Module(body=_names_in(arguments, line), type_ignores=[]), (found,))
    top = "\n" * source[: magic.end()].count("\n")
    bound = re.findall(r"(?<!-)\b[A-Za-z_]\w*", arguments) if name == "capture" else []
    head = f"{bound[-1]} = None\n" if bound and top else top
    inner = _transformed(head + body, ())
    tree = inner.tree
    if name == "timeit" and tree is not None:
        tree = ast.Module(body=[_private(tree.body, line)], type_ignores=[])
    return PlainCell(inner.source, tree, (found, *inner.magics), inner.error, inner.error_line)


def _names_in(arguments: str, line: int) -> list[ast.stmt]:
    """What the line of a cell magic does to names: `{path}` and `$path` read, `--out files` binds."""
    found: list[str] = []
    if re.search(r"[{$]", arguments):
        found.append(f"get_ipython().run_cell_magic({arguments!r})")
    found += [f"{name} = ''" for name in re.findall(r"--(?:out|err|proc)[ =]+([A-Za-z_]\w*)", arguments)]
    return [_placed(statement, line) for text in found for statement in parse(text).body]


def _private(body: list[ast.stmt], line: int) -> ast.stmt:
    """What `timeit` runs, several times, in a function: its names go away again."""
    block = ast.If(test=ast.Constant(True), body=body or [ast.Pass()], orelse=[])
    setattr(block, KEEPS_NO_NAMES, True)
    ast.copy_location(block, ast.Pass(lineno=line, col_offset=0, end_lineno=line, end_col_offset=0))
    return ast.fix_missing_locations(block)


def _compiled(source: str, flags: int) -> Any:
    """CPython 3.11 counts the depth of trees for all threads together, and gives up when two are made at once."""
    for _ in range(20):
        try:
            with _one_at_a_time:
                return compile(source, "<cell>", "exec", flags, dont_inherit=True)
        except SystemError as error:
            if "recursion depth mismatch" not in str(error):
                raise
    return compile(source, "<cell>", "exec", flags, dont_inherit=True)


_one_at_a_time = threading.Lock()


def parse(source: str) -> ast.Module:
    """The tree of plain Python, with `await` allowed at top level as IPython allows it.

    Raises SyntaxError, or ValueError for what Python could run and no analysis can follow.
    """
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    try:
        tree = _compiled(source, flags)
    except (RecursionError, MemoryError):
        raise ValueError("it is nested too deeply") from None
    assert isinstance(tree, ast.Module)
    if _depth(tree) > DEEPEST:
        raise ValueError(f"it is nested more than {DEEPEST} levels deep")
    return tree


def _depth(tree: ast.AST) -> int:
    """How deeply the nodes are nested, counted no further than it matters."""
    depth, level = 0, [tree]
    while level and depth <= DEEPEST:
        depth += 1
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return depth


def _transformed(source: str, magics: tuple[Magic, ...]) -> PlainCell:
    try:
        # most cells are plain Python already, and importing IPython costs more than parsing a notebook
        return PlainCell(source, parse(source), magics)
    except (SyntaxError, ValueError) as error:
        problem = error
    if not re.search(r"^\s*[%!?]|[?]\s*$|=\s*[%!]|^[/;,]", source, re.MULTILINE):
        return _broken(source, problem)
    from IPython.core.inputtransformer2 import TransformerManager

    # IPython drops empty lines at the top; they hold the place of the lines below
    above = re.match(r"(?:[^\S\n]*\n)*", source)
    transformed = "\n" * (above[0].count("\n") if above else 0) + TransformerManager().transform_cell(source)
    try:
        tree = parse(transformed)
    except (SyntaxError, ValueError) as error:
        return _broken(source, error)
    lift = _Lifted()
    tree = ast.fix_missing_locations(lift.visit(tree))
    return PlainCell(transformed, tree, (*magics, *lift.found))


def _broken(source: str, error: SyntaxError | ValueError) -> PlainCell:
    line = error.lineno if isinstance(error, SyntaxError) else None
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    return PlainCell(source, None, (), message, line)


class _Lifted(ast.NodeTransformer):
    """Puts the code that `%time code` hides in a string back where analysis sees it, and lists the magics."""

    def __init__(self) -> None:
        self.found: list[Magic] = []

    def visit_Expr(self, node: ast.Expr) -> ast.AST | list[ast.stmt]:
        call = _ipython_call(node.value)
        if call is None:
            return self.generic_visit(node)
        magic = _magic(*call, line=node.lineno)
        self.found.append(magic)
        if magic.treatment != "unwrap":
            return node
        timed = magic.name == "%timeit"
        try:
            inner = parse(TIMEIT_OPTIONS.sub("", magic.arguments) if timed else magic.arguments).body
        except (SyntaxError, ValueError):
            return node
        statements = [_placed(statement, node.lineno) for statement in inner]
        return [_private(statements, node.lineno)] if timed else statements

    def visit_Call(self, node: ast.Call) -> ast.AST:
        call = _ipython_call(node)
        if call is not None:
            self.found.append(_magic(*call, line=node.lineno))
        return self.generic_visit(node)


def _placed(statement: ast.stmt, line: int) -> ast.stmt:
    for node in ast.walk(statement):
        if hasattr(node, "lineno"):
            node.lineno = line
            node.end_lineno = line  # type: ignore[attr-defined]  # a node with a line has an end line
    return statement


def _ipython_call(node: ast.expr) -> tuple[str, str, str] | None:
    """(method, magic's name, text) of `get_ipython().run_line_magic("time", "x = 1")` and its like."""
    match node:
        case ast.Call(
            func=ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")), attr=str(method)),
            args=[ast.Constant(value=str(first)), *rest],
        ):
            texts = [argument.value for argument in rest if isinstance(argument, ast.Constant)]
            return method, first, str(texts[-1]) if texts else ""
    return None


def _magic(method: str, first: str, text: str, *, line: int) -> Magic:
    if method in ("system", "getoutput"):
        return Magic("!", first, line, "translate")
    return Magic(f"%{first}", text, line, RULES.get(first, "opaque"))
