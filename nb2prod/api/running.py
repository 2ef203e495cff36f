"""Running a notebook, and its tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nb2prod import plugins
from nb2prod.api._checked import checked_before, note_checked
from nb2prod.api._executors import executor_named
from nb2prod.api._pipelines import findings, load_pipeline
from nb2prod.api.resuming import Asked, points_in
from nb2prod.core.errors import StoreError, UsageError
from nb2prod.core.result import Result

if TYPE_CHECKING:
    from nb2prod.core.pipeline import Pipeline
    from nb2prod.core.ports import Engine
    from nb2prod.core.result import TestResult

TRACKERS = ("mlflow", "console")
SHELL = "shell-in-step"


def run(
    notebook: Path | str,
    parameters: Mapping[str, Any] | None = None,
    *,
    texts: Mapping[str, str] | None = None,
    engine: str | Engine = "papermill",
    executor: str = "serial",
    trackers: Sequence[str] = TRACKERS,
    runs: Path | str = "runs",
    output: Path | str | None = None,
    kernel: str | None = None,
    experiment: str = "",
    timeout: float | None = None,
    time_limit: float | None = None,
    only_steps: bool = False,
    allow_shell: bool = False,
    store: Path | str | None = None,
    checkpoints: Path | str | None = None,
    resume: str | None = None,
    from_step: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Result:
    """Run a notebook headless. `parameters` are values; `texts` are a command line's words for more of them.

    `timeout` are the seconds that one cell may take, `time_limit` those of the whole run.
    `allow_shell` lets isolated steps call the shell; `options` are the engine's own. With a `store`, a folder or a URL,
    isolated steps that would do the same again are taken from it, and the others are kept there. `checkpoints` is a
    store too: where the other engines keep a resume point at each step's end. `resume` names a run (its folder, its id,
    or `"last"`) that goes on; `from_step` begins a new run at a step, with what that run did before it.

    Raises FindingsError when the notebook has findings of severity error (for isolated steps also those that speak of
    them), BadParameter before a kernel starts. What the notebook's own code does wrong is in the result.
    """
    from nb2prod.stages.check import refuse_errors
    from nb2prod.stages.plan import plan as make_plan
    from nb2prod.stages.run import run as run_plan

    pipeline = load_pipeline(notebook)
    name = engine if isinstance(engine, str) else "papermill"
    asked = Asked(pipeline.notebook.path, Path(runs), resume, from_step)
    plan = make_plan(
        pipeline,
        {**asked.given_again(pipeline, parameters or {}, texts or {}), **(parameters or {})},
        texts=texts,
        engine=name,
        executor=executor,
        runs=Path(runs),
        output=None if output is None else Path(output),
        kernel=kernel,
        experiment=experiment,
        timeout=timeout,
        time_limit=time_limit,
        only_steps=only_steps,
        options={**(options or {}), **cache_in(store), **points_in(checkpoints, name)},
    )
    runner = engine_on(engine, executor, scheduler=plan.options.get("scheduler", ""))
    isolated = getattr(runner, "ISOLATED", False)
    if not checked_before(plan, allow_shell=allow_shell, isolated=isolated):
        found = [one for one in findings(pipeline) if not (allow_shell and one.code == SHELL)]
        refuse_errors(pipeline, found, isolated=isolated)
        note_checked(plan, allow_shell=allow_shell, isolated=isolated)
    told = [plugins.find("trackers", tracker) for tracker in trackers]
    if not asked:
        return run_plan(plan, runner, told)
    going_on = asked.going_on(plan)
    return run_plan(going_on.plan, going_on.engine or runner, told, going_on.events)


def cache_in(store: Path | str | None) -> dict[str, Any]:
    """The plan's options for a cache."""
    if store is None:
        return {}
    return {"store": str(store) if "://" in str(store) else str(Path(store).absolute()), "cache": True}


def engine_on(engine: str | Engine, executor: str, **told: Any) -> Engine:
    """The engine, with its steps where the executor runs them; `told` are options of the executor."""
    runner: Any = plugins.find("engines", engine) if isinstance(engine, str) else engine
    where = executor_named(executor, **told)
    if hasattr(runner, "on"):
        runner = runner.on(where)
    elif executor != "serial":
        raise UsageError(
            f"the engine {engine} runs everything in one process", fix=f"--engine steps --executor {executor}"
        )
    return cast("Engine", runner)


def load_result(directory: Path | str) -> Result:
    """The result of an earlier run, from its journal."""
    from nb2prod.core.events import fold
    from nb2prod.storage import journal

    return fold(journal.read(Path(directory)))


def result_of(pipeline: Pipeline, directory: Path | str) -> Result:
    """The result of a run, which must be one of this notebook as it is now."""
    import json

    from nb2prod.core.pipeline import Plan
    from nb2prod.stages.run import PLAN
    from nb2prod.storage import codec

    folder = Path(directory)
    result = load_result(folder)
    try:
        plan: Plan = codec.build(Plan, json.loads((folder / PLAN).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise StoreError("its plan cannot be read", where=str(folder), fix="name the folder of a run") from error
    if plan.pipeline.notebook.digest != pipeline.notebook.digest:
        raise UsageError(
            f"the run is of another notebook than {pipeline.notebook.path}, or of an earlier state of it",
            where=str(folder),
            fix="run the notebook again and name that run",
        )
    return result


def test(
    notebooks: Sequence[Path | str],
    *,
    junit: Path | None = None,
    select: str | None = None,
    parameters: Mapping[str, str] | None = None,
    quiet: bool = False,
) -> tuple[tuple[TestResult, ...], int]:
    """The notebooks' tests through pytest: what came of each, and the exit code (0, 1, 3, 4 …)."""
    from nb2prod.stages.test import run_pytest

    paths = [Path(notebook) for notebook in notebooks]
    return run_pytest(paths, junit=junit, select=select, parameters=parameters or {}, quiet=quiet)
