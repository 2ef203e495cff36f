"""What a cell changes in place, binds and deletes: each is a new version.

A binding that may leave a name as it was (in a branch) reads the version before. What cells of no step compute from
parameters is known of each name, because a step that reads it depends on them.
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Mapping

from nb2prod.core.pipeline import PARAMETERS, RANDOM, Binding, Read
from nb2prod.language.names import CellNames
from nb2prod.stages.versioning.table import Place, Versions, record


def wait_for(found: Versions, binding: Binding, read: Read) -> None:
    found.wait(binding, read)
    found.now[binding.name] = binding
    if binding.source != "exploration":
        found.surviving[binding.name] = binding
        found.history.setdefault(binding.name, []).append(binding)


def note_changes(found: Versions, names: CellNames, place: Place) -> None:
    for name, line in names.changes:
        earlier = found.now.get(name)
        if earlier is not None and earlier.kind != "import":
            kind, resource = earlier.kind, earlier.resource
            record(
                found,
                Binding(name, place.cell, line + place.offset, place.source, kind, changed=True, resource=resource),
            )
    for touch in names.touched:
        _change_along(found, touch.name, touch.line, touch.through, place)


def _change_along(found: Versions, name: str, line: int, through: str, place: Place) -> None:
    """A name that the cell does not change by that name: it gets a version that waits for a reader."""
    earlier = found.now.get(name)
    if earlier is None or earlier.kind == "import":
        return
    line += place.offset
    changed = dataclasses.replace(earlier, cell=place.cell, line=line, source=place.source, changed=True)
    survivor = found.surviving.get(name)
    read = Read(name, place.cell, line, place.source, earlier, survivor, "", through or "another name")
    if changed != earlier:
        wait_for(found, changed, read)


def note_bindings(found: Versions, names: CellNames, place: Place, passing: Mapping[str, Read]) -> None:
    for bind in names.binds:
        certain = bind.name in names.bound
        # a lambda is a value to Python, and code to us: it is hoisted like a function
        is_lambda = bind.kind == "value" and bind.name in names.functions
        kind = "function" if is_lambda else bind.kind
        made = Binding(
            bind.name, place.cell, bind.line + place.offset, place.source, kind, certain=certain,
            resource=bind.resource,
        )  # fmt: skip
        if bind.name in passing:
            found.may_pass(made, passing[bind.name])
        record(found, made)


def passing_through(found: Versions, names: CellNames, place: Place) -> dict[str, Read]:
    """What a branch or a loop may leave as it was: the cell takes it and leaves it again, if anybody reads it then."""
    maybe = [(bind.name, bind.line) for bind in names.binds if bind.name not in names.bound]
    maybe += [(name, line) for name, line in names.deletes if name not in names.gone and name not in names.bound]
    passing: dict[str, Read] = {}
    for name, line in maybe:
        earlier = found.now.get(name)
        if earlier is not None:
            at = line + place.offset
            passing.setdefault(name, Read(name, place.cell, at, place.source, earlier, found.surviving.get(name)))
    return passing


def note_deletions(found: Versions, names: CellNames, place: Place, passing: Mapping[str, Read]) -> None:
    for name, line in names.deletes:
        earlier = found.now.get(name)
        if name in names.gone:
            found.now.pop(name, None)
            found.surviving.pop(name, None)
            found.history.pop(name, None)
        elif name in passing and earlier is not None and earlier.cell != place.cell:
            left = Binding(name, place.cell, line + place.offset, place.source, earlier.kind, certain=False)
            found.may_pass(left, passing[name])
            record(found, left)


def note_parameters(found: Versions, tree: ast.Module, names: CellNames, place: Place) -> None:
    """Which parameters the names of an imports, functions or setup cell are computed from, statement by statement."""
    own: dict[str, frozenset[str]] = {}
    for statement in tree.body:
        lines = range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
        read = {use.name for use in names.reads if use.line in lines}
        used = frozenset(p for name in read for p in own.get(name, _parameters_of(found, name, place.cell)))
        bound = [bind.name for bind in names.binds if bind.line in lines]
        bound += [name for name, line in names.changes if line in lines]
        bound += [RANDOM for _, line in names.draws if line in lines]
        for name in bound:
            own[name] = used | (own.get(name, frozenset()) if isinstance(statement, ast.AugAssign) else frozenset())
        if not bound:
            found.ambient |= used
    found.parameters_of |= {f"{name}@c{place.cell}": used for name, used in own.items()}


def _parameters_of(found: Versions, name: str, cell: int) -> frozenset[str]:
    made = next((b for b in reversed(found.bindings) if b.name == name and b.cell < cell), None)
    if made is None:
        return frozenset()
    return frozenset({name}) if made.source == PARAMETERS else found.parameters_of.get(made.version, frozenset())
