"""What each cell does, seen in its syntax tree: what it fits, predicts, scores, draws and sets.

The trees of all cells are seen together, because one cell makes the scaler that another fits, and a function defined
at the top trains the model at the bottom. Function bodies count where the function is called.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from nb2prod.language.plain import PlainCell
from nb2prod.language.suggesting.vocabulary import (
    ACTS,
    COMBINED,
    DOWNLOADS,
    FITTED_NUMBERS,
    HELD_OUT,
    LEARNED,
    PHASES,
    SCORING,
    SEEDS,
    SETTINGS,
    TRANSFORMER,
    VECTORIZER,
    WRAPPERS,
)

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
PREDICTING = ("predict", "predict_proba", "decision_function", "score")
FITTING = ("fit", "fit_predict", "partial_fit")


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


@dataclass(frozen=True, slots=True)
class Acts:
    """What one cell does. `classes` are the kinds of its statements, see `_class_of`; `known` names of ACTS.

    `fits` are of what predicts, `prepares` of what makes data for it; `crossed` are cross-validated. `numbers` are
    bound to a score, `printed` formatted as a number, `unnamed` lines where a score is printed without a name.
    `columns` are bound to one column of a frame; `made` says by what a name was made. `weak` is clean or features,
    whichever there is more of.
    """

    classes: frozenset[str] = frozenset()
    known: frozenset[str] = frozenset()
    fits: tuple[Use, ...] = ()
    prepares: tuple[Use, ...] = ()
    uses: tuple[Use, ...] = ()
    crossed: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    printed: tuple[str, ...] = ()
    unnamed: tuple[int, ...] = ()
    figures: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    made: tuple[tuple[str, str], ...] = ()
    weak: str = ""
    only_looks: bool = False

    @property
    def phase(self) -> str:
        """The step that the cell makes by itself, empty when nothing says."""
        found = {act.phase for act in ACTS if act.name in self.known}
        if self.fits or "fit" in self.known:
            found.add("train")
        return next((phase for phase in PHASES if phase in found), self.weak)


@dataclass
class _Known:
    """What names of the notebook stand for at this point of the walk."""

    makers: dict[str, ast.expr] = field(default_factory=dict)
    functions: dict[str, ast.AST] = field(default_factory=dict)
    classes: dict[str, frozenset[str]] = field(default_factory=dict)
    numbers: set[str] = field(default_factory=set)
    lists_of_scores: set[str] = field(default_factory=set)
    kinds: dict[str, str] = field(default_factory=dict)


def acts_of(cells: Sequence[PlainCell | None]) -> tuple[Acts, ...]:
    """The acts of each cell of a notebook, in order; a cell that is no Python does nothing."""
    known = _Known()
    for cell in cells:
        for statement in cell.tree.body if cell is not None and cell.tree is not None else ():
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
                known.functions[statement.name] = statement
            if isinstance(statement, ast.ClassDef):
                known.classes[statement.name] = frozenset(
                    inner.name for inner in statement.body if isinstance(inner, ast.FunctionDef)
                )
    return tuple(Acts() if cell is None or cell.tree is None else _acts(cell, cell.tree, known) for cell in cells)


def _acts(cell: PlainCell, tree: ast.Module, known: _Known) -> Acts:
    body = tree.body
    for statement in body:
        _learn(statement, known)
    nodes = [(node, loop) for statement in body for node, loop in outside(statement)]
    calls = [(node, loop) for node, loop in nodes if isinstance(node, ast.Call)]
    targets = _targets(body)
    fits, prepares = _fits(calls, targets, known)
    numbers = tuple(dict.fromkeys(_numbers(nodes, known)))
    loads = any(magic.name == "!" and DOWNLOADS.match(magic.arguments) for magic in cell.magics)
    acts = frozenset(act for call, _ in calls for act in _acts_of_call(call, known)) | ({"load"} if loads else set())
    acts |= {"split"} if _divides(body) else set()
    return Acts(
        classes=frozenset(_class_of(statement) for statement in body) - {""},
        known=acts,
        fits=fits,
        prepares=prepares,
        uses=tuple(_use(call, loop, targets) for call, loop in calls if _method(call) in PREDICTING),
        crossed=tuple(_name(call.args[0]) for call, _ in calls if call.args and "cross" in _acts_of_call(call, known)),
        numbers=numbers,
        printed=tuple(dict.fromkeys(_printed(calls))),
        unnamed=tuple(_unnamed(body, known)),
        figures=tuple(dict.fromkeys(_figures(body))),
        columns=tuple(dict.fromkeys(_columns(body))),
        made=tuple(dict.fromkeys(_made(body))),
        weak=_weak(calls, body, known),
        only_looks=all(_only_looks(statement, known) for statement in body),
    )


# -- walking --------------------------------------------------------------------------------------------------------


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


def _name(node: ast.expr | None) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _method(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _receiver(call: ast.Call) -> ast.expr:
    return call.func.value if isinstance(call.func, ast.Attribute) else call.func


def _targets(body: Iterable[ast.stmt]) -> dict[int, str]:
    """The name that each call is bound to, by the identity of the call: `model` for `model = SVC().fit(X, y)`."""
    found: dict[int, str] = {}
    for statement in body:
        for node, _ in outside(statement):
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                if isinstance(target, ast.Name) and isinstance(node.value, ast.Call):
                    found[id(node.value)] = target.id
    return found


def _learn(statement: ast.stmt, known: _Known) -> None:
    """Remember what makes each name, loops and branches included."""
    for node, _ in outside(statement):
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                known.makers[name] = value


# -- estimators -----------------------------------------------------------------------------------------------------


def _maker(node: ast.expr, known: _Known, depth: int = 0) -> ast.Call | None:
    """The call of the class that an expression's object comes from: through names, `.fit(…)` and pipelines."""
    match node:
        case ast.Name(id=name) if name in known.makers and depth < 5:
            return _maker(known.makers[name], known, depth + 1)
        case ast.Call(func=ast.Attribute(value=value, attr=attr)) if attr in (*FITTING, "set_params", "set_output"):
            return _maker(value, known, depth)
        case ast.Call():
            return node
    return None


