"""What values are, as annotations: only what the code says for certain, the rest is `Any`.

df = pd.read_csv(data)                            pd.DataFrame
y = (df["deny"] == "yes").astype(int)             pd.Series
X_train, X_test, y_train, y_test = train_test_split(X, y)      two frames, two series
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping

from nb2prod.language.code_cells import code_cells
from nb2prod.language.imported import dotted, imported
from nb2prod.language.kinds import kind_of
from nb2prod.targets._project.meaning import Meaning, Unit
from nb2prod.targets._project.names import stored_in

MANY = ""  # a name that is several things, or nobody knows what
OPERATORS = (ast.BinOp, ast.Compare)


def types_of(found: Meaning, units: Iterable[Unit]) -> dict[str, str]:
    """The annotations of the names that units bind, as far as they are certain."""
    names = imported(tuple(code_cells(found.pipeline)))
    kinds = _kinds(units, names)
    frame, series = _local(names, "pandas", "DataFrame"), _local(names, "pandas", "Series")
    words = {"frame": frame, "series": series, "text": "str", "dict": "dict[Any, Any]", "int": "int"}
    words |= {dotted: local for local, dotted in names.items() if local in found.imports}
    made = {name: words.get(kind, "") for name, kind in kinds.items()}
    made |= {name: "Figure" for step in found.pipeline.steps for name in step.plots}
    made |= {name: "float" for step in found.pipeline.steps for name in step.metrics}
    return {name: text for name, text in made.items() if text}


def _local(names: Mapping[str, str], package: str, word: str) -> str:
    local = next((local for local, dotted in names.items() if dotted == package), "")
    return f"{local}.{word}" if local else ""


def _kinds(units: Iterable[Unit], names: Mapping[str, str]) -> dict[str, str]:
    known: dict[str, str] = {}
    for unit in units:
        for statement in unit.statements:
            said = dict(_said(statement.node, known, names))
            for name in stored_in([statement.node]):
                kind = said.get(name, MANY)
                known[name] = kind if known.get(name, kind) == kind else MANY
    return known


def _said(node: ast.stmt, known: Mapping[str, str], names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """(name, kind) of a plain assignment."""
    if not isinstance(node, ast.Assign) or len(node.targets) != 1:
        return
    target, value = node.targets[0], node.value
    if isinstance(target, ast.Name):
        yield target.id, _kind(value, known, names)
    elif isinstance(target, ast.Tuple):
        for part, kind in zip(target.elts, _several(value, known, names), strict=False):
            if isinstance(part, ast.Name):
                yield part.id, kind


def _several(value: ast.expr, known: Mapping[str, str], names: Mapping[str, str]) -> list[str]:
    if isinstance(value, ast.Tuple):
        return [_kind(item, known, names) for item in value.elts]
    if isinstance(value, ast.Call) and dotted(value.func, names) == "sklearn.model_selection.train_test_split":
        return [kind for argument in value.args for kind in [_kind(argument, known, names)] * 2]
    return []


def _kind(value: ast.expr, known: Mapping[str, str], names: Mapping[str, str]) -> str:
    match value:
        case ast.Call(func=ast.Name(id="len"), args=[_]):
            return "int"
        case ast.Name(id=name):
            return known.get(name, MANY)
        case ast.Subscript(value=inner, slice=index) if _kind(inner, known, names) == "frame":
            return _column(index, known, names)
        case ast.BinOp(left=left) | ast.Compare(left=left) if _kind(left, known, names) == "series":
            return "series"
        case ast.UnaryOp(op=ast.Invert(), operand=operand):
            return _kind(operand, known, names)
        case ast.Call(func=ast.Attribute(value=inner, attr="astype" | "isna" | "notna" | "eq" | "fillna" | "rename")):
            kind = _kind(inner, known, names)
            return kind if kind in ("frame", "series") else MANY
        case ast.Call(func=ast.Attribute(value=inner, attr="fit")):
            return _kind(inner, known, names)
    kind = kind_of(value, {name: kind for name, kind in known.items() if kind != "int"}, names)
    return kind if kind not in ("number", "list", "array") else MANY


def _column(index: ast.expr, known: Mapping[str, str], names: Mapping[str, str]) -> str:
    """What `frame[index]` is."""
    if isinstance(index, ast.Constant) and isinstance(index.value, str):
        return "series"
    return "frame" if isinstance(index, ast.List) or _kind(index, known, names) == "series" else MANY
