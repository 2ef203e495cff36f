"""Of what kind a value clearly is, from the expression that makes it: a frame, a number, text, an estimator.

Only what is certain is said; the empty text means that nobody knows. A name has a kind when every binding of it at
the top level of the notebook has that one.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from nb2prod.language.code_cells import CodeCell
from nb2prod.language.imported import dotted

# what a call gives, by its dotted name
CALLS: dict[str, str] = {
    **dict.fromkeys(("pandas.DataFrame", "pandas.read_csv", "pandas.read_parquet", "pandas.read_feather"), "frame"),
    **dict.fromkeys(("pandas.read_excel", "pandas.read_table", "pandas.get_dummies", "pandas.crosstab"), "frame"),
    **dict.fromkeys(("pandas.merge", "pandas.read_sql_table", "pandas.json_normalize", "pandas.melt"), "frame"),
    "pandas.Series": "series",
    **dict.fromkeys(("numpy.array", "numpy.zeros", "numpy.ones", "numpy.empty", "numpy.full"), "array"),
    **dict.fromkeys(("numpy.arange", "numpy.linspace", "numpy.asarray", "numpy.loadtxt"), "array"),
    **dict.fromkeys(("int", "float", "len"), "number"),
    "str": "text",
    **dict.fromkeys(("list", "sorted", "tuple", "set", "frozenset"), "list"),
    "dict": "dict",
}
# with one of these, a reader gives something else than a frame
OTHERWISE = frozenset({"chunksize", "iterator", "sheet_name", "squeeze"})
# methods of a frame that give a frame, whatever their arguments
FRAMES = """
copy drop dropna fillna reset_index set_index sort_values sort_index merge join rename assign query head tail sample
drop_duplicates astype replace round select_dtypes append applymap ffill bfill interpolate
"""
SAME = frozenset(FRAMES.split())


@dataclass(frozen=True, slots=True)
class Bound:
    """One binding at the top level; `value` is None when the expression does not say what the name gets."""

    name: str
    cell: int
    line: int
    source: str
    value: ast.expr | None


def bounds(cells: Iterable[CodeCell]) -> Iterator[Bound]:
    """Every binding at the top level, in order; `n += 1` keeps the kind and is left out."""
    for cell in cells:
        plain_targets: set[int] = set()
        for node in cell.top(ast.Assign):
            targets = [target for target in node.targets if isinstance(target, ast.Name)]
            plain_targets |= {id(target) for target in targets}
            yield from (Bound(t.id, cell.index, cell.line(node), cell.source, node.value) for t in targets)
        for annotated in cell.top(ast.AnnAssign):
            if isinstance(annotated.target, ast.Name):
                plain_targets.add(id(annotated.target))
                if annotated.value is not None:
                    name = annotated.target.id
                    yield Bound(name, cell.index, cell.line(annotated), cell.source, annotated.value)
        passing = {id(node.target) for node in cell.top(ast.AugAssign)} | _of_comprehensions(cell)
        for stored in cell.top(ast.Name):
            if isinstance(stored.ctx, ast.Store) and id(stored) not in plain_targets | passing:
                yield Bound(stored.id, cell.index, cell.line(stored), cell.source, None)


def _of_comprehensions(cell: CodeCell) -> set[int]:
    parts = cell.top(ast.comprehension)
    return {id(name) for part in parts for name in ast.walk(part.target)}


def kinds_of(cells: Iterable[CodeCell], names: Mapping[str, str]) -> dict[str, str]:
    """The kind of each name that has one and the same wherever it is bound."""
    values: dict[str, list[ast.expr | None]] = {}
    for bound in bounds(cells):
        values.setdefault(bound.name, []).append(bound.value)
    known: dict[str, str] = {}
    for _ in range(4):  # a chain of names: a = pd.read_csv(…); b = a.copy(); c = b
        before = dict(known)
        for name, given in values.items():
            if name not in known and (kind := _common(name, given, known, names)):
                known[name] = kind
        if known == before:
            break
    return known


def _common(name: str, given: list[ast.expr | None], known: Mapping[str, str], names: Mapping[str, str]) -> str:
    first = next((kind for value in given if value is not None and (kind := kind_of(value, known, names))), "")
    assumed = {**known, name: first}
    same = first and all(value is not None and kind_of(value, assumed, names) == first for value in given)
    return first if same else ""


def kind_of(value: ast.expr, known: Mapping[str, str], names: Mapping[str, str]) -> str:
    """number, text, list, dict, frame, series, array, or the dotted name of a scikit-learn class; else empty."""
    match value:
        case ast.Constant(value=bool() | int() | float() | complex()):
            return "number"
        case ast.Constant(value=str()) | ast.JoinedStr():
            return "text"
        case ast.List() | ast.ListComp() | ast.Tuple() | ast.Set() | ast.SetComp():
            return "list"
        case ast.Dict() | ast.DictComp():
            return "dict"
        case ast.Name(id=name):
            return known.get(name, "")
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return kind_of(operand, known, names)
        case ast.Subscript(value=inner, slice=ast.List()) if kind_of(inner, known, names) == "frame":
            return "frame"
        case ast.Call():
            return _of_call(value, known, names)
    return ""


def _of_call(call: ast.Call, known: Mapping[str, str], names: Mapping[str, str]) -> str:
    name = dotted(call.func, names)
    if name in CALLS:
        return "" if any(word.arg is None or word.arg in OTHERWISE for word in call.keywords) else CALLS[name]
    if name.startswith("sklearn.") and name.rpartition(".")[2][:1].isupper():
        return name
    if isinstance(call.func, ast.Attribute):
        kind = kind_of(call.func.value, known, names)
        in_place = any(word.arg in ("inplace", None) for word in call.keywords)
        if kind in ("frame", "series") and call.func.attr in SAME and not in_place:
            return kind if kind == "frame" or call.func.attr not in ("reset_index", "to_frame") else ""
        if kind.startswith("sklearn.") and call.func.attr in ("fit", "set_params"):
            return kind
    return ""
