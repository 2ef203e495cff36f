"""What a call does, by the name of what is called or by the body of a function of the notebook."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

from nb2prod.language.suggesting.measures import made_of
from nb2prod.language.suggesting.trees import FITTING, Known, dotted, method_of, outside
from nb2prod.language.suggesting.vocabulary import ACTS, HELD_OUT, LEARNED


def acts_of_call(call: ast.Call, known: Known, depth: int = 0) -> frozenset[str]:
    """The acts of a call; of a call of the notebook's own function those of its body."""
    function = known.functions.get(call.func.id) if isinstance(call.func, ast.Name) else None
    if function is not None:
        return _acts_of_function(function, known, depth) if depth < 4 else frozenset()
    name = dotted(call.func)
    found = {act.name for act in ACTS if act.pattern.match(name)}
    if name == "open":
        mode = [a.value for a in (*call.args[1:2], *(k.value for k in call.keywords)) if isinstance(a, ast.Constant)]
        found.add("save" if any(str(value)[:1] in "wax" for value in mode) else "load")
    return frozenset(found)


def _acts_of_function(function: ast.AST, known: Known, depth: int) -> frozenset[str]:
    body = getattr(function, "body", [])
    calls = [node for statement in body for node, _ in outside(statement) if isinstance(node, ast.Call)]
    found = {act for call in calls for act in acts_of_call(call, known, depth + 1)}
    if any(method_of(call) in FITTING for call in calls):
        found.add("fit")
    return frozenset(found)


def weak(calls: Sequence[tuple[ast.Call, bool]], body: Iterable[ast.stmt], known: Known) -> str:
    """Whether a cell rather cleans or rather makes features; empty when it does neither."""
    acts = [act for call, _ in calls for act in acts_of_call(call, known)]
    columns = sum(
        isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store) for s in body for node, _ in outside(s)
    )
    clean, features = acts.count("clean"), acts.count("features") + columns
    return "clean" if clean and clean >= features else "features" if features else ""


def divides(body: Iterable[ast.stmt]) -> bool:
    """Whether a cell binds rows to learn from and rows to judge by, other than by preparing those that there are."""
    prepared = {target for target, _ in made_of(body)}
    bound = {
        node.id
        for statement in body
        for node, _ in outside(statement)
        if isinstance(statement, ast.Assign) and isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    } - prepared
    return any(map(LEARNED.match, bound)) and any(map(HELD_OUT.match, bound))
