"""What a cell reads: the version that a name has there, and the random stream when it draws."""

from __future__ import annotations

from nb2prod.core.pipeline import RANDOM, Binding, Read
from nb2prod.language.names import CellNames
from nb2prod.language.values import BUILTINS
from nb2prod.stages.versioning.table import Place, Versions, record, settle

KNOWN = BUILTINS | {
    "In",
    "Out",
    "_",
    "__",
    "___",
    "_i",
    "_ii",
    "_iii",
    "_ih",
    "_oh",
    "_dh",
    "_exit_code",
    "exit",
    "quit",
}


def look_up(found: Versions, names: CellNames, place: Place) -> None:
    found.stars = found.stars or bool(names.stars)
    first: dict[str, int] = {}
    for bind in names.binds:
        first.setdefault(bind.name, bind.line)
    for read in names.reads:
        binding = found.now.get(read.name)
        if read.inside:
            continue
        if binding is None and (
            read.optional or read.name in KNOWN or found.stars or first.get(read.name, read.line + 1) <= read.line
        ):
            continue
        _read(found, place, read.name, read.line, through=read.through)


def _read(found: Versions, place: Place, name: str, line: int, *, through: str = "", alias: str = "") -> None:
    binding, surviving = found.now.get(name), found.surviving.get(name)
    found.add(Read(name, place.cell, line + place.offset, place.source, binding, surviving, through, alias))
    settle(found, binding, surviving)


def note_draws(found: Versions, names: CellNames, place: Place) -> None:
    """A cell that seeds or draws reads the random stream and leaves another one."""
    if not names.draws:
        return
    what, line = names.draws[0]
    source = place.role.name if place.role.kind == "test" else place.source
    if not source:
        return
    if RANDOM in found.now:
        there = Place(place.cell, source, place.offset, place.role)
        _read(found, there, RANDOM, line, through=what)
    record(found, Binding(RANDOM, place.cell, line + place.offset, source, changed=True))
