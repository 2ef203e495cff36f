"""Which names may be one object, or hold one another, as far as the source tells.

    m1 = m2 = []                 one thing, two names
    data = [train, test]         a list that holds two things
    s = arr[0:2]                 a part of a thing: who changes the part changes the whole

A `Thing` stands for every object that one place of the source makes. Names point to things, and things hold things.
What is changed in place is changed for every name from which it can be reached. Numbers and texts are no things.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from nb2prod.language.uses import Function

# data: a frame or array, made by a library · literal: a container that the source builds, so that its content is known
# object: an instance with state · function: code · unknown: anything
Kind = Literal["data", "literal", "object", "function", "unknown"]


@dataclass(frozen=True, slots=True, eq=False)
class Thing:
    """`resource` says what it is when it cannot leave its process; `random`, that using it draws random numbers."""

    kind: Kind
    function: Function | None = None
    resource: str = ""
    random: bool = False
    part: bool = False
    serial: int = 0  # things are numbered as they are first made

    @property
    def is_class(self) -> bool:
        return self.function is not None and isinstance(self.function.node, ast.ClassDef)


Things = frozenset[Thing]
NOTHING: Things = frozenset()


class Memory:
    """What names point to at one point of the notebook, and what things hold from then on."""

    def __init__(self) -> None:
        self.points: dict[str, Things] = {}
        self.imports: dict[str, str] = {}
        self.holds: dict[Thing, set[Thing]] = {}
        self.held_by: dict[Thing, set[Thing]] = {}
        self.tuples: dict[Thing, tuple[Things, ...]] = {}
        self.defaults: dict[Thing, dict[str, Things]] = {}  # of functions: what parameters are without an argument
        self.attributes: dict[Thing, dict[str, Things]] = {}  # of classes: what their bodies bind
        self.bases: dict[Thing, tuple[Thing, ...]] = {}
        self.methods: dict[str, set[Thing]] = {}  # by name, of every class of the notebook
        self.closures: dict[Thing, tuple[Any, ...]] = {}  # of functions: the frames around their definition
        self.foreign: set[Thing] = set()  # what names are that nothing binds here: of a star import, or from before
        self.kept: list[object] = []  # the trees whose places are keys here
        self.spent = 0  # statements walked in following calls
        self.passing: set[str] = set()  # loop variables that nothing reads once their loop is over
        self.alive: Callable[[str], bool] = lambda name: True  # whether anything mentions a name from here on
        self.named: dict[Thing, set[str]] = {}
        self.links = 0
        self._made: dict[Hashable, Thing] = {}
        self._derived: set[Thing] = set()

    @property
    def keeps_annotations(self) -> bool:
        """Whether the notebook has said `from __future__ import annotations`: then nobody evaluates them."""
        return self.imports.get("annotations") == "__future__.annotations"

    @property
    def made(self) -> int:
        """How many things there are."""
        return len(self._made)

    def fork(self) -> Memory:
        """The same memory for a cell whose names do not stay."""
        other = Memory()
        other.__dict__ |= self.__dict__
        other.points, other.imports = dict(self.points), dict(self.imports)
        return other

    def thing(self, site: Hashable, kind: Kind, *, function: Function | None = None, resource: str = "",
              random: bool = False, part: bool = False) -> Thing:  # fmt: skip
        """The thing that a place of the source makes: the same one each time it is asked for."""
        key = (site, kind, resource, random)
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = Thing(kind, function, resource, random, part, len(self._made))
        return found

    def bind(self, name: str, things: Things) -> None:
        self.points[name] = things
        for thing in things:
            self.named.setdefault(thing, set()).add(name)

    def hold(self, holders: Iterable[Thing], held: Iterable[Thing]) -> None:
        held = tuple(held)
        for holder in holders:
            there = self.holds.setdefault(holder, set())
            for thing in held:
                if thing not in there:
                    there.add(thing)
                    self.held_by.setdefault(thing, set()).add(holder)
                    self.links += 1

    def part_of(self, thing: Thing) -> Thing:
        """What an index or an attribute of a thing gives, when nobody saw what was put there."""
        if thing.part:
            return thing
        part = self.thing(("part", thing), thing.kind, random=thing.random, part=True)
        self._derived.add(part)
        self.hold([thing], [part])
        return part

    def item_of(self, thing: Thing, position: int, count: int) -> Things:
        """What one target of `a, b = thing` gets. Arrays and results come apart; an object's parts stay one."""
        there = self.tuples.get(thing)
        if there is not None and len(there) == count:
            return there[position]
        if thing.kind in ("literal", "function"):
            return frozenset({thing, *self.holds.get(thing, ())})
        if thing.kind == "object" or thing.part:
            return frozenset({thing, *self.contents([thing])})
        item = self.thing(("item", thing, position), thing.kind, random=thing.random)
        self._derived.add(item)
        self.hold([thing], [item])
        return frozenset({item, *(held for held in self.holds[thing] if held not in self._derived)})

    def contents(self, things: Iterable[Thing]) -> Things:
        """What an index, an attribute or a loop over things may give."""
        found: set[Thing] = set()
        for thing in things:
            if thing.kind not in ("literal", "function"):
                found.add(self.part_of(thing))
            for held in tuple(self.holds.get(thing, ())):
                found.add(held)
                if held.kind == "function" and thing.kind != "literal":
                    found |= self.holds.get(held, set())  # a class gives its attributes to its instances
        return frozenset(found)

    def below(self, things: Iterable[Thing], through: Callable[[Thing], bool] = lambda thing: True) -> set[Thing]:
        """Things, and all that can be reached from them."""
        found = set(things)
        pending = list(found)
        while pending:
            for held in self.holds.get(pending.pop(), ()):
                if held not in found and through(held):
                    found.add(held)
                    pending.append(held)
        return found

    def above(self, things: Iterable[Thing]) -> set[Thing]:
        """Things, and all from which they can be reached."""
        found = set(things)
        pending = list(found)
        while pending:
            for holder in self.held_by.get(pending.pop(), ()):
                if holder not in found:
                    found.add(holder)
                    pending.append(holder)
        return found

    def together(self, names: Iterable[str], points: Mapping[str, Things]) -> set[str]:
        """Names whose objects hang together: what they can reach meets, directly or by way of another name."""
        found: set[str] = set()
        pending = set(names)
        while pending:
            found |= pending
            reached = self.below(thing for name in pending for thing in points.get(name, ()))
            around = self.names(self.above(thing for thing in reached if not thing.is_class), points)
            pending = {name for name in around if name not in found and self.alive(name)}
        return found

    def names(self, things: Iterable[Thing], points: Mapping[str, Things] | None = None) -> list[str]:
        """The names that point to one of the things, now or as `points` says, in order."""
        there = self.points if points is None else points
        found = {name for thing in things for name in self.named.get(thing, ()) if thing in there.get(name, ())}
        return sorted(found)


def in_order(things: Iterable[Thing]) -> list[Thing]:
    """Things as they were first made: what is found must not depend on where objects lie in memory."""
    return sorted(things, key=lambda thing: thing.serial)


def joined(states: list[dict[str, Things]]) -> dict[str, Things]:
    """What names may point to after alternatives."""
    merged = dict(states[0])
    for state in states[1:]:
        for name, things in state.items():
            there = merged.get(name)
            if there is None:
                merged[name] = things
            elif there is not things:
                merged[name] = there | things
    return merged
