"""Walks through a notebook's cells, tells where steps begin and end, and says how a run failed.

Where the cells run, a `Place` says: a kernel (`_kernel`), or a process without one (`_inprocess_child`). All that a run
promises is said here once: events, time limits, masked secrets, the executed notebook, one failure.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from nb2prod.core.errors import WorkerLost
from nb2prod.core.events import CellFinished, Event, KernelStarted, StepFinished, StepRetried, StepStarted
from nb2prod.core.pipeline import Plan, Step
from nb2prod.core.ports import Environment, Publish
from nb2prod.core.result import Failure
from nb2prod.engines import _resume
from nb2prod.engines._executed import Executed
from nb2prod.engines._kernel import PROBE, CannotStart, CellFailed, Died, Hear
from nb2prod.engines._outputs import Refused, event_without_secrets, failure_of, mask, stdout_of, written_forms
from nb2prod.engines._step_processes import TooLong
from nb2prod.engines._time_limit import TimeLimit
from nb2prod.engines._times import Record, Times
from nb2prod.kernel import boundary
from nb2prod.storage import journal

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Place(Protocol):
    """Where cells run. It was started when it was made; `ready` waits until it answers."""

    name: str

    def ready(self) -> None: ...

    def ask(self, question: str, what: Mapping[str, Any]) -> str: ...

    def ask_beside(self, question: str, what: Mapping[str, Any], hear: Callable[[str], object]) -> None: ...

    def run(self, source: str, *, count: int, limit: float | None, may_fail: bool, hear: Hear) -> None: ...

    @property
    def metadata(self) -> Mapping[str, Any]: ...

    def kill(self) -> None: ...

    def leave(self) -> None: ...

    def close(self) -> None: ...


@dataclass(slots=True)
class Running:
    """One run under way: what it was given, and the failure it came to (an engine of papermill returns nothing)."""

    plan: Plan
    publish: Publish
    environment: Environment
    output: Path | None = None  # None: papermill saves the executed notebook
    failure: Failure | None = None


class StepClient:
    """Sends cells, tells where steps begin and end, and asks the place what they made."""

    def __init__(self, node: Any, running: Running, place: Place, record: Record | None = None) -> None:
        self.nb = node
        self.running = running
        self.plan = running.plan
        self.place = place
        self.record: Record = record or Times(node)
        self.compared = boundary.wanted(running.plan)
        secret = {parameter.name for parameter in self.plan.pipeline.parameters if parameter.secret}
        self.secrets = written_forms(value for name, value in self.plan.given.items() if name in secret)
        self.executed = Executed(node, running.output, self.secrets)
        self.seconds: dict[str, float] = {}
        self.printed: dict[str, str] = {}
        self.sent = ""  # what was sent for the last cell
        self.shift = 0  # lines at the top of the cell that were not sent
        self.count = 0
        self.entered: str | None = None
        self.surroundings: Mapping[str, str] = {}
        self.joined = frozenset(_joined(self.plan))
        self.later: list[tuple[str, dict[str, Any]]] = []  # questions that can wait for the next one
        self.step: Step | None = None
        self.interrupted = ""
        self.stopping = threading.Event()  # set when somebody interrupts the run, or its time is over
        self.untried = ""  # why a cell that failed was not tried again
        self.started = time.monotonic()
        self.points = _resume.points_of(running.plan, node, running)
        self.limit = TimeLimit(running.plan.time_limit, self._stop)

    def execute(self) -> None:
        """Run all cells, and leave the failure, if any, in `running`. The place has ended afterwards."""
        try:
            with self._watching_signals():
                try:
                    with self.limit:
                        self._began()
                        self._cells()
                    _resume.settled(self)
                    self.place.leave()
                except (CannotStart, Died, WorkerLost) as error:
                    self.running.failure = self._not_started(error)
        finally:
            self.end()

    def _began(self) -> None:
        self.place.ready()
        _resume.place_ready(self)
        self.running.publish(KernelStarted(kernel=self.place.name, seconds=time.monotonic() - self.started))

    def _not_started(self, error: Exception) -> Failure:
        if self.interrupted:
            return Failure("interrupted", f"ended by {self.interrupted}")
        if self.limit.is_over:
            return self.limit.failure()
        if isinstance(error, WorkerLost):
            raise error
        return Failure("start", f"the kernel did not start: {error}")

    def _cells(self) -> None:
        for position, cell in enumerate(self.nb.cells):
            if self.running.failure is not None:
                break
            if self.points is None or position > self.points.start:
                self._cell(cell, position)
                _resume.cell_done(self, position)

    def _cell(self, cell: Any, position: int) -> None:
        index = cell.metadata.get("nb2prod", {}).get("cell")
        role = self.plan.pipeline.roles[index] if index is not None else None
        kind = role.kind if role else ""
        if cell.cell_type != "code" or (index is not None and not _runs(self.plan, index)):
            return
        self.step = next((step for step in self.plan.pipeline.steps if index in step.cells), None)
        began = time.monotonic()
        try:
            self._enter(index)
            self.record.cell_start(cell, position)
            self.executed.changed(position)
            if kind == "test":
                self._run_as(cell, position, f"{PROBE}.test({self.plan.directory!r}, {index})")
                self._ask("tested")
            else:
                self.sent, self.shift = _body(cell.source, 0) if role is None else _body(role.body, role.line_offset)
                self._tried(cell, position, index)
            self._finish(index, time.monotonic() - began, cell)
            if self.compared is not None:
                self._compare(self.compared, position, index)
        except (CellFailed, TooLong, Died, Refused) as error:
            self._failed(error, cell, position, index, time.monotonic() - began)
        finally:
            self.record.cell_complete(cell, cell_index=position)
            self.executed.changed(position)
            if self.step is not None and index == self.step.cells[-1]:
                self.executed.save_soon()

    def _tried(self, cell: Any, position: int, index: int | None) -> None:
        """Run the cell, after a failure again as often as its step says."""
        for attempt in itertools.count(1):
            try:
                self._run_as(cell, position, self.sent)
            except CellFailed:
                if self.step is None or not self.step.retries or not self._again(self.step, cell, index, attempt):
                    raise
                self.executed.empty(position)
            else:
                return

    def _again(self, step: Step, cell: Any, index: int | None, attempt: int) -> bool:
        """Wait until the cell is to be tried again, with everything put back as it was. False: it is not to be."""
        message = failure_of(cell, step.name, index, self.sent, self.shift, self.secrets).message
        try:
            answered = self._ask("again", step=step.name, cell=index, attempt=attempt, message=message)
        except Refused as refused:
            self.untried = str(refused)
            return False
        retried = next((event for event in answered if isinstance(event, StepRetried)), None)
        if retried is None or self.stopping.wait(retried.wait):
            return False
        what = {"step": step.name, "cell": index, "environment": dict(self.surroundings), "first": False}
        self._ask("enter", **what)
        return True

    def _run_as(self, cell: Any, position: int, source: str) -> None:
        """Run `source` in the place of the cell's own, which the executed notebook keeps."""
        tags = cell.metadata.get("tags", ())
        if not source.strip() or "skip-execution" in tags:
            return
        self.count += 1

        def hear(said: Mapping[str, Any]) -> None:
            if said["output_type"] == "execute_input":
                self.executed.count(position, said["execution_count"])
            else:
                self.executed.add(position, said)
            self.record.autosave_cell()

        may_fail = "raises-exception" in tags
        self.place.run(source, count=self.count, limit=self._seconds_left(), may_fail=may_fail, hear=hear)

    def _enter(self, index: int | None) -> None:
        name = self.step.name if self.step else ""
        first = self.step is not None and index == self.step.cells[0]
        if self.step is not None and first:
            self.seconds[name] = 0.0
            self.printed[name] = ""
            self.running.publish(StepStarted(step=name, parameters=self.step.parameters))
        if first or name != self.entered:
            environment = dict(self.running.environment(name))
            if self.step is not None or environment or self.surroundings or self.later:
                what = {"step": name, "cell": index, "environment": environment, "first": first}
                self.place.ask_beside("several", {"questions": [*self.later, ("enter", what)]}, self._answered)
                self.later = []
            self.entered, self.surroundings = name, environment

    def _finish(self, index: int | None, seconds: float, cell: Any) -> None:
        if self.step is None:
            if index is not None:
                self.running.publish(CellFinished(cell=index, seconds=seconds))
            return
        name = self.step.name
        last = index == self.step.cells[-1]
        self.seconds[name] += seconds
        self.printed[name] += stdout_of(cell)
        if last:
            self._ask("leave", step=name, last=last)
            self.entered = None
        elif index not in self.joined or self.surroundings or self.step.retries:
            self.later.append(("leave", {"step": name, "last": last}))
            self.entered = None
        self.running.publish(CellFinished(cell=int(index or 0), seconds=seconds, step=name))
        if last:
            self.running.publish(
                StepFinished(
                    step=name,
                    status="finished",
                    seconds=self.seconds[name],
                    printed=self.printed[name],
                    reason="the engine runs the whole notebook",
                )
            )

    def _compare(self, asked: boundary.Wanted, position: int, index: int | None) -> None:
        """Note values for a comparison: what the other run has noted here, or, in the first of two, every step's."""
        if asked.like or asked.watch:
            if boundary.is_due(asked, position):
                self._ask("boundary", position=position)
        elif self.step is not None and index == self.step.cells[-1]:
            self._ask("every_name", position=position, step=self.step.name)

    # -- asking the place --------------------------------------------------------------------------------------------

    def _ask(self, question: str, **what: Any) -> list[Event]:
        """Publish what the probe answers, and return it. Raises Refused when a tagged value cannot be kept."""
        if self.later:
            question, what = "several", {"questions": [*self.later, (question, what)]}
            self.later = []
        return self._answered(self.place.ask(question, what))

    def _answered(self, text: str) -> list[Event]:
        answer = json.loads(text)
        events = [event_without_secrets(journal.decode(line), self.secrets) for line in answer["events"]]
        for event in events:
            self.running.publish(event)
        if answer["refused"]:
            raise Refused(mask(answer["refused"]["message"], self.secrets))
        return events

    # -- when it goes wrong ------------------------------------------------------------------------------------------

    def _seconds_left(self) -> float | None:
        """The time the next cell may take: what is left of its step's `timeout:`, else the run's limit for a cell."""
        if self.step is not None and self.step.timeout is not None:
            return max(0.01, self.step.timeout - self.seconds.get(self.step.name, 0.0))
        return self.plan.timeout

    def _failed(self, error: Exception, cell: Any, position: int, index: int | None, seconds: float) -> None:
        name = self.step.name if self.step else None
        failure = self._failure(error, cell, index)
        self.running.failure = failure
        self.record.cell_exception(cell, cell_index=position)
        if name is not None and name in self.seconds:
            self.running.publish(
                StepFinished(
                    step=name,
                    status="failed",
                    seconds=self.seconds[name] + seconds,
                    printed=self.printed[name] + stdout_of(cell),
                    reason=failure.message,
                )
            )

    def _failure(self, error: Exception, cell: Any, index: int | None) -> Failure:
        step = self.step.name if self.step else None
        if self.interrupted:
            return Failure("interrupted", f"ended by {self.interrupted}", step, index)
        if self.limit.is_over:
            return self.limit.failure(step, index)
        if isinstance(error, TooLong):
            self.place.kill()
            return Failure("timeout", f"it did not end in time (limit {self._seconds_left():g} s)", step, index)
        if isinstance(error, Died):
            return Failure("kernel", f"the kernel died: {error}", step, index)
        if isinstance(error, Refused):
            return Failure("keep", str(error), step, index)
        failure = failure_of(cell, step, index, self.sent, self.shift, self.secrets)
        untried, self.untried = self.untried, ""
        return dataclasses.replace(failure, message=f"{failure.message}; {untried}") if untried else failure

    @contextlib.contextmanager
    def _watching_signals(self) -> Iterator[None]:
        """Meanwhile SIGINT and SIGTERM end the place at once, and the failure says who asked."""
        if threading.current_thread() is not threading.main_thread() or _in_jupyter():
            yield  # the caller handles signals
            return
        before = {number: signal.signal(number, self._interrupt) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _interrupt(self, number: int, _: Any) -> None:
        self.interrupted = signal.Signals(number).name
        self._stop()

    def _stop(self) -> None:
        """Nothing goes on: no cell, no wait for the next try."""
        self.stopping.set()
        self.place.kill()

    def end(self) -> None:
        """After the run, however it went: what the notebook left running ends with it, and the notebook is saved."""
        self.place.close()
        self.nb.metadata.update(self.place.metadata)
        if isinstance(self.record, Times):
            self.record.complete()
        self.executed.save()


def _runs(plan: Plan, index: int) -> bool:
    role = plan.pipeline.roles[index]
    kind = role.kind if role else ""
    return kind != "skip" and not (plan.only_steps and kind == "exploration")


def _joined(plan: Plan) -> Iterator[int]:
    """Cells after which the next to run is of the same step: nothing has to be asked between the two."""
    running = [cell for cell, role in enumerate(plan.pipeline.roles) if role is not None and _runs(plan, cell)]
    step_of = {cell: step.name for step in plan.pipeline.steps for cell in step.cells}
    for cell, following in itertools.pairwise(running):
        if cell in step_of and step_of[cell] == step_of.get(following):
            yield cell


def _in_jupyter() -> bool:
    """Whether a kernel called us: signals are its affair."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None


def _body(source: str, offset: int) -> tuple[str, int]:
    """What is sent for a cell, and how many lines lower the author sees it.

    IPython drops empty lines at the top: comments hold their place, and that of our magic. A magic of another kind has
    to stand first.
    """
    text = source.lstrip("\n")
    above = offset + len(source) - len(text)
    return (text, above) if text.lstrip().startswith("%%") else ("#\n" * above + text, 0)
