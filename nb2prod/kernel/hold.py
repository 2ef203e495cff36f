"""What a cell may change, held as it was, so that the cell can be tried again after an error.

A cell that fails half-way may have changed values before: trying it again on those would give other results than a
cell that did not fail. `Held` packs the values that the cell reads or changes, all that shares an object with them, and
the ambient state with its random streams; `put_back` makes them what they were. What cannot be packed (an open file, a
half-consumed generator) cannot be put back, and the cell is not tried again.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from typing import Any

from nb2prod.core.pipeline import Pipeline
from nb2prod.kernel import ambient, carry


class Held:
    """The values behind `names` in `namespace`; `known` are all names that the notebook binds."""

    def __init__(self, namespace: MutableMapping[str, Any], names: Iterable[str], known: Iterable[str]) -> None:
        self._namespace = namespace
        self._known = frozenset(known)
        self._before = self._bound()
        wanted = set(names) & self._before
        while True:
            self._parcels, kept = carry.pack(namespace, sorted(self._before), wanted)
            needs = {need for parcel in self._parcels for need in parcel.needs} & self._before
            if needs <= wanted:
                break
            wanted |= needs
        self.kept = next((one for one in kept if wanted & {one.name, *one.names}), None)
        self._ambient = ambient.taken()

    def _bound(self) -> set[str]:
        return {name for name in self._known if name in self._namespace}

    def put_back(self) -> None:
        """Make everything what it was. Only to be called when nothing was `kept`."""
        for name in self._bound() - self._before:
            del self._namespace[name]
        for parcel in self._parcels:
            self._namespace.update(carry.unpack(parcel.content, self._namespace))
        ambient.put(self._ambient)


def names_of(pipeline: Pipeline, cell: int) -> tuple[set[str], set[str]]:
    """(names that a cell reads, changes or binds; all names that the notebook binds but its imports)."""
    known = {binding.name for binding in pipeline.bindings if binding.kind != "import"}
    mentioned = {read.name for read in pipeline.reads if read.cell == cell}
    mentioned |= {read.alias for read in pipeline.reads if read.cell == cell and read.alias}
    mentioned |= {binding.name for binding in pipeline.bindings if binding.cell == cell}
    return mentioned & known, known


def is_declared(error: type[BaseException] | None, declared: Iterable[str]) -> bool:
    """Whether an error is one of those declared, by the name of its class or of one above it; any when none is."""
    names = tuple(declared)
    if not names or error is None:
        return not names
    there = {form for kind in error.__mro__ for form in (kind.__name__, f"{kind.__module__}.{kind.__qualname__}")}
    return any(name in there for name in names)
