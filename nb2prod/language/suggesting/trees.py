"""Syntax trees of cells, walked: what is outside of functions, what a call is called, what made an object.

What names stand for is learned on the way (`Known`): one cell makes the scaler that another fits.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from nb2prod.language.suggesting.vocabulary import COMBINED, TRANSFORMER

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
FITTING = ("fit", "fit_predict", "partial_fit")


@dataclass
class Known:
    """What names of the notebook stand for at this point of the walk."""

    makers: dict[str, ast.expr] = field(default_factory=dict)
    functions: dict[str, ast.AST] = field(default_factory=dict)
    classes: dict[str, frozenset[str]] = field(default_factory=dict)
    numbers: set[str] = field(default_factory=set)
    lists_of_scores: set[str] = field(default_factory=set)
    kinds: dict[str, str] = field(default_factory=dict)


def outside(node: ast.AST, loop: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Every syntax node that runs when the cell runs, and whether it may run several times."""
    yield node, loop
    if isinstance(node, Definition | ast.Lambda):
        return
    again = loop or isinstance(
        node, ast.For | ast.AsyncFor | ast.While | ast.ListComp | ast.DictComp | ast.SetComp | ast.GeneratorExp
    )
    for child in ast.iter_child_nodes(node):
        yield from outside(child, again)


def dotted(node: ast.expr) -> str:
    """`pd.read_csv` as it is written; what comes before it is `()` when it is no name."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            return f"{dotted(value)}.{attr}"
        case ast.Call(func=func):
            return f"{dotted(func)}()"
        case ast.Subscript(value=value):
            return f"{dotted(value)}[]"
    return "()"


def name_of(node: ast.expr | None) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def method_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def receiver_of(call: ast.Call) -> ast.expr:
    return call.func.value if isinstance(call.func, ast.Attribute) else call.func


def targets_of(body: Iterable[ast.stmt]) -> dict[int, str]:
    """The name that each call is bound to, by the identity of the call: `model` for `model = SVC().fit(X, y)`."""
    found: dict[int, str] = {}
    for statement in body:
        for node, _ in outside(statement):
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                if isinstance(target, ast.Name) and isinstance(node.value, ast.Call):
                    found[id(node.value)] = target.id
    return found


def learn_from(statement: ast.stmt, known: Known) -> None:
    """Remember what makes each name, loops and branches included."""
    for node, _ in outside(statement):
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                known.makers[name] = value


def maker_of(node: ast.expr, known: Known, depth: int = 0) -> ast.Call | None:
    """The call of the class that an expression's object comes from: through names, `.fit(…)` and pipelines."""
    match node:
        case ast.Name(id=name) if name in known.makers and depth < 5:
            return maker_of(known.makers[name], known, depth + 1)
        case ast.Call(func=ast.Attribute(value=value, attr=attr)) if attr in (*FITTING, "set_params", "set_output"):
            return maker_of(value, known, depth)
        case ast.Call():
            return node
    return None


def class_name_of(call: ast.Call | None, known: Known) -> str:
    """The class of an estimator; of a pipeline that of its last part."""
    if call is None:
        return ""
    name = dotted(call.func).rpartition(".")[2]
    if name not in COMBINED or not call.args:
        return name
    last: ast.expr = call.args[-1]
    if name == "Pipeline":
        parts = call.args[0]
        parts = known.makers.get(parts.id, parts) if isinstance(parts, ast.Name) else parts
        last = parts.elts[-1] if isinstance(parts, ast.List | ast.Tuple) and parts.elts else last
        last = last.elts[-1] if isinstance(last, ast.Tuple) and last.elts else last
    return class_name_of(maker_of(last, known), known)


def is_transformer(node: ast.expr, known: Known) -> bool:
    """Whether an object makes data for a model, rather than being one."""
    name = class_name_of(maker_of(node, known), known)
    methods = known.classes.get(name)
    return bool(TRANSFORMER.match(name)) if methods is None else "transform" in methods and "predict" not in methods
