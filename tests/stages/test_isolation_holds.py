"""What the analysis promises to engines, on generated programs: steps that get only their inputs do what they did.

Each program runs twice: as a whole in one namespace, and step by step, each in a namespace of its own that holds the
shared cells' names and the step's inputs, unpickled from what the steps before it left. Every input must be what it was
in the whole program at that point. One alias, one change or one read that the analysis misses makes them differ.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cloudpickle
from hypothesis import given, settings
from hypothesis import strategies as st

from nb2prod.core.notebook import Cell, Notebook
from nb2prod.core.pipeline import Pipeline
from nb2prod.stages.compile import compile

SHARED = """
G = []
H = [[]]
class Box:
    seen = 0
    def __init__(self, v):
        self.v = v
    def add(self, w):
        self.v.append(w)
        return self
def add(p):
    p.append([])
def first(p):
    return p[0] if p else p
def keep(p, q=None):
    p.append(q)
    return p
def both(p, q):
    add(p)
    return [p, q]
def put(p):
    G.append(p)
def reset():
    global H
    H = [G]
def counter(p):
    def count():
        p.append([])
        return p
    return count
def tally():
    n = 0
    def count():
        nonlocal n
        n += 1
        return n
    return count
def deep(p, q, n=3):
    if n:
        return deep(q, p, n - 1)
    p.append([])
    return q
def pieces(p):
    for q in list(p):
        yield q
