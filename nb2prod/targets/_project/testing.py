"""The project's tests: the notebook's test cells, each seeing what the pipeline had left where the cell stands.

assert df[ratio].median() < 1      the fixture `df` gives a copy taken when the step was done
parametrize("airport", airports)   a parameter is `SETTINGS.airports`
risk_of(applicant)                 a function of the cell takes the values that it reads as further arguments
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from nb2prod.language import cell_tests
from nb2prod.language.layout import indented
from nb2prod.targets._project.cells import Statement
from nb2prod.targets._project.code import body_lines
from nb2prod.targets._project.hoisting import positional
from nb2prod.targets._project.meaning import STATE, Meaning, TestCell, Unit, identifier, single_imports
from nb2prod.targets._project.modules import imports_for, module
from nb2prod.targets._project.names import (
    BUILTINS,
    DEFINITIONS,
    every_name,
    loaded_in,
    read_when_defined,
    stored_in,
)
from nb2prod.targets._project.text import CannotRename, Changes, changed

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Testing:
    """A test cell on its way into a file. `values` are the values that it reads, of the steps up to `after`."""

    __test__ = False  # pytest: this is no test class

    cell: TestCell
    after: int
    statements: tuple[Statement, ...]
    imports: tuple[str, ...]
    values: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    checks: tuple[Statement, ...] = field(default=())


def prepared(found: Meaning) -> list[Testing]:
    """The test cells, each with the values it reads."""
    return [_prepared(found, cell) for cell in found.tests if cell.statements]


def _prepared(found: Meaning, cell: TestCell) -> Testing:
    after = sum(unit.cell < cell.index for unit in found.units)
    _refuse_place(found, cell, after)
    imports = tuple(text for s in cell.statements for _, text in single_imports(s))
    own_imports = {name for s in cell.statements for name, _ in single_imports(s)}
    there = [s for s in cell.statements if not isinstance(s.node, ast.Import | ast.ImportFrom)]
    there = [_with(found, s, found.changes) for s in there]
    nodes = [s.node for s in there]
    loaded = loaded_in(nodes) - own_imports - found.imports.keys() - found.module_names.keys() - {STATE}
    rebound = {name for unit in found.units[:after] for name in stored_in(s.node for s in unit.statements)}
    bound = {name for name in loaded if name in rebound}
    settings = {name for name in loaded & found.parameters.keys() if name not in rebound}
    for name in sorted(loaded - bound - settings - BUILTINS - {"__tracebackhide__"}):
        found.problems.add(
            cell.index, None, f"a test reads `{name}`, which no step above it binds", "bind it in a step"
        )
    there = [_with(found, s, Changes({name: f"SETTINGS.{name}" for name in settings})) for s in there]
    return _called(found, Testing(cell, after, tuple(there), imports, tuple(sorted(bound)), tuple(sorted(settings))))


def _refuse_place(found: Meaning, cell: TestCell, after: int) -> None:
    unit = found.units[after - 1] if after else None
    if unit is not None and unit.statements and unit.statements[-1].cell > cell.index:
        what = f"the test stands between the cells of step {unit.step}"
        found.problems.add(cell.index, None, what, "move it below the last of them")


def _with(found: Meaning, statement: Statement, changes: Changes) -> Statement:
    try:
        text = changed(statement.text, changes)
    except CannotRename as error:
        found.problems.add(statement.cell, statement.line, f"the test binds `{error}` anew", "give it another name")
        return statement
    return statement if text == statement.text else replace(statement, text=text, node=ast.parse(text).body[0])


def _called(found: Meaning, testing: Testing) -> Testing:
    """With every function of the cell taking the values that it reads, and bare asserts as a function."""
    functions = {node.name: node for node in _functions(testing.statements)}
    outer = _outer(functions, set(testing.values))
    _refuse_unfit(found, testing, functions, outer)
    passed = {name: tuple(sorted(names)) for name, names in outer.items() if names}
    changes = Changes({}, passed, {name: positional(functions[name]) for name in passed})
    body = ast.Module(body=[s.node for s in testing.statements], type_ignores=[])
    checks: tuple[Statement, ...] = ()
    if cell_tests.top_level_line(body) is not None:
        checks = tuple(s for s in testing.statements if not isinstance(s.node, DEFINITIONS))
        bound = stored_in(s.node for s in checks)
        if bound & every_name(functions.values()):
            what = "functions of the test cell read what its top level binds"
            found.problems.add(testing.cell.index, None, what, "make it a fixture")
    kept = {id(s) for s in checks}
    rest = [s for s in testing.statements if id(s) not in kept]
    now = {name for s in rest for name in read_when_defined(s.node, annotations=True)} & set(testing.values)
    for name in sorted(now):
        what = f"the test cell reads `{name}` before any test runs"
        found.problems.add(testing.cell.index, None, what, f"read `{name}` in a test or a fixture")
    made = tuple(_with(found, s, changes) for s in rest)
    return replace(testing, statements=made, checks=tuple(_with(found, s, changes) for s in checks))


def _functions(statements: Iterable[Statement]) -> list[Function]:
    found: list[Function] = []
    for statement in statements:
        if isinstance(statement.node, Function):
            found.append(statement.node)
        elif isinstance(statement.node, ast.ClassDef):
            found += [inner for inner in statement.node.body if isinstance(inner, Function)]
    return found


def _outer(functions: dict[str, Function], values: set[str]) -> dict[str, set[str]]:
    reads = {name: loaded_in([node]) for name, node in functions.items()}
    outer = {name: read & values for name, read in reads.items()}
    for _ in functions:
        for name, read in reads.items():
            outer[name] |= {word for other in read & outer.keys() for word in outer[other]}
    return outer


def _refuse_unfit(found: Meaning, testing: Testing, functions: dict[str, Function], outer: dict[str, set[str]]) -> None:
    for statement in testing.statements:
        free = loaded_in([statement.node])  # a fixture's name among the arguments is the value that it gives
        called = {id(node.func) for node in ast.walk(statement.node) if isinstance(node, ast.Call)}
        for node in ast.walk(statement.node):
            handed = isinstance(node, ast.Name) and id(node) not in called and node.id in free
            if isinstance(node, ast.Name) and handed and outer.get(node.id):
                what = f"`{node.id}` is handed on, and reads values of the notebook"
                found.problems.add(statement.cell, statement.line, what, "give it what it reads as arguments")
        bases = [ast.unparse(base) for base in getattr(statement.node, "bases", [])]
        if any(base.endswith("TestCase") for base in bases) and testing.values:
            what = "a TestCase that reads values of the notebook"
            found.problems.add(statement.cell, statement.line, what, "write plain test functions")


# -- files ------------------------------------------------------------------------------------------------------------


def test_modules(found: Meaning, tests: Sequence[Testing], units: Sequence[Unit], package: str) -> dict[str, str]:
    """The test files by name."""
    files: dict[str, list[Testing]] = {}
    for testing in tests:
        name = f"test_{identifier(testing.cell.step) if testing.cell.step else 'pipeline'}"
        while name in files and files[name][0].after != testing.after:
            name += "_later"
        files.setdefault(name, []).append(testing)
    return {f"{name}.py": _file(found, there, units, package) for name, there in files.items()}


test_modules.__test__ = False  # type: ignore[attr-defined]  # pytest: this is no test


def _file(found: Meaning, tests: Sequence[Testing], units: Sequence[Unit], package: str) -> str:
    names: dict[str, None] = {}
    blocks: list[str] = []
    for testing in tests:
        for statement in testing.statements:
            name = getattr(statement.node, "name", "")
            if name in names:
                what = f"`{name}` is defined in two test cells of one step"
                found.problems.add(statement.cell, statement.line, what, "give each its own name")
            names[name] = None
            blocks.append(f"{statement.lead.strip()}\n{statement.text}".strip())
        if testing.checks:
            blocks.append(_check(testing, set(names)))
    values = sorted({name for testing in tests for name in testing.values})
    fixtures = [_fixture(name, units[tests[0].after - 1]) for name in values]
    head = ["SETTINGS = Settings()"] if any(testing.settings for testing in tests) else []
    code = "\n\n\n".join([*head, *fixtures, *blocks])
    tree = ast.parse(code)
    used = every_name([tree])
    imports = imports_for(found, [tree])
    imports += [text for testing in tests for text in testing.imports if _binds(text) & used]
    imports += ["from typing import Any", "import pytest", "from conftest import PipelineRun"] if fixtures else []
    imports += [f"from {package}.settings import Settings"] if head else []
    imports += [f"from {package}.{STATE} import {n}" for n in sorted(used & found.module_names.keys())]
    imports += [f"from {package} import {STATE}"] if STATE in used else []
    step = tests[0].cell.step
    return module(f"Tests of {f'the step `{step}`' if step else 'the pipeline'}.", imports, code, future=found.future)


def _binds(text: str) -> set[str]:
    return {name for name, _ in single_imports(Statement(0, 0, ast.parse(text).body[0], text))}


def _fixture(name: str, unit: Unit) -> str:
    return (
        f"@pytest.fixture\ndef {name}(pipeline_run: PipelineRun) -> Any:\n"
        f'    return pipeline_run.values["{unit.step or unit.name}"]["{name}"]'
    )


def _check(testing: Testing, taken: set[str]) -> str:
    name = f"test_{identifier(testing.cell.step) if testing.cell.step else 'pipeline'}"
    while name in taken:
        name += "_as_a_whole"
    read = loaded_in(s.node for s in testing.checks)
    arguments = ", ".join(value for value in testing.values if value in read)
    return "\n".join([f"def {name}({arguments}):", *(indented(line) for line in body_lines(testing.checks))])
