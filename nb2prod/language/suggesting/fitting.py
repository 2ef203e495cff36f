"""What a cell fits, by a method of an estimator or by a function that trains it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from nb2prod.language.suggesting.trees import (
    FITTING,
    Known,
    is_transformer,
    learn_from,
    method_of,
    name_of,
    outside,
    receiver_of,
    targets_of,
)


@dataclass(frozen=True, slots=True)
class Use:
    """One time that an object is fitted, or asked to predict: `name.method(rows)`.

    `name` is empty when the object has none, `rows` when they have none; `text` is how the rows are written.
    `loop` when it happens in a loop, so that the name means another object each time.
    """

    name: str
    method: str
    rows: str
    text: str
    line: int
    loop: bool = False


def fits_of(
    calls: Iterable[tuple[ast.Call, bool]], targets: Mapping[int, str], known: Known
) -> tuple[tuple[Use, ...], tuple[Use, ...]]:
    fits: list[Use] = []
    prepares: list[Use] = []
    for call, loop in calls:
        method = method_of(call)
        if method in FITTING and not is_transformer(receiver_of(call), known):
            fits.append(use_of(call, loop, targets))
        elif method in (*FITTING, "fit_transform", "transform"):
            prepares.append(use_of(call, loop, targets))
        elif isinstance(call.func, ast.Name) and call.func.id in known.functions:
            fits += _fit_by_function(call, loop, targets, known.functions[call.func.id], known)
    return tuple(fits), tuple(prepares)


def use_of(call: ast.Call, loop: bool, targets: Mapping[int, str]) -> Use:
    receiver = receiver_of(call)
    chained = isinstance(receiver, ast.Call) and method_of(call) in FITTING
    name = targets.get(id(call), "") if chained else name_of(receiver)
    rows = call.args[0] if call.args else next((k.value for k in call.keywords if k.arg == "X"), None)
    text = ast.unparse(rows) if rows is not None else ""
    return Use(name, method_of(call), name_of(rows), text, call.lineno, loop)


def _fit_by_function(
    call: ast.Call, loop: bool, targets: Mapping[int, str], function: ast.AST, known: Known
) -> Iterator[Use]:
    """`model = train(X, y)`, where the function fits an object and returns it."""
    assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
    inner = [node for statement in function.body for node, _ in outside(statement)]
    inside = Known(makers=dict(known.makers), classes=known.classes)
    for statement in function.body:
        learn_from(statement, inside)
    fitted = {
        (targeted or name_of(receiver_of(node))): (name_of(node.args[0]) if node.args else "")
        for local in [targets_of(function.body)]
        for node in inner
        if isinstance(node, ast.Call) and method_of(node) in FITTING and not is_transformer(receiver_of(node), inside)
        for targeted in [local.get(id(node), "") if isinstance(receiver_of(node), ast.Call) else ""]
    }
    if not fitted:
        return
    returned = [name_of(node.value) for node in inner if isinstance(node, ast.Return)]
    direct = any(
        isinstance(node, ast.Return) and isinstance(node.value, ast.Call) and method_of(node.value) in FITTING
        for node in inner
    )
    gives = direct or any(name and name in fitted for name in returned)
    parameters = [argument.arg for argument in function.args.args]
    inside_rows = next(iter(fitted.values()))
    position = parameters.index(inside_rows) if inside_rows in parameters else len(call.args)
    rows = call.args[position] if position < len(call.args) else None
    yield Use(targets.get(id(call), "") if gives else "", "fit", name_of(rows), "", call.lineno, loop)
