"""The table of versions: what every name means at a point of the notebook, who reads it, what may yet change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from nb2prod.core.pipeline import SHARED, Binding, Read, Role
from nb2prod.language.aliases import Thing


@dataclass(frozen=True, slots=True)
class Place:
    cell: int
    source: str
    offset: int
    role: Role
    inputs: Mapping[str, frozenset[Thing]] = field(default_factory=dict, compare=False)

    @property
    def line(self) -> int:
        return self.offset + 1


@dataclass
class Versions:
    """`now` is what names mean to the notebook as a whole, `surviving` what is left without exploration cells.

    `waiting` are changes through another name, of names that nobody has read since, and `passing` bindings that may
    leave a name as it was. `parameters_of` are the parameters
    that a name of a shared cell was computed from. `places` say for each cell what it
    takes, `together` which of that must come from one step.
    """

    now: dict[str, Binding] = field(default_factory=dict)
    surviving: dict[str, Binding] = field(default_factory=dict)
    bindings: list[Binding] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    stars: bool = False
    waiting: dict[Binding, Read] = field(default_factory=dict)
    parameters_of: dict[str, frozenset[str]] = field(default_factory=dict)
    ambient: frozenset[str] = frozenset()
    passing: dict[Binding, Read] = field(default_factory=dict)
    places: dict[int, Place] = field(default_factory=dict)
    together: dict[int, list[set[str]]] = field(default_factory=dict)
    history: dict[str, list[Binding]] = field(default_factory=dict)

    reads_in: dict[int, list[int]] = field(default_factory=dict)
    sources: dict[str, list[Read]] = field(default_factory=dict)
    waiting_in: dict[int, list[Binding]] = field(default_factory=dict)

    def add(self, read: Read) -> None:
        self.reads_in.setdefault(read.cell, []).append(len(self.reads))
        self.reads.append(read)

    def wait(self, binding: Binding, read: Read) -> None:
        self._later(self.waiting, binding, read)

    def may_pass(self, binding: Binding, read: Read) -> None:
        self._later(self.passing, binding, read)

    def _later(self, table: dict[Binding, Read], binding: Binding, read: Read) -> None:
        if binding not in table:
            table[binding] = read
            self.waiting_in.setdefault(binding.cell, []).append(binding)

    def read_by(self, source: str) -> Sequence[Read]:
        if not self.sources:
            for read in self.reads:
                self.sources.setdefault(read.source, []).append(read)
        return self.sources.get(source, ())

    def shared_parameters(self, step: str) -> Iterable[str]:
        """The parameters that reach a step through imports, functions and setup cells."""
        found = dict.fromkeys(sorted(self.ambient))
        for read in self.read_by(step):
            made = read.surviving
            if made is not None and made.source in SHARED:
                found |= dict.fromkeys(sorted(self.parameters_of.get(made.version, frozenset())))
        return found


def settle(found: Versions, *bindings: Binding | None) -> None:
    """Changes that nobody had asked for count, with all that they build on, once their name is read."""
    pending = list(bindings)
    while pending:
        binding = pending.pop()
        if binding is None:
            continue
        if binding in found.waiting:
            found.bindings.append(binding)
        for read in (found.waiting.pop(binding, None), found.passing.pop(binding, None)):
            if read is not None:
                found.add(read)
                pending += [read.binding, read.surviving]


def record(found: Versions, binding: Binding) -> None:
    found.bindings.append(binding)
    found.now[binding.name] = binding
    if binding.source != "exploration" or binding.kind == "import":
        found.surviving[binding.name] = binding
        found.history.setdefault(binding.name, []).append(binding)
