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
import dataclasses
import functools
import os
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nb2prod.core.errors import StoreError
from nb2prod.core.events import ArtifactKept, Event, KernelStarted
from nb2prod.core.pipeline import Plan, Step
from nb2prod.core.ports import Away, Engine, Environment, ExecutorPlugin, Publish
from nb2prod.core.result import Failure, Foreseen
from nb2prod.engines import _isolation
from nb2prod.engines._cache import Cache, cache_of
from nb2prod.engines._executed import Executed
from nb2prod.engines._foreseeing import Foreseeing
from nb2prod.engines._interpreter import kernel_and_python
from nb2prod.engines._interruption import interrupting
from nb2prod.engines._keeping import Left
from nb2prod.engines._listening import Audience, Hearing
from nb2prod.engines._looked import Looked
from nb2prod.engines._outputs import event_without_secrets, written_forms
from nb2prod.engines._pieces import Piece, pieces_of
from nb2prod.engines._prepared import prepared, secrets_of, variable
from nb2prod.engines._run_state import NOWHERE, RunState
from nb2prod.engines._step_processes import LateNursery, Nursery, with_hash_seed
from nb2prod.engines._step_reports import StepReports
from nb2prod.engines._time_limit import TimeLimit
from nb2prod.engines._values import Version
from nb2prod.kernel.step_work import Report, Work
from nb2prod.storage import journal, scratch

if TYPE_CHECKING:
    from nb2prod.engines._isolation import Process

ISOLATED = True  # findings that speak of isolated steps refuse a run


def run(plan: Plan, publish: Publish, environment: Environment) -> Failure | None:
    """One step at a time. Raises StoreError when the kernel is not installed, WorkerLost when it cannot start."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as pool:
        return _Run(plan, publish, environment).go(pool)


def on(executor: ExecutorPlugin) -> Engine:
    """This engine with its pieces where `executor` runs them."""
    return _On(executor)


def foresee(plan: Plan) -> tuple[Foreseen, ...]:
    """Of each step whether a run would take it from the store, or why it would run. Nothing runs."""
    pieces = pieces_of(plan.pipeline, prepared(plan))
    _, python = kernel_and_python(plan)
    cache = cache_of(plan, pieces, python, _variables(plan))
    assert cache is not None
    return Foreseeing(RunState(plan, pieces), cache).steps()


@dataclasses.dataclass(frozen=True, slots=True)
class _On:
    executor: ExecutorPlugin
    ISOLATED: bool = True

    def run(self, plan: Plan, publish: Publish, environment: Environment) -> Failure | None:
        with self.executor.open() as pool:
            return _Run(plan, publish, environment).go(pool)


def _variables(plan: Plan) -> dict[str, str]:
    """The environment that the steps' processes begin with."""
    return {
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        **os.environ,
        **{variable(name): value for name, value in secrets_of(plan).items()},
    }


