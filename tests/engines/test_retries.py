"""A step with `retries:` is tried again on values that are what they were before it failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nb2prod import api
from nb2prod.core.result import Result
from tests.notebook_maker import Row, write_notebook

ENGINES = ["papermill", "inprocess", "steps"]
# fails as often as it is told, counted in a file: what the notebook holds in memory is put back each time
FLAKY = (
    "from pathlib import Path\n"
    "def ask(times, error=ConnectionResetError):\n"
    "    tries = Path('tries')\n"
    "    before = len(tries.read_text()) if tries.exists() else 0\n"
    "    tries.write_text('x' * (before + 1))\n"
    "    if before < times:\n"
    "        raise error(f'no answer to call {before + 1}')\n"
)
LOAD: Row = ("step:load", "import random\nrandom.seed(3)\nrows = [1, 2]\nboth = [rows, rows]")
USE: Row = ("step:use", "rows.append(9)\nprint(both, new, draw)")


def ran(tmp_path: Path, engine: str, *rows: Row, **options: Any) -> Result:
    notebook = write_notebook(tmp_path / "nb.ipynb", [("functions", FLAKY), *rows])
    wait = {"backoff": 0.01}
    return api.run(notebook, engine=engine, trackers=(), runs=tmp_path / "runs", options=wait, **options)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_last_try_sees_what_the_first_one_saw(engine: str, tmp_path: Path) -> None:
    body = "rows.append(3)\nnew = len(rows)\ndraw = random.random()\nprint('draws', draw)\nask(2)"
    flaky = ran(tmp_path, engine, LOAD, (["step:fetch", "retries:2"], body), USE)
    (tmp_path / "tries").unlink()
    sure = ran(tmp_path, engine, LOAD, ("step:fetch", body.replace("ask(2)", "ask(0)")), USE)
    assert (flaky.failure, flaky.steps[1].retries) == (None, 2)
    assert [step.printed for step in flaky.steps] == [step.printed for step in sure.steps]


@pytest.mark.parametrize("engine", ENGINES)
def test_only_declared_errors_are_worth_another_try(engine: str, tmp_path: Path) -> None:
    tags = ["step:fetch", "retries:2", "retry-on:ConnectionError"]
    assert ran(tmp_path, engine, (tags, "ask(1)")).failure is None
    (tmp_path / "tries").unlink()
    refused = ran(tmp_path, engine, (tags, "ask(1, ValueError)"))
    assert refused.failure is not None
    assert (refused.failure.message, refused.steps[0].retries) == ("ValueError: no answer to call 1", 0)


@pytest.mark.parametrize("engine", ENGINES)
def test_after_the_last_try_the_step_has_failed_where_it_failed(engine: str, tmp_path: Path) -> None:
    result = ran(tmp_path, engine, (["step:fetch", "retries:2"], "x = 1\nask(9)"))
    assert result.failure is not None
    assert (result.failure.message, result.failure.line) == ("ConnectionResetError: no answer to call 3", 2)
    assert (result.steps[0].status, result.steps[0].retries) == ("failed", 2)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_cannot_be_put_back_is_not_tried_again(engine: str, tmp_path: Path) -> None:
    rows: list[Row] = [
        ("step:fetch", "numbers = (i for i in range(9))"),
        (["step:fetch", "retries:2"], "next(numbers)\nask(1)"),
    ]
    result = ran(tmp_path, engine, *rows)
    assert result.failure is not None
    assert "no answer to call 1; not tried again: `numbers` is a generator" in result.failure.message