def _class_name(call: ast.Call | None, known: _Known) -> str:
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
    return _class_name(_maker(last, known), known)


def _transforms(node: ast.expr, known: _Known) -> bool:
    """Whether an object makes data for a model, rather than being one."""
    name = _class_name(_maker(node, known), known)
    methods = known.classes.get(name)
    return bool(TRANSFORMER.match(name)) if methods is None else "transform" in methods and "predict" not in methods


def _fits(
    calls: Iterable[tuple[ast.Call, bool]], targets: Mapping[int, str], known: _Known
) -> tuple[tuple[Use, ...], tuple[Use, ...]]:
    fits: list[Use] = []
    prepares: list[Use] = []
    for call, loop in calls:
        method = _method(call)
        if method in FITTING and not _transforms(_receiver(call), known):
            fits.append(_use(call, loop, targets))
        elif method in (*FITTING, "fit_transform", "transform"):
            prepares.append(_use(call, loop, targets))
        elif isinstance(call.func, ast.Name) and call.func.id in known.functions:
            fits += _fit_by_function(call, loop, targets, known.functions[call.func.id], known)
    return tuple(fits), tuple(prepares)


def _use(call: ast.Call, loop: bool, targets: Mapping[int, str]) -> Use:
    receiver = _receiver(call)
    chained = isinstance(receiver, ast.Call) and _method(call) in FITTING
    name = targets.get(id(call), "") if chained else _name(receiver)
    rows = call.args[0] if call.args else next((k.value for k in call.keywords if k.arg == "X"), None)
    text = ast.unparse(rows) if rows is not None else ""
    return Use(name, _method(call), _name(rows), text, call.lineno, loop)


def _fit_by_function(
    call: ast.Call, loop: bool, targets: Mapping[int, str], function: ast.AST, known: _Known
) -> Iterator[Use]:
    """`model = train(X, y)`, where the function fits an object and returns it."""
    assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
    inner = [node for statement in function.body for node, _ in outside(statement)]
    inside = _Known(makers=dict(known.makers), classes=known.classes)
    for statement in function.body:
        _learn(statement, inside)
    fitted = {
        (targeted or _name(_receiver(node))): (_name(node.args[0]) if node.args else "")
        for local in [_targets(function.body)]
        for node in inner
        if isinstance(node, ast.Call) and _method(node) in FITTING and not _transforms(_receiver(node), inside)
        for targeted in [local.get(id(node), "") if isinstance(_receiver(node), ast.Call) else ""]
    }
    if not fitted:
        return
    returned = [_name(node.value) for node in inner if isinstance(node, ast.Return)]
    direct = any(
        isinstance(node, ast.Return) and isinstance(node.value, ast.Call) and _method(node.value) in FITTING
        for node in inner
    )
    gives = direct or any(name and name in fitted for name in returned)
    parameters = [argument.arg for argument in function.args.args]
    inside_rows = next(iter(fitted.values()))
    position = parameters.index(inside_rows) if inside_rows in parameters else len(call.args)
    rows = call.args[position] if position < len(call.args) else None
    yield Use(targets.get(id(call), "") if gives else "", "fit", _name(rows), "", call.lineno, loop)