class _Run:
    """One run: which pieces run when, in which processes, and what becomes of what they leave."""

    def __init__(self, plan: Plan, publish: Publish, environment: Environment) -> None:
        self.plan = plan
        self.environment = environment
        self._publish = publish
        self.lock = threading.RLock()
        secret = {parameter.name for parameter in plan.pipeline.parameters if parameter.secret}
        self.secrets = written_forms(value for name, value in plan.given.items() if name in secret)
        notebook = prepared(plan)
        self.state = RunState(plan, pieces_of(plan.pipeline, notebook))
        self.executed = Executed(notebook, Path(plan.output), self.secrets)
        self.reports = StepReports(self.publish, self.lock)
        self.cache: Cache | None = None
        self.is_away = False
        self.limit = TimeLimit(plan.time_limit, self._kill_all)

    # -- the run as a whole ------------------------------------------------------------------------------------------

    def go(self, pool: concurrent.futures.Executor) -> Failure | None:
        """Run all pieces. An interruption ends every process and is a failure."""
        away: Away | None = getattr(pool, "away", None)
        with tempfile.TemporaryDirectory(prefix=scratch.prefix()) as values, interrupting() as interrupted:
            self._prepare(away, Path(values))
            try:
                with self.limit:
                    failure = self._all(pool)
                for host in self.state.hosts.values():
                    self.nursery.end(host.child)
            except KeyboardInterrupt:
                failure = Failure("interrupted", f"ended by {interrupted[0] if interrupted else 'SIGINT'}")
            finally:
                self.nursery.close()
                self.executed.save()
                if self.cache is not None:
                    self.cache.close()
        return failure

    def _prepare(self, away: Away | None, folder: Path) -> None:
        """The cache, and where processes come from; `folder` is for parcels."""
        kernel, python = kernel_and_python(self.plan)
        environment = _variables(self.plan)
        self.is_away = away is not None
        self.state.folder = folder
        if away is None or getattr(away, "is_own", False):
            self.cache = cache_of(self.plan, self.state.pieces, python, environment, is_away=self.is_away)
        self.nursery = LateNursery(functools.partial(self._nursery, away, kernel, python, environment))
        self.audience = Audience(
            self.state,
            self.executed,
            self.reports,
            self.publish,
            self.limit,
            self.secrets,
            self.nursery.how_it_ended,
        )

    def _nursery(self, away: Away | None, kernel: str, python: str, environment: Mapping[str, str]) -> Any:
        """Where processes come from: a `Nursery`, or what is like one on a cluster."""
        started = time.monotonic()
        pieces = self.state.pieces
        preload = _isolation.preload(pieces)
        if away is None:
            made: Any = Nursery(python, self.plan.pipeline.notebook.folder, with_hash_seed(environment), preload)
        else:
            from nb2prod.engines._remote import far_nursery

            made = far_nursery(away, self.plan, self.state.folder, python, secrets_of(self.plan), pieces, preload)
        self.publish(KernelStarted(kernel=kernel, seconds=time.monotonic() - started))
        return made

    def _all(self, pool: concurrent.futures.Executor) -> Failure | None:
        waiting = list(self.state.pieces)
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
            return self.state.may_begin(piece)

    def publish(self, event: Event) -> None:
        with self.lock:
            if isinstance(event, ArtifactKept):
                self.state.kept.append(journal.encode(event))
            self._publish(event_without_secrets(event, self.secrets))

    # -- one piece ---------------------------------------------------------------------------------------------------

    def _piece(self, piece: Piece) -> Failure | None:
        step = self.state.step_of(piece)
        with self.lock:
            wanted = self.state.wanted(piece)
            hosts = self.state.hosts_for(piece, wanted)
            if len(hosts) > 1:
                message = _isolation.two_hosts(piece, hosts, self.state.hosts)
                return Failure("isolation", message, piece.step or None, piece.indexes[0])
            work = self.state.begin(piece, wanted, hosts)
            looked = self._looked(piece, work, wanted, bool(hosts))
        if step is not None and step.cells[0] in piece.indexes:
            self.reports.open(step)
        if looked is not None and looked.entry is not None and self._taken(piece, step, looked):
            return None
        if step is not None:
            self.reports.begun(step, looked.reason if looked is not None else "")
        return self._in_process(piece, step, self._process(step, hosts), self._to_run(piece, work, looked), looked)

    def _process(self, step: Step | None, hosts: list[int]) -> Process:
        """A fresh process, or the one that keeps what the piece needs."""
        host = self.state.hosts[hosts[0]] if hosts else None
        child: Process = host.child if host is not None else self.nursery.child()
        if self.limit.is_over:
            child.kill()  # it was made too late to be ended with the others
        if host is not None and step is not None:
            reason = f"runs in the process of {host.owner}: {_isolation.said(host.report.stays[0])}"
            self.reports.explain(step.name, reason)
        return child

    def _in_process(
        self, piece: Piece, step: Step | None, child: Process, work: Work, looked: Looked | None
    ) -> Failure | None:
        hearing = Hearing(self.audience, piece)
        outcome = self._outcome(hearing, child, work)
        if isinstance(outcome, Failure):
            if self.cache is not None and looked is not None:
                self.cache.failed(looked)
            self.reports.failed(step, outcome, self._cells_of(step))
            return outcome
        failure = self._left(piece, outcome, child)
        if failure is None and self.cache is not None and looked is not None:
            took = (time.time_ns() - looked.began) / 1e9
            self.cache.keep(looked, Left(outcome, tuple(hearing.lines), lambda: self._outputs(piece), took))
        return failure

    def _outcome(self, hearing: Hearing, child: Process, work: Work) -> Report | Failure:
        try:
            outcome = hearing.outcome(child, work)
            if self.is_away:
                from nb2prod.engines._remote import told

                outcome = told(outcome, child)
        finally:
            self.executed.save()
        return outcome

    def _left(self, piece: Piece, report: Report, child: Process) -> Failure | None:
        """Remember what the piece left; its process ends, or is kept."""
        with self.lock:
            self.state.record(piece, report, child.number)
            if report.stays:
                self.state.keep(piece, report, child)
            failure = _isolation.outdated(piece, report, self.state.under_way, self.state.values)
        if not report.stays:
            self.state.hosts.pop(child.number, None)
            self.nursery.end(child)
        return failure

    def _cells_of(self, step: Step | None) -> Iterator[Any]:
        for index in step.cells if step is not None else ():
            cell = self.executed.of_author(index)
            if cell is not None:
                yield cell

    def _outputs(self, piece: Piece) -> list[list[Any]]:
        return [list(self.executed.cell(cell.position).outputs) for cell in piece.cells]

    # -- what an earlier run has left ------------------------------------------------------------------------------

    def _looked(self, piece: Piece, work: Work, wanted: Mapping[str, Version], hosted: bool) -> Looked | None:
        if self.cache is None:
            return None
        return self.cache.look(piece, work, wanted, self.state.under_way[piece.order].surroundings, hosted)

    def _taken(self, piece: Piece, step: Step | None, looked: Looked) -> bool:
        """Put back what the piece left in an earlier run; False when that turns out not to be readable."""
        assert self.cache is not None
        try:
            report, events, outputs = self.cache.restored(looked)
        except StoreError as error:
            self.reports.explain(piece.step, f"what the store kept of it cannot be read: {error.what}")
            return False
        for event in events:
            self.publish(event)
        for cell, shown in zip(piece.cells, outputs, strict=True):
            self.executed.put(cell, shown)
            self.reports.cell_done(step, cell.index, 0.0, self.executed.cell(cell.position), taken=looked.reason)
        with self.lock:
            self.state.record(piece, report, NOWHERE)
        return True

    def _to_run(self, piece: Piece, work: Work, looked: Looked | None) -> Work:
        environment = dict(self.environment(piece.step))
        if self.cache is None:
            return dataclasses.replace(work, environment=environment)
        private = self.state.folder
        folder = private if self.is_away else self.cache.values(looked, private)
        return dataclasses.replace(work, environment=environment, values=str(folder), watched=True)
