"""A run that was killed or failed goes on: what it comes to is what it would have come to at once."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from nb2prod import api
from nb2prod.core.errors import BadParameter, StoreError, UsageError
from nb2prod.core.result import Result
from nb2prod.engines import _resume
from nb2prod.storage import journal, points
from nb2prod.trackers._mlflow_resume import run_of
from tests.notebook_maker import Row, write_notebook
from tests.trackers.conftest import plan_in

ROWS: list[Row] = [
    ("parameters", "n: int = 3"),
    ("imports", "import os\nimport random\n\nimport numpy as np"),
    ("setup", "random.seed(5)\nnp.random.seed(3)"),
    ("functions", "def times(x):\n    return x * n"),
    ("step:a metric:m plot:text", "xs = [random.random() for _ in range(n)]\nm = sum(xs)\nprint(m, np.random.rand())\n"
     "class Shown:\n    def write_html(self, path):\n        open(path, 'w').write('<p>x</p>')\ntext = Shown()"),
    ("step:b", "ys = xs\nxs.append(times(random.random()))\nprint(xs)\nmode = os.environ.get('NB_TEST_MODE', '')"),
    ("step:c metric:k", "k = len(xs) + random.random()\nys.append(np.random.rand())\nprint(k, xs)\nif mode: 1 / 0"),
    ("test:c", "def test_same():\n    assert xs is ys"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _every_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine must not leave points out."""
    monkeypatch.setattr(_resume, "FREE", 1e9)


def run(tmp_path: Path, rows: list[Row], **options: Any) -> Result:
    notebook = write_notebook(tmp_path / "nb.ipynb", rows)
    where: dict[str, Any] = {"trackers": (), "runs": tmp_path / "runs", "checkpoints": tmp_path / "store"}
    return api.run(notebook, options.pop("given", None), **{"engine": "inprocess", **where, **options})


def changed(rows: list[Row], number: int, old: str, new: str) -> list[Row]:
    tags, source = rows[number]
    assert old in source
    return [*rows[:number], (tags, source.replace(old, new)), *rows[number + 1 :]]


FIXED = changed(ROWS, 6, "if mode: 1 / 0", "")
BROKEN = changed(ROWS, 6, "if mode", "if True")


def told(result: Result) -> dict[str, Any]:
    """What must not depend on whether a run was interrupted."""
    cells = json.loads(Path(result.notebook).read_text(encoding="utf-8"))["cells"]
    return {
        "status": result.status,
        "prints": [step.printed for step in result.steps],
        "metrics": result.metrics,
        "parameters": result.parameters,
        "tests": [(test.id, test.outcome, test.cell) for test in result.tests],
        "artifacts": [(a.kind, a.name, a.digest) for a in result.artifacts if a.kind != "notebook"],
        "outputs": [(cell.get("outputs"), cell.get("execution_count")) for cell in cells[:-1]],
    }


@pytest.mark.parametrize("engine", ["papermill", "inprocess"])
def test_a_failed_run_goes_on_where_its_code_was_corrected(engine: str, tmp_path: Path) -> None:
    """Random streams, aliases, functions, counts of cells and outputs are as if nothing had happened."""
    whole = run(tmp_path, FIXED, given={"n": 4}, engine=engine)
    failed = run(tmp_path, BROKEN, given={"n": 4}, engine=engine)
    assert (failed.status, failed.failure and failed.failure.step) == ("failed", "c")
    resumed = run(tmp_path, FIXED, engine=engine, resume=failed.run)
    assert resumed.run == failed.run
    assert [step.status for step in resumed.steps] == ["skipped", "skipped", "finished"]
    assert resumed.steps[0].reason == "done before: the run goes on after cell 5"
    assert told(resumed) == told(whole)
    assert told(api.load_result(resumed.directory)) == told(whole)


def test_a_cell_that_was_changed_runs_again_with_all_after_it(tmp_path: Path) -> None:
    """A comment is no change."""
    failed = run(tmp_path, BROKEN)
    rows = changed(changed(FIXED, 5, "print(xs)", "print('now', xs)"), 4, "m = sum(xs)", "# a comment\nm = sum( xs )")
    resumed = run(tmp_path, rows, resume=failed.run)
    assert [step.status for step in resumed.steps] == ["skipped", "finished", "finished"]
    assert told(resumed) == told(run(tmp_path, rows))


def test_a_parameter_that_was_changed_is_refused_by_name(tmp_path: Path) -> None:
    failed = run(tmp_path, BROKEN, given={"n": 4})
    with pytest.raises(BadParameter, match="n was 4, and is 5 now"):
        run(tmp_path, FIXED, given={"n": 5}, resume=failed.run)


def test_a_new_run_begins_at_a_step_with_what_was_done_before_it(tmp_path: Path) -> None:
    whole = run(tmp_path, FIXED)
    anew = run(tmp_path, FIXED, from_step="b")
    assert anew.run != whole.run
    assert [step.status for step in anew.steps] == ["skipped", "finished", "finished"]
    assert told(anew) == told(whole)
    assert all((Path(anew.directory) / artifact.path).exists() for artifact in anew.artifacts)
    with pytest.raises(UsageError, match="there is no step 'x'"):
        run(tmp_path, FIXED, from_step="x")


