"""Which names statements bind and read, by Python's rules of scope."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable

from nb2prod.language.scopes import free, local_names
from nb2prod.targets._project.cells import names_in_queries

BUILTINS = frozenset(dir(builtins)) | {"__name__", "__doc__"}
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def as_function(nodes: Iterable[ast.stmt]) -> ast.FunctionDef:
    """Statements as the body of a function, for the rules of scope."""
    module = ast.parse("def unit():\n    pass")
    made = module.body[0]
    assert isinstance(made, ast.FunctionDef)
    made.body = list(nodes) or made.body
    return made


def stored_in(nodes: Iterable[ast.stmt]) -> frozenset[str]:
    return local_names(as_function(nodes))


def loaded_in(nodes: Iterable[ast.stmt]) -> set[str]:
    """Names that statements read and do not bind themselves, in functions within them too."""
    there = list(nodes)
    queried = {name for node in there for name in names_in_queries(node)}
    return set(free(as_function(there)).reads) | (queried - stored_in(there))


def every_name(nodes: Iterable[ast.AST]) -> set[str]:
    return {inner.id for node in nodes for inner in ast.walk(node) if isinstance(inner, ast.Name)}


def read_when_defined(node: ast.stmt, *, annotations: bool) -> set[str]:
    """What a definition reads when it is made, rather than when it is called."""
    if not isinstance(node, DEFINITIONS):
        return set() if is_lambda(node) else loaded_in([node])
    now: list[ast.AST] = [*node.decorator_list]
    if isinstance(node, ast.ClassDef):
        now += [*node.bases, *(word.value for word in node.keywords)]
        inner: set[str] = set()
        own: set[str] = set()
        for statement in node.body:
            inner |= read_when_defined(statement, annotations=annotations)
            own |= stored_in([statement])
        return every_name(now) | (inner - own)
    now += [default for default in (*node.args.defaults, *node.args.kw_defaults) if default is not None]
    if annotations:
        every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
        now += [argument.annotation for argument in every if argument is not None and argument.annotation]
        now += [node.returns] if node.returns else []
    return every_name(now)


def is_lambda(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda)


def read_when_called(node: ast.stmt) -> set[str]:
    if isinstance(node, DEFINITIONS):
        return set(free(node).reads)
    return set(free(node.value).reads) if isinstance(node, ast.Assign) and is_lambda(node) else set()
