"""Each step in a process of its own, fed only with what it reads.

The notebook's cells are cut into pieces (`_pieces`). A piece gets the parcels of the names that it reads, and the
ambient state, as the pieces before it left them (`_values`); what it makes or changes goes into new parcels. What a
step really changed is observed, not guessed: names that share an object travel together, and random streams go on from
where they were. A value that cannot leave its process keeps the process, and who needs it runs there.

Where pieces run, an executor says; by default one after the other. Pieces that run at the same time have no effect on
each other by the notebook's code; when one is seen to have had one, the run ends with a failure that names both.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import functools
import os
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nb2prod.core.errors import StoreError
from nb2prod.core.events import ArtifactKept, CellFinished, Event, KernelStarted, StepFinished, StepStarted
from nb2prod.core.pipeline import Plan, Step
from nb2prod.core.ports import Away, Engine, Environment, ExecutorPlugin, Publish
from nb2prod.core.result import Failure, Foreseen, StepStatus
from nb2prod.engines import _isolation
from nb2prod.engines._cache import SAME, Cache, Looked, cache_of
from nb2prod.engines._executed import Executed
from nb2prod.engines._interpreter import kernel_and_python
from nb2prod.engines._outputs import event_without_secrets, failure_of, mask, stdout_of, written_forms
from nb2prod.engines._pieces import Piece, names_in_functions, only_imported, pieces_of
from nb2prod.engines._prepared import prepared, secrets_of, variable
from nb2prod.engines._step_processes import Child, LateNursery, Nursery, TooLong, with_hash_seed
from nb2prod.engines._time_limit import TimeLimit
from nb2prod.engines._values import Values, Version
from nb2prod.kernel.step_work import CellWork, Packed, Report, Work
from nb2prod.storage import journal, scratch

if TYPE_CHECKING:
    from nb2prod.engines._remote import FarChild

ISOLATED = True  # findings that speak of isolated steps refuse a run
NOWHERE = -1  # in place of a process: what was put back needs none
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run(plan: Plan, publish: Publish, environment: Environment) -> Failure | None:
    """One step at a time. Raises StoreError when the kernel is not installed, WorkerLost when it cannot start."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as pool:
        return _Run(plan, publish, environment).go(pool)


def on(executor: ExecutorPlugin) -> Engine:
    """This engine with its pieces where `executor` runs them."""
    return _On(executor)


def foresee(plan: Plan) -> tuple[Foreseen, ...]:
    """Of each step whether a run would take it from the store, or why it would run. Nothing runs."""
    return _Run(plan, lambda event: None, lambda step: {}).foreseen()


@dataclasses.dataclass(frozen=True, slots=True)
class _On:
    executor: ExecutorPlugin
    ISOLATED: bool = True

    def run(self, plan: Plan, publish: Publish, environment: Environment) -> Failure | None:
        with self.executor.open() as pool:
            return _Run(plan, publish, environment).go(pool)


@dataclasses.dataclass(slots=True)
class _Under_way:
    """A piece that has begun: what each name that it reads was when it began, and what was delivered to it."""

    piece: Piece
    saw: Mapping[str, Version | None]
    delivered: Mapping[str, Version]
    surroundings: Mapping[str, Packed]
    drew: frozenset[str] | None = None  # ambient states that it changed; None: it has not ended


@dataclasses.dataclass(slots=True)
class _Clock:
    """The seconds that cells take, and may take: each cell, and all cells of the step together."""

    of_cell: float | None
    of_step: float | None
    spent: float = 0.0
    began: float = dataclasses.field(default_factory=time.monotonic)

    @property
    def limit(self) -> float:
        return self.of_step or self.of_cell or 0.0

    def begin(self) -> None:
        self.began = time.monotonic()

    def took(self, seconds: float) -> None:
        """It was over before we heard of it."""
        self.began = time.monotonic() - seconds

    def end(self) -> float:
        seconds = time.monotonic() - self.began
        self.spent += seconds
        return seconds

    def wait(self, seconds: float) -> None:
        """What was tried took its time; the wait for the next try takes none."""
        self.spent += time.monotonic() - self.began
        self.began = time.monotonic() + seconds

    def left(self) -> float | None:
        limit = self.of_cell if self.of_step is None else self.of_step - self.spent
        return None if limit is None else limit - (time.monotonic() - self.began)


