"""Resume points, seen from the engine: when one is taken, what the kernel is told for it, and how a run goes on.

At the end of each step the engine writes a page (what happened since the last point: events, outputs), and asks the
kernel for its values (`kernel.checkpoint`), which are written while the next cell runs. A point costs some
milliseconds; when many small steps would make that count (more than a twentieth of the run), some go without.

A run that goes on begins with a new kernel in which the values are put back: its cells up to the point keep the
outputs that they had.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from nb2prod.core.errors import Nb2prodError, StoreError
from nb2prod.core.events import ArtifactKept, Event, KernelStarted, ParametersComputed, StepFinished, StepStarted
from nb2prod.core.pipeline import Plan
from nb2prod.core.ports import Publish
from nb2prod.engines._executed import Executed
from nb2prod.engines._kernel import Died
from nb2prod.engines._outputs import Refused
from nb2prod.engines._point_code import running_cells, wanted_at
from nb2prod.kernel.checkpoint import Wanted
from nb2prod.storage import journal, points, step_entries
from nb2prod.storage.store import LocalStore, Store, open_store

OPTION = "checkpoints"  # {"store": where}: points are taken
RESUME = "resume"  # {"store": where, "run": whose points, "position": in that run, "cells": {position: position now}}
FREE = 0.25  # seconds that points may take in any case …
SHARE = 0.05  # … and the share of the run's time that they may take beyond
SETTLE = 120.0  # seconds that the end of a run waits for the last point to be written
_log = logging.getLogger("nb2prod.resume")


class Points:
    """The points of one run under way; without a store none are taken, and the run may still go on from one."""

    def __init__(self, plan: Plan, notebook: Any, publish: Publish) -> None:
        self.plan = plan
        self.notebook = notebook
        self._publish = publish
        self.where = str(plan.options.get(OPTION, {}).get("store", ""))
        self.resumed = resumed_of(plan)
        self.start = self.resumed.position if self.resumed is not None else -1  # the cells up to here are done
        self.cells = list(running_cells(plan, notebook))
        self.lines: list[str] = []  # events since the last page
        self.pages: list[str] = []
        self.open: set[str] = set()  # steps that have begun and not ended
        self.told = -1  # position of the last cell that a page has
        self.spent = 0.0
        self.began = time.monotonic()

    def publish(self, event: Event) -> None:
        if isinstance(event, StepStarted):
            self.open.add(event.step)
        elif isinstance(event, StepFinished):
            self.open.discard(event.step)
        if not isinstance(event, KernelStarted):
            self.lines.append(journal.encode(event))
        self._publish(event)

    def ends_a_step(self, position: int) -> bool:
        index = self.author(position)
        return any(step.cells[-1] == index for step in self.plan.pipeline.steps)

    def author(self, position: int) -> int | None:
        """The number of a cell in the author's notebook."""
        number: int | None = self.notebook.cells[position].metadata.get("nb2prod", {}).get("cell")
        return number

    def wanted(self, position: int, displays: Mapping[str, Any], count: int, lost: str) -> Wanted | None:
        """What to ask the kernel for after the cell at `position`; None when there is to be no point."""
        later = [cell for cell in self.cells if cell.position > position]
        affordable = self.spent <= FREE + SHARE * (time.monotonic() - self.began)
        if not self.where or self.open or not later or not affordable:
            return None
        page = points.Page(tuple(self.lines), tuple(self._ran(position, displays)), displays)
        self.pages.append(points.put_page(open_store(self.where), page))
        self.lines, self.told = [], position
        wanted = wanted_at(self.plan, self.cells, position, self.notebook)
        refused = lost or wanted.refused
        return dataclasses.replace(wanted, store=self.where, pages=tuple(self.pages), count=count, refused=refused)

    def _ran(self, position: int, displays: Mapping[str, Any]) -> Iterator[points.RanCell]:
        """The cells since the last page, and earlier ones whose output may have been updated."""
        shown = {int(place) for places in displays.values() for place in places}
        for cell in self.cells:
            if cell.position <= position and (cell.position > self.told or cell.position in shown):
                made = self.notebook.cells[cell.position]
                told = made.metadata.get("papermill", {})
                count = made.get("execution_count")
                outputs = tuple(made.get("outputs", ()))
                yield points.RanCell(cell.position, cell.index, cell.code, count, outputs, told)


