"""One estimator is fitted in two steps: the second forgets what the first has learned.

    scaler = StandardScaler()
    X_train = scaler.fit_transform(X_train)      step prepare
    X_test = scaler.fit_transform(X_test)        step evaluate: scaled by its own mean, not by that of the training data

Fit once, and call `transform` or `predict` afterwards; or make a second estimator with a name of its own.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline
from nb2prod.language.code_cells import CodeCell, code_cells
from nb2prod.language.imported import imported
from nb2prod.language.kinds import bounds, kinds_of

CODE = "fitted-twice"
SEVERITY: Severity = "warning"
FITTING = ("fit", "fit_transform", "fit_predict")
# encoders of one column that people use for one column after the other
REUSED = ("LabelEncoder", "LabelBinarizer", "MultiLabelBinarizer", "OrdinalEncoder")


def check(pipeline: Pipeline) -> Iterator[Finding]:
    cells = tuple(code_cells(pipeline))
    names = imported(cells)
    kinds = {name: kind for name, kind in kinds_of(cells, names).items() if _is_fitted(kind)}
    made: dict[str, list[int]] = {name: [] for name in kinds}
    for bound in bounds(cells) if kinds else ():
        made.get(bound.name, []).append(bound.cell)
    fitted: dict[str, tuple[CodeCell, ast.Call]] = {}
    for cell in cells if kinds else ():
        for call in cell.top(ast.Call) if cell.role.kind == "step" else ():
            name = _fits(call)
            if name not in kinds:
                continue
            first = fitted.setdefault(name, (cell, call))
            again = any(first[0].index < at <= cell.index for at in made[name])
            if again:
                fitted[name] = (cell, call)
            elif first[0].source != cell.source:
                message = f"`{name}` is fitted here, and was already in step {first[0].source} (cell {first[0].index})"
                fix = f"call `{name}.transform` or `{name}.predict` here, or make a second estimator"
                yield Finding(CODE, SEVERITY, message, fix, cell.index, cell.line(call))


def _is_fitted(kind: str) -> bool:
    return kind.startswith("sklearn.") and kind.rpartition(".")[2] not in REUSED


def _fits(call: ast.Call) -> str:
    match call.func:
        case ast.Attribute(value=ast.Name(id=name), attr=method) if method in FITTING:
            return name
    return ""
