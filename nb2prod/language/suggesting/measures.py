"""What a cell measures and shows: names bound to a score, numbers that a print formats, figures, columns."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence

from nb2prod.language.plain import PlainCell
from nb2prod.language.suggesting.trees import Known, class_name_of, dotted, learn_from, maker_of, name_of, outside
from nb2prod.language.suggesting.vocabulary import FITTED_NUMBERS, SCORING, VECTORIZER, WRAPPERS


def numbers_of(nodes: Iterable[tuple[ast.AST, bool]], known: Known) -> Iterator[str]:
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
            return _is_scores(value) or name_of(value) in lists or is_number(value, numbers, lists)
        case ast.Call(func=func, args=[first, *_]) if dotted(func) in WRAPPERS:
            return is_number(first, numbers, lists) or (
                dotted(func).startswith("np.") and (_is_scores(first) or name_of(first) in lists)
            )
        case ast.Call(func=func, keywords=keywords):
            arrays = any(
                (k.arg == "average" and isinstance(k.value, ast.Constant) and k.value.value is None)
                or (k.arg == "multioutput" and ast.unparse(k.value) == "'raw_values'")
                for k in keywords
            )
            return bool(SCORING.match(dotted(func))) and not arrays
    return False


def printed_by(calls: Iterable[tuple[ast.Call, bool]]) -> Iterator[str]:
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


def unnamed_scores(body: Iterable[ast.stmt], known: Known) -> Iterator[int]:
    """Lines that show a score without giving it a name."""
    for statement in body:
        if not isinstance(statement, ast.Expr):
            continue
        for node, loop in outside(statement):
            if isinstance(node, ast.Call) and not loop and is_number(node, set(), known.lists_of_scores):
                yield node.lineno
                break


def figures_of(body: Iterable[ast.stmt]) -> Iterator[str]:
    for statement in body:
        match statement:
            case ast.Assign(targets=[ast.Tuple(elts=[ast.Name(id=name), *_])], value=ast.Call(func=func)):
                if dotted(func).endswith(".subplots"):
                    yield name
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=func)):
                last = dotted(func)
                if last.endswith(("plt.figure", ".get_figure")) or last.startswith(("px.", "go.Figure")):
                    yield name


def columns_of(body: Iterable[ast.stmt]) -> Iterator[str]:
    """Names bound to one column of a frame: `X = df["text"]`."""
    for statement in body:
        match statement:
            case ast.Assign(
                targets=[ast.Name(id=name)], value=ast.Subscript(value=ast.Name(), slice=ast.Constant(value=str()))
            ):
                yield name


def made_of(body: Iterable[ast.stmt]) -> Iterator[tuple[str, str]]:
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
                            yield target.id, name_of(arguments[position // 2])


def is_sparse(name: str, cells: Sequence[PlainCell | None]) -> bool:
    """Whether a transformer of this name makes a sparse matrix, as vectorizers of text do."""
    known = Known()
    for cell in cells:
        for statement in cell.tree.body if cell is not None and cell.tree is not None else ():
            learn_from(statement, known)
    maker = maker_of(ast.Name(id=name), known)
    dense = maker is not None and any(k.arg == "sparse_output" for k in maker.keywords)
    return not dense and bool(VECTORIZER.match(class_name_of(maker, known)))
