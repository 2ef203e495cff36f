"""Which definitions move to the module of functions, what they take as further arguments, and what is state."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import replace

from nb2prod.language.scopes import free, local_names
from nb2prod.targets._project.cells import Statement
from nb2prod.targets._project.meaning import STATE, UNSEEN, Meaning, constant_name
from nb2prod.targets._project.names import (
    every_name,
    loaded_in,
    read_when_called,
    read_when_defined,
    stored_in,
)
from nb2prod.targets._project.text import CannotRename, Changes, changed


def hoist(found: Meaning) -> Meaning:
    """Decide for each definition whether it moves to the module, what it takes and what is state."""
    _refuse_unseen(found)
    _keep_nested(found)
    _prune(found)
    passed, state = _passed_and_state(found)
    _refuse_definition_time(found, state)
    found.state = tuple(sorted(state))
    counts = {name: positional(found.module_names[name].node) for name in passed}
    found.changes = Changes({name: f"{STATE}.{name}" for name in found.state}, passed, counts)
    _state_to_module(found)
    in_module = Changes({}, passed, counts)
    found.module = [_made(found, s, in_module) for s in found.module]
    found.module_names = dict(_named(found.module))
    found.units = [
        replace(unit, statements=tuple(_made(found, s, found.changes) for s in unit.statements)) for unit in found.units
    ]
    found.units = [unit for unit in found.units if unit.statements or unit.step]
    found.problems.refuse()
    return found


def positional(node: ast.stmt) -> int | None:
    """How many arguments a function takes, when it takes them all by position."""
    arguments = node.args if isinstance(node, ast.FunctionDef) else None
    if arguments is None or arguments.defaults or arguments.vararg or arguments.kwonlyargs or arguments.kwarg:
        return None
    return len(arguments.posonlyargs) + len(arguments.args)


def _named(statements: Iterable[Statement]) -> Iterator[tuple[str, Statement]]:
    for statement in statements:
        for name in stored_in([statement.node]):
            yield name, statement


def _made(found: Meaning, statement: Statement, changes: Changes) -> Statement:
    try:
        text = changed(statement.text, changes)
    except CannotRename as error:
        what = f"`{error}` is read by functions, and bound here in a way that cannot be moved"
        found.problems.add(statement.cell, statement.line, what, "bind it with a plain `=`")
        return statement
    return statement if text == statement.text else replace(statement, text=text, node=ast.parse(text).body[0])


def _everything(found: Meaning) -> Iterator[Statement]:
    yield from found.module
    for unit in found.units:
        yield from unit.statements
    for test in found.tests:
        yield from test.statements


def _refuse_unseen(found: Meaning) -> None:
    for statement in _everything(found):
        for node in ast.walk(statement.node):
            name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            if name in UNSEEN:
                what = f"{name}() reaches names that the code does not show"
                found.problems.add(statement.cell, statement.line, what, "name what it uses")
            elif isinstance(node, ast.Name) and node.id in ("In", "Out", "__file__"):
                what = f"`{node.id}` means nothing outside of the notebook"
                found.problems.add(statement.cell, statement.line, what, "give the value a name")
    for unit in found.units:
        for statement in unit.statements:
            for node in ast.walk(statement.node):
                if isinstance(node, ast.Global | ast.Await) or type(node).__name__ == "AsyncWith":
                    what = f"`{'global' if isinstance(node, ast.Global) else 'await'}` in a step's own code"
                    found.problems.add(statement.cell, statement.line, what, "put it into a function of its own cell")


def _keep_nested(found: Meaning) -> None:
    """A function that a step defines for itself, of values of the step, stays inside the step."""
    used_in = {unit.step: every_name(s.node for s in unit.statements) for unit in found.units}
    for name, statement in list(found.module_names.items()):
        role = found.pipeline.roles[statement.cell]
        step = role.name if role is not None and role.kind == "step" else ""
        outer = (read_when_called(statement.node) | read_when_defined(statement.node, annotations=True)) - {name}
        if not step or all(found.known(word) for word in outer):
            continue
        elsewhere = [s for s in _everything(found) if s is not statement and _owner(found, s) != step]
        if name in used_in[step] and name not in every_name(s.node for s in elsewhere):
            found.module.remove(statement)
            del found.module_names[name]
            _back_to_unit(found, step, statement)


def _owner(found: Meaning, statement: Statement) -> str:
    role = found.pipeline.roles[statement.cell]
    return role.name if role is not None and role.kind == "step" else f"<{statement.cell}>"


def _back_to_unit(found: Meaning, step: str, statement: Statement) -> None:
    position = next(n for n, unit in enumerate(found.units) if unit.step == step)
    unit = found.units[position]
    there = sorted((*unit.statements, statement), key=lambda s: (s.cell, s.line))
    found.units[position] = replace(unit, statements=tuple(there))


def _prune(found: Meaning) -> None:
    """Leave out definitions and constants that no unit and no test comes to."""
    enums = {parameter.type.name for parameter in found.pipeline.parameters}
    reached: set[str] = set()
    waiting = list(enums)
    for unit in found.units:
        waiting += every_name(s.node for s in unit.statements) | loaded_in(s.node for s in unit.statements)
    for test in found.tests:
        waiting += every_name(s.node for s in test.statements)
    for parameter in found.pipeline.parameters:
        waiting += every_name([ast.parse(parameter.expression)]) if parameter.expression else []
    while waiting:
        name = waiting.pop()
        if name not in reached and name in found.module_names:
            reached.add(name)
            waiting += every_name([found.module_names[name].node])
    found.module_names = {name: s for name, s in found.module_names.items() if name in reached}
    kept = {id(s) for s in found.module_names.values()}
    found.module = [s for s in found.module if id(s) in kept]


def _passed_and_state(found: Meaning) -> tuple[dict[str, tuple[str, ...]], set[str]]:
    state: set[str] = set()
    for statement in found.module_names.values():
        writes = {word for node in ast.walk(statement.node) if isinstance(node, ast.Global) for word in node.names}
        state |= {name for name in writes if name not in found.module_names}
    as_value = _used_as_value(found)
    while True:
        outer = _outer(found, state)
        more = {name for f, names in outer.items() if not _convertible(found, f, names, as_value) for name in names}
        if not more:
            return {f: _as_read(found, f, names) for f, names in outer.items() if names}, state
        state |= more


def _as_read(found: Meaning, name: str, outer: set[str]) -> tuple[str, ...]:
    """Names in the order in which a function comes to them, then those that it hands on."""
    own = [word for word in free(found.module_names[name].node).reads if word in outer]
    return (*own, *sorted(outer - set(own)))


def _outer(found: Meaning, state: set[str]) -> dict[str, set[str]]:
    """The names of the notebook that each definition reads when it is called, through others too."""
    outer = {
        name: {w for w in read_when_called(s.node) if not found.known(w) and w not in state}
        for name, s in found.module_names.items()
    }
    while True:
        before = sum(map(len, outer.values()))
        for name, statement in found.module_names.items():
            for other in read_when_called(statement.node) & outer.keys():
                outer[name] |= outer[other]
        if sum(map(len, outer.values())) == before:
            return outer


def _used_as_value(found: Meaning) -> set[str]:
    """Definitions that are handed on rather than called, or that something else could call."""
    values: set[str] = set()
    for statement in _everything(found):
        called = {
            id(node.func)
            for node in ast.walk(statement.node)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        values |= {n.id for n in ast.walk(statement.node) if isinstance(n, ast.Name) and id(n) not in called}
    return values & found.module_names.keys()


def _convertible(found: Meaning, name: str, outer: set[str], as_value: set[str]) -> bool:
    node = found.module_names[name].node
    if not outer:
        return True
    if not isinstance(node, ast.FunctionDef) or node.decorator_list or name in as_value:
        return False
    return not any(_hides(s.node, name, outer) for s in _everything(found))


def _hides(node: ast.AST, name: str, outer: set[str]) -> bool:
    """Whether a function that calls `name` has a name of its own that is one of `outer`."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            calls = name in every_name(inner.body if isinstance(inner.body, list) else [inner.body])
            if calls and local_names(inner) & outer:
                return True
    return False