"""
LISTS = st.sampled_from(["a", "b", "c", "d"])
STATEMENTS = [
    "{x} = []",
    "{x} = [{y}]",
    "{x} = {y}",
    "{x} = {y} = [[]]",
    "{x}, {y} = {y}, {x}",
    "{x}, {y} = [{y}], [{x}, []]",
    "{x} = {y}[:]",
    "{x} = {y} + [{z}]",
    "{x} += [{y}]",
    "{x}.append({y})",
    "{x}.extend({y})",
    "{x} = list({y})",
    "{x} = first({y})",
    "{x} = keep({y}, {z})",
    "{x} = both({y}, {z})",
    "{x} = deep({y}, {z})",
    "{x} = sorted({y}, key=len)",
    "{x} = {y} or {z}",
    "{x} = {y} if {z} else []",
    "{x} = [e for e in {y}]",
    "{x} = [first(e) for e in {y}]",
    "{x} = list(map(first, {y}))",
    "{x} = list(pieces({y}))",
    "{x} = max([{y}, {z}], key=len)",
    "{x} = (lambda v: v)({y})",
    "add({x})",
    "put({x})",
    "reset()",
    "{x} = first(H)",
    "{x} = G",
    "for e in list({x}):\n    e.append([])",
    "for e in [{x}, {y}]:\n    add(e)",
    "for i in range(2):\n    {x} = {y}\n    {y} = {z}",
    "if {x}:\n    {y} = {x}[0]",
    "if {x}:\n    {x}[0] = {y}",
    "if {x}:\n    {y} = {z}\nelse:\n    {y}.append([])",
    "while len({x}) < 3:\n    {x}.append({y})",
    "try:\n    {x} = {y}[5]\nexcept IndexError as e:\n    {x} = {z}",
    "match {x}:\n    case [first_one, *others]:\n        first_one.append(others)\n    case _:\n        {x}.append([])",
    "if (w := {x}):\n    w.append([])",
    "if 'm' not in m:\n    m['m'] = {x}",
    "m['k'] = {x}",
    "m.get('k', {x}).append([])",
    "{x} = m.setdefault('m', {y})",
    "for v in m.values():\n    v.append([])",
    "for k, v in m.items():\n    {x} = v",
    "m = dict(m)",
    "m = {{'k': {x}, **m}}",
    "o = Box({x})",
    "o.add({x})",
    "{x} = o.v",
    "o.v = {x}",
    "o.add({x}).v.append([])",
    "setattr(o, 'v', {x})",
    "t = ({x}, {y})",
    "t[0].append([])",
    "{x} = t[1]",
    "{x}, {y} = t",
    "h = counter({x})",
    "{x} = h()",
    "h()",
    "n = n + 1",
    "n += 1",
    "u = tally()",
    "n = u()",
    "f = add\nf({x})",
    "fs = [add, keep]",
    "for f in fs:\n    f({x})",
    "import functools\np = functools.partial(add, {x})",
    "p()",
    "m.pop('k', None)",
]
START = """
a = []
b = []
c = [[]]
d = a
m = {}
o = Box(b)
t = (a, c)
h = counter(c)
n = 0
u = tally()
fs = [add]
p = h
"""
SOURCES = st.builds(lambda text, x, y, z: text.format(x=x, y=y, z=z), st.sampled_from(STATEMENTS), LISTS, LISTS, LISTS)
PROGRAMS = st.lists(st.lists(SOURCES, min_size=1, max_size=3), min_size=2, max_size=5)


def shape(value: Any, seen: tuple[int, ...] = ()) -> Any:
    """A value as something that compares: containers by what they hold, functions by what they hold on to."""
    if id(value) in seen:
        return ("above", seen[::-1].index(id(value)))
    seen = (*seen, id(value))
    if isinstance(value, list | tuple):
        return (type(value).__name__, *(shape(item, seen) for item in value))
    if isinstance(value, dict):
        return ("dict", *((key, shape(item, seen)) for key, item in value.items()))
    if hasattr(value, "v"):
        return ("Box", shape(value.v, seen))
    if getattr(value, "__closure__", None):
        return ("closure", *(shape(cell.cell_contents, seen) for cell in value.__closure__))
    if hasattr(value, "func"):
        return ("partial", *(shape(item, seen) for item in value.args))
    return value if isinstance(value, int) else getattr(value, "__name__", None)


def whole(sources: dict[str, str]) -> dict[str, dict[str, Any]]:
    """What every name is before each step, when the program runs in one namespace."""
    space: dict[str, Any] = {"__name__": "cells"}
    exec(SHARED, space)
    before: dict[str, dict[str, Any]] = {}
    for step, source in sources.items():
        before[step] = {name: shape(value) for name, value in space.items() if not name.startswith("__")}
        exec(source, space)
    before[""] = {name: shape(value) for name, value in space.items() if not name.startswith("__")}
    return before


def isolated(pipeline: Pipeline, sources: dict[str, str]) -> dict[str, dict[str, Any]]:
    """What every input is before each step, when a step has nothing else."""
    left: dict[str, bytes] = {}
    before: dict[str, dict[str, Any]] = {}
    for step in pipeline.steps:
        space: dict[str, Any] = {"__name__": "cells"}
        exec(SHARED, space)
        handed = {edge.source for edge in step.edges if edge.source in left}
        given = {source: cloudpickle.loads(left[source]) for source in handed}
        for edge in step.edges:
            if edge.name in given.get(edge.source, ()):  # a name that was never bound has no value
                space[edge.name] = given[edge.source][edge.name]
        before[step.name] = {name: shape(space[name]) for name in step.inputs if name in space}
        exec(sources[step.name], space)
        left[step.name] = cloudpickle.dumps({name: space[name] for name in step.outputs if name in space})
    return before


@settings(max_examples=100)
@given(PROGRAMS)
def test_steps_that_get_only_their_inputs_see_what_the_whole_program_saw(cells: list[list[str]]) -> None:
    sources = {"start": START} | {f"s{number}": "\n".join(cell) for number, cell in enumerate(cells)}
    sources["last"] = "seen = (a, b, c, d, m, o.v, t, n, G, H, h, u)"
    whole_program = whole(sources)
    rows = [Cell(0, "code", SHARED, ("functions",))]
    rows += [Cell(i, "code", source, (f"step:{name}",)) for i, (name, source) in enumerate(sources.items(), start=1)]
    pipeline = compile(Notebook(Path("nb.ipynb"), tuple(rows)))
    for step, inputs in isolated(pipeline, sources).items():
        expected = {
            name: whole_program[step][name] for name in pipeline.step(step).inputs if name in whole_program[step]
        }
        assert inputs == expected, (step, sources)
    missing = {"a", "b", "c", "d", "m", "o", "t", "n", "h", "u"} - set(pipeline.step("last").inputs)
    assert not missing
