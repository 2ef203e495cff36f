"""The time of a whole run: when it is over, the run ends with all its processes, and says which cell was running."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import psutil
import pytest

from nb2prod import api
from nb2prod.core.result import Failure, Result
from tests.notebook_maker import Row, write_notebook

SLEEP = "import subprocess\nprint('begun', flush=True)\nsubprocess.run(['sleep', '987'])"
LIMITS = (2.5, 10.0, 40.0)  # on a busy machine a run may need the longer ones to reach what is tested


def ran(
    tmp_path: Path, engine: str, *rows: Row, executor: str = "serial", printed: str = "begun"
) -> tuple[float, Result]:
    """A run that has reached its last step but one when its time was over, and that time."""
    notebook = write_notebook(tmp_path / "nb.ipynb", rows)
    where = {"trackers": (), "runs": tmp_path / "runs", "executor": executor, "options": {"backoff": 600.0}}
    for limit in LIMITS:
        result = api.run(notebook, engine=engine, time_limit=limit, **where)
        if result.steps[-2].status != "waiting" and printed in result.steps[-2].printed:
            break
    return limit, result


def told(result: Result) -> Failure:
    assert result.failure is not None
    return dataclasses.replace(result.failure, explanation=None)


def sleeping() -> list[psutil.Process]:
    here = psutil.Process().children(recursive=True)
    return [process for process in here if process.is_running() and process.cmdline()[:2] == ["sleep", "987"]]


@pytest.mark.parametrize(
    ("engine", "executor"),
    [("papermill", "serial"), ("inprocess", "serial"), ("steps", "serial"), ("steps", "processes")],
)
def test_a_run_that_takes_too_long_ends_with_all_that_it_started(engine: str, executor: str, tmp_path: Path) -> None:
    rows: list[Row] = [("step:a", "print('done')"), ("step:b after:a", SLEEP), ("step:c after:b", "print('never')")]
    limit, result = ran(tmp_path, engine, *rows, executor=executor)
    assert told(result) == Failure("timeout", f"the run did not end in time (limit {limit:g} s)", "b", 1)
    assert result.failure is not None
    assert result.failure.explanation is not None
    assert result.failure.explanation.fix == "give --time-limit a larger number, and go on with --resume"
    assert (result.status, result.exit_code, sleeping()) == ("failed", 1, [])
    assert [(step.name, step.status, step.printed) for step in result.steps] == [
        ("a", "finished", "done\n"),
        ("b", "failed", "begun\n"),
        ("c", "waiting", ""),
    ]


@pytest.mark.parametrize("engine", ["inprocess", "steps"])
def test_the_wait_for_the_next_try_counts(engine: str, tmp_path: Path) -> None:
    rows: list[Row] = [(["step:a", "retries:3"], "print('begun')\n1 / 0"), ("step:b", "b = 1")]
    # an isolated step says what it printed when it has ended
    limit, result = ran(tmp_path, engine, *rows, printed="begun" if engine == "inprocess" else "")
    assert told(result) == Failure("timeout", f"the run did not end in time (limit {limit:g} s)", "a", 0)


def test_a_run_that_ends_in_time_is_as_without_a_limit(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "nb.ipynb", [("step:a", "print(1)")])
    result = api.run(notebook, engine="inprocess", time_limit=600.0, trackers=(), runs=tmp_path / "runs")
    assert (result.failure, result.steps[0].printed) == (None, "1\n")