@dataclasses.dataclass(frozen=True, slots=True)
class Resumed:
    """The point that a run goes on from, and what happened before it; `position` is that of its last cell here."""

    store: str
    run: str
    point: points.Point
    position: int
    cells: Mapping[int, int]
    story: points.Story


def resumed_of(plan: Plan) -> Resumed | None:
    """Where the plan goes on; None when it begins at the beginning. Raises StoreError when content is missing."""
    option = plan.options.get(RESUME)
    if not option or "position" not in option:
        return None
    store = open_store(option["store"])
    point = points.read(store, points.name_of(option["run"], option["position"]))
    assert point is not None, "the plan names a point that was there"
    cells = {int(old): new for old, new in option["cells"].items()}
    story = points.story_of(option["store"], point)
    return Resumed(option["store"], option["run"], point, cells[point.position], cells, story)


def put_back(plan: Plan, notebook: Any, resumed: Resumed) -> Wanted:
    """What a new kernel is told, so that it has the values of the point."""
    cells = list(running_cells(plan, notebook))
    wanted = wanted_at(plan, cells, resumed.position, notebook)
    point = resumed.point
    wanted = dataclasses.replace(wanted, store=resumed.store, run=resumed.run, position=point.position)
    return dataclasses.replace(wanted, words=(), count=point.count)


# -- beside the client that sends the cells --------------------------------------------------------------------------


class Client(Protocol):
    """What is needed of it."""

    points: Points | None
    running: Any
    executed: Executed
    place: Any
    count: int

    def _ask(self, question: str, **what: Any) -> object: ...


def points_of(plan: Plan, notebook: Any, running: Any) -> Points | None:
    """The points of a run that is to have some; from now on they hear its events."""
    if OPTION not in plan.options and RESUME not in plan.options:
        return None
    found = Points(plan, notebook, running.publish)
    running.publish = found.publish
    return found


def place_ready(client: Client) -> None:
    """Before the first cell. Raises StoreError when the values of a point do not come back."""
    here = client.points
    if here is None:
        return
    client._ask("watched")
    if here.resumed is None:
        return
    here.pages, here.told = list(here.resumed.point.pages), here.resumed.position
    client.count = here.resumed.point.count
    client.executed.put_back(here.resumed.story, here.resumed.cells)
    events = here.resumed.story.events
    kept = [journal.encode(event) for event in events if isinstance(event, ArtifactKept)]
    told = any(isinstance(event, ParametersComputed | StepStarted) for event in events)
    try:
        wanted = dataclasses.asdict(put_back(here.plan, here.notebook, here.resumed))
        client._ask("put_back", wanted=wanted, kept=kept, told=told)
    except Refused as error:
        raise StoreError(
            f"the run cannot go on: {error}", where=here.plan.directory, fix="run it anew, without --resume"
        ) from error


def cell_done(client: Client, position: int) -> None:
    """After a cell: at the end of a step a point, if there is to be one."""
    here = client.points
    if here is None or client.running.failure is not None or not here.ends_a_step(position):
        return
    began = time.monotonic()
    lost = "later cells may change the widgets that are shown" if client.place.metadata.get("widgets") else ""
    try:
        wanted = here.wanted(position, client.executed.displays(), client.count, lost)
        if wanted is not None:
            client._ask("point", wanted=dataclasses.asdict(wanted))
    except (Refused, StoreError) as error:
        _log.warning("there is no resume point after cell %s: %s", here.author(position), error)
    except Died as error:
        _log.debug("the process died while it was asked for a resume point, which the next cell reports: %s", error)
    here.spent += time.monotonic() - began


def settled(client: Client) -> None:
    """At the end: wait for the point that is still being written."""
    failure = client.running.failure
    if client.points is not None and (failure is None or failure.kind in ("cell", "keep", "input")):
        with contextlib.suppress(Died):  # it had nothing more to do
            client._ask("settled", seconds=SETTLE)
        if client.points.where:
            _make_room(open_store(client.points.where), client.running.plan.run)


def _make_room(store: Store, run: str) -> None:
    """The points of the notebook's earlier runs go, with what only they needed; the store stays within its limit."""
    if not isinstance(store, LocalStore):
        return
    try:
        if points.forget_earlier(store, run):
            step_entries.prune(store)
        limit = step_entries.limit()
        if sum(kept.size for kept in store.contents()) > limit:
            step_entries.prune(store, to=limit)
    except Nb2prodError as error:
        logging.getLogger("nb2prod.points").warning("the resume points of earlier runs stay: %s", error)
