"""Of which kind a statement is, by its syntax: an import, a definition, a setting, a look at something."""

from __future__ import annotations

import ast

from nb2prod.language.suggesting.doing import acts_of_call
from nb2prod.language.suggesting.measures import figures_of
from nb2prod.language.suggesting.trees import Known, dotted, outside
from nb2prod.language.suggesting.vocabulary import SEEDS, SETTINGS


def class_of(statement: ast.stmt) -> str:
    """import, definition, literal, setting, seed, magic, assert, show or other; empty for a text that stands alone."""
    match statement:
        case ast.Import() | ast.ImportFrom():
            return "import"
        case ast.Try(body=body) if all(isinstance(inner, ast.Import | ast.ImportFrom | ast.Assign) for inner in body):
            return "import" if any(isinstance(inner, ast.Import | ast.ImportFrom) for inner in body) else "other"
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return "definition"
        case ast.Assign(targets=[ast.Name()], value=ast.Lambda()):
            return "definition"
        case ast.Assert():
            return "assert"
        case ast.Expr(value=ast.Constant()) | ast.Pass():
            return ""
        case ast.Expr(value=ast.Call(func=func)) if dotted(func).startswith("get_ipython()"):
            return "magic"
        case ast.Expr(value=ast.Call(func=func)):
            return _class_of_call(dotted(func))
        case ast.Expr(value=ast.Name() | ast.Attribute()):
            return "show"
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript() as target]) if SETTINGS.match(dotted(target)):
            return "setting"
        case (
            ast.Assign(targets=[ast.Name()], value=value) | ast.AnnAssign(target=ast.Name(), value=ast.expr() as value)
        ) if is_literal(value):
            return "literal"
    return "other"


def _class_of_call(name: str) -> str:
    if SEEDS.match(name):
        return "seed"
    if SETTINGS.match(name):
        return "setting"
    return "show" if name in ("print", "display") else "other"


def is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def looks_only(statement: ast.stmt, known: Known) -> bool:
    """Whether a statement shows something and makes nothing: what a cell of exploration consists of."""
    if isinstance(statement, ast.If | ast.For | ast.With):
        return all(looks_only(inner, known) for inner in (*statement.body, *getattr(statement, "orelse", [])))
    if isinstance(statement, ast.Assign):
        return any(True for _ in figures_of([statement]))
    if not isinstance(statement, ast.Expr):
        return isinstance(statement, ast.Import | ast.ImportFrom | ast.Pass)
    acts = {act for node, _ in outside(statement) if isinstance(node, ast.Call) for act in acts_of_call(node, known)}
    return not acts & {"load", "split", "save", "score", "predict", "fit", "cross"} and not any(
        keyword.arg == "inplace"
        for node in ast.walk(statement)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
    )
