"""Where a run in isolated steps stands, and from it what the next piece waits for and is sent.

    state.may_begin(piece)          what it needs is done
    state.wanted(piece)             the versions of the names that it reads
    state.begin(piece, …)           the work for its process; what it saw is remembered
    state.record(piece, report, …)  what it left

Foreseeing a run goes through the same without any process.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from nb2prod.core.pipeline import Plan, Step
from nb2prod.engines import _isolation
from nb2prod.engines._isolation import Host
from nb2prod.engines._pieces import Piece, may_define, names_in_functions, only_imported
from nb2prod.engines._values import Values, Version
from nb2prod.kernel.step_work import Packed, Report, Work

NOWHERE = -1  # in place of a process: what was put back needs none


@dataclasses.dataclass(slots=True)
class UnderWay:
    """A piece that has begun: what each name that it reads was when it began, and what was delivered to it."""

    piece: Piece
    saw: Mapping[str, Version | None]
    delivered: Mapping[str, Version]
    surroundings: Mapping[str, Packed]
    drew: frozenset[str] | None = None  # ambient states that it changed; None: it has not ended


class RunState:
    """The pieces of one run that are done or under way, where every value is, and the processes that are kept."""

    def __init__(self, plan: Plan, pieces: tuple[Piece, ...]) -> None:
        self.plan = plan
        self.pieces = pieces
        self.values = Values()
        self.under_way: dict[int, UnderWay] = {}
        self.done: set[int] = set()
        self.hosts: dict[int, Host] = {}
        self.kept: list[str] = []  # the artifacts so far, as lines of the journal
        self.folder = Path(os.devnull)  # for parcels
        self._in_functions = names_in_functions(pieces)
        self._imported = only_imported(pieces)
        self._names_indexes = _isolation.names_indexes(pieces)

    def step_of(self, piece: Piece) -> Step | None:
        return next((step for step in self.plan.pipeline.steps if step.name == piece.step), None)

    # -- the order -------------------------------------------------------------------------------------------------

    def may_begin(self, piece: Piece) -> bool:
        in_order = piece.step == "" or bool(self.hosts_for(piece, self.wanted(piece)))
        return (set(range(piece.order)) if in_order else self.upstream(piece)) <= self.done

    def upstream(self, piece: Piece) -> set[int]:
        """The pieces that have to be done: of no step, of the same step, of the steps that it reads from."""
        upstream = {piece.step, ""}
        if self.step_of(piece) is not None:
            upstream |= set(self.plan.pipeline.step(piece.step).upstream)
        return {other.order for other in self.pieces[: piece.order] if other.step in upstream}

    def hosts_for(self, piece: Piece, wanted: Mapping[str, Version]) -> list[int]:
        """The processes in which it has to run."""
        hosts = {version.host for version in wanted.values() if version.host is not None}
        kept = self._kept_before(piece)
        return sorted(hosts if kept is None else {*hosts, kept})

    def _kept_before(self, piece: Piece) -> int | None:
        """The process that everything after it has to run in, because it has changed something no value shows."""
        return next((number for number, host in self.hosts.items() if host.keeps and host.order < piece.order), None)

    # -- what a piece is sent --------------------------------------------------------------------------------------

    def wanted(self, piece: Piece) -> dict[str, Version]:
        needs = set(piece.reads)
        model = self.plan.pipeline.model
        if model is not None and piece.step in (model[0], (self.plan.pipeline.example or ("", ""))[0]):
            needs |= set(self.plan.pipeline.module.names)
        # binding a kept name anew ends what it was (an open file): that has to happen where it is
        needs |= {n for n in piece.loads if (seen := self.values.seen(n, piece.order)) and seen.host is not None}
        if piece.step:
            needs |= {parameter.name for parameter in self.plan.pipeline.parameters if parameter.computed}
        return self.values.wanted(needs, piece.order)

    def begin(self, piece: Piece, wanted: Mapping[str, Version], hosts: list[int]) -> Work:
        """The work for its process. What the piece sees is remembered, to be compared when others have ended."""
        surroundings = self.values.ambient_for(piece.order)
        saw = self.values.followed(piece.reads, piece.order)
        self.under_way[piece.order] = UnderWay(piece, saw, wanted, surroundings)
        before = self.pieces[: piece.order]
        return Work(
            directory=self.plan.directory,
            step=piece.step,
            cells=piece.cells,
            values=str(self.folder),
            parcels=tuple(_parcels(wanted)),
            ambient=tuple(surroundings.values()),
            stale=self._stale(piece, hosts),
            live=self._live(piece) - self._imported,
            own=frozenset(name for other in (*before, piece) for name in other.binds),
            sources=tuple((cell.count, cell.source) for other in before for cell in other.cells if may_define(cell)),
            kept=tuple(self.kept),
            magics=tuple(line for other in before for line in other.magics),
            imports=tuple(statement for other in before for statement in other.imports),
            imported=self._imported,
            libraries=_isolation.stateful(self.pieces),
            names_indexes=self._names_indexes,
            keeps=piece.keeps,
        )

    def _live(self, piece: Piece) -> frozenset[str]:
        """The names that anything later may read."""
        later = self.pieces[piece.order + 1 :]
        live = (self._in_functions | self.values.needed()).union(*(other.loads for other in later))
        if self.plan.pipeline.model is not None:
            live |= set(self.plan.pipeline.module.names)  # a function may answer for the model, and no cell mention it
        return live

    def _stale(self, piece: Piece, hosts: list[int]) -> frozenset[str]:
        """The names in the process that keeps them of which the piece sees another version."""
        if not hosts:
            return frozenset()
        hosted = self.hosts[hosts[0]].report.hosted
        return frozenset(n for n in hosted if not _is_in(self.values.seen(n, piece.order), hosts[0]))

    # -- what a piece left -----------------------------------------------------------------------------------------

    def record(self, piece: Piece, report: Report, host: int) -> None:
        self.values.record(piece.order, report, host)
        self.under_way[piece.order].drew = frozenset(name for packed in report.ambient for name in packed.names)
        self.done.add(piece.order)

    def keep(self, piece: Piece, report: Report, child: _isolation.Process) -> None:
        """Its process stays, for what has no way out of it."""
        owner = f"step {piece.step}" if piece.step else "the cells above"
        before = self.hosts.get(child.number)
        # what has no name is no value: everything that comes after may depend on it
        keeps = any(not kept.name for kept in report.stays)
        self.hosts[child.number] = Host(
            child, report, before.owner if before else owner, before.order if before else piece.order, keeps
        )


def _is_in(version: Version | None, host: int) -> bool:
    return version is not None and version.host == host


def _parcels(wanted: Mapping[str, Version]) -> Iterator[Packed]:
    """Each parcel once, oldest first, with the names of it that count."""
    found: dict[str, tuple[int, Packed, list[str]]] = {}
    for name, version in wanted.items():
        if version.packed is not None:
            _, packed, names = found.setdefault(version.packed.digest, (version.order, version.packed, []))
            names.append(name)
    for _, packed, names in sorted(found.values(), key=lambda one: one[0]):
        yield dataclasses.replace(packed, names=tuple(sorted(names)))
