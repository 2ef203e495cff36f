"""Which variable of the notebook the model was fitted on: the rows that it is shown, as the notebook calls them.

model = make_pipeline(scale, LogisticRegression()).fit(X_train, y_train)      X_train
model.fit(X_train, y_train)                                                   X_train
model.fit(frame[features], frame["target"])                                   none that has a name
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nb2prod.core.pipeline import Pipeline
from nb2prod.language.plain import plain

FIT = ("fit", "fit_predict", "fit_resample")


def rows_of_fit(pipeline: Pipeline) -> str:
    """The name of what the model's last `fit` got first; empty when it has none, or no step fits the tagged model."""
    if pipeline.model is None:
        return ""
    found = [name for tree in _trees(pipeline) for name in _fitted(tree, pipeline.model[1])]
    return found[-1] if found else ""


def _trees(pipeline: Pipeline) -> Iterator[ast.Module]:
    for role in pipeline.roles:
        tree = plain(role.body).tree if role is not None and role.kind == "step" else None
        if tree is not None:
            yield tree


def _fitted(tree: ast.Module, model: str) -> Iterator[str]:
    for statement in ast.walk(tree):
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            if any(isinstance(target, ast.Name) and target.id == model for target in targets):
                yield from _rows(statement.value)
        elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            called = statement.value.func
            if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id == model:
                yield from _rows(statement.value)


def _rows(call: ast.expr | None) -> Iterator[str]:
    """What the outermost `.fit(…)` gets first, or as `X`."""
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in FIT):
        return
    given = [*call.args[:1], *(keyword.value for keyword in call.keywords if keyword.arg == "X")]
    if given and isinstance(given[0], ast.Name):
        yield given[0].id
