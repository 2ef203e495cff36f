"""The cache of isolated steps: what a piece left is kept under what it ran with, and put back when that is the same.

    looked = cache.look(…)            before a piece runs: its entry, or why it has to run
    cache.restored(looked)            its entry put back: values, outputs, files; and what happened, to be said again
    cache.keep(looked, …)             after it ran: the entry, unless it did what putting back would not do again

A piece may be taken from the store when the facts that are known before it runs are the same (`_facts`), and all that
it met while it ran is as it was: files, folders, variables, random streams it drew from, libraries, the author's
modules. What it must not be taken for: a step tagged `cache:off`, one that asks for the time of day, one that has a
secret or a value made with one, and one that was seen to write files, start programs or speak to others.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nb2prod.core.errors import Nb2prodError, StoreError
from nb2prod.core.events import ArtifactKept, Event, TestFinished
from nb2prod.core.pipeline import Plan
from nb2prod.engines import _facts, _outside
from nb2prod.engines._conditions import Conditions
from nb2prod.engines._keeping import Keeping, Left, why_not
from nb2prod.engines._last_run import LastRuns
from nb2prod.engines._looked import Looked
from nb2prod.engines._pieces import Piece
from nb2prod.engines._secret_flow import Secrets
from nb2prod.engines._values import Version
from nb2prod.kernel.ambient import RANDOM
from nb2prod.kernel.step_work import Packed, Report, Work
from nb2prod.storage import files, journal, step_entries
from nb2prod.storage.owner import owner
from nb2prod.storage.step_entries import Entry, Parcel
from nb2prod.storage.store import LocalStore, Store, open_store

logger = logging.getLogger("nb2prod.cache")
COMPARED = "boundaries"  # `kernel.boundary.OPTION`, which loads what compares
STORE, CACHE = "store", "cache"  # the plan's options
SAME = "nothing that it depends on has changed"


def cache_of(
    plan: Plan, pieces: tuple[Piece, ...], python: str, environment: Mapping[str, str], *, is_away: bool = False
) -> Cache | None:
    """The cache that the plan asks for. None when it asks for none, or when values are to be compared.

    `is_away`: pieces run in workers, whose environment may be another.
    """
    if not plan.options.get(CACHE) or not plan.options.get(STORE) or COMPARED in plan.options:
        return None
    conditions = Conditions(environment, plan.pipeline.notebook.folder)
    return Cache(Keeping(open_store(plan.options[STORE]), plan, conditions, is_away), pieces, python)


class Cache:
    """The entries of one run's pieces."""

    def __init__(self, keeping: Keeping, pieces: tuple[Piece, ...], python: str) -> None:
        _outside.forget()
        self.keeping = keeping
        self.conditions = keeping.conditions
        self.store: Store = keeping.store
        self.plan = keeping.plan
        self.pieces = pieces
        self.last_runs = LastRuns(self.store, self.plan, pieces)
        self.secrets = Secrets(self.plan)
        self.names = _facts.bound_by_imports(pieces)
        self.everywhere = frozenset(name for piece in pieces for name in piece.loads)
        self.of_run = _surroundings(self.plan, python, self.conditions.environment)
        self.tops: dict[int, frozenset[str]] = {}
        self.taken: list[str] = []
        self.kept = False
        self.lease = ""
        self.folder = Path(os.devnull)

    # -- before a piece ----------------------------------------------------------------------------------------------

    def look(
        self, piece: Piece, work: Work, wanted: Mapping[str, Version], states: Mapping[str, Packed], hosted: bool
    ) -> Looked:
        """Whether the piece has to run. `hosted`: it has to run in a process that was kept."""
        before = self.pieces[: piece.order]
        facts = _facts.facts_of(
            piece, self.plan, wanted, states, before, self.everywhere, _models(work.kept), self.of_run
        )
        given = self.secrets.are_given_to(piece, wanted)
        never = self._never(piece, wanted, given, hosted)
        looked = Looked(
            piece,
            facts,
            _facts.digest(facts),
            None,
            never,
            never,
            self._tops(piece, wanted, facts),
            {name: packed.identity or packed.digest for name, packed in states.items() if name in RANDOM},
            given,
        )
        return looked if never else self._found(looked, work, wanted)

    def _found(self, looked: Looked, work: Work, wanted: Mapping[str, Version]) -> Looked:
        why = ""
        for entry in step_entries.under(self.store, looked.key):
            mismatch = self.conditions.changed(entry, looked, work) or self._damage(entry)
            if not mismatch:
                return dataclasses.replace(looked, entry=entry, reason=SAME)
            why = why or mismatch
        return dataclasses.replace(looked, reason=why or self.last_runs.since(looked, wanted))

    def _never(self, piece: Piece, wanted: Mapping[str, Version], given: bool, hosted: bool) -> str:
        """Why a piece always runs, when that is known before it does."""
        roles = [self.plan.pipeline.roles[index] for index in piece.indexes]
        if any(role is not None and not role.cache for role in roles):
            return "cache:off"
        if hosted:
            return "it runs in a process that was kept"
        if given:
            return "it is given a secret, or what was made with one"
        if piece.keeps:
            return f"it {piece.keeps}"
        packed = [version.packed for version in wanted.values() if version.packed is not None]
        if _facts.clock(piece, self.names, packed):
            return "it asks for the time"
        if "mlflow" in self._named(piece, wanted):
            return "it speaks to MLflow"
        return ""

    def _named(self, piece: Piece, wanted: Mapping[str, Version]) -> set[str]:
        """The top-level modules of the names that it reaches."""
        names = _facts.reached(piece, wanted)
        return {to.partition(".")[0] for name in names for to in self.names.get(name, ())}

    def _tops(self, piece: Piece, wanted: Mapping[str, Version], facts: _facts.Facts) -> frozenset[str]:
        """The modules that its own code loads, and those of the pieces that its values come from."""
        needs = _facts.reached(piece, wanted)
        own = _facts.tops_of(piece, facts["the imports before it"], needs)
        return frozenset(own.union(*(self.tops.get(version.order, frozenset()) for version in wanted.values())))

    def _damage(self, entry: Entry) -> str:
        """Whether what the entry needs is there and whole; if not, the entry goes."""
        # all of them are looked at: what is damaged is removed, so that it can be kept anew
        whole = [self._is_whole(digest, size) for digest, size in entry.contents.items()]
        if all(whole):
            return ""
        self.store.remove(entry.name)
        return "what the store kept of it is damaged"

    def _is_whole(self, digest: str, size: int) -> bool:
        try:
            if not isinstance(self.store, LocalStore):
                return self.store.has(digest)
            return self.store.is_sound(digest, size)
        except StoreError:
            return False

    # -- putting back ------------------------------------------------------------------------------------------------

    def restored(self, looked: Looked) -> tuple[Report, list[Event], list[list[Any]]]:
        """(what the piece left, what it said, the outputs of its cells). Raises StoreError when it is damaged."""
        assert looked.entry is not None
        for path, digest in looked.entry.artifacts.items():
            files.write_bytes(Path(self.plan.directory) / path, self.store.get(digest))
        self.taken.append(looked.entry.name)
        if self.last_runs.key_of(looked.piece) != looked.key:
            self.last_runs.remember(looked, "")
        return self.foreseen(looked)

    def foreseen(self, looked: Looked) -> tuple[Report, list[Event], list[list[Any]]]:
        """The same, without putting anything back."""
        entry = looked.entry
        assert entry is not None
        shown = json.loads(self.store.get(entry.shown))
        self.tops[looked.piece.order] = frozenset((*looked.tops, *entry.tops))
        report = Report(
            parcels=tuple(map(self._packed, entry.parcels)),
            ambient=tuple(map(self._packed, entry.ambient)),
            gone=frozenset(entry.gone),
            same=frozenset(entry.same),
        )
        moved = dict(zip(entry.cells, looked.piece.indexes, strict=False))
        return report, [_again(line, moved) for line in shown["events"]], shown["outputs"]

    def _packed(self, parcel: Parcel) -> Packed:
        if isinstance(self.store, LocalStore):
            path = self.store.place(parcel.digest)
        else:
            path = self.folder / f"{parcel.digest}.pkl"
            if not path.exists():
                files.write_bytes(path, self.store.get(parcel.digest))
        return Packed(parcel.names, str(path), parcel.digest, frozenset(parcel.needs), parcel.identity)

    # -- keeping -----------------------------------------------------------------------------------------------------

    def begin(self, folder: Path) -> None:
        """Something will run: `folder` is private to the run."""
        self.folder = folder

    def values(self, looked: Looked | None, private: Path) -> Path:
        """The folder for a piece's parcels: in the store, so that keeping them moves nothing, unless one is secret."""
        if looked is None or looked.given_secret or not isinstance(self.store, LocalStore):
            return private
        if not self.lease:
            list(step_entries.under_way(self.store))  # removes what killed runs have left
            self.lease = f"{step_entries.UNDER_WAY}{self.plan.run}"
            self.store.write(self.lease, json.dumps({"owner": owner(), "began": time.time()}).encode())
        folder = self.store.incoming / self.plan.run
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def keep(self, looked: Looked, left: Left) -> None:
        """Keep what a piece left, if that may be put back. What cannot be kept ends no run: it is said and logged."""
        report = left.report
        self.secrets.note(looked.piece, report, is_given=looked.given_secret)
        self.tops[looked.piece.order] = looked.tops | frozenset(report.seen.loaded if report.seen else ())
        never = looked.never or why_not(left)
        try:
            if not never:
                never = self._kept(looked, left)
            self.last_runs.remember(looked, never)
        except (Nb2prodError, OSError) as error:
            logger.warning("what step %s left could not be kept for later runs: %s", looked.piece.step, error)

    def _kept(self, looked: Looked, left: Left) -> str:
        """Keep it; or why it is not kept."""
        if self.secrets.are_left_by(looked.piece, left.report):
            return "it leaves a secret"
        reason = self.keeping.write(looked, left)
        self.kept = self.kept or not reason
        return reason

    def failed(self, looked: Looked) -> None:
        try:
            self.last_runs.remember(looked, looked.never or "it failed the last time")
        except StoreError as error:
            logger.warning("the store cannot be written: %s", error)

    def supposed(self, looked: Looked) -> tuple[Report, set[str]] | None:
        """For foreseeing only: what shared cells left the last time, and the parameters that are not as they were."""
        found = self.last_runs.but_for_parameters(looked)
        if found is None:
            return None
        entry, changed = found
        return self.foreseen(dataclasses.replace(looked, entry=entry))[0], changed

    # -- the end -----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Count what was taken, and keep the store within its limit."""
        try:
            if isinstance(self.store, LocalStore):
                shutil.rmtree(self.store.incoming / self.plan.run, ignore_errors=True)
            if self.taken:
                step_entries.note_uses(self.store, self.taken)
            if self.lease:
                self.store.remove(self.lease)
            if self.kept and isinstance(self.store, LocalStore):
                limit = step_entries.limit()
                if sum(kept.size for kept in self.store.contents()) > limit:
                    step_entries.prune(self.store, to=limit)
        except Nb2prodError as error:
            logger.warning("the store could not be tidied: %s", error)


