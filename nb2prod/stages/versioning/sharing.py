"""Names that may be one object: what a cell takes together, and the versions that they have together."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from nb2prod.core.pipeline import PARAMETERS, SHARED, Binding, Read
from nb2prod.language.aliases import Thing, Things
from nb2prod.language.names import CellNames, Memory
from nb2prod.stages.versioning.table import Place, Versions, settle


def note_inputs(found: Versions, names: CellNames, place: Place, memory: Memory, pointed: Mapping[str, Things]) -> None:
    """Remember what each name that a cell takes was, or could reach, when the cell began."""
    read = dict.fromkeys(use.name for use in names.reads)
    read |= dict.fromkeys(bind.name for bind in names.binds if bind.name not in names.bound)  # passes through, perhaps
    read |= dict.fromkeys(name for group in names.groups for name in group)
    inputs = {name: _reached(memory, [pointed.get(name, ())]) for name in read}
    there = {name: things for name, things in inputs.items() if things}
    found.places[place.cell] = dataclasses.replace(place, inputs=there)


def _reached(memory: Memory, points: Iterable[Iterable[Thing]]) -> frozenset[Thing]:
    reached = memory.below(thing for things in points for thing in things)
    return frozenset(thing for thing in reached if not thing.is_class)


def carry_together(found: Versions, names: CellNames, cell: int, memory: Memory, pointed: Mapping[str, Things]) -> None:
    """What hangs together must come from one step, or it would come as copies that know nothing of each other.

    So once one of them is changed, each step that made a second name for an object, or put it into another, takes and
    hands on all of them.
    """
    while names.groups:
        found.together.pop(cell, None)
        versions = dict(found.surviving)
        for group in names.groups:
            there = {name for name in group if name in versions and versions[name].kind == "value"}
            if len(there) > 1:
                _together(found, there, cell, _reached(memory, (pointed.get(name, ()) for name in there)))
        if versions == found.surviving:
            break  # no group was brought to a version that another group does not have


def _together(found: Versions, names: set[str], cell: int, reached: frozenset[Thing]) -> None:
    """Let a cell take names from one step: the last that made a version of one of them hands on the others too.

    That step must have them together in its turn, with what it made its own version of.
    """
    pending = [(cell, names, True)]
    while pending:
        at, wanted, more = pending.pop()
        before = found.together.get(at, [])
        merged = _merged([*before, wanted])
        if merged == before and not more:
            continue
        found.together[at] = merged
        group = next(there for there in merged if wanted <= there)
        versions = {name: made for name in group if (made := _before(found, name, at)) is not None}
        last = max(versions.values(), key=lambda made: made.cell, default=None)
        place = found.places.get(last.cell) if last is not None else None
        if last is None or place is None or place.source in (PARAMETERS, "exploration", *SHARED):
            continue
        carried = set()
        for name, made in sorted(versions.items()):
            if made.cell < last.cell and made.source != last.source:
                carried.add(name)
                versions[name] = _carry(found, made, place, last.name)
            _point_to(found, versions[name], at)
        taken = {name for name, things in place.inputs.items() if things & reached}
        if carried or taken:
            pending.append((last.cell, carried | taken, bool(carried)))


def _before(found: Versions, name: str, cell: int) -> Binding | None:
    """The version of a value that a cell takes."""
    made = next((made for made in reversed(found.history.get(name, ())) if made.cell < cell), None)
    return made if made is not None and made.kind == "value" else None


def _merged(groups: Iterable[Iterable[str]]) -> list[set[str]]:
    """Groups that have no name in common."""
    merged: list[set[str]] = []
    for group in map(set, groups):
        apart = [other for other in merged if not other & group]
        merged = [*apart, group.union(*(other for other in merged if other & group))]
    return merged


def _carry(found: Versions, made: Binding, place: Place, other: str) -> Binding:
    """A step that need not name a value hands it on, with what it put it into."""
    carried = dataclasses.replace(made, cell=place.cell, line=place.line, source=place.source, changed=True)
    found.wait(carried, Read(made.name, place.cell, place.line, place.source, made, made, "", other))
    history = found.history[made.name]
    history.insert(history.index(made) + 1, carried)
    return carried


def _point_to(found: Versions, version: Binding, cell: int) -> None:
    """What a cell was thought to take in an older version, it takes in this one."""
    for position in found.reads_in.get(cell, ()):
        if _is_older(found.reads[position], version):
            found.reads[position] = _repointed(found.reads[position], version)
            settle(found, version)
    for binding in found.waiting_in.get(cell, ()):
        for table in (found.waiting, found.passing):
            if binding in table and _is_older(table[binding], version):
                table[binding] = _repointed(table[binding], version)
    for now in (found.now, found.surviving):
        there = now.get(version.name)
        if there is not None and there.cell < version.cell and there.source != "exploration":
            now[version.name] = version


def _is_older(read: Read, version: Binding) -> bool:
    return read.name == version.name and read.surviving is not None and read.surviving.cell < version.cell


def _repointed(read: Read, version: Binding) -> Read:
    binding = version if read.binding == read.surviving else read.binding
    return dataclasses.replace(read, binding=binding, surviving=version)
