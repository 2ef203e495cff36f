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
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nb2prod.core.errors import Nb2prodError, StoreError
from nb2prod.core.events import ArtifactKept, DatasetRead, Event, MetricMeasured, ParametersComputed, TestFinished
from nb2prod.core.pipeline import Plan
from nb2prod.engines import _facts, _outside, _secret_flow
from nb2prod.engines._pieces import Piece
from nb2prod.engines._values import Version
from nb2prod.kernel.ambient import ENVIRONMENT, RANDOM, WHAT
from nb2prod.kernel.step_work import Packed, Report, Work
from nb2prod.kernel.watching import EVERY, digest_of_text, names_of_variables
from nb2prod.storage import codec, files, journal, step_entries
from nb2prod.storage.owner import owner
from nb2prod.storage.step_entries import Entry, Parcel
from nb2prod.storage.store import LocalStore, Store, open_store

logger = logging.getLogger("nb2prod.cache")
TOLD = (MetricMeasured, ArtifactKept, DatasetRead, ParametersComputed, TestFinished)
COMPARED = "boundaries"  # `kernel.boundary.OPTION`, which loads what compares
STORE, CACHE = "store", "cache"  # the plan's options
SAME = "nothing that it depends on has changed"


@dataclass(frozen=True, slots=True)
class Looked:
    """A piece that is about to run, with what; `entry` is what it left the last time, or `reason` says why it runs.

    `never` says why what it leaves is not kept, whatever it does.
    """

    piece: Piece
    facts: _facts.Facts
    key: str
    entry: Entry | None
    reason: str
    never: str = ""
    tops: frozenset[str] = frozenset()
    streams: Mapping[str, str] = field(default_factory=dict)
    given_secret: bool = False
    began: int = field(default_factory=time.time_ns)


def cache_of(
    plan: Plan, pieces: tuple[Piece, ...], python: str, environment: Mapping[str, str], *, is_away: bool = False
) -> Cache | None:
    """The cache that the plan asks for. None when it asks for none, or when values are to be compared.

    `is_away`: pieces run in workers, whose environment may be another.
    """
    if not plan.options.get(CACHE) or not plan.options.get(STORE) or COMPARED in plan.options:
        return None
    cache = Cache(open_store(plan.options[STORE]), plan, pieces, python, environment)
    cache.is_away = is_away
    return cache


