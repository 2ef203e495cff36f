"""A run goes on where another one stopped: which run, from which point, and what of it is taken over.

    resumed    the same run, in its folder and its MLflow run, after it was killed or failed
    branched   a new run that begins at a step, with what an earlier run did before that step

What is taken over must be what would be done again: the code of the cells, their tags, and the parameters are compared.
Where a cell was changed the run goes on from the last point before it.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nb2prod.core.errors import BadParameter, StoreError, UsageError
from nb2prod.core.events import ArtifactKept, Event, KernelStarted, RunFinished, RunStarted, StepFinished, Tracked
from nb2prod.core.pipeline import Pipeline, Plan
from nb2prod.core.ports import Engine, Environment, Publish
from nb2prod.core.result import Failure
from nb2prod.language.same_code import key_of
from nb2prod.storage import files, journal, points
from nb2prod.storage.codec import plain
from nb2prod.storage.owner import is_gone
from nb2prod.storage.points import Point, Story

LAST = "last"  # instead of a run: the last one of the notebook
OPTION, POINTS = "resume", "checkpoints"  # of the plan
FILE = "plan.json"
WHOLE = ("papermill", "inprocess")  # engines that go on from points; `steps` has its cache


@dataclass(frozen=True, slots=True)
class Earlier:
    """A run that was: what it was given, and what happened in its last attempt."""

    directory: Path
    planned: Mapping[str, Any]
    events: tuple[Event, ...]

    @property
    def started(self) -> RunStarted:
        found = self.events[0]
        assert isinstance(found, RunStarted)
        return found

    @property
    def finished(self) -> bool:
        return any(isinstance(event, RunFinished) and event.status == "finished" for event in self.events)

    @property
    def ended(self) -> bool:
        return any(isinstance(event, RunFinished) for event in self.events)

    @property
    def store(self) -> str:
        return str(self.planned["options"].get(POINTS, {}).get("store", ""))

    @property
    def mlflow(self) -> str:
        where = [event.where for event in self.events if isinstance(event, Tracked) and event.tracker == "mlflow"]
        return where[-1].get("run_id", "") if where else ""


@dataclass(frozen=True, slots=True)
class GoingOn:
    """The plan of a run that goes on, the events that it takes over, and folders of artifacts (from, to)."""

    plan: Plan
    events: tuple[Event, ...] = ()
    folders: tuple[tuple[Path, Path], ...] = ()
    engine: Engine | None = None  # in the place of the one that was asked for

    def copy_artifacts(self) -> None:
        for source, target in self.folders:
            shutil.copytree(source, target, dirs_exist_ok=True)


class Done:
    """The engine of a run of which nothing is left to do: its trackers hear again what they may have missed."""

    def run(self, plan: Plan, publish: Publish, environment: Environment) -> Failure | None:
        return None


# -- which run -------------------------------------------------------------------------------------------------------


def earlier_run(runs: Path, asked: str, notebook: Path) -> Earlier:
    """The run of that folder or id, or the last one of the notebook. Raises StoreError or UsageError without one."""
    if asked and asked != LAST:
        found = [folder for folder in (Path(asked), runs / asked) if (folder / journal.FILE).is_file()]
        if not found:
            raise StoreError(
                "there is no run here: it has no journal", where=str(runs / asked), fix="name a run's folder, or its id"
            )
        earlier = _read(found[0].absolute())
        if earlier is None:
            raise StoreError("the run was ended before it began", where=str(found[0]), fix="run it without --resume")
        return earlier
    for folder in _latest(runs):
        earlier = _read(folder.absolute())
        if earlier is not None and Path(earlier.started.notebook) == notebook.absolute():
            return earlier
    raise UsageError("there is no earlier run of this notebook", where=str(runs), fix="run it without --resume")


def _latest(runs: Path) -> Iterator[Path]:
    """Folders of runs, those first that were written to last."""
    journals = [path for path in runs.glob(f"*/{journal.FILE}") if path.is_file()]
    yield from (path.parent for path in sorted(journals, key=lambda path: path.stat().st_mtime_ns, reverse=True))


def _read(directory: Path) -> Earlier | None:
    """A run's last attempt; None for one that never began."""
    events = list(journal.read(directory))
    starts = [number for number, event in enumerate(events) if isinstance(event, RunStarted)]
    if not starts:
        return None
    # what a second attempt says of MLflow counts, and when it was killed before that, what the first one said
    told = [event for event in events[: starts[-1]] if isinstance(event, Tracked)]
    last = events[starts[-1] :]
    planned = json.loads((directory / FILE).read_text(encoding="utf-8"))
    return Earlier(directory, planned, (last[0], *told, *last[1:]))


