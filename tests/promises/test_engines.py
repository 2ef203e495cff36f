"""What every engine promises, whichever engines there are."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from nb2prod import api, plugins
from nb2prod.core.events import RunFinished, RunStarted, StepFinished, StepStarted
from nb2prod.storage import journal
from tests.notebook_maker import write_notebook

NOTEBOOK = [
    ("parameters", "n: int = 2\ntwice = n * 2"),
    ("imports", "import random"),
    ("setup", "random.seed(5)"),
    ("functions", "def add(a, b):\n    return a + b"),
    ("step:first metric:total", "values = [random.random() for _ in range(n)]\ntotal = add(twice, n)\nprint(total)"),
    ("test:first", "def test_total():\n    assert total == 3 * n"),
    ("step:second", "values.append(0)\nprint(len(values), values[0])"),
]


@pytest.mark.parametrize("engine", plugins.names("engines"))
def test_an_engine_gives_the_numbers_of_the_notebook(engine: str, tmp_path: Path) -> None:
    """Parameters, derived ones, the random stream, changes in place, tests and metrics, and the input as it was."""
    notebook = write_notebook(tmp_path / "nb.ipynb", NOTEBOOK)
    before = hashlib.sha256(notebook.read_bytes()).hexdigest()
    result = api.run(notebook, {"n": 3}, engine=engine, trackers=(), runs=tmp_path / "runs")
    assert (result.status, result.failure, result.exit_code) == ("finished", None, 0)
    assert [step.printed for step in result.steps] == ["9\n", "4 0.6229016948897019\n"]
    assert result.metrics == {"total": 9.0}
    assert [(test.id, test.outcome) for test in result.tests] == [("first::test_total", "passed")]
    assert hashlib.sha256(notebook.read_bytes()).hexdigest() == before
    events = list(journal.read(Path(result.directory)))
    assert isinstance(events[0], RunStarted)
    assert isinstance(events[-1], RunFinished)
    told = [(type(e).__name__, e.step) for e in events if isinstance(e, StepStarted | StepFinished)]
    assert sorted(told) == sorted(
        (kind, step) for step in ("first", "second") for kind in ("StepStarted", "StepFinished")
    )


@pytest.mark.parametrize("engine", plugins.names("engines"))
def test_a_failing_step_ends_the_run_and_names_cell_and_line(engine: str, tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "nb.ipynb", [("step:a", "x = 1"), ("step:b", "y = x\ny.nowhere")])
    result = api.run(notebook, engine=engine, trackers=(), runs=tmp_path / "runs")
    assert result.failure is not None
    assert (result.failure.step, result.failure.cell, result.failure.line, result.exit_code) == ("b", 1, 2, 1)