def _refuse_definition_time(found: Meaning, state: set[str]) -> None:
    for name, statement in found.module_names.items():
        reads = read_when_defined(statement.node, annotations=not found.future)
        for word in sorted(reads - {name}):
            if not found.known(word) or word in state:
                what = f"`{name}` reads `{word}` when it is defined, before the pipeline has it"
                found.problems.add(statement.cell, statement.line, what, f"read `{word}` when it is called")
        for word in sorted(read_when_called(statement.node)):
            known = found.known(word) or word in found.parameters
            if not known and not any(word in stored_in(s.node for s in unit.statements) for unit in found.units):
                found.problems.add(
                    statement.cell, statement.line, f"nothing binds `{word}`", "bind it in a tagged cell"
                )


def _state_to_module(found: Meaning) -> None:
    """A state that a shared cell gives its first value has it in the module; any other is declared there."""
    first: dict[str, Statement] = {}
    for unit in found.units:
        for statement in unit.statements:
            for name in stored_in([statement.node]) & set(found.state):
                first.setdefault(name, statement)
    moved: list[Statement] = []
    for name in found.state:
        early = first.get(name)
        if early is not None and not _of_step(found, early) and constant_name(early.node, found) == name:
            moved.append(early)
    found.declared = tuple(n for n in found.state if not any(n in stored_in([s.node]) for s in moved))
    out = {id(s) for s in moved}
    found.units = [
        replace(unit, statements=tuple(s for s in unit.statements if id(s) not in out)) for unit in found.units
    ]
    found.module = sorted([*found.module, *moved], key=lambda s: (s.cell, s.line))


def _of_step(found: Meaning, statement: Statement) -> bool:
    role = found.pipeline.roles[statement.cell]
    return role is not None and role.kind == "step"