class Cache:
    """The entries of one run's pieces."""

    def __init__(
        self, store: Store, plan: Plan, pieces: tuple[Piece, ...], python: str, environment: Mapping[str, str]
    ) -> None:
        _outside.forget()
        self.store = store
        self.plan = plan
        self.pieces = pieces
        self.environment = environment
        self.is_away = False
        self.names = _facts.bound_by_imports(pieces)
        self.everywhere = frozenset(name for piece in pieces for name in piece.loads)
        self.of_run = _surroundings(plan, python, environment)
        self.tops: dict[int, frozenset[str]] = {}
        self.secret: set[tuple[int, str]] = set()
        self.secrets = _secret_flow.texts(plan)
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
        given = self._is_given_secret(piece, wanted)
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
            mismatch = self._mismatch(entry, looked, work) or self._damage(entry)
            if not mismatch:
                return dataclasses.replace(looked, entry=entry, reason=SAME)
            why = why or mismatch
        return dataclasses.replace(looked, reason=why or self._since_last(looked, wanted))

    def _since_last(self, looked: Looked, wanted: Mapping[str, Version]) -> str:
        known = step_entries.read_last(self.store, self._label(looked.piece))
        if not known:
            return "first run"
        changed = _facts.difference(looked.piece, looked.facts, known.get("facts", {}), self._said(wanted))
        return changed or known.get("never") or "nothing of its last run was kept"

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

    def _is_given_secret(self, piece: Piece, wanted: Mapping[str, Version]) -> bool:
        if any((version.order, name) in self.secret for name, version in wanted.items()):
            return True
        return _secret_flow.binds_secret(piece, self.plan)

    def _said(self, wanted: Mapping[str, Version]) -> dict[str, str]:
        """What a person calls each input."""
        parameters = {parameter.name for parameter in self.plan.pipeline.parameters}
        found = {}
        for name, version in wanted.items():
            step = self.pieces[version.order].step
            if name in parameters and not step:
                found[name] = f"parameter {name}"
            elif name in self.plan.pipeline.module.names:
                found[name] = f"{name}, which it uses,"
            else:
                found[name] = f"input {name} of step {step}" if step else f"input {name}"
        return found

    def _mismatch(self, entry: Entry, looked: Looked, work: Work) -> str:
        """What the entry depends on and is not as it was, in words."""
        late = sorted((work.live - work.imported) & set(entry.left_out))
        if late:
            return f"{late[0]} is read later now, and was not kept"
        for name, identity in entry.streams.items():
            if looked.streams.get(name, "") != identity:
                return f"{WHAT[name]} stands elsewhere"
        for name, text in entry.variables.items():
            if self._variable(name) != text:
                return "the environment changed" if name == EVERY else f"variable {name} changed"
        for name, known in entry.libraries.items():
            if changed := _outside.changed_library(name, known):
                return changed
        moved = _outside.first_changed({**entry.modules, **entry.files})
        if moved is not None:
            return f"{moved[0]} {self._near(moved[1])} changed"
        other = next((path for path, names in entry.folders.items() if _outside.listing(path) != names), "")
        return f"folder {self._near(other)} has other files" if other else ""

    def _near(self, path: str) -> str:
        near = os.path.relpath(path, self.plan.pipeline.notebook.folder)
        return path if near.startswith("..") else near

    def _variable(self, name: str) -> str:
        if name == EVERY:
            return names_of_variables(self.environment)
        return digest_of_text(self.environment[name]) if name in self.environment else ""

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
        if step_entries.read_last(self.store, self._label(looked.piece)).get("key") != looked.key:
            self._remember(looked, "")
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

    def keep(
        self, looked: Looked, report: Report, lines: Iterable[str], outputs: Callable[[], list[list[Any]]], took: float
    ) -> None:
        """Keep what a piece left, if that may be put back. What cannot be kept ends no run: it is said and logged."""
        self._note_secrets(looked, report)
        self.tops[looked.piece.order] = looked.tops | frozenset(report.seen.loaded if report.seen else ())
        never = looked.never or self._not_kept(looked, report, lines)
        try:
            if not never:
                never = self._kept(looked, report, list(lines), outputs(), took)
            self._remember(looked, never)
        except (Nb2prodError, OSError) as error:
            logger.warning("what step %s left could not be kept for later runs: %s", looked.piece.step, error)

    def failed(self, looked: Looked) -> None:
        try:
            self._remember(looked, looked.never or "it failed the last time")
        except StoreError as error:
            logger.warning("the store cannot be written: %s", error)

    def _remember(self, looked: Looked, never: str) -> None:
        if looked.given_secret:
            return  # a digest of something short says what it was
        known = {"facts": looked.facts, "never": never, "at": time.time(), "step": looked.piece.step, "key": looked.key}
        known["parameters"] = self._given()
        step_entries.write_last(self.store, self._label(looked.piece), known)

    def _given(self) -> dict[str, str]:
        """The parameters by the digest of their values; no secret one."""
        secret = _secret_flow.secret_names(self.plan)
        values = {name: value for name, value in self.plan.parameters.items() if name not in secret}
        return {name: _facts.digest(codec.plain(value)) for name, value in values.items()}

    def supposed(self, looked: Looked) -> tuple[Report, set[str]] | None:
        """For foreseeing only: what shared cells left the last time, and the parameters that are not as they were.

        None when that does not say enough: something else than parameters has changed.
        """
        known = step_entries.read_last(self.store, self._label(looked.piece))
        entry = next(iter(step_entries.under(self.store, known.get("key", "none"))), None)
        if entry is None or looked.piece.step or "parameters" not in known:
            return None
        now, last = dict(looked.facts), dict(known["facts"])
        given = [n for n, cell in enumerate(looked.piece.cells) if cell.index is None]
        code = [state for n, state in enumerate(now.pop(_facts.CODE)) if n not in given]
        before = last.pop(_facts.CODE)
        if now != last or [state for state in before if state in code] != code or len(before) > len(code) + 1:
            return None
        values = self._given()
        changed = {name for name in values if known["parameters"].get(name) != values[name]}
        return self.foreseen(dataclasses.replace(looked, entry=entry))[0], changed

    def _label(self, piece: Piece) -> str:
        same = [other for other in self.pieces[: piece.order] if other.step == piece.step]
        notebook = _facts.digest(str(self.plan.pipeline.notebook.path))[:16]
        return f"{notebook}/{_facts.digest(piece.step)[:16]}-{len(same)}"

    def _not_kept(self, looked: Looked, report: Report, lines: Iterable[str]) -> str:
        """Why what it left is not kept, as it was seen while it ran."""
        if report.seen is None:
            return "nobody saw what it did"
        if report.seen.effects:
            return f"it {report.seen.effects[0]}"
        if report.stays:
            return "it was kept in a process"
        tests = [event for line in lines if isinstance(event := journal.decode(line), TestFinished)]
        if any(event.test.outcome in ("failed", "error") for event in tests):
            return "a test of it failed"
        return ""

    def _note_secrets(self, looked: Looked, report: Report) -> None:
        """Which of the names that the piece left may hold a secret."""
        names = {name for packed in report.parcels for name in packed.names}
        if looked.given_secret:
            tainted = names
            if not looked.piece.step:
                flowed = _secret_flow.tainted(looked.piece, self.plan)
                groups = [packed.names for packed in report.parcels if set(packed.names) & flowed]
                tainted = {name for group in groups for name in group}
            self.secret |= {(looked.piece.order, name) for name in tainted}
        if self.secrets:
            for packed in report.parcels:
                content = Path(packed.path).read_bytes()
                if any(secret in content for secret in self.secrets):
                    self.secret |= {(looked.piece.order, name) for name in packed.names}

    def _kept(self, looked: Looked, report: Report, lines: list[str], outputs: list[list[Any]], took: float) -> str:
        """Write the entry; or why it is not written."""
        seen = report.seen
        assert seen is not None
        if any((looked.piece.order, name) in self.secret for packed in report.parcels for name in packed.names):
            return "it leaves a secret"
        read = {path: _outside.seen(path) for path in (*seen.files, *self._declared(looked.piece))}
        variables = {name: text for name, text in seen.variables.items() if self._variable(name) == text}
        late = next((path for path, known in read.items() if _outside.changed_since(path, looked.began)), "")
        if late:
            return f"{self._near(late)} changed while it ran"
        other = next((name for name in seen.variables if name not in variables), "")
        if other and self.is_away and f"{_facts.STATE}{ENVIRONMENT}" not in looked.facts:
            return (
                f"it reads {'all variables' if other == EVERY else f'variable {other}'}, which its worker has otherwise"
            )
        if any(known[0] in (_outside.UNREADABLE, _outside.MANY) for known in read.values()):
            return "it may read what cannot be looked through"
        own = _outside.own_modules((*looked.tops, *seen.loaded), seen.modules)
        told = [line for line in lines if isinstance(journal.decode(line), TOLD)]
        shown = json.dumps({"events": told, "outputs": outputs}, ensure_ascii=False).encode("utf-8", "surrogatepass")
        artifacts = self._artifacts(told)
        contents = {self.store.put(shown): len(shown)} | {digest: size for _, digest, size in artifacts}
        contents |= {packed.digest: self._adopted(packed) for packed in (*report.parcels, *report.ambient)}
        libraries = _outside.libraries(sorted({*looked.tops, *seen.loaded}), seen.path)
        made = Entry(
            key=looked.key,
            id="",
            step=looked.piece.step,
            notebook=str(self.plan.pipeline.notebook.path),
            made=time.time(),
            seconds=took,
            size=sum(contents.values()),
            shown=next(iter(contents)),
            cells=looked.piece.indexes,
            parcels=tuple(map(_parcel, report.parcels)),
            ambient=tuple(map(_parcel, report.ambient)),
            gone=tuple(sorted(report.gone)),
            same=tuple(sorted(report.same)),
            left_out=tuple(sorted(report.left_out)),
            tops=tuple(sorted(seen.loaded)),
            streams=self._drawn(looked, report),
            files=read,
            folders={path: _outside.listing(path) for path in seen.folders},
            variables=variables,
            libraries=libraries,
            modules={file: _outside.seen(file) for file in own.values()},
            artifacts={path: digest for path, digest, _ in artifacts},
            contents=contents,
        )
        number = _facts.digest([made.streams, made.files, made.folders, made.variables, made.libraries, made.modules])
        step_entries.save(self.store, dataclasses.replace(made, id=number[:16]))
        self.kept = True
        return ""

    def _declared(self, piece: Piece) -> Iterator[str]:
        """What the tags `reads:PATH` of its cells name."""
        for index in piece.indexes:
            role = self.plan.pipeline.roles[index]
            for path in role.reads if role is not None else ():
                yield _outside.plain_path(self.plan.pipeline.notebook.folder / path)

    def _drawn(self, looked: Looked, report: Report) -> dict[str, str]:
        """The random streams that count: those that it has moved, all when its code handles their state."""
        moved = {name for packed in report.ambient for name in packed.names} & RANDOM
        if any("state" in cell.source for cell in looked.piece.cells):
            moved |= looked.streams.keys()
        return {name: looked.streams.get(name, "") for name in sorted(moved)}

    def _adopted(self, packed: Packed) -> int:
        path = Path(packed.path)
        if not path.exists():
            return self.store.size(packed.digest)  # a worker has put it there
        if isinstance(self.store, LocalStore):
            self.store.adopt(path, packed.digest)
        elif not self.store.has(packed.digest):
            self.store.put(path.read_bytes())
        return path.stat().st_size

    def _artifacts(self, lines: Iterable[str]) -> list[tuple[str, str, int]]:
        """(path in the run's folder, digest, size) of all files in the folders of the artifacts that were kept."""
        folder = Path(self.plan.directory)
        events = [event for line in lines if isinstance(event := journal.decode(line), ArtifactKept)]
        folders = sorted({(folder / event.artifact.path).parent for event in events})
        found = [path for one in folders for path in sorted(one.rglob("*")) if path.is_file()]
        return [
            (path.relative_to(folder).as_posix(), self.store.put(path.read_bytes()), path.stat().st_size)
            for path in found
        ]

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


def _parcel(packed: Packed) -> Parcel:
    return Parcel(packed.names, packed.digest, packed.identity or packed.digest, tuple(sorted(packed.needs)))
