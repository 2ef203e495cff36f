"""The engine's hand inside the kernel: one `Probe` a run, asked before and after the cells of each step.

The engine evaluates `nb2prod.kernel.probe.ask(...)` beside the notebook's cells. Nothing is bound in the notebook's
namespace, and every answer is one line of JSON: the events that happened, or what could not be kept.
"""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from nb2prod.core.errors import BadParameter
from nb2prod.core.events import ArtifactKept, Event, ParametersComputed, ResourcesUsed, StepRetried, TestFinished
from nb2prod.core.pipeline import Plan
from nb2prod.core.result import TestResult
from nb2prod.kernel import ambient, boundary, checkpoint, hold, tracked_call, usage
from nb2prod.kernel.keep import Keeper, undisturbed
from nb2prod.kernel.keepable import CannotKeep
from nb2prod.language.parameter_types import source_of
from nb2prod.language.plain import plain as plain_cell
from nb2prod.storage import codec, journal

PLAN = "plan.json"
LONGEST_WAIT = 60.0  # seconds between one try and the next


class Probe:
    """What the kernel must know of the run: the plan, and the keeper of the steps' values."""

    def __init__(self, directory: Path, namespace: MutableMapping[str, Any]) -> None:
        self.directory = directory
        self.namespace = namespace
        self.plan: Plan = codec.build(Plan, json.loads((directory / PLAN).read_text(encoding="utf-8")))
        self.keeper = Keeper(self.plan.pipeline, directory)
        self.own = frozenset(namespace)  # what is not the notebook's
        self.results: list[TestResult] = []
        self.parameters_told = False
        self.meter: usage.Meter | None = None
        self.held: hold.Held | None = None
        self.points: checkpoint.Points | None = None

    def enter(self, step: str, cell: int | None, environment: Mapping[str, str], *, first: bool) -> list[Event]:
        """Before a cell of `step` (empty: before the cells of none that follow)."""
        role = self.plan.pipeline.roles[cell] if cell is not None else None
        tracked_call.end()
        tracked_call.begin(environment, role.body if role is not None else "")
        events = [*self._computed(), *self.keeper.before(step, self.namespace)] if first else []
        self.held = self._held(step, cell)
        self.meter = usage.Meter() if step else None
        return events

    def _held(self, step: str, cell: int | None) -> hold.Held | None:
        """What the cell may change, when it is to be tried again after an error."""
        if not step or cell is None or not self.plan.pipeline.step(step).retries:
            return None
        return hold.Held(self.namespace, *hold.names_of(self.plan.pipeline, cell))

    def again(self, step: str, cell: int, attempt: int, message: str) -> list[StepRetried]:
        """After a cell failed: put back what it changed and say that it is tried again; nothing when it is not to be.

        Raises CannotKeep when something that it uses cannot be put back.
        """
        wanted = self.plan.pipeline.step(step)
        error = getattr(sys, "last_type", None)
        if self.held is None or attempt > wanted.retries or not hold.is_declared(error, wanted.retry_on):
            return []
        if self.held.kept is not None:
            kept = self.held.kept
            raise CannotKeep(kept.name, f"not tried again: `{kept.path}` is {kept.reason}, as it was it is gone")
        self.held.put_back()
        tracked_call.end()
        wait = min(LONGEST_WAIT, float(self.plan.options.get("backoff", 1.0)) * 2 ** (attempt - 1))
        return [StepRetried(step=step, cell=cell, attempt=attempt, limit=wanted.retries, wait=wait, message=message)]

    def _computed(self) -> list[Event]:
        """Once, before the first step: the values of the parameters that the plan could not know."""
        if self.parameters_told:
            return []
        self.parameters_told = True
        pending = [p.name for p in self.plan.pipeline.parameters if p.computed and p.name not in self.plan.parameters]
        values = {name: codec.plain(self.namespace[name]) for name in pending if _is_plain(self.namespace.get(name))}
        return [ParametersComputed(values=values)] if values else []

    def leave(self, step: str, *, last: bool) -> list[Event]:
        """After a cell of `step`. Raises CannotKeep when a tagged value is not there, or not usable."""
        tracked_call.end()
        used = self._used(step)
        return [*used, *self.keeper.after(step, self.namespace)] if last else used

    def _used(self, step: str) -> list[Event]:
        """What the cell took of the machine: said before its values are looked at, which takes something too."""
        meter, self.meter = self.meter, None
        if meter is None:
            return []
        cpu, memory = meter.read()
        return [ResourcesUsed(step=step, cpu=round(cpu, 3), memory=memory)]

    def test(self, cell: int) -> Any:
        """Run a test cell on the notebook's values as they are now; the returned object shows the results."""
        from nb2prod.kernel import cell_tests  # loads pytest, which a notebook without tests does not need

        role = self.plan.pipeline.roles[cell]
        assert role is not None
        self.results = cell_tests.run_tests(
            plain_cell(role.body).source,
            self.namespace,
            cell=cell,
            step=role.name or None,
            line_offset=role.line_offset,
            notebook=self.plan.pipeline.notebook.path,
            folder=self.plan.pipeline.notebook.folder,
        )
        return cell_tests.show(self.results)

    def boundary(self, position: int) -> list[Event]:
        """After the cell at `position`: note what another run, with which this one is compared, has noted there."""
        boundary.follow(self.plan, position, self.namespace)
        return []

    def watched(self) -> list[Event]:
        """Before the first cell of a run that takes resume points, or goes on from one."""
        from IPython.core.getipython import get_ipython

        self.points = checkpoint.Points(self.namespace, get_ipython())
        return []

    def point(self, wanted: Mapping[str, Any]) -> list[Event]:
        """At the end of a step: begin to write a resume point."""
        assert self.points is not None
        with undisturbed():
            self.points.take(checkpoint.Wanted(**wanted))
        return []

    def put_back(self, wanted: Mapping[str, Any], kept: Sequence[str], *, told: bool) -> list[Event]:
        """Instead of the cells up to a point: their values, and the model and example that they kept."""
        assert self.points is not None
        try:
            self.points.put(checkpoint.Wanted(**wanted))
        except checkpoint.CannotPutBack as error:
            raise CannotKeep("", str(error)) from error
        self.parameters_told = told
        events = [journal.decode(line) for line in kept]
        self.keeper.recall([event.artifact for event in events if isinstance(event, ArtifactKept)])
        return []

    def settled(self, seconds: float) -> list[Event]:
        """At the end of the run: the last point is written."""
        if self.points is not None:
            self.points.settle(seconds)
        return []

    def several(self, questions: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Event]:
        """Questions one after the other: to ask each by itself takes as long as a small cell."""
        events: list[Event] = []
        try:
            for question, what in questions:
                events.extend(getattr(self, question)(**what))
        except CannotKeep as refused:
            refused.events = (*events, *refused.events)
            raise
        return events

    def every_name(self, position: int, step: str) -> list[Event]:
        """After the cell at `position`: note all that the notebook has bound, for the run that this one is compared to.

        What the step was to make counts even when it is not there.
        """
        made = boundary.promised(self.plan, step)
        bound = {
            name
            for name, value in self.namespace.items()
            if name not in self.own and not name.startswith("_") and not isinstance(value, types.ModuleType)
        }
        boundary.write(self.plan, position, step, self.namespace, bound | made | ambient.RANDOM, made)
        return []

    def tested(self) -> list[Event]:
        events: list[Event] = [TestFinished(test=result) for result in self.results]
        self.results = []
        return events