# -- parameters ------------------------------------------------------------------------------------------------------


def given_again(
    pipeline: Pipeline, earlier: Earlier, given: Mapping[str, Any], texts: Mapping[str, str]
) -> dict[str, Any]:
    """The parameters that the earlier run was given and this command leaves out. Raises BadParameter for a secret."""
    known = {parameter.name: parameter for parameter in pipeline.parameters}
    taken: dict[str, Any] = {}
    for name, value in earlier.planned["given"].items():
        if name in given or name in texts or name not in known:
            continue
        if known[name].secret:
            raise BadParameter(
                f"the secret parameter {name} is kept nowhere: it has to be given again", fix=f"-p {name} VALUE"
            )
        taken[name] = value
    return taken


def _refuse_other_parameters(plan: Plan, earlier: Earlier) -> None:
    then, now = earlier.planned["parameters"], plain(plan.parameters)
    for name in sorted({*then, *now}):
        if then.get(name) != now.get(name):
            said = f"{name} was {then[name]!r}" if name in then else f"there was no {name}"
            raise BadParameter(
                f"the run was made with other parameters: {said}, and is {now.get(name)!r} now",
                where=str(earlier.directory),
                fix="give the same, or start a new run: without --resume",
            )


# -- going on --------------------------------------------------------------------------------------------------------


def resumed(plan: Plan, earlier: Earlier) -> GoingOn:
    """The same run goes on from its last point. Raises UsageError, BadParameter, StoreError when it cannot."""
    _refuse_living(earlier)
    _refuse_other_parameters(plan, earlier)
    _refuse_other_engine(plan, earlier)
    plan = dataclasses.replace(
        plan, run=earlier.started.run, directory=str(earlier.directory), output=earlier.started.output
    )
    option = {"mlflow": earlier.mlflow}
    if earlier.finished:
        return GoingOn(_with(plan, earlier, {**option, "finished": True}), tuple(_of_finished(earlier)), engine=Done())
    if plan.engine not in WHOLE or not earlier.store:
        return GoingOn(_with(plan, earlier, option))
    found = _best(plan, earlier, None)
    if found is None:
        return GoingOn(_with(plan, earlier, option))
    return GoingOn(_with(plan, earlier, {**option, **found.option}), found.events)


def branched(plan: Plan, earlier: Earlier, step: str) -> GoingOn:
    """A new run that begins at a step. Raises UsageError, BadParameter, StoreError when it cannot."""
    names = [one.name for one in plan.pipeline.steps]
    if step not in names:
        raise UsageError(f"there is no step {step!r}", where="--from", fix=f"one of: {', '.join(names)}")
    if plan.engine not in WHOLE:
        raise UsageError(
            f"--from is for the engines {' and '.join(WHOLE)}", fix="engine steps takes what is done from its cache"
        )
    _refuse_other_parameters(plan, earlier)
    found = _best(plan, earlier, step) if earlier.store else None
    if found is None:
        raise StoreError(
            f"the run has no resume point before step {step}", where=str(earlier.directory), fix="run all of it"
        )
    folders = {Path(e.artifact.path).parent for e in found.events if isinstance(e, ArtifactKept)}
    copies = tuple((earlier.directory / folder, Path(plan.directory) / folder) for folder in sorted(folders))
    return GoingOn(_with(plan, earlier, found.option), found.events, copies)


def _with(plan: Plan, earlier: Earlier, option: Mapping[str, Any]) -> Plan:
    """The plan that goes on; its points rest where those of the earlier run do, whose pages it shares."""
    options = {**plan.options, OPTION: dict(option)}
    if POINTS in options and earlier.store:
        options[POINTS] = {**options[POINTS], "store": earlier.store}
    return dataclasses.replace(plan, options=options)


def _of_finished(earlier: Earlier) -> Iterator[Event]:
    for event in earlier.events:
        if isinstance(event, RunStarted | RunFinished | KernelStarted | Tracked):
            continue
        if isinstance(event, ArtifactKept) and event.artifact.kind == "notebook":
            continue
        yield _skipped(event, "the run had finished")


