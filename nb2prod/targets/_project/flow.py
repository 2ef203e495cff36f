"""Values between units: what each takes and what it gives, from the end to the beginning."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import replace

from nb2prod.language.names import names_of
from nb2prod.language.scopes import free
from nb2prod.targets._project.meaning import AT_ONCE, STATE, Meaning, Unit
from nb2prod.targets._project.names import BUILTINS, every_name, loaded_in, stored_in


def with_flow(found: Meaning, needed: Sequence[set[str]], final: set[str]) -> list[Unit]:
    """The units with what they take and give. `needed[n]` is read by tests after n units, `final` at the end."""
    live = set(final) | needed[len(found.units)]
    given: list[set[str]] = []
    for position in range(len(found.units) - 1, -1, -1):
        unit = found.units[position]
        outputs = set(_stored(unit) & live)
        given.insert(0, outputs)
        certain = names_of(unit.tree).bound
        live = (live - (certain & _stored(unit))) | _read_first(found, unit) | (outputs - certain) | needed[position]
    made: list[Unit] = []
    there = set(found.parameters)
    for unit, gives in zip(found.units, given, strict=True):
        made.append(_flowing(found, unit, gives, there, made))
        there |= gives
    _refuse_late(found, made)
    return made


def _stored(unit: Unit) -> frozenset[str]:
    return stored_in(s.node for s in unit.statements)


def _read_first(found: Meaning, unit: Unit) -> set[str]:
    """Names that a unit reads from before it."""
    nodes = [s.node for s in unit.statements]
    stored = _stored(unit)
    early = {read.name for read in names_of(unit.tree).reads if not read.inside and read.name in stored}
    return {name for name in loaded_in(nodes) if not _is_shared(found, name)} | early


def _is_shared(found: Meaning, name: str) -> bool:
    return (name in found.imports or name in found.module_names or name == STATE) and name not in found.parameters


def _flowing(found: Meaning, unit: Unit, outputs: set[str], there: set[str], made: Sequence[Unit]) -> Unit:
    certain = names_of(unit.tree).bound
    wanted = _read_first(found, unit) | {name for name in outputs if name not in certain}
    stored = _stored(unit)
    for name in sorted(stored):
        if _is_shared(found, name) and name != STATE:
            what = f"step {unit.step} binds `{name}`, which is also an import, a function or a constant"
            found.problems.add(unit.cell, None, what, "give one of them another name")
    for name in sorted(wanted - there):
        if name in stored or name not in BUILTINS:
            what = f"`{name}` may not be bound when {unit.step or 'a shared cell'} comes to need it"
            found.problems.add(unit.cell, None, what, "bind it in an earlier tagged cell, in every case")
    order = _in_order(unit, wanted & there)
    rebound = {name for before in made for name in before.outputs}
    settings = [name for name in found.parameters if name in order and name not in rebound]
    order = (*(name for name in order if name not in settings), *settings)
    return replace(unit, inputs=order, outputs=_in_order(unit, outputs))


def _in_order(unit: Unit, names: set[str]) -> tuple[str, ...]:
    """Names in the order in which the code comes to them."""
    seen: list[str] = []
    for statement in unit.statements:
        found = [n for n in ast.walk(statement.node) if isinstance(n, ast.Name) and n.id in names]
        seen += [node.id for node in sorted(found, key=lambda node: (node.lineno, node.col_offset))]
    return tuple(dict.fromkeys([*seen, *sorted(names)]))


def _refuse_late(found: Meaning, units: Sequence[Unit]) -> None:
    """A function made in a step sees the step's variables; in the notebook, what they are bound to later."""
    for position, unit in enumerate(units):
        later = {name for other in units[position + 1 :] for name in _stored(other)}
        for statement in unit.statements:
            for node in _outliving(statement.node):
                for name in sorted(set(_frees(node)) & later & (_stored(unit) | set(unit.inputs))):
                    what = f"a function made here reads `{name}`, which a later step binds anew"
                    found.problems.add(statement.cell, statement.line, what, f"hand `{name}` to it as a default")


def _frees(node: ast.AST) -> set[str]:
    if isinstance(node, ast.GeneratorExp):
        return every_name([node])
    return set(free(node).reads)


def _outliving(node: ast.AST) -> Iterator[ast.AST]:
    """Functions, lambdas and generators that are not called at once."""
    at_once: set[int] = set()
    for call in ast.walk(node):
        if isinstance(call, ast.Call):
            name = call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)
            if name in AT_ONCE or name == "join":
                at_once |= {id(given) for given in (*call.args, *(word.value for word in call.keywords))}
        elif isinstance(call, ast.For | ast.AsyncFor | ast.comprehension):
            at_once.add(id(call.iter))
        elif isinstance(call, ast.Assign) and isinstance(call.targets[0], ast.Tuple):
            at_once.add(id(call.value))
    for inner in ast.walk(node):
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.GeneratorExp)
        if isinstance(inner, kinds) and id(inner) not in at_once:
            yield inner