class _Run:
    """One run: its pieces, its processes, and where every value is."""

    def __init__(self, plan: Plan, publish: Publish, environment: Environment) -> None:
        self.plan = plan
        self.environment = environment
        self._publish = publish
        self.lock = threading.RLock()
        secret = {parameter.name for parameter in plan.pipeline.parameters if parameter.secret}
        self.secrets = written_forms(value for name, value in plan.given.items() if name in secret)
        node = prepared(plan)
        self.pieces = pieces_of(plan.pipeline, node)
        self.in_functions = names_in_functions(self.pieces)
        self.imported = only_imported(self.pieces)
        self.names_indexes = _isolation.names_indexes(self.pieces)
        self.executed = Executed(node, Path(plan.output), self.secrets)
        self.values = Values()
        self.under_way: dict[int, _Under_way] = {}
        self.done: set[int] = set()
        self.hosts: dict[int, _isolation.Host] = {}
        self.kept: list[str] = []
        self.seconds: dict[str, float] = {}
        self.printed: dict[str, str] = {}
        self.reasons: dict[str, str] = {}
        self.cache: Cache | None = None
        self.is_away = False
        self.supposed: set[str] = set()  # when foreseeing: parameters that are not as they were
        self.heard: dict[int, list[str]] = {}
        self.ran: set[str] = set()  # steps of which something was not taken from the store
        self.limit = TimeLimit(plan.time_limit, self._kill_all)

    # -- the run as a whole ------------------------------------------------------------------------------------------

    def go(self, pool: concurrent.futures.Executor) -> Failure | None:
        """Run all pieces. An interruption ends every process and is a failure."""
        kernel, python = kernel_and_python(self.plan)
        environment = self._variables()
        away: Away | None = getattr(pool, "away", None)
        self.is_away = away is not None
        here = away is None or getattr(away, "is_own", False)
        is_away = self.is_away
        self.cache = cache_of(self.plan, self.pieces, python, environment, is_away=is_away) if here else None
        with tempfile.TemporaryDirectory(prefix=scratch.prefix()) as values, _interrupting() as interrupted:
            self.folder = Path(values)
            self.nursery = LateNursery(functools.partial(self._nursery, away, kernel, python, environment))
            try:
                with self.limit:
                    failure = self._all(pool)
                for host in self.hosts.values():
                    self.nursery.end(host.child)
            except KeyboardInterrupt:
                failure = Failure("interrupted", f"ended by {interrupted[0] if interrupted else 'SIGINT'}")
            finally:
                self.nursery.close()
                self.executed.save()
                if self.cache is not None:
                    self.cache.close()
        return failure

    def _variables(self) -> dict[str, str]:
        """The environment that the steps' processes begin with."""
        return {
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            **os.environ,
            **{variable(name): value for name, value in secrets_of(self.plan).items()},
        }

    def _nursery(self, away: Away | None, kernel: str, python: str, environment: Mapping[str, str]) -> Any:
        """Where processes come from: a `Nursery`, or what is like one on a cluster."""
        started = time.monotonic()
        preload = _isolation.preload(self.pieces)
        if away is None:
            made: Any = Nursery(python, self.plan.pipeline.notebook.folder, with_hash_seed(environment), preload)
        else:
            from nb2prod.engines._remote import far_nursery

            made = far_nursery(away, self.plan, self.folder, python, secrets_of(self.plan), self.pieces, preload)
        self.publish(KernelStarted(kernel=kernel, seconds=time.monotonic() - started))
        return made

    def _all(self, pool: concurrent.futures.Executor) -> Failure | None:
        waiting = list(self.pieces)
        futures: set[concurrent.futures.Future[Failure | None]] = set()
        while waiting or futures:
            # always the first that may: an executor that runs one at a time then keeps the notebook's order
            piece = next((piece for piece in waiting if self._may_begin(piece)), None)
            if piece is not None:
                waiting.remove(piece)
                futures.add(pool.submit(self._piece, piece))
            limit = 0 if piece is not None else None
            ended, futures = concurrent.futures.wait(futures, limit, concurrent.futures.FIRST_COMPLETED)
            failure = next((failure for future in ended if (failure := future.result()) is not None), None)
            if failure is not None:
                return self._stop(failure, futures)
        return None

    def _kill_all(self) -> None:
        self.nursery.kill_all()

    def _stop(self, failure: Failure, futures: Iterable[concurrent.futures.Future[Failure | None]]) -> Failure:
        """After a failure nothing else begins, and what runs is ended."""
        self.nursery.kill_all()
        for future in futures:
            future.cancel()
        concurrent.futures.wait([future for future in futures if not future.cancelled()])
        return failure

    def _may_begin(self, piece: Piece) -> bool:
        with self.lock:
            earlier = set(range(piece.order))
            needed = earlier if piece.step == "" or self._needs_host(piece) else self._upstream(piece)
            return needed <= self.done

    def _upstream(self, piece: Piece) -> set[int]:
        """The pieces that have to be done: of no step, of the same step, of the steps that it reads from."""
        upstream = {piece.step, ""}
        if any(step.name == piece.step for step in self.plan.pipeline.steps):
            upstream |= set(self.plan.pipeline.step(piece.step).upstream)
        return {other.order for other in self.pieces[: piece.order] if other.step in upstream}

    def _needs_host(self, piece: Piece) -> bool:
        return self._kept_before(piece) is not None or any(
            version.host is not None for version in self._wanted(piece).values()
        )

    def _kept_before(self, piece: Piece) -> int | None:
        """The process that everything after it has to run in, because it has changed something no value shows."""
        return next((number for number, host in self.hosts.items() if host.keeps and host.order < piece.order), None)

    def publish(self, event: Event) -> None:
        with self.lock:
            if isinstance(event, ArtifactKept):
                self.kept.append(journal.encode(event))
            self._publish(event_without_secrets(event, self.secrets))

    # -- one piece ---------------------------------------------------------------------------------------------------

    def _piece(self, piece: Piece) -> Failure | None:
        step = next((step for step in self.plan.pipeline.steps if step.name == piece.step), None)
        with self.lock:
            wanted = self._wanted(piece)
            hosts = sorted({version.host for version in wanted.values() if version.host is not None})
            kept = self._kept_before(piece)
            hosts = sorted({*hosts, kept}) if kept is not None else hosts
            if len(hosts) > 1:
                return self._two_hosts(piece, hosts)
            work = self._work(piece, wanted, hosts)
            looked = self._looked(piece, work, wanted, bool(hosts))
        if step is not None and step.cells[0] in piece.indexes:
            self.seconds[step.name], self.printed[step.name] = 0.0, ""
        if looked is not None and looked.entry is not None and self._taken(piece, step, looked):
            return None
        self._announce(piece, step, looked)
        work = self._to_run(piece, work, looked)
        child = self.hosts[hosts[0]].child if hosts else self.nursery.child()
        if self.limit.is_over:
            child.kill()  # it was made too late to be ended with the others
        if hosts and step is not None:
            host = self.hosts[hosts[0]]
            self.reasons[step.name] = f"runs in the process of {host.owner}: {_isolation.said(host.report.stays[0])}"
        try:
            outcome = self._watched(piece, step, child, work)
            if self.is_away:
                from nb2prod.engines._remote import told

                outcome = told(outcome, child)
        finally:
            self.executed.save()
        if isinstance(outcome, Failure):
            if self.cache is not None and looked is not None:
                self.cache.failed(looked)
            self._step_failed(step, outcome)
            return outcome
        failure = self._left(piece, outcome, child)
        if failure is None and self.cache is not None and looked is not None:
            took = (time.time_ns() - looked.began) / 1e9
            self.cache.keep(looked, outcome, self.heard.get(piece.order, []), lambda: self._outputs(piece), took)
        return failure

    # -- what an earlier run has left ------------------------------------------------------------------------------

    def foreseen(self) -> tuple[Foreseen, ...]:
        _, python = kernel_and_python(self.plan)
        self.folder = Path(os.devnull)
        self.cache = cache_of(self.plan, self.pieces, python, self._variables())
        assert self.cache is not None
        runs: dict[str, str] = {}
        steps = {piece.step for piece in self.pieces}
        for piece in self.pieces:
            reason = self._foreseen(piece, self.cache, runs)
            if reason:
                runs.setdefault(piece.step, reason)
        names = [step.name for step in self.plan.pipeline.steps if step.name in steps]
        return tuple(Foreseen(name, name not in runs, runs.get(name, SAME)) for name in names)

    def _foreseen(self, piece: Piece, cache: Cache, runs: Mapping[str, str]) -> str:
        """Why the piece would run; empty when it would be taken. `runs` are the steps that would, each with its why."""
        after = self._upstream(piece) if piece.step else set(range(piece.order))
        unsure = next((self.pieces[order] for order in sorted(after) if order not in self.done), None)
        wanted = self._wanted(piece)
        looked = cache.look(piece, self._work(piece, wanted, []), wanted, self.values.ambient_for(piece.order), False)
        if looked.never or (unsure is not None and looked.reason.startswith(("its code", "first run"))):
            return looked.reason
        if unsure is not None:
            who = f"step {unsure.step}" if unsure.step else f"cell {unsure.indexes[0] if unsure.indexes else 0}"
            return f"{who} would run before it; taken after all, if that leaves the same"
        given = sorted(self.supposed & wanted.keys())
        if given:
            return f"parameter {given[0]} changed"
        if looked.entry is None:
            return self._supposed(piece, looked, cache) or looked.reason
        report, events, _ = cache.foreseen(looked)
        self.kept += [journal.encode(event) for event in events if isinstance(event, ArtifactKept)]
        self.values.record(piece.order, report, NOWHERE)
        self.done.add(piece.order)
        return ""

    def _supposed(self, piece: Piece, looked: Looked, cache: Cache) -> str:
        """Why shared cells run of which only parameters changed: all else they leave as they left it."""
        found = cache.supposed(looked)
        if found is None:
            return ""
        self.values.record(piece.order, found[0], NOWHERE)
        self.supposed |= found[1]
        self.done.add(piece.order)
        return f"parameter {', '.join(sorted(found[1]))} changed"

    def _looked(self, piece: Piece, work: Work, wanted: Mapping[str, Version], hosted: bool) -> Looked | None:
        if self.cache is None:
            return None
        return self.cache.look(piece, work, wanted, self.under_way[piece.order].surroundings, hosted)

    def _taken(self, piece: Piece, step: Step | None, looked: Looked) -> bool:
        """Put back what the piece left in an earlier run; False when that turns out not to be readable."""
        assert self.cache is not None
        try:
            report, events, outputs = self.cache.restored(looked)
        except StoreError as error:
            self.reasons[piece.step] = f"what the store kept of it cannot be read: {error.what}"
            return False
        for event in events:
            self.publish(event)
        for cell, shown in zip(piece.cells, outputs, strict=True):
            self.executed.put(cell, shown)
            self._cell_done(step, cell.index, 0.0, self.executed.cell(cell.position), reason=looked.reason)
        with self.lock:
            self.values.record(piece.order, report, NOWHERE)
            self.under_way[piece.order].drew = frozenset(name for packed in report.ambient for name in packed.names)
            self.done.add(piece.order)
        return True

    def _announce(self, piece: Piece, step: Step | None, looked: Looked | None) -> None:
        """Something of the step runs."""
        if step is None:
            return
        reason = looked.reason if looked is not None else ""
        with self.lock:
            first = step.name not in self.ran
            self.ran.add(step.name)
            if first:
                self.publish(StepStarted(step=step.name, parameters=step.parameters, reason=reason))
                if reason:
                    self.reasons.setdefault(step.name, reason)

    def _to_run(self, piece: Piece, work: Work, looked: Looked | None) -> Work:
        environment = dict(self.environment(piece.step))
        if self.cache is None:
            return dataclasses.replace(work, environment=environment)
        folder = self.folder if self.is_away else self.cache.values(looked, self.folder)
        return dataclasses.replace(work, environment=environment, values=str(folder), watched=True)

    def _outputs(self, piece: Piece) -> list[list[Any]]:
        return [list(self.executed.cell(cell.position).outputs) for cell in piece.cells]

    def _wanted(self, piece: Piece) -> dict[str, Version]:
        needs = set(piece.reads)
        model = self.plan.pipeline.model
        if model is not None and piece.step in (model[0], (self.plan.pipeline.example or ("", ""))[0]):
            needs |= set(self.plan.pipeline.module.names)
        # binding a kept name anew ends what it was (an open file): that has to happen where it is
        needs |= {n for n in piece.loads if (seen := self.values.seen(n, piece.order)) and seen.host is not None}
        if piece.step:
            needs |= {parameter.name for parameter in self.plan.pipeline.parameters if parameter.computed}
        return self.values.wanted(needs, piece.order)

    def _work(self, piece: Piece, wanted: Mapping[str, Version], hosts: list[int]) -> Work:
        surroundings = self.values.ambient_for(piece.order)
        saw = self.values.followed(piece.reads, piece.order)
        self.under_way[piece.order] = _Under_way(piece, saw, wanted, surroundings)
        before, later = self.pieces[: piece.order], self.pieces[piece.order + 1 :]
        live = (self.in_functions | self.values.needed()).union(*(other.loads for other in later))
        if self.plan.pipeline.model is not None:
            live |= set(self.plan.pipeline.module.names)  # a function may answer for the model, and no cell mention it
        stale: frozenset[str] = frozenset()
        if hosts:
            hosted = self.hosts[hosts[0]].report.hosted
            stale = frozenset(n for n in hosted if not _is_in(self.values.seen(n, piece.order), hosts[0]))
        return Work(
            directory=self.plan.directory,
            step=piece.step,
            cells=piece.cells,
            values=str(self.folder),
            parcels=tuple(_parcels(wanted)),
            ambient=tuple(surroundings.values()),
            stale=stale,
            live=live - self.imported,
            own=frozenset(name for other in (*before, piece) for name in other.binds),
            sources=tuple(
                (c.count, c.source) for other in self.pieces[: piece.order] for c in other.cells if _defines(c)
            ),
            kept=tuple(self.kept),
            magics=tuple(line for other in before for line in other.magics),
            imports=tuple(statement for other in before for statement in other.imports),
            imported=self.imported,
            libraries=_isolation.stateful(self.pieces),
            names_indexes=self.names_indexes,
            keeps=piece.keeps,
        )

    def _watched(self, piece: Piece, step: Step | None, child: Child | FarChild, work: Work) -> Report | Failure:
        """Hear what the process says, until its report or its failure."""
        cells = {cell.position: cell for cell in piece.cells}
        current = piece.cells[0]
        clock = _Clock(self.plan.timeout, step.timeout if step is not None else None)
        try:
            for kind, *said in child.messages(work, clock.left):
                if kind == "began":
                    current = cells[said[0]]
                    clock.begin()
                    self.executed.begin(current)
                elif kind == "output":
                    self.executed.add(said[0], said[1])
                elif kind == "events":
                    self.heard.setdefault(piece.order, []).extend(said[0])
                    for line in said[0]:
                        self.publish(journal.decode(line))
                elif kind == "again":
                    self.executed.empty(said[0])
                    clock.wait(said[1])
                elif kind == "took":
                    clock.took(said[0])
                elif kind == "ended":
                    seconds = clock.end()
                    if said[1]:
                        return self._failed(piece, current, note=said[2])
                    self._cell_done(step, current.index, seconds, self.executed.cell(said[0]))
                elif kind == "refused":
                    return self._failure("keep", mask(said[0], self.secrets), piece, current.index)
                elif kind == "lost":
                    return self._failure("isolation", _isolation.lost(said[0]), piece, current.index)
                else:
                    return said[0]  # type: ignore[no-any-return]  # the report
        except TooLong:
            child.kill()
            return self._failure("timeout", f"it did not end in time (limit {clock.limit:g} s)", piece, current.index)
        except (EOFError, ConnectionError):
            if self.limit.is_over:
                return self.limit.failure(piece.step or None, current.index)
            message = f"the process died: {self.nursery.how_it_ended(child)}"
            return self._failure("kernel", message, piece, current.index)
        raise AssertionError("a process reports before it ends")

    def _cell_done(self, step: Step | None, index: int | None, seconds: float, cell: Any, *, reason: str = "") -> None:
        name = step.name if step is not None and index in step.cells else None
        if index is not None:
            self.publish(CellFinished(cell=index, seconds=seconds, step=name))
        if step is None or name is None:
            return
        self.seconds[name] += seconds
        self.printed[name] += stdout_of(cell)
        if index == step.cells[-1]:
            status: StepStatus = "skipped" if reason and name not in self.ran else "finished"
            why = reason if status == "skipped" else self.reasons.get(name, "every step runs, each in its own process")
            event = StepFinished(
                step=name, status=status, seconds=self.seconds[name], printed=self.printed[name], reason=why
            )
            self.publish(event)

    # -- what a piece left -------------------------------------------------------------------------------------------

    def _left(self, piece: Piece, report: Report, child: Child | FarChild) -> Failure | None:
        with self.lock:
            self.values.record(piece.order, report, child.number)
            self.under_way[piece.order].drew = frozenset(name for packed in report.ambient for name in packed.names)
            self.done.add(piece.order)
            if report.stays:
                owner = f"step {piece.step}" if piece.step else "the cells above"
                before = self.hosts.get(child.number)
                # what has no name is no value: everything that comes after may depend on it
                keeps = any(not kept.name for kept in report.stays)
                self.hosts[child.number] = _isolation.Host(
                    child, report, before.owner if before else owner, before.order if before else piece.order, keeps
                )
            failure = _isolation.outdated(piece, report, self.under_way, self.values)
        if not report.stays:
            self.hosts.pop(child.number, None)
            self.nursery.end(child)
        return failure

    # -- when it goes wrong ------------------------------------------------------------------------------------------

    def _failed(self, piece: Piece, current: Any, *, note: str = "") -> Failure:
        cell = self.executed.cell(current.position)
        role = self.plan.pipeline.roles[current.index] if current.index is not None else None
        shift = role.line_offset if role is not None and current.source.startswith("%%") else 0
        failure = failure_of(cell, piece.step or None, current.index, current.source, shift, self.secrets)
        if note:
            return dataclasses.replace(failure, message=f"{failure.message}; {mask(note, self.secrets)}")
        hidden = re.match(r"NameError: name '(\w+)' is not defined", failure.message)
        before = self.pieces[: piece.order]
        version = self.values.seen(hidden[1], piece.order) if hidden else None
        if hidden and any(hidden[1] in other.binds for other in before) and not (version and version.is_gone):
            return dataclasses.replace(failure, kind="isolation", message=_isolation.unseen_read(piece, hidden[1]))
        return failure

    def _failure(self, kind: Any, message: str, piece: Piece, index: int | None) -> Failure:
        return Failure(kind, message, piece.step or None, index)

    def _two_hosts(self, piece: Piece, hosts: list[int]) -> Failure:
        return self._failure("isolation", _isolation.two_hosts(piece, hosts, self.hosts), piece, piece.indexes[0])

    def _step_failed(self, step: Step | None, failure: Failure) -> None:
        if step is not None and step.name in self.seconds:
            cells = [cell for index in step.cells if (cell := self.executed.of_author(index)) is not None]
            printed = "".join(stdout_of(cell) for cell in cells)
            event = StepFinished(
                step=step.name,
                status="failed",
                seconds=self.seconds[step.name],
                printed=printed,
                reason=failure.message,
            )
            self.publish(event)


def _defines(cell: CellWork) -> bool:
    """Whether the cell may define something whose source a traceback shows later."""
    return not cell.is_test and any(word in cell.source for word in ("def ", "class ", "lambda"))


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


def _in_jupyter() -> bool:
    """Whether a kernel called us: signals are its affair."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None


@contextlib.contextmanager
def _interrupting() -> Iterator[list[str]]:
    """Meanwhile SIGINT and SIGTERM raise KeyboardInterrupt here; the list then holds the signal's name."""
    names: list[str] = []

    def end(number: int, _: Any) -> None:
        names.append(signal.Signals(number).name)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread() or _in_jupyter():
        yield names
        return
    before = {number: signal.signal(number, end) for number in SIGNALS}
    try:
        yield names
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
