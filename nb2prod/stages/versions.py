"""What each name means at each point of a notebook: every binding, every change in place, and which of them is read.

    step a   df = load()            df@c0
    step b   df["z"] = 1            reads df@c0, leaves df@c1
    step c   print(df)              reads df@c1

Names that may be one object have their versions together. That is only told for names that are read later on: a change
of `m2` is a change of `m1` too, and a new version of it as soon as somebody reads `m1`.
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from nb2prod.core.pipeline import PARAMETERS, RANDOM, SHARED, Binding, Read, Role
from nb2prod.language.aliases import Thing, Things
from nb2prod.language.names import CellNames, Memory, names_of
from nb2prod.language.plain import PlainCell
from nb2prod.language.scopes import targets_of
from nb2prod.language.values import BUILTINS

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
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


@dataclass(frozen=True, slots=True)
class _Place:
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
    places: dict[int, _Place] = field(default_factory=dict)
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


def versions(roles: Sequence[Role | None], cells: Sequence[PlainCell | None]) -> Versions:
    found, memory = Versions(), Memory()
    mentions = _mentions(cells)
    memory.passing = mentions.looping - mentions.roaming
    for index, (role, cell) in enumerate(zip(roles, cells, strict=True)):
        if role is None or cell is None or cell.tree is None or role.kind == "skip":
            continue
        is_test = role.kind == "test"
        memory.alive = partial(mentions.alive, index)
        pointed = dict(memory.points)
        if is_test:
            names = names_of(_with_tests_called(cell.tree), memory=memory.fork())
        else:
            tree = _with_required_bound(cell.tree) if role.kind == "parameters" else cell.tree
            names = names_of(tree, memory=memory)
        place = _Place(index, role.name if role.kind == "step" else role.kind, role.line_offset, role)
        if not is_test:
            _inputs(found, names, place, memory, pointed)
            _carry_together(found, names, index, memory, pointed)
        _look_up(found, names, place)
        _draw(found, names, place)
        if not is_test:
            passing = _passing(found, names, place)
            _change(found, names, place)
            _bind(found, names, place, passing)
            _delete(found, names, place, passing)
            _settle(found, *(found.surviving.get(name) for name in _tagged(role)))
            if role.kind in SHARED:
                _shared(found, cell.tree, names, place)
    found.bindings.sort(key=lambda binding: binding.cell)
    found.reads.sort(key=lambda read: read.cell)
    return found


def _with_required_bound(tree: ast.Module) -> ast.Module:
    """A parameters cell, where `n: int` binds `n`: a caller must give it."""
    body = [
        ast.copy_location(ast.AnnAssign(one.target, one.annotation, ast.Constant(...), one.simple), one)
        if isinstance(one, ast.AnnAssign) and one.value is None
        else one
        for one in tree.body
    ]
    return ast.fix_missing_locations(ast.Module(body=body, type_ignores=[]))


def _with_tests_called(tree: ast.Module) -> ast.Module:
    """A test cell, with a mention of each function below its definition: pytest calls them, the cell does not."""
    mentions = [
        ast.Expr(ast.Name(statement.name, ast.Load()))
        for statement in tree.body
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    for mention, statement in zip(mentions, [s for s in tree.body if hasattr(s, "name")], strict=True):
        ast.fix_missing_locations(ast.copy_location(mention, statement))
    return ast.Module(body=[*tree.body, *mentions], type_ignores=[])


@dataclass
class _Mentions:
    """`last` is the last cell that mentions each name; names in the body of a function count to the end.

    `roaming` are names that are read outside of the loops that bind them. Any other loop variable is over with
    its loop.
    """

    last: dict[str, int] = field(default_factory=dict)
    looping: set[str] = field(default_factory=set)
    roaming: set[str] = field(default_factory=set)

    def alive(self, cell: int, name: str) -> bool:
        return self.last.get(name, 0) >= cell


def _mentions(cells: Sequence[PlainCell | None]) -> _Mentions:
    found = _Mentions()
    for index, cell in enumerate(cells):
        if cell is not None and cell.tree is not None:
            _mention(found, cell.tree, index, len(cells))
    return found


def _mention(found: _Mentions, tree: ast.AST, cell: int, end: int) -> None:
    pending: list[tuple[ast.AST, int, frozenset[str]]] = [(tree, cell, frozenset())]
    while pending:
        node, at, loops = pending.pop()
        if isinstance(node, ast.Name):
            found.last[node.id] = max(found.last.get(node.id, 0), at)
            if node.id not in loops and not isinstance(node.ctx, ast.Store):
                found.roaming.add(node.id)
        elif isinstance(node, ast.For | ast.AsyncFor):
            targets = targets_of(node.target)
            found.looping |= targets
            inside = loops | targets
            pending += [(part, at, inside) for part in (node.target, *node.body)]
            pending += [(part, at, loops) for part in (node.iter, *node.orelse)]
            continue
        elif isinstance(node, DEFINITIONS):
            at = end
        elif isinstance(node, ast.Constant):
            continue
        pending += [(child, at, loops) for child in ast.iter_child_nodes(node)]


# -- reads ----------------------------------------------------------------------------------------------------------


def _look_up(found: Versions, names: CellNames, place: _Place) -> None:
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


def _read(found: Versions, place: _Place, name: str, line: int, *, through: str = "", alias: str = "") -> None:
    binding, surviving = found.now.get(name), found.surviving.get(name)
    found.add(Read(name, place.cell, line + place.offset, place.source, binding, surviving, through, alias))
    _settle(found, binding, surviving)


def _settle(found: Versions, *bindings: Binding | None) -> None:
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


def _draw(found: Versions, names: CellNames, place: _Place) -> None:
    """A cell that seeds or draws reads the random stream and leaves another one."""
    if not names.draws:
        return
    what, line = names.draws[0]
    source = place.role.name if place.role.kind == "test" else place.source
    if not source:
        return
    if RANDOM in found.now:
        there = _Place(place.cell, source, place.offset, place.role)
        _read(found, there, RANDOM, line, through=what)
    _record(found, Binding(RANDOM, place.cell, line + place.offset, source, changed=True))


# -- changes --------------------------------------------------------------------------------------------------------


def _inputs(found: Versions, names: CellNames, place: _Place, memory: Memory, pointed: Mapping[str, Things]) -> None:
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


def _carry_together(
    found: Versions, names: CellNames, cell: int, memory: Memory, pointed: Mapping[str, Things]
) -> None:
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


def _carry(found: Versions, made: Binding, place: _Place, other: str) -> Binding:
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
            _settle(found, version)
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


def _wait(found: Versions, binding: Binding, read: Read) -> None:
    found.wait(binding, read)
    found.now[binding.name] = binding
    if binding.source != "exploration":
        found.surviving[binding.name] = binding
        found.history.setdefault(binding.name, []).append(binding)


def _change(found: Versions, names: CellNames, place: _Place) -> None:
    for name, line in names.changes:
        earlier = found.now.get(name)
        if earlier is not None and earlier.kind != "import":
            kind, resource = earlier.kind, earlier.resource
            _record(
                found,
                Binding(name, place.cell, line + place.offset, place.source, kind, changed=True, resource=resource),
            )
    for touch in names.touched:
        _change_along(found, touch.name, touch.line, touch.through, place)


def _change_along(found: Versions, name: str, line: int, through: str, place: _Place) -> None:
    """A name that the cell does not change by that name: it gets a version that waits for a reader."""
    earlier = found.now.get(name)
    if earlier is None or earlier.kind == "import":
        return
    line += place.offset
    changed = dataclasses.replace(earlier, cell=place.cell, line=line, source=place.source, changed=True)
    survivor = found.surviving.get(name)
    read = Read(name, place.cell, line, place.source, earlier, survivor, "", through or "another name")
    if changed != earlier:
        _wait(found, changed, read)


# -- bindings -------------------------------------------------------------------------------------------------------


def _bind(found: Versions, names: CellNames, place: _Place, passing: Mapping[str, Read]) -> None:
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
        _record(found, made)


def _passing(found: Versions, names: CellNames, place: _Place) -> dict[str, Read]:
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


def _tagged(role: Role) -> tuple[str, ...]:
    return (*role.metrics, *role.models, *role.examples, *role.plots)


def _delete(found: Versions, names: CellNames, place: _Place, passing: Mapping[str, Read]) -> None:
    for name, line in names.deletes:
        earlier = found.now.get(name)
        if name in names.gone:
            found.now.pop(name, None)
            found.surviving.pop(name, None)
            found.history.pop(name, None)
        elif name in passing and earlier is not None and earlier.cell != place.cell:
            left = Binding(name, place.cell, line + place.offset, place.source, earlier.kind, certain=False)
            found.may_pass(left, passing[name])
            _record(found, left)


def _record(found: Versions, binding: Binding) -> None:
    found.bindings.append(binding)
    found.now[binding.name] = binding
    if binding.source != "exploration" or binding.kind == "import":
        found.surviving[binding.name] = binding
        found.history.setdefault(binding.name, []).append(binding)


# -- parameters that shared cells read ------------------------------------------------------------------------------


def _shared(found: Versions, tree: ast.Module, names: CellNames, place: _Place) -> None:
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