def _is_plain(value: Any) -> bool:
    """Whether a value is one that a parameter may have, so that its text is its value."""
    try:
        source_of(value)
    except BadParameter:
        return False
    return value is not None


_probes: dict[str, Probe] = {}


def start(directory: str) -> Answer:
    """Begin: read the plan, and load our magics, which the notebook may use without saying so. Returns JSON."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    _probes[directory] = Probe(Path(directory), shell.user_ns)
    shell.extension_manager.load_extension("nb2prod")
    return answer([])


def adopt(directory: str, probe: Probe) -> None:
    """In a process without a kernel: the probe was made by who runs the cells."""
    _probes[directory] = probe


def ask(directory: str, question: str, **what: Any) -> Answer:
    """`enter`, `leave` or `tested`, as JSON: {"events": [line, …], "refused": null or {"name", "message"}}."""
    try:
        return answer(getattr(_probes[directory], question)(**what))
    except CannotKeep as refused:
        kept = [journal.encode(event) for event in refused.events]
        return Answer(json.dumps({"events": kept, "refused": {"name": refused.name, "message": refused.message}}))


def running() -> Plan | None:
    """The plan of the run that this kernel works for; None in a kernel where a person works."""
    return next((probe.plan for probe in reversed(_probes.values())), None)


def test(directory: str, cell: int) -> Any:
    return _probes[directory].test(cell)


def answer(events: Sequence[Event]) -> Answer:
    return Answer(json.dumps({"events": [journal.encode(event) for event in events], "refused": None}))


class Answer:
    """One line of JSON that IPython shows as it is, whatever the notebook has told it about texts."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return repr(self.text)
