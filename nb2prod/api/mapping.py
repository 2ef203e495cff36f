"""Running a notebook once per row or group of a table, and going on with such a map."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nb2prod.api._executors import executor_named
from nb2prod.api._pipelines import findings, load_pipeline
from nb2prod.core.errors import UsageError
from nb2prod.core.mapping import Isolation, MapPlan, MapSink, MapSummary, Tracking
from nb2prod.core.pipeline import Pipeline

if TYPE_CHECKING:
    from nb2prod.core.distribution import Floor
    from nb2prod.stages.mapping.report import Reporter
    from nb2prod.stages.mapping.table import Items
    from nb2prod.trackers._map import MapTracker

SHELL = "shell-in-step"


def map(
    notebook: Path | str,
    over: Path | str,
    parameters: Mapping[str, Any] | None = None,
    *,
    texts: Mapping[str, str] | None = None,
    by: Sequence[str] = (),
    rows: str = "",
    only: str = "",
    limit: int | None = None,
    min_rows: int = 1,
    isolation: Isolation = "fork",
    executor: str = "processes",
    scheduler: str = "",
    workers: int | None = None,
    timeout: float | None = None,
    tests: bool = True,
    track: Tracking = "summary",
    experiment: str = "",
    floors: Sequence[str] = (),
    allow_missing: bool = False,
    runs: Path | str = "runs",
    allow_shell: bool = False,
    options: Mapping[str, Any] | None = None,
    sinks: Sequence[MapSink] | None = None,
) -> MapSummary:
    """Run the notebook's steps once per row of the table, or once per group of rows with the same `by` columns.

    `parameters` and `texts` are those that are the same for all items. `sinks` hear of the map beside
    the display. Raises before anything runs what is wrong with notebook, table or options; an item that fails is
    part of the summary.
    """
    from nb2prod.stages.map import How, plan_map
    from nb2prod.stages.mapping.table import Wanted

    pipeline = load_pipeline(notebook)
    _refuse(pipeline, allow_shell)
    how = How(
        isolation=isolation,
        executor=executor,
        workers=_workers(workers, executor),
        timeout=timeout,
        tests=tests,
        track=track,
        experiment=experiment,
        floors=tuple(floors),
        options={
            **(options or {}),
            "scheduler": scheduler,
            "allow_shell": allow_shell,
            "allow_missing": allow_missing,
        },
    )
    wanted = Wanted(tuple(by), rows, only, limit, min_rows)
    plan, items = plan_map(
        pipeline, Path(over), wanted, how, values=parameters or {}, texts=texts or {}, runs=Path(runs)
    )
    return _run(plan, items, sinks)


def resume_map(
    run: Path | str,
    parameters: Mapping[str, Any] | None = None,
    *,
    texts: Mapping[str, str] | None = None,
    executor: str | None = None,
    scheduler: str = "",
    workers: int | None = None,
    floors: Sequence[str] | None = None,
    allow_missing: bool = False,
    sinks: Sequence[MapSink] | None = None,
) -> MapSummary:
    """Go on with a map that was stopped: what is done is not done again. Where it runs may be another place.

    Other `floors` take the place of those that the map began with (None). Raises when the notebook's code or the table
    are not what they were. Secret parameters must be given again.
    """
    from nb2prod.stages import map as stage

    plan, items = stage.resume_map(Path(run), load_pipeline, values=parameters or {}, texts=texts or {})
    _refuse(plan.pipeline, bool(plan.options.get("allow_shell")))
    where = executor or plan.executor
    count = plan.workers if workers is None and where == plan.executor else _workers(workers, where)
    told = {**plan.options, "scheduler": scheduler or (plan.options.get("scheduler", "") if executor is None else "")}
    if floors is not None:
        plan = dataclasses.replace(plan, floors=tuple(floors))
        told["allow_missing"] = allow_missing
    return _run(dataclasses.replace(plan, executor=where, workers=count, options=told), items, sinks)


def _run(plan: MapPlan, items: Items, sinks: Sequence[MapSink] | None) -> MapSummary:
    from nb2prod.stages.map import run_map
    from nb2prod.stages.mapping import progress
    from nb2prod.stages.mapping.jobs import job_of
    from nb2prod.stages.mapping.report import Reporter

    reporter = Reporter(_floors(plan), allow_missing=bool(plan.options.get("allow_missing")))
    tracker = _tracker(plan, reporter)
    job = job_of(plan, _python(plan.pipeline))
    where = executor_named(plan.executor, scheduler=plan.options.get("scheduler", ""))
    if not hasattr(where.plugin, "workers"):
        raise UsageError(f"the executor {plan.executor} has no workers for a map", fix="--executor processes")
    heard = [progress.display(), reporter, *([tracker] if tracker else []), *(sinks or ())]
    summary = run_map(plan, items, job, lambda: where.workers(plan.workers), heard)
    judged = reporter.report.judgements
    return dataclasses.replace(summary, judged=judged, tracked=tracker.where if tracker else {})


def _floors(plan: MapPlan) -> tuple[Floor, ...]:
    """Read before anything runs."""
    from nb2prod.stages import floors

    return floors.parse(plan.floors, [name for step in plan.pipeline.steps for name in step.metrics])


def _tracker(plan: MapPlan, reporter: Reporter) -> MapTracker | None:
    from nb2prod.trackers._map import MapTracker

    return None if plan.track == "none" else MapTracker(lambda: reporter.report)


def pooled_model(run: Path | str) -> tuple[bytes, str]:
    """The model that the notebook of a map fits on the whole table, pickled, and what is to be told of it."""
    from nb2prod.stages import map as stage
    from nb2prod.stages.mapping import pooled
    from nb2prod.stages.mapping.jobs import job_of

    plan, items = stage.resume_map(Path(run), load_pipeline, values={}, texts={})
    return pooled.pooled_model(plan, items, job_of(plan, _python(plan.pipeline)))


def _refuse(pipeline: Pipeline, allow_shell: bool) -> None:
    """What isolated steps cannot have a map cannot have either: its items are runs beside each other."""
    from nb2prod.stages.check import refuse_errors

    found = [one for one in findings(pipeline) if not (allow_shell and one.code == SHELL)]
    refuse_errors(pipeline, found, isolated=True)


def _workers(asked: int | None, executor: str) -> int:
    if asked is not None and asked < 1:
        raise UsageError("a map needs a worker", fix="--workers 1, or more")
    if executor == "serial":
        return 1
    return asked or len(os.sched_getaffinity(0))


def _python(pipeline: Pipeline) -> str:
    """The interpreter that the notebook's kernel names."""
    from jupyter_client.kernelspec import NoSuchKernel

    from nb2prod.engines._step_processes import interpreter_of

    if pipeline.notebook.kernel is None:
        return sys.executable
    try:
        return interpreter_of(pipeline.notebook.kernel)
    except NoSuchKernel as error:
        raise UsageError(
            f"there is no kernel {pipeline.notebook.kernel!r} here",
            where=str(pipeline.notebook.path),
            fix="jupyter kernelspec list shows those that are there",
        ) from error