def test_the_end_of_a_step_with_an_open_file_is_no_resume_point(tmp_path: Path) -> None:
    rows: list[Row] = [
        ("step:a", "x = 1\nprint(x)"),
        ("step:b", f"log = open({str(tmp_path / 'log')!r}, 'w')"),
        ("step:c", "log.write('c')\nlog.close()\n1 / 0"),
    ]
    failed = run(tmp_path, rows)
    taken = {point.position: point.refused for point in points.of_run(tmp_path / "store", failed.run)}
    assert taken == {0: "", 1: "log is an open file"}
    resumed = run(tmp_path, changed(rows, 2, "1 / 0", "pass"), resume=failed.run)
    assert [step.status for step in resumed.steps] == ["skipped", "finished", "finished"]


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("import json\njson.encoder.LIMIT = 3",
         "a cell changes json.encoder.LIMIT, which another process would not know"),
        ("import threading, time\nt = threading.Thread(target=lambda: time.sleep(5), daemon=True)\nt.start()",
         "a thread of the notebook is running"),
        ("_, y = 1, 2", ""),
        ("1 + 1", "a later cell reads `_`, which IPython remembers of the cells before"),
        ("import logging\nlogging.basicConfig(level=logging.INFO)", ""),
    ],
)  # fmt: skip
def test_what_no_value_shows_is_no_resume_point(cell: str, reason: str, tmp_path: Path) -> None:
    result = run(tmp_path, [("step:a", cell), ("step:b", "print(_)" if "_" in reason or "_" in cell else "")])
    assert [point.refused for point in points.of_run(tmp_path / "store", result.run)] == [reason]


def test_a_secret_never_rests_in_the_store_and_has_to_be_given_again(tmp_path: Path) -> None:
    rows: list[Row] = [
        ("parameters", "token: str = ''"),
        ("step:a", "size = len(token)"),
        ("step:b", "header = f'Bearer {token}'\nprint(size)"),
        ("step:c", "print(len(header), len(token))\n1 / 0"),
    ]
    failed = run(tmp_path, rows, given={"token": "tell-nobody-9"})
    taken = {point.position: point.refused for point in points.of_run(tmp_path / "store", failed.run)}
    assert taken == {2: "", 3: "header holds the secret parameter token"}
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert b"tell-nobody-9" not in path.read_bytes()
    mended = changed(rows, 3, "1 / 0", "")
    with pytest.raises(BadParameter, match="the secret parameter token is kept nowhere"):
        run(tmp_path, mended, resume=failed.run)
    resumed = run(tmp_path, mended, given={"token": "tell-nobody-9"}, resume=failed.run)
    assert [(step.status, step.printed) for step in resumed.steps] == [
        ("skipped", ""),
        ("finished", "13\n"),
        ("finished", "20 13\n"),
    ]


def test_a_finished_run_has_nothing_left_to_do(tmp_path: Path) -> None:
    whole = run(tmp_path, FIXED)
    again = run(tmp_path, FIXED, resume="last")
    assert [step.status for step in again.steps] == ["skipped"] * 3
    assert told(again) == told(whole)


def test_a_run_that_still_goes_on_is_not_resumed(tmp_path: Path) -> None:
    failed = run(tmp_path, BROKEN)
    file = Path(failed.directory) / journal.FILE
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    file.write_text("".join(line for line in lines if '"RunFinished"' not in line), encoding="utf-8")
    with pytest.raises(UsageError, match="still going on"):
        run(tmp_path, FIXED, resume=failed.run)
    with pytest.raises(StoreError, match="there is no run here"):
        run(tmp_path, FIXED, resume="nowhere")


def test_one_process_at_a_time_writes_a_journal(tmp_path: Path) -> None:
    """And a line that a kill has cut short is taken off before the next is written."""
    (tmp_path / journal.FILE).write_bytes(b'{"event": "RunFin')
    first = journal.Journal(tmp_path)
    with pytest.raises(StoreError, match="another process is writing this run"):
        journal.Journal(tmp_path)
    first.close()
    assert (tmp_path / journal.FILE).read_bytes() == b""


def test_a_killed_run_goes_on_in_its_mlflow_run(tmp_path: Path) -> None:
    """One parent, each step once, every metric logged once, nothing left RUNNING."""
    from mlflow import MlflowClient

    rows = changed(ROWS, 6, "if mode: 1 / 0", "import time\nif not os.path.exists('seen'): open('seen', 'w').close(); "
                                              "time.sleep(60)")  # fmt: skip
    write_notebook(tmp_path / "nb.ipynb", rows)
    command = [sys.executable, "-m", "nb2prod", "run", "nb.ipynb", "--engine", "inprocess", "--json"]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 100
    while not (tmp_path / "seen").exists() and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = subprocess.run([*command, "--resume"], cwd=tmp_path, env=environment, capture_output=True, check=True)
    document = json.loads(done.stdout)
    assert [step["status"] for step in document["steps"]] == ["skipped", "skipped", "finished"]
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    runs = client.search_runs([document["mlflow"]["experiment_id"]] if "experiment_id" in document["mlflow"] else ["1"])
    names = sorted((run.data.tags.get("nb2prod.step", ""), run.info.status) for run in runs)
    assert names == [("", "FINISHED"), ("a", "FINISHED"), ("b", "FINISHED"), ("c", "FINISHED")]
    assert {len(client.get_metric_history(run.info.run_id, name)) for run in runs for name in run.data.metrics} == {1}
    parent = next(run for run in runs if not run.data.tags.get("nb2prod.step"))
    assert {name: parent.data.metrics[name] for name in ("m", "k")} == document["metrics"]
    # killed before it could write down which MLflow run it has, it is found by its tag
    plan = dataclasses.replace(plan_in(tmp_path), run=document["run"], options={"resume": {"mlflow": ""}})
    assert run_of(client, plan, parent.info.experiment_id) == parent.info.run_id
