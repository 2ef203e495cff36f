"""What each step takes from which other step, and what it hands on, when every step has a process of its own.

A step leaves one file with all that later steps need of it, so that what shares an object goes on sharing it. The
edges of the pipeline say who takes what: they bring names that may be one object from one step, the last that had them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nb2prod.core.pipeline import PARAMETERS, RANDOM, SHARED, Pipeline, Step
from nb2prod.targets._project.code import function_names
from nb2prod.targets._project.meaning import Meaning, Unit
from nb2prod.targets._project.problems import Problems

# libraries whose global random streams the exported steps hand on: the standard library's and numpy's
OTHER_STREAMS = ("torch", "tensorflow", "jax", "cupy")


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a unit's function: where each argument comes from, and the names that its result has."""

    function: str
    arguments: tuple[tuple[str, str], ...]  # (name, "values" or "settings")
    gives: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wired:
    """A step of the pipeline, alone. `takes` are names by the step they come from, in the pipeline's order.

    `before` is the work of shared cells that precedes it. `draws_after` is the step whose random numbers it goes on
    from, empty when it draws none or when the shared cells seed it.
    """

    step: Step
    call: Call
    before: tuple[Call, ...]
    takes: Mapping[str, tuple[str, ...]]
    hands_on: tuple[str, ...]
    parameters: tuple[str, ...]
    draws_after: str = ""
    leaves_random: bool = False

    @property
    def upstream(self) -> tuple[str, ...]:
        """The steps whose files it reads, then those that must only run before."""
        return tuple(dict.fromkeys((*self.takes, *filter(None, [self.draws_after]), *self.step.after)))

    @property
    def reads_from(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.takes, *filter(None, [self.draws_after]))))


def wired(found: Meaning, units: Sequence[Unit], problems: Problems) -> tuple[Wired, ...]:
    """Every step with its wires. Adds to `problems` what cannot be wired with the same meaning."""
    pipeline, names = found.pipeline, function_names(found, units)
    _refuse_streams(pipeline, found, problems)
    taken = {step.name: _takes(step, pipeline, problems) for step in pipeline.steps}
    handed = _handed_on(pipeline, taken)
    drawn_after = {step.name: _draws_after(step) for step in pipeline.steps}
    made: list[Wired] = []
    before: list[Call] = []
    shared: set[str] = set()
    for unit in units:
        if not unit.step:
            before.append(_shared_call(found, unit, names[unit.name], shared, problems))
            shared |= set(unit.outputs)
            continue
        step = pipeline.step(unit.step)
        there = shared | {name for taken_names in taken[step.name].values() for name in taken_names}
        call = _call(found, unit, names[unit.name], there, problems)
        own = _parameters(found, (call, *before), step)
        _refuse_unknown(unit, handed.get(step.name, ()), {*call.gives, *there, *found.state}, problems)
        wires = Wired(
            step,
            call,
            tuple(before),
            taken[step.name],
            handed.get(step.name, ()),
            own,
            drawn_after[step.name],
            step.name in drawn_after.values(),
        )
        made.append(wires)
    return tuple(made)


def _refuse_streams(pipeline: Pipeline, found: Meaning, problems: Problems) -> None:
    drawing = any(edge.name == RANDOM for step in pipeline.steps for edge in step.edges)
    imported = {text.split()[1].partition(".")[0] for texts in found.imports.values() for text in texts}
    for library in OTHER_STREAMS if drawing else ():
        if library in imported:
            what = f"the random numbers of {library} cannot go from one step's process to the next"
            problems.add(None, None, what, "give each step a generator of its own, with its own seed")


def _takes(step: Step, pipeline: Pipeline, problems: Problems) -> dict[str, tuple[str, ...]]:
    sources: dict[str, str] = {}
    for edge in step.edges:
        if edge.source in (PARAMETERS, *SHARED) or edge.name == RANDOM:
            continue
        if sources.setdefault(edge.name, edge.source) != edge.source:
            what = f"step {step.name} reads `{edge.name}` as two steps leave it: {sources[edge.name]} and {edge.source}"
            problems.add(step.cells[0], None, what, "give one of them another name")
    order = [one.name for one in pipeline.steps]
    taken: dict[str, list[str]] = {}
    for name, source in sources.items():
        taken.setdefault(source, []).append(name)
    return {source: tuple(taken[source]) for source in order if source in taken}


def _handed_on(pipeline: Pipeline, taken: Mapping[str, Mapping[str, tuple[str, ...]]]) -> dict[str, tuple[str, ...]]:
    """By step, what others take of it, in the order in which it makes it."""
    wanted: dict[str, set[str]] = {}
    for sources in taken.values():
        for source, names in sources.items():
            wanted.setdefault(source, set()).update(names)
    return {
        step.name: tuple(
            dict.fromkeys(
                [
                    *(n for n in step.outputs if n in wanted[step.name]),
                    *sorted(wanted[step.name] - set(step.outputs)),
                ]
            )
        )
        for step in pipeline.steps
        if step.name in wanted
    }


def _draws_after(step: Step) -> str:
    """The step whose random numbers this one goes on from."""
    found = [edge.source for edge in step.edges if edge.name == RANDOM and edge.source not in (PARAMETERS, *SHARED)]
    return found[-1] if found else ""


def _call(found: Meaning, unit: Unit, function: str, there: set[str], problems: Problems) -> Call:
    arguments = []
    for name in unit.inputs:
        if name not in there and name not in found.parameters:
            what = f"step {unit.step} takes `{name}`, and no step is known to hand it on"
            problems.add(unit.cell, None, what, "bind it in a step before, or in a cell tagged `setup`")
        arguments.append((name, "values" if name in there else "settings"))
    return Call(function, tuple(arguments), unit.outputs)


def _refuse_unknown(unit: Unit, hands_on: Iterable[str], there: set[str], problems: Problems) -> None:
    for name in hands_on:
        if name not in there:
            what = f"step {unit.step} changes `{name}` in place, which it takes from no step"
            problems.add(unit.cell, None, what, "make a copy of it under another name")


def _shared_call(found: Meaning, unit: Unit, function: str, there: set[str], problems: Problems) -> Call:
    foreign = [name for name in unit.inputs if name not in there and name not in found.parameters]
    if foreign:
        what = f"the cell is for every step, and reads `{foreign[0]}` of one of them"
        problems.add(unit.cell, None, what, "make it part of a step")
    arguments = tuple((name, "values" if name in there else "settings") for name in unit.inputs)
    return Call(function, arguments, unit.outputs)


def _parameters(found: Meaning, calls: Iterable[Call], step: Step) -> tuple[str, ...]:
    """The parameters that a step's functions take, with those that a derived default or a function reads."""
    wanted = {name for call in calls for name, source in call.arguments if source == "settings"}
    wanted |= {name for name in step.parameters if name in found.parameters}
    wanted |= {name for name in found.state if name in found.parameters}
    for name in list(wanted):
        wanted |= set(_origins(found, name))
    return tuple(name for name in found.parameters if name in wanted)


def _origins(found: Meaning, name: str) -> Iterable[str]:
    """The parameters that a derived default is computed from, and theirs."""
    for origin in found.parameters[name].derived_from:
        yield origin
        yield from _origins(found, origin)


def reads_text(units: Iterable[Unit], step: str) -> set[str]:
    """The texts in a step's code."""
    trees = [unit.tree for unit in units if unit.step == step]
    constants = [node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return {value for value in constants if isinstance(value, str)}
