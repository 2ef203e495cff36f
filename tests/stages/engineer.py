"""What engineers do to the step functions of a project, at random: the edits that must find their way back."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

Function = ast.FunctionDef
Edit = Callable[[str, Function, Random], str | None]


def edited(text: str, random: Random, kind: str) -> tuple[str, str] | None:
    """(the module with one edit of a function made in it, the function's name), None where that kind has no place."""
    functions = [node for node in ast.parse(text).body if isinstance(node, Function)]
    random.shuffle(functions)
    for function in functions:
        anew = KINDS[kind](text, function, random)
        if anew is not None:
            ast.parse(anew)
            return anew, function.name
    return None


def formatted(path: Path) -> None:
    """In the project's own style, as its `make check` asks for."""
    for words in (["check", "-q", "--select", "I", "--fix", "--exit-zero"], ["format", "-q"]):
        subprocess.run([sys.executable, "-m", "ruff", *words, "--no-cache", path.name], cwd=path.parent, check=True)


def _renamed(text: str, function: Function, random: Random) -> str | None:
    """A local variable gets another name."""
    inside = [node for statement in function.body for node in _own(statement)]
    stored = {node.id for node in inside if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    hidden = {
        node.id
        for joined in ast.walk(function)
        if isinstance(joined, ast.JoinedStr | ast.FunctionDef | ast.Lambda | ast.comprehension | ast.Return)
        and joined is not function
        for node in ast.walk(joined)
        if isinstance(node, ast.Name)
    }
    queried = {
        node.value for node in ast.walk(function) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    arguments = {argument.arg for argument in function.args.args}
    free = sorted(n for n in stored - hidden - arguments if not any(f"@{n}" in text for text in queried))
    if not free:
        return None
    name = random.choice(free)
    places = [node for node in ast.walk(function) if isinstance(node, ast.Name) and node.id == name]
    for node in sorted(places, key=lambda node: (node.lineno, node.col_offset), reverse=True):
        text = _replaced(text, node, f"{name}_anew")
    return text


def _constant(text: str, function: Function, random: Random) -> str | None:
    """A number becomes another one."""
    hidden = {
        id(node) for joined in ast.walk(function) if isinstance(joined, ast.JoinedStr) for node in ast.walk(joined)
    }
    there = [
        node
        for statement in function.body
        for node in ast.walk(statement)
        if isinstance(node, ast.Constant) and type(node.value) in (int, float) and id(node) not in hidden
    ]
    if not there:
        return None
    node = random.choice(there)
    return _replaced(text, node, repr(node.value + 1))


def _line(text: str, function: Function, random: Random) -> str | None:
    """A new statement, anywhere: also in a loop or a branch."""
    node = random.choice(_statements(function))
    return _below(
        text, node, random.choice(['print("so far")', "checked = 1 + 2", "for number in range(2):\n    print(number)"])
    )


def _comment(text: str, function: Function, random: Random) -> str | None:
    """A comment above a statement."""
    node = random.choice(_statements(function))
    lines = text.split("\n")
    lines.insert(node.lineno - 1, f"{' ' * node.col_offset}# this was looked at")
    return "\n".join(lines)


def _comment_behind(text: str, function: Function, random: Random) -> str | None:
    """A comment at the end of a line."""
    there = [node for node in _statements(function) if node.lineno == node.end_lineno]
    lines = text.split("\n")
    there = [node for node in there if "#" not in lines[node.lineno - 1]]
    if not there:
        return None
    lines[random.choice(there).lineno - 1] += "  # sic"
    return "\n".join(lines)


def _gone(text: str, function: Function, random: Random) -> str | None:
    """A print is taken out, with the comments above it."""
    there = [
        node
        for node in _statements(function)
        if isinstance(node, ast.Expr) and ast.unparse(node).startswith("print(") and len(function.body) > 2
    ]
    there = [node for node in there if node in function.body and not _needed_for(node, function)]
    if not there:
        return None
    node = random.choice(there)
    lines = text.split("\n")
    first = node.lineno - 1
    while lines[first - 1].strip().startswith("#"):
        first -= 1
    del lines[first : node.end_lineno]
    return "\n".join(lines)


def _needed_for(node: ast.stmt, function: Function) -> set[str]:
    """The arguments that only this statement reads: without it the function would take less."""
    rest = [name for statement in function.body if statement is not node for name in _read(statement)]
    return {argument.arg for argument in function.args.args} & _read(node) - set(rest)


def _read(node: ast.stmt) -> set[str]:
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}


KINDS: dict[str, Edit] = {
    "rename": _renamed, "constant": _constant, "line": _line, "comment": _comment, "comment behind": _comment_behind,
    "gone": _gone,
}  # fmt: skip


def _own(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.Lambda | ast.comprehension):
            yield from _own(child)


def _statements(function: Function) -> list[ast.stmt]:
    """The author's statements: neither the docstring, nor what the exporter writes at the end."""
    found = [node for node in ast.walk(function) if isinstance(node, ast.stmt) and node is not function]
    return [node for node in found if not isinstance(node, ast.Return) and not _is_text(node)]


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _below(text: str, node: ast.stmt, statement: str) -> str:
    lines = text.split("\n")
    margin = " " * node.col_offset
    lines[node.end_lineno : node.end_lineno] = [margin + line for line in statement.split("\n")]  # type: ignore[misc]
    return "\n".join(lines)


def _replaced(text: str, node: ast.expr, anew: str) -> str:
    lines = text.split("\n")
    line = lines[node.lineno - 1].encode()
    assert node.lineno == node.end_lineno
    assert node.end_col_offset is not None
    lines[node.lineno - 1] = (line[: node.col_offset] + anew.encode() + line[node.end_col_offset :]).decode()
    return "\n".join(lines)