# -- what calls do ----------------------------------------------------------------------------------------------------


def _acts_of_call(call: ast.Call, known: _Known, depth: int = 0) -> frozenset[str]:
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


def _acts_of_function(function: ast.AST, known: _Known, depth: int) -> frozenset[str]:
    body = getattr(function, "body", [])
    calls = [node for statement in body for node, _ in outside(statement) if isinstance(node, ast.Call)]
    found = {act for call in calls for act in _acts_of_call(call, known, depth + 1)}
    if any(_method(call) in FITTING for call in calls):
        found.add("fit")
    return frozenset(found)


def _weak(calls: Sequence[tuple[ast.Call, bool]], body: Iterable[ast.stmt], known: _Known) -> str:
    """Whether a cell rather cleans or rather makes features; empty when it does neither."""
    acts = [act for call, _ in calls for act in _acts_of_call(call, known)]
    columns = sum(
        isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store) for s in body for node, _ in outside(s)
    )
    clean, features = acts.count("clean"), acts.count("features") + columns
    return "clean" if clean and clean >= features else "features" if features else ""


def _divides(body: Iterable[ast.stmt]) -> bool:
    """Whether a cell binds rows to learn from and rows to judge by, other than by preparing those that there are."""
    prepared = {target for target, _ in _made(body)}
    bound = {
        node.id
        for statement in body
        for node, _ in outside(statement)
        if isinstance(statement, ast.Assign) and isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    } - prepared
    return any(map(LEARNED.match, bound)) and any(map(HELD_OUT.match, bound))


# -- scores, figures, columns -----------------------------------------------------------------------------------------


def _numbers(nodes: Iterable[tuple[ast.AST, bool]], known: _Known) -> Iterator[str]:
    """Names bound to a score, outside loops: of a loop only the last would be logged."""
    for node, loop in nodes:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                if _is_scores(value):
                    known.lists_of_scores.add(name)
                elif is_number(value, known.numbers, known.lists_of_scores):
                    known.numbers.add(name)
                    if not loop and not isinstance(value, ast.Constant):
                        yield name
                else:
                    known.numbers.discard(name)
            case ast.Assign(targets=[ast.Tuple(elts=elements)], value=ast.Tuple(elts=values)):
                for target, part in zip(elements, values, strict=False):
                    if isinstance(target, ast.Name) and not loop and is_number(part, known.numbers, set()):
                        known.numbers.add(target.id)
                        yield target.id


def _is_scores(node: ast.expr) -> bool:
    match node:
        case ast.UnaryOp(operand=operand):
            return _is_scores(operand)
        case ast.Call(func=func):
            return dotted(func).rpartition(".")[2] == "cross_val_score"
    return False


def is_number(node: ast.expr, numbers: set[str], lists: set[str]) -> bool:
    """Whether an expression is surely one number that says how good something is (or is computed from such alone)."""
    match node:
        case ast.Name(id=name):
            return name in numbers
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            return is_number(operand, numbers, lists)
        case ast.BinOp(left=left, right=right):
            parts = [left, right]
            plain = [is_number(part, numbers, lists) for part in parts]
            return any(plain) and all(
                known or isinstance(part, ast.Constant) for known, part in zip(plain, parts, strict=True)
            )
        case ast.Attribute(attr=attr):
            return attr in FITTED_NUMBERS
        case ast.Call(func=ast.Attribute(value=value, attr="mean" | "std" | "min" | "max" | "item")):
            return _is_scores(value) or _name(value) in lists or is_number(value, numbers, lists)
        case ast.Call(func=func, args=[first, *_]) if dotted(func) in WRAPPERS:
            return is_number(first, numbers, lists) or (
                dotted(func).startswith("np.") and (_is_scores(first) or _name(first) in lists)
            )
        case ast.Call(func=func, keywords=keywords):
            arrays = any(
                (k.arg == "average" and isinstance(k.value, ast.Constant) and k.value.value is None)
                or (k.arg == "multioutput" and ast.unparse(k.value) == "'raw_values'")
                for k in keywords
            )
            return bool(SCORING.match(dotted(func))) and not arrays
    return False


