"""The tests of a test cell, found in its source: nothing is run.

A test cell is an ordinary pytest module, or plain asserts:

    %%test train
    def test_auc_is_better_than_chance():     -> train::test_auc_is_better_than_chance
        assert auc > 0.5

    class TestModel:
        def test_predicts(self): ...          -> train::TestModel::test_predicts

    assert len(valid) > 100                   -> train::cell_12, the top level of the cell as one test

What counts as a test is what pytest with its default settings counts: functions named `test…`, methods named so in
classes named `Test…` or derived from a `…TestCase`, no fixtures. A cell without any of these is one test as a whole
when it does more than import, define and assign.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from nb2prod.core.pipeline import NotebookTest

PIPELINE = "pipeline"
Function = ast.FunctionDef | ast.AsyncFunctionDef
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
DECLARATIONS = (*DEFINITIONS, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.Pass)
CHECKING_CALLS = ("raises", "warns", "fail")


@dataclass(frozen=True, slots=True)
class Definition:
    """A test function: `names` are its classes, outermost first, then itself.

    `conditional` when it stands in a branch, so that it may not be there; `shadowed` when a later definition at the
    same level takes its name, so that pytest would run only that one.
    """

    names: tuple[str, ...]
    line: int
    conditional: bool = False
    shadowed: bool = False


def collect(body: str, *, cell: int, step: str | None, line_offset: int = 0) -> tuple[NotebookTest, ...]:
    """The tests of a cell, in the order of their lines; none when `body` is not Python."""
    try:
        tree = ast.parse(body)
    except (SyntaxError, ValueError):
        return ()
    found = [(definition.names, definition.line) for definition in definitions(tree)]
    first = top_level_line(tree)
    if first is not None:
        found.append(((top_level_name(cell),), first))
    return tuple(
        NotebookTest(identify(step, names), names[-1], step, cell, line + line_offset)
        for names, line in sorted(found, key=lambda test: test[1])
    )


def identify(step: str | None, names: Iterable[str]) -> str:
    """A test's id: `train::TestModel::test_predicts`, `pipeline::test_total`."""
    return "::".join((step or PIPELINE, *names))


def top_level_name(cell: int) -> str:
    """The name of the test that a cell's top-level statements are."""
    return f"cell_{cell}"


def top_level_line(tree: ast.Module) -> int | None:
    """Where the test begins that the top-level statements are; None when they are none."""
    statements = tree.body[1:] if ast.get_docstring(tree) is not None else tree.body
    checking = next((statement for statement in statements if checks(statement)), None)
    if checking is not None:
        return checking.lineno
    if next(definitions(tree), None) is not None:
        return None
    acting = next((statement for statement in statements if not isinstance(statement, DECLARATIONS)), None)
    return acting.lineno if acting is not None else None


def checks(statement: ast.stmt) -> bool:
    """Whether a top-level statement asserts something outside the functions and classes that it defines."""
    return any(
        isinstance(node, ast.Assert) or (isinstance(node, ast.Call) and _is_check(node.func))
        for node in _at_this_level(statement)
    )


def definitions(tree: ast.Module) -> Iterator[Definition]:
    """Every test function and test method, one for each name."""
    classes = {node.name: node for node, _ in _defined(tree.body) if isinstance(node, ast.ClassDef)}
    yield from _definitions(_defined(tree.body), (), classes)


def reads(tree: ast.Module) -> Mapping[str, frozenset[str]]:
    """The names that each function and class of the cell mentions, by its name; under "" the top-level statements'.

    The arguments of a function count: they name fixtures.
    """
    found: dict[str, frozenset[str]] = {}
    for node, _ in _defined(tree.body):
        found[node.name] = found.get(node.name, frozenset()) | _mentioned([node])
    return found | {"": _mentioned(statement for statement in tree.body if not isinstance(statement, DEFINITIONS))}


def _definitions(
    there: Iterable[tuple[Function | ast.ClassDef, bool]], outer: tuple[str, ...], classes: Mapping[str, ast.ClassDef]
) -> Iterator[Definition]:
    found: dict[str, list[tuple[Function, bool]]] = {}
    for node, conditional in there:
        if isinstance(node, ast.ClassDef):
            if _is_test_class(node):
                members = _defined(_with_inherited(node, classes), conditional)
                yield from _definitions(members, (*outer, node.name), classes)
        elif node.name.startswith("test") and not _is_fixture(node):
            found.setdefault(node.name, []).append((node, conditional))
    for name, same in found.items():
        last, conditional = same[-1]
        shadowed = sum(not maybe for _, maybe in same) > 1
        yield Definition((*outer, name), last.lineno, conditional, shadowed)


def _with_inherited(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> list[ast.stmt]:
    """The statements of a class after those that it inherits from classes of the same cell and does not replace."""
    own = {there.name for there, _ in _defined(node.body)}
    inherited: list[ast.stmt] = []
    for base in node.bases:
        above = classes.get(_last_name(base))
        if above is not None and above is not node:
            there = [(inner, inner.name) for inner, _ in _defined(_with_inherited(above, classes))]
            inherited += [inner for inner, name in there if name not in own]
            own |= {name for _, name in there}
    return [*inherited, *node.body]


def _defined(body: Iterable[ast.AST], conditional: bool = False) -> Iterator[tuple[Function | ast.ClassDef, bool]]:
    """Functions and classes among statements and in their branches, each with whether it stands in a branch."""
    for node in body:
        if isinstance(node, DEFINITIONS):
            yield node, conditional
        elif isinstance(node, ast.stmt | ast.excepthandler | ast.match_case):
            yield from _defined(ast.iter_child_nodes(node), True)


def _at_this_level(node: ast.AST) -> Iterator[ast.AST]:
    if not isinstance(node, (*DEFINITIONS, ast.Lambda)):
        yield node
        for child in ast.iter_child_nodes(node):
            yield from _at_this_level(child)


def _is_check(function: ast.expr) -> bool:
    name = _last_name(function)
    return name.startswith("assert") or name in CHECKING_CALLS


def _is_test_class(node: ast.ClassDef) -> bool:
    named = node.name.startswith("Test") or any(_last_name(base).endswith("TestCase") for base in node.bases)
    return named and not any(ast.unparse(statement) == "__test__ = False" for statement in node.body)


def _is_fixture(node: Function) -> bool:
    return any(_last_name(decorator).endswith("fixture") for decorator in node.decorator_list)


def _last_name(node: ast.expr) -> str:
    """`fixture` of `pytest.fixture(scope="module")`."""
    if isinstance(node, ast.Call):
        return _last_name(node.func)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _mentioned(nodes: Iterable[ast.AST]) -> frozenset[str]:
    walked = [inner for node in nodes for inner in ast.walk(node)]
    names = {node.id for node in walked if isinstance(node, ast.Name)}
    return frozenset(names | {node.arg for node in walked if isinstance(node, ast.arg)})
