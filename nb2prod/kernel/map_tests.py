"""The notebook's tests, once an item: through pytest, unless a cell only compares values.

pytest takes 30 ms to come up, warm, and a notebook's tests are often of this kind:

    assert 0 <= r2 <= 1                     def test_fits():
                                                assert len(model.coef_) == 2

Such a cell is tried as plain Python first: it can change nothing, whatever it finds. When all of it holds it has
passed; when anything does not, pytest runs it after all, and says what it has to say.
"""

from __future__ import annotations

import ast
import tempfile
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nb2prod.core.result import TestResult
from nb2prod.kernel.map_job import Job, JobCell
from nb2prod.language.purity import PURE

# calls that look at values and leave them alone, whatever they are
LOOKING = frozenset({"abs", "all", "any", "bool", "float", "int", "isinstance", "len", "max", "min", "round", "sum"})
CALLING = frozenset({"apply", "applymap", "map", "agg", "aggregate", "pipe", "transform", "query", "eval"})
LOOKS = (
    *(ast.Compare, ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Name, ast.Constant, ast.Subscript, ast.Slice, ast.Tuple),
    *(ast.List, ast.Set, ast.JoinedStr, ast.FormattedValue, ast.operator, ast.unaryop, ast.boolop, ast.cmpop),
    *(ast.expr_context, ast.Attribute, ast.IfExp),
)


def run_tests(job: Job, cell: JobCell, namespace: dict[str, Any]) -> list[TestResult]:
    """Those that pytest was needed for; none when the cell only compares values, and all of it holds."""
    quick = _quick_code(cell)
    if quick is not None and not Path("conftest.py").exists() and _holds(quick, namespace):
        return []
    return _through_pytest(cell, namespace, Path(job.folder, f"{job.notebook}.ipynb"), Path.cwd())


def load() -> None:
    """Have pytest load its plug-ins, which takes a second."""
    with tempfile.TemporaryDirectory() as folder:
        cell = JobCell(0, "test", "assert True")
        _through_pytest(cell, {}, Path(folder, "none.ipynb"), Path(folder))


def _through_pytest(cell: JobCell, namespace: dict[str, Any], notebook: Path, folder: Path) -> list[TestResult]:
    from nb2prod.kernel import cell_tests

    return cell_tests.run_tests(
        cell.source,
        namespace,
        cell=cell.index,
        step=cell.step or None,
        line_offset=0,
        notebook=notebook,
        folder=folder,
    )


_codes: dict[int, types.CodeType | None] = {}


def _quick_code(cell: JobCell) -> types.CodeType | None:
    """The cell as code that runs all its tests, or None when it could do more than compare."""
    if cell.index not in _codes:
        _codes[cell.index] = _compiled(cell)
    return _codes[cell.index]


def _compiled(cell: JobCell) -> types.CodeType | None:
    try:
        body = ast.parse(cell.source).body
    except SyntaxError:
        return None
    functions = [statement for statement in body if isinstance(statement, ast.FunctionDef)]
    names = [function.name for function in functions]
    if len(set(names)) < len(names) or not all(_only_compares(statement) for statement in body):
        return None
    calls = [ast.parse(f"{name}()").body[0] for name in names if name.startswith("test")]
    return compile(ast.Module([*body, *calls], []), f"<cell {cell.index}>", "exec", dont_inherit=True)


def _only_compares(statement: ast.stmt) -> bool:
    match statement:
        case ast.Assert():
            return all(_only_looks(node) for part in _parts(statement) for node in ast.walk(part))
        case ast.FunctionDef(decorator_list=[], args=arguments) if not any(
            (arguments.args, arguments.posonlyargs, arguments.kwonlyargs, arguments.vararg, arguments.kwarg)
        ):
            inner = [one for one in statement.body if not isinstance(one, ast.Pass)]
            return all(isinstance(one, ast.Assert | ast.Expr) and _only_compares(one) for one in inner)
        case ast.Expr(value=ast.Constant()):
            return True
    return False


def _parts(statement: ast.Assert) -> Iterator[ast.expr]:
    yield statement.test
    if statement.msg is not None:
        yield statement.msg


def _only_looks(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return _is_look(node.func) and not node.keywords
    return isinstance(node, LOOKS)


def _is_look(called: ast.expr) -> bool:
    if isinstance(called, ast.Attribute):
        return called.attr in PURE - CALLING  # what they call may do anything
    return isinstance(called, ast.Name) and called.id in LOOKING


def _holds(code: types.CodeType, namespace: dict[str, Any]) -> bool:
    if any(hasattr(type(value), "__next__") for name, value in namespace.items() if not name.startswith("_")):
        return False  # to look into an iterator is to use it up
    try:
        exec(code, dict(namespace))
    except Exception:  # noqa: BLE001 - pytest will say what it is
        return False
    return True