def _printed(calls: Iterable[tuple[ast.Call, bool]]) -> Iterator[str]:
    """Names that a `print` formats as a number: `f"{rmse:.2f}"`, `round(rmse, 2)`."""
    for call, loop in calls:
        if dotted(call.func) != "print" or loop:
            continue
        for node in ast.walk(call):
            match node:
                case ast.FormattedValue(value=ast.Name(id=name), format_spec=ast.JoinedStr(values=[ast.Constant()])):
                    if str(node.format_spec.values[0].value)[-1:] in tuple("fF%eEg"):  # type: ignore[union-attr]
                        yield name
                case ast.Call(func=ast.Name(id="round"), args=[ast.Name(id=name), *_]):
                    yield name


def _unnamed(body: Iterable[ast.stmt], known: _Known) -> Iterator[int]:
    """Lines that show a score without giving it a name."""
    for statement in body:
        if not isinstance(statement, ast.Expr):
            continue
        for node, loop in outside(statement):
            if isinstance(node, ast.Call) and not loop and is_number(node, set(), known.lists_of_scores):
                yield node.lineno
                break


def _figures(body: Iterable[ast.stmt]) -> Iterator[str]:
    for statement in body:
        match statement:
            case ast.Assign(targets=[ast.Tuple(elts=[ast.Name(id=name), *_])], value=ast.Call(func=func)):
                if dotted(func).endswith(".subplots"):
                    yield name
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=func)):
                last = dotted(func)
                if last.endswith(("plt.figure", ".get_figure")) or last.startswith(("px.", "go.Figure")):
                    yield name


def _columns(body: Iterable[ast.stmt]) -> Iterator[str]:
    """Names bound to one column of a frame: `X = df["text"]`."""
    for statement in body:
        match statement:
            case ast.Assign(
                targets=[ast.Name(id=name)], value=ast.Subscript(value=ast.Name(), slice=ast.Constant(value=str()))
            ):
                yield name


def _made(body: Iterable[ast.stmt]) -> Iterator[tuple[str, str]]:
    """(name, what made it): a transformer for `Z = scaler.transform(X)`, the names that were split for `X_train`."""
    for statement in body:
        match statement:
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Call(func=ast.Attribute(value=ast.Name(id=made), attr="transform" | "fit_transform")),
            ):
                yield name, made
            case ast.Assign(targets=[ast.Tuple(elts=elements)], value=ast.Call(func=func, args=arguments)):
                if dotted(func).endswith("train_test_split"):
                    for position, target in enumerate(elements):
                        if isinstance(target, ast.Name) and position // 2 < len(arguments):
                            yield target.id, _name(arguments[position // 2])


def is_sparse(name: str, cells: Sequence[PlainCell | None]) -> bool:
    """Whether a transformer of this name makes a sparse matrix, as vectorizers of text do."""
    known = _Known()
    for cell in cells:
        for statement in cell.tree.body if cell is not None and cell.tree is not None else ():
            _learn(statement, known)
    maker = _maker(ast.Name(id=name), known)
    dense = maker is not None and any(k.arg == "sparse_output" for k in maker.keywords)
    return not dense and bool(VECTORIZER.match(_class_name(maker, known)))


# -- statements -------------------------------------------------------------------------------------------------------


def _class_of(statement: ast.stmt) -> str:
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


def _only_looks(statement: ast.stmt, known: _Known) -> bool:
    """Whether a statement shows something and makes nothing: what a cell of exploration consists of."""
    if isinstance(statement, ast.If | ast.For | ast.With):
        return all(_only_looks(inner, known) for inner in (*statement.body, *getattr(statement, "orelse", [])))
    if isinstance(statement, ast.Assign):
        return any(True for _ in _figures([statement]))
    if not isinstance(statement, ast.Expr):
        return isinstance(statement, ast.Import | ast.ImportFrom | ast.Pass)
    acts = {act for node, _ in outside(statement) if isinstance(node, ast.Call) for act in _acts_of_call(node, known)}
    return not acts & {"load", "split", "save", "score", "predict", "fit", "cross"} and not any(
        keyword.arg == "inplace"
        for node in ast.walk(statement)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
    )
