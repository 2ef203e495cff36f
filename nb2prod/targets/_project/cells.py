"""The cells that a project keeps, as statements with their own text: magics and what is only for looking taken out.

%matplotlib inline           left out
!unzip data.zip              subprocess.run(…), when it is allowed
df.head()                    at the end of a cell: left out, nobody looks
plt.show()                   plt.close("all"): that is what it comes to in a notebook, where it also shows
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from nb2prod.core.pipeline import Pipeline, Role
from nb2prod.language import requirements
from nb2prod.language.plain import Magic, plain
from nb2prod.language.purity import PURE
from nb2prod.language.surroundings import is_import
from nb2prod.targets._project.problems import Problems

# methods that leave their object as it is, and do more than to give a value: they draw, print or write
NOT_ONLY_SHOWN = frozenset({"plot", "hist", "boxplot", "info"})
WRITES = re.compile(r"to_(?!list|numpy|frame|dict|records|period|timestamp|xarray)\w+")
# methods that call what they are given
CALLS = frozenset({"apply", "applymap", "map", "pipe", "agg", "aggregate", "transform", "filter", "assign"})
OS, SUBPROCESS = "import os", "import subprocess"


@dataclass(frozen=True, slots=True)
class Statement:
    """One top-level statement: `lead` are the comments and empty lines above it, as far as they are of its cell.

    In the cell as it is written, the lead begins at line `above`, the statement has the lines from `line` to `end`.
    What the notebook does not have is `made`: then both are the place behind the cell's last line.
    """

    cell: int
    line: int
    node: ast.stmt
    text: str
    lead: str = ""
    above: int = 0
    end: int = 0
    made: bool = False


@dataclass(frozen=True, slots=True)
class KeptCell:
    """`comparable`: whether what the cell prints is what the project prints (times are not).

    `tail` are the comments below the last statement, from line `tail_at` on.
    """

    index: int
    role: Role
    statements: tuple[Statement, ...]
    tail: str = ""
    comparable: bool = True
    tail_at: int = 0


def kept(pipeline: Pipeline, problems: Problems, *, allow_shell: bool) -> list[KeptCell]:
    """The code cells that go into the project: all but exploration and what is skipped."""
    pyplot = _pyplot(pipeline)
    found: list[KeptCell] = []
    for index, role in enumerate(pipeline.roles):
        if role is not None and role.kind not in ("exploration", "skip"):
            found.append(_kept(index, role, problems, allow_shell, pyplot if role.kind == "step" else ""))
    return found


def imports_of_exploration(pipeline: Pipeline) -> list[Statement]:
    """The import statements of cells that stay behind: a step may use what they import."""
    found: list[Statement] = []
    for index, role in enumerate(pipeline.roles):
        tree = plain(role.body).tree if role is not None and role.kind == "exploration" else None
        there = [node for node in tree.body if is_import(node)] if tree is not None else []
        found += [Statement(index, node.lineno, node, ast.unparse(node)) for node in there]
    return found


def _pyplot(pipeline: Pipeline) -> str:
    """What the notebook calls `matplotlib.pyplot`; empty when it does not import it."""
    for role in pipeline.roles:
        tree = plain(role.body).tree if role is not None and role.kind != "skip" else None
        for node in ast.walk(tree) if tree is not None else ():
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name == "matplotlib.pyplot" and alias.asname:
                        return alias.asname
            elif isinstance(node, ast.ImportFrom) and node.module == "matplotlib":
                for alias in node.names:
                    if alias.name == "pyplot":
                        return alias.asname or "pyplot"
    return ""


def _kept(index: int, role: Role, problems: Problems, allow_shell: bool, pyplot: str) -> KeptCell:
    source, needed, comparable = _without_magics(index, role, problems, allow_shell)
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        line = (error.lineno or 1) + role.line_offset if isinstance(error, SyntaxError) else None
        problems.add(index, line, "the cell is no plain Python once its magics are taken out", "write it in Python")
        return KeptCell(index, role, ())
    statements = [Statement(index, 1, ast.parse(text).body[0], text) for text in needed]
    found, tail, tail_at = _statements(index, role, source, tree)
    if role.kind in ("step", "imports", "functions", "setup"):
        found = _not_for_looking(found, problems, pyplot)
        if pyplot and found and _mentions(found, pyplot) and not _is_close(found[-1].node, pyplot):
            last = source.count("\n") + 1 + role.line_offset
            lead = _set_apart(tail, source.splitlines()[tail_at - role.line_offset - 1]) if tail else ""
            found.append(_closing(index, pyplot, lead, tail_at if tail else last + 1, last + 1))
            tail, tail_at = "", last + 1
    return KeptCell(index, role, (*statements, *found), tail, comparable, tail_at)


# -- magics -----------------------------------------------------------------------------------------------------------


def _without_magics(index: int, role: Role, problems: Problems, allow_shell: bool) -> tuple[str, list[str], bool]:
    """(Python, imports that it needs, whether its prints can be compared)."""
    lines, needed, comparable = role.body.split("\n"), [], True
    for magic in plain(role.body).magics:
        found = re.fullmatch(r"(\s*)[%!].*", lines[magic.line - 1])
        made = _translated(magic, allow_shell) if found else None
        if isinstance(made, str) and found:
            lines[magic.line - 1] = found[1] + made if made else ("pass" if found[1] else "")
            lines[magic.line - 1] = f"{found[1]}pass" if found[1] and not made else lines[magic.line - 1]
            needed += [OS] if "os.environ" in made else [SUBPROCESS] if "subprocess" in made else []
            comparable = comparable and magic.treatment in ("strip", "requirement")
        else:
            line = magic.line + role.line_offset
            problems.add(index, line, f"`{lines[magic.line - 1].strip()}` has no meaning in a project", _fix(magic))
    return "\n".join(lines), list(dict.fromkeys(needed)), comparable


def _translated(magic: Magic, allow_shell: bool) -> str | None:
    """The Python that stands for a magic; empty when nothing does, None when it is not known."""
    name, words = magic.name.lstrip("%"), magic.arguments.strip()
    if magic.treatment in ("strip", "requirement") or _installs(magic):
        return ""
    if name == "time":
        return "" if magic.name.startswith("%%") else words
    if magic.name in ("%env", "%set_env") and not re.search(r"[{$]", words):
        pair = re.fullmatch(r"(\w+)(?:=|\s+)(.+)", words)
        return f"os.environ[{pair[1]!r}] = {pair[2]!r}" if pair else None
    if magic.name == "!" and allow_shell and not re.search(r"[{$]", words):
        return f"subprocess.run({words!r}, shell=True, check=False)"
    return None


def _installs(magic: Magic) -> bool:
    return magic.name == "!" and bool(requirements.of_command(magic.arguments))


def _fix(magic: Magic) -> str:
    if magic.name == "!":
        return "write it in Python, or export with --allow-shell (without values of the notebook in the command)"
    return "write it in Python, or keep it in a cell without a tag"


# -- statements -------------------------------------------------------------------------------------------------------


def _statements(index: int, role: Role, source: str, tree: ast.Module) -> tuple[list[Statement], str, int]:
    """(the statements, the comments below them, the line where those begin)."""
    lines, found, end, offset = source.split("\n"), [], 0, role.line_offset
    starts = [_first_line(node) for node in tree.body]
    for position, node in enumerate(tree.body):
        first, last = starts[position], node.end_lineno or node.lineno
        following = starts[position + 1] if position + 1 < len(starts) else None
        alone = first > end and (following is None or following > last)
        text = "\n".join(lines[first - 1 : last]) if alone else ast.get_source_segment(source, node) or ""
        if alone and re.search(r";\s*$", text):
            text = re.sub(r";\s*$", "", text)
        lead = "\n".join(lines[end : first - 1]) if first > end else ""
        # an empty line above says that a thought begins
        above = "\n" if lead.strip("\n") != lead or (lead == "" and first > end + 1) else ""
        upper = min(end, first - 1) + 1 + offset
        lead = above + lead.strip("\n")
        found.append(Statement(index, first + offset, node, text.rstrip(), lead, upper, last + offset))
        end = last
    tail = "\n".join(lines[end:])
    return found, tail.strip(), end + 1 + offset


def _first_line(node: ast.stmt) -> int:
    return min([node.lineno, *(int(decorator.lineno) for decorator in getattr(node, "decorator_list", []))])


# -- what is only for looking -----------------------------------------------------------------------------------------


def _not_for_looking(statements: list[Statement], problems: Problems, pyplot: str) -> list[Statement]:
    found: list[Statement] = []
    for position, statement in enumerate(statements):
        last = position == len(statements) - 1
        call = _call(statement.node)
        if call == f"{pyplot}.show" and pyplot:
            close = f'{pyplot}.close("all")'
            found.append(replace(statement, node=ast.parse(close).body[0], text=close))
        elif call == "display":
            if not _looks_only(statement.node.value.args):  # type: ignore[attr-defined]
                problems.add(
                    statement.cell, statement.line, "display() shows what a call makes", "give it a name first"
                )
        elif not (last and isinstance(statement.node, ast.Expr) and _is_shown(statement.node.value)):
            found.append(statement)
    return found


def _set_apart(tail: str, first: str) -> str:
    """The comments below the last statement, with the empty line above them when that is what stands there."""
    return tail if first.strip() else f"\n{tail}"


def _closing(cell: int, pyplot: str, lead: str, above: int, line: int) -> Statement:
    """What a notebook does with open figures when a cell has ended."""
    text = f'{pyplot}.close("all")'
    return Statement(cell, line, ast.parse(text).body[0], text, lead, above, line - 1, made=True)


def _is_close(node: ast.stmt, pyplot: str) -> bool:
    return ast.unparse(node) == ast.unparse(ast.parse(f'{pyplot}.close("all")'))


def _mentions(statements: list[Statement], name: str) -> bool:
    nodes = (node for statement in statements if not is_import(statement.node) for node in ast.walk(statement.node))
    return any(isinstance(node, ast.Name) and node.id == name for node in nodes)


def _call(node: ast.stmt) -> str:
    return ast.unparse(node.value.func) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) else ""


def _is_shown(value: ast.expr) -> bool:
    """Whether an expression at the end of a cell does nothing but be shown."""
    return not isinstance(value, ast.Constant | ast.Await | ast.Yield | ast.YieldFrom) and _looks_only([value])


def _looks_only(values: list[ast.expr]) -> bool:
    calls = [node for value in values for node in ast.walk(value) if isinstance(node, ast.Call | ast.NamedExpr)]
    return all(
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and _only_gives(call.func, call)
        and not any(word.arg in ("inplace", "out", None) for word in call.keywords)
        for call in calls
    )


def _only_gives(method: ast.Attribute, call: ast.Call) -> bool:
    """Whether a method call gives a value and does nothing else that anybody could see."""
    if method.attr not in PURE or _chain(method) & NOT_ONLY_SHOWN or WRITES.fullmatch(method.attr):
        return False
    given = [*call.args, *(word.value for word in call.keywords)]
    plain = (ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.UnaryOp, ast.unaryop, ast.expr_context)
    return method.attr not in CALLS or all(isinstance(node, plain) for part in given for node in ast.walk(part))


def _chain(node: ast.expr) -> set[str]:
    """`plot` and `bar` of `df.plot.bar`."""
    return {node.attr} | _chain(node.value) if isinstance(node, ast.Attribute) else set()


def prose_above(pipeline: Pipeline, cell: int) -> str:
    """The Markdown that stands directly above a cell."""
    texts: list[str] = []
    for above in range(cell - 1, -1, -1):
        found = pipeline.notebook.cells[above]
        if found.kind != "markdown":
            break
        texts.append(found.source.strip())
    return "\n\n".join(reversed(texts))


def names_in_queries(node: ast.AST) -> Iterator[str]:
    """`limit` in `df.query("x > @limit")`: pandas looks it up where the method is called."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in ("query", "eval"):
            for inner in (inner for argument in call.args for inner in ast.walk(argument)):
                if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                    yield from re.findall(r"@(\w+)", inner.value)


Named = Mapping[str, str]