def _skipped(event: Event, reason: str) -> Event:
    if isinstance(event, StepFinished) and event.status in ("finished", "skipped"):
        return dataclasses.replace(event, status="skipped", reason=reason)
    return event


def _refuse_living(earlier: Earlier) -> None:
    owner = earlier.started.owner
    if earlier.ended or is_gone(owner):
        return
    host, _, rest = owner.partition(":")
    raise UsageError(
        f"the run is still going on, or may be: it belongs to process {rest.partition(':')[0]} of {host}",
        where=str(earlier.directory),
        fix="wait for it or end it; or start a new run from what it has done: --resume RUN --from STEP",
    )


def _refuse_other_engine(plan: Plan, earlier: Earlier) -> None:
    then = (earlier.started.engine, bool(earlier.planned["only_steps"]))
    if then != (plan.engine, plan.only_steps):
        words = f"--engine {then[0]}{' --only-steps' if then[1] else ''}"
        raise UsageError("the run was made in another way", where=str(earlier.directory), fix=f"add {words}")


# -- which point -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Found:
    option: Mapping[str, Any]
    events: tuple[Event, ...]


def _best(plan: Plan, earlier: Earlier, step: str | None) -> _Found | None:
    """The last point up to which all is the same, and before `step` when one is named; None when there is none."""
    limit = plan.pipeline.step(step).cells[0] if step is not None else None
    for point in points.of_run(earlier.store, earlier.started.run):
        if point.refused:
            continue
        try:
            story = points.story_of(earlier.store, point)
        except StoreError:
            continue  # pruned meanwhile: an older point may be whole
        cells = _same_cells(plan, story)
        if cells is None or (limit is not None and max(cells.values(), default=-1) >= limit):
            continue
        if not _are_there(earlier, story):
            continue
        return _found(plan, earlier, point, story, cells)
    return None


def _found(plan: Plan, earlier: Earlier, point: Point, story: Story, cells: Mapping[int, int]) -> _Found:
    reason = f"done before: the run goes on after cell {max(cells.values())}"
    events = [_skipped(event, reason) for event in points.moved(story, cells)]
    option = {
        "store": earlier.store,
        "run": earlier.started.run,
        "position": point.position,
        "cells": {str(old): new for old, new in _positions(plan, story, cells).items()},
        "at": point.at,
    }
    return _Found(option, tuple(events))


def _same_cells(plan: Plan, story: Story) -> dict[int, int] | None:
    """Old number -> new number of the cells of the story; None when the notebook's first cells are not the same."""
    now = list(_running(plan))
    then = [(cell.index, cell.code) for cell in story.cells if cell.index is not None]
    if [code for _, code in then] != [code for _, code in now[: len(then)]]:
        return None
    return {old: new for (old, _), (new, _) in zip(then, now, strict=False)}


def _running(plan: Plan) -> Iterator[tuple[int, str]]:
    """(number, code) of the cells that the plan runs."""
    for index, role in enumerate(plan.pipeline.roles):
        if role is None or role.kind == "skip" or (plan.only_steps and role.kind == "exploration"):
            continue
        yield index, key_of(role)


def _positions(plan: Plan, story: Story, cells: Mapping[int, int]) -> dict[int, int]:
    """Old position -> new position in the executed notebook, where the given parameters have a cell of their own."""
    injected = plan.pipeline.parameters[-1].cell + 1 if plan.given else None
    found: dict[int, int] = {}
    for cell in story.cells:
        if cell.index is None:
            assert injected is not None, "the parameters are the same"
            found[cell.position] = injected
        else:
            index = cells[cell.index]
            found[cell.position] = index + (injected is not None and index >= injected)
    return found


def _are_there(earlier: Earlier, story: Story) -> bool:
    """Whether the artifacts that were kept up to the point are as they were."""
    last: dict[str, str] = {}
    for event in story.events:
        if isinstance(event, ArtifactKept):
            last[event.artifact.path] = event.artifact.digest
    paths: Sequence[tuple[Path, str]] = [(earlier.directory / path, digest) for path, digest in last.items()]
    return all(path.is_file() and files.digest_of(path) == digest for path, digest in paths)
