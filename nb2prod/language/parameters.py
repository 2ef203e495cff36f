"""Typed parameters: what a `parameters` cell declares, and how a caller's value is checked against it.

    alpha: float = 0.5          # regularisation strength
    kind: Literal["l1", "l2"] = "l2"
    depth: int | None = None
    total = n * 10              derived: computed again when n is given

Nothing is evaluated: types and defaults are read from the syntax tree. A parameter's name is a name that the cell
binds, so a caller can never name code.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from nb2prod.core.pipeline import Parameter, ParameterType
from nb2prod.language.names import Function, names_of
from nb2prod.language.parameter_types import (
    ANY,
    NotStatic,
    is_ellipsis,
    literal,
    source_of,
    type_of,
    type_of_expression,
    type_of_value,
)

SECRET_NAME = re.compile(
    r"(^|_)(password|passwd|pwd|passphrase|secret|token|private_?key|api_?key|access_?key|credentials?)$", re.IGNORECASE
)
MISSING = object()


def declared(
    tree: ast.Module,
    source: str,
    *,
    cell: int,
    enums: Mapping[str, ParameterType],
    functions: Mapping[str, Function] | None = None,
) -> tuple[Parameter, ...]:
    """The parameters of a cell, in order. `enums` are the notebook's Enum classes, by name (see `enums_of`);
    `functions` those of the cells above: `total()` derives from what the function reads.

    Of a name bound twice the last binding counts, as it does when the cell runs.
    """
    comments = _comments(source)
    found: dict[str, Parameter] = {}
    for statement, reads in _statements(tree, functions or {}):
        for name, annotation, value in _bindings(statement):
            type_ = type_of(annotation, enums) if annotation is not None else None
            default, expression = MISSING, ""
            if value is not None:
                expression = ast.unparse(value)
                try:
                    default = literal(value, enums)
                except NotStatic:
                    default = MISSING
            derived = tuple(known for known in found if known in reads) if default is MISSING else ()
            if type_ is None and default is not MISSING:
                type_ = type_of_value(default)
            elif type_ is None:
                type_ = type_of_expression(value, {n: p.type for n, p in found.items()}) if value is not None else ANY
            comment = comments.get(statement.end_lineno or statement.lineno, "")
            found[name] = Parameter(
                name=name,
                type=type_,
                default=None if default is MISSING else default,
                expression=expression,
                cell=cell,
                line=statement.lineno,
                help=comment,
                required=value is None or is_ellipsis(value),
                secret=_is_secret(name, annotation) or any(found[known].secret for known in derived),
                derived_from=derived,
            )
    return tuple(found.values())


def _statements(tree: ast.Module, functions: Mapping[str, Function]) -> Iterator[tuple[ast.stmt, set[str]]]:
    """Each statement of a cell with the names that it reads, through functions too."""
    known = dict(functions)
    for statement in tree.body:
        names = names_of(ast.Module(body=[statement], type_ignores=[]), known)
        known |= names.functions
        yield statement, {read.name for read in names.reads}


def used_too_early(
    tree: ast.Module, declared: Sequence[Parameter], given: Iterable[str], functions: Mapping[str, Function]
) -> Iterator[tuple[int, str, str]]:
    """(line, text, parameter) of each statement of the parameters cell that uses the default of a given parameter.

    The given values follow the cell, so that only what the cell's own parameters derive from is computed again: a
    seed that is set there, or a name bound in an `if`, would silently keep the default.
    """
    fresh = set(given)
    names = {parameter.name for parameter in declared}
    for statement, reads in _statements(tree, functions):
        bound = {name for name, _, _ in _bindings(statement)}
        if not reads & fresh or (bound and bound <= fresh):
            continue
        if bound and bound <= names:
            fresh |= bound
        elif not _only_shows(statement):
            yield statement.lineno, ast.unparse(statement).partition("\n")[0], min(reads & fresh)


def _only_shows(statement: ast.stmt) -> bool:
    match statement:
        case ast.Expr(value=ast.Name() | ast.JoinedStr() | ast.Call(func=ast.Name(id="print" | "display"))):
            return True
    return False


def injected(declared: Sequence[Parameter], given: Mapping[str, Any], *, secret_variable: Callable[[str], str]) -> str:
    """The source of the cell that follows the parameters cell: the given values, and what derives from them again.

    A secret is read from an environment variable, so that its value is never part of the notebook.
    """
    lines: list[str] = []
    fresh: set[str] = set()
    for parameter in declared:
        if parameter.name in given:
            value = given[parameter.name]
            variable = secret_variable(parameter.name)
            source = _from_environment(variable, value) if parameter.secret else source_of(value)
        elif fresh & set(parameter.derived_from):
            source = parameter.expression
        else:
            continue
        fresh.add(parameter.name)
        lines.append(f"{parameter.name} = {source}")
    return "\n".join(lines)


def _from_environment(variable: str, value: Any) -> str:
    read = f"__import__('os').environ[{variable!r}]"
    return read if type(value) is str else f"eval({read})"


def in_environment(value: Any) -> str:
    """What a secret's environment variable holds: a text itself, any other value as the source that makes it."""
    return value if type(value) is str else source_of(value)


def _bindings(statement: ast.stmt) -> list[tuple[str, ast.expr | None, ast.expr | None]]:
    match statement:
        case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
            return [(name, annotation, value)]
        case ast.Assign(targets=targets, value=value):
            return [(target.id, None, value) for target in targets if isinstance(target, ast.Name)]
    return []


def _comments(source: str) -> dict[int, str]:
    """The comment at the end of each line, by line. papermill's `# type: int help` gives the help alone."""
    found: dict[int, str] = {}
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                text = re.sub(r"^#+\s*(type:\s*\S+\s*)?", "", token.string)
                found[token.start[0]] = text.strip()
    except (tokenize.TokenError, IndentationError):
        return found
    return found


def _is_secret(name: str, annotation: ast.expr | None) -> bool:
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value).endswith("Annotated"):
        return any(isinstance(node, ast.Constant) and node.value == "secret" for node in ast.walk(annotation.slice))
    return bool(SECRET_NAME.search(name))