def _surroundings(plan: Plan, python: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """What is the same for all pieces of a run."""
    real = os.path.realpath(python)
    state = Path(real).stat()
    return {
        "the cache's own format": step_entries.FORMAT,
        "Python": [python, real, state.st_size, state.st_mtime_ns],
        "the notebook's place": str(plan.pipeline.notebook.path),
        "the import path": environment.get("PYTHONPATH", ""),
        "the hash seed": environment.get("PYTHONHASHSEED", ""),
        "the language or time zone": [environment.get(name, "") for name in ("TZ", "LANG", "LC_ALL", "LC_NUMERIC")],
    }


def _models(lines: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    for event in map(journal.decode, lines):
        if isinstance(event, ArtifactKept) and event.artifact.kind in ("model", "example"):
            yield f"{event.artifact.kind} {event.artifact.name}", event.artifact.step or "", event.artifact.digest


def _again(line: str, moved: Mapping[int, int]) -> Event:
    """An event that happened in an earlier run, as it happens now; a test may stand in another cell."""
    event = dataclasses.replace(journal.decode(line), at=time.time())
    if isinstance(event, TestFinished) and event.test.cell is not None:
        cell = moved.get(event.test.cell, event.test.cell)
        return dataclasses.replace(event, test=dataclasses.replace(event.test, cell=cell))
    return event
