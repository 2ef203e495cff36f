"""A notebook's own MLflow calls land in the run of its step: real kernels and SQLite stores, read with a client."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel

from nb2prod.core.events import RunFinished, RunStarted, StepFinished, StepStarted
from nb2prod.core.notebook import Cell, Notebook
from nb2prod.core.pipeline import HoistedModule, Pipeline, Plan, Role
from nb2prod.kernel import tracked_call
from nb2prod.storage import mlflow_store, owner
from nb2prod.trackers import mlflow as tracker_plugin

Cells = list[tuple[str, str]]


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite store with its tables, copied by each test: MLflow takes seconds to make one."""
    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    mlflow_store.make_ready(f"sqlite:///{file}")
    return file


@pytest.fixture(autouse=True)
def store(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mlflow.db", "own.db"):
        shutil.copy(empty_store, tmp_path / name)
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.chdir(tmp_path)


class Ran:
    """A run that was told, with what its cells printed and raised."""

    def __init__(self, client: Any, printed: dict[int, str], errors: dict[int, str]) -> None:
        self.client, self.printed, self.errors = client, printed, errors
        everything = client.search_experiments()
        self.runs = [run for e in everything for run in client.search_runs([e.experiment_id])]
        self.parent = next(run for run in self.runs if "nb2prod.engine" in run.data.tags)
        self.experiment = client.get_experiment(self.parent.info.experiment_id).name

    def step(self, name: str) -> Any:
        return next(run for run in self.runs if run.data.tags.get("nb2prod.step") == name)

    def children(self, run: Any) -> list[Any]:
        found = [r for r in self.runs if r.data.tags.get("mlflow.parentRunId") == run.info.run_id]
        return sorted(found, key=lambda r: r.info.start_time)


def _plan(folder: Path, cells: Cells, **changes: Any) -> Plan:
    notebook = Notebook(folder / "nb.ipynb", tuple(Cell(i, "code", source) for i, (_, source) in enumerate(cells)))
    roles = tuple(Role("step" if step else "exploration", step, body=source) for step, source in cells)
    pipeline = Pipeline(notebook, roles, (), (), (), HoistedModule("nb_module", ""))
    return Plan("run-1", pipeline, str(folder / "runs"), str(folder / "out.ipynb"), "papermill", **changes)


RESET = """
import os, sys
from nb2prod.kernel import tracked_call
tracked_call._kernel = tracked_call._Kernel()
if "mlflow" in sys.modules:
    import mlflow
    mlflow.autolog(disable=True, silent=True)
    mlflow.set_tracking_uri(None)
    mlflow.tracking.fluent._active_experiment_id = None
for name in [name for name in os.environ if name.startswith(("MLFLOW_", "NB2PROD_")) and "TELEMETRY" not in name]:
    del os.environ[name]
os.makedirs({folder!r}, exist_ok=True)
os.chdir({folder!r})
"""


@pytest.fixture(scope="module")
def kernel() -> Iterator[tuple[Any, Any]]:
    """A kernel that the tests share, made as new before each: to start one and import MLflow takes three seconds."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    manager, client = start_new_kernel(kernel_name="python3")
    yield manager, client
    client.stop_channels()
    if manager.is_alive():
        manager.shutdown_kernel(now=True)


@pytest.fixture
def run(tmp_path: Path, kernel: tuple[Any, Any]) -> Callable[..., Ran]:
    """Runs (step, source) cells in a kernel, with `begin` and `end` around each, as an engine does."""
    manager, client = kernel

    def run_cells(
        cells: Cells, *, hint: bool = True, finished: str = "finished", last: bool = False, **changes: Any
    ) -> Ran:
        plan = _plan(tmp_path, cells, **changes)
        steps = tuple(dict.fromkeys(step for step, _ in cells if step))
        tracker = tracker_plugin.open(plan, lambda event: None)
        tracker.hear(_started(plan, steps))
        _execute(client, RESET.format(folder=str(tmp_path / "elsewhere")))
        printed: dict[int, str] = {}
        errors: dict[int, str] = {}
        begun: set[str] = set()
        for index, (step, source) in enumerate(cells):
            if step and step not in begun:
                begun.add(step)
                tracker.hear(StepStarted(step=step))
            environment = dict(tracker.environment(step))
            shown = source if hint else ""
            _execute(client, f"tracked_call.begin({environment!r}, {shown!r})")
            printed[index], errors[index] = _execute(client, source)
            _execute(client, "tracked_call.end(); tracked_call.end()")  # to end twice is to end once
            if step and step not in [later for later, _ in cells[index + 1 :]]:
                status = "failed" if errors[index] else "finished"
                tracker.hear(StepFinished(step=step, status=status, seconds=1.0))
        tracker.hear(RunFinished(status=finished))
        if last:
            manager.shutdown_kernel()
        from mlflow import MlflowClient

        return Ran(MlflowClient(tracking_uri=mlflow_store.tracking_uri()), printed, errors)

    return run_cells


def _started(plan: Plan, steps: tuple[str, ...]) -> RunStarted:
    return RunStarted(
        run=plan.run,
        notebook=str(plan.pipeline.notebook.path),
        digest="0" * 64,
        directory=plan.directory,
        engine="papermill",
        executor="serial",
        parameters=plan.parameters,
        steps=steps,
        cells=len(plan.pipeline.roles),
        owner=owner.owner(),
    )


def _execute(client: Any, source: str) -> tuple[str, str]:
    heard: list[str] = []

    def hear(message: Any) -> None:
        if message["msg_type"] == "stream":
            heard.append(message["content"]["text"])

    reply = client.execute_interactive(source, output_hook=hear, timeout=60)
    return "".join(heard), reply["content"].get("evalue", "")


def test_calls_without_a_run_land_in_the_run_of_their_step_and_further_runs_become_its_children(run: Any) -> None:
    """`log_metric` in several cells and steps, runs in a loop, and cells of no step, in one kernel."""
    loop = (
        "for depth in (2, 4):\n"
        "    with mlflow.start_run(run_name=f'depth={depth}'):\n"
        "        mlflow.log_param('depth', depth)"
    )
    ran = run(
        [
            ("", "import mlflow\nmlflow.log_metric('explored', 1)"),
            ("load", "mlflow.log_metric('rows', 10)\nmlflow.log_param('alpha', 0.7)"),
            ("load", "mlflow.log_metric('columns', 3); print(mlflow.active_run().info.run_name)"),
            ("train", "mlflow.log_metric('auc', 0.8)"),
            ("train", "mlflow.end_run()\n" + loop),
            ("", "mlflow.log_metric('after', 2)"),
            ("score", "x = 1"),
        ],
        parameters={"alpha": 0.7},
    )
    assert set(ran.errors.values()) == {""}
    assert ran.printed[2] == "load\n"
    load, train = ran.step("load"), ran.step("train")
    assert (load.data.metrics["rows"], load.data.metrics["columns"], train.data.metrics["auc"]) == (10, 3, 0.8)
    children = [(c.info.run_name, c.data.params, c.info.status) for c in ran.children(train)]
    assert children == [("depth=2", {"depth": "2"}, "FINISHED"), ("depth=4", {"depth": "4"}, "FINISHED")]
    assert {c.data.tags["mlflow.source.name"] for c in ran.children(train)} == {
        ran.parent.data.tags["mlflow.source.name"]
    }
    assert ran.parent.data.metrics == {"explored": 1, "after": 2}
    assert [c.info.run_name for c in ran.children(ran.parent)] == ["load", "train", "score"]
    assert {r.info.status for r in ran.runs} == {"FINISHED"}


def test_autologging_and_a_run_block_land_in_their_step(run: Any) -> None:
    """The first fit is the step's run, the second, whose parameters differ, a child; the step keeps its name."""
    fit = "from sklearn.linear_model import Ridge\nRidge(alpha={}).fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 2.1])\n"
    ran = run(
        [
            ("fit", "import mlflow\nmlflow.sklearn.autolog(log_models=False, log_datasets=False)\n" + fit.format(0.5)),
            ("fit", fit.format(2.0)),
            ("report", "with mlflow.start_run(run_name='mine'):\n    mlflow.log_metric('auc', 0.9)"),
            (
                "nested",
                "with mlflow.start_run():\n    with mlflow.start_run(nested=True, run_name='inner'):\n"
                "        mlflow.log_metric('deep', 1)",
            ),
        ],
    )
    assert set(ran.errors.values()) == {""}
    first, second = ran.step("fit"), ran.children(ran.step("fit"))
    assert first.data.params["alpha"] == "0.5"
    assert [c.data.params["alpha"] for c in second] == ["2.0"]
    report = ran.step("report")
    assert (report.info.run_name, report.data.metrics["auc"]) == ("report", 0.9)
    assert report.data.tags["nb2prod.run_name"] == "mine"
    assert [c.info.run_name for c in ran.children(ran.step("nested"))] == ["inner"]


def test_the_run_takes_the_experiment_that_the_notebook_sets(run: Any) -> None:
    """Then the cells' calls land in their steps; a run that one step leaves open does not stop the next one's."""
    ran = run(
        [
            ("a", "import mlflow\nmlflow.set_experiment('houses')\nmlflow.log_metric('m', 1)"),
            ("b", "with mlflow.start_run():\n    mlflow.log_metric('m', 2)"),
            ("c", "run = mlflow.start_run()"),
            ("d", "print(mlflow.active_run().info.run_name); mlflow.log_metric('m', 4)"),
            ("e", "mlflow.end_run(); print(mlflow.active_run())"),
        ],
    )
    assert (ran.experiment, set(ran.errors.values())) == ("houses", {""})
    assert [ran.step(name).data.metrics.get("m") for name in "abcde"] == [1, 2, None, 4, None]
    assert (ran.printed[3], ran.printed[4]) == ("d\n", "None\n")
    assert {r.info.status for r in ran.runs} == {"FINISHED"}
    assert len(ran.runs) == 6


def test_a_notebook_that_goes_to_another_experiment_runs_on_and_its_runs_stay_children(run: Any) -> None:
    """Asked for one experiment, setting another: by a literal, and by a name that no look at the text can see."""
    ran = run(
        [
            ("a", "import mlflow\nmlflow.log_metric('m', 1)"),
            ("b", "getattr(mlflow, 'set_exp' + 'eriment')('other')"),
            ("c", "mlflow.log_metric('m', 2); mlflow.end_run()"),
            ("d", "with mlflow.start_run():\n    mlflow.log_metric('m', 3)"),
        ],
        experiment="asked",
    )
    assert set(ran.errors.values()) == {""}
    assert ran.step("a").data.metrics["m"] == 1
    for name, value in (("c", 2), ("d", 3)):
        (child,) = ran.children(ran.step(name))
        assert child.data.metrics == {"m": value}
        assert ran.client.get_experiment(child.info.experiment_id).name == "other"


def test_a_notebook_with_its_own_tracking_server_is_left_alone(run: Any, tmp_path: Path) -> None:
    """Its calls go where it says, unlinked to runs that are not there; the steps' runs are told all the same."""
    own = f"sqlite:///{tmp_path}/own.db"
    ran = run(
        [
            ("a", f"import mlflow\nmlflow.set_tracking_uri({own!r})\nmlflow.log_metric('m', 1); mlflow.end_run()"),
            ("b", "with mlflow.start_run():\n    mlflow.log_metric('m', 2)"),
        ]
    )
    assert set(ran.errors.values()) == {""}
    assert [ran.step(name).info.status for name in "ab"] == ["FINISHED", "FINISHED"]
    from mlflow import MlflowClient

    theirs = MlflowClient(tracking_uri=own).search_runs(["0"], order_by=["attributes.start_time"])
    assert [r.data.metrics for r in theirs] == [{"m": 1}, {"m": 2}]
    assert all("mlflow.parentRunId" not in r.data.tags for r in theirs)


def test_without_a_tracker_the_variables_are_as_the_user_had_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """`begin` sets them for a cell, leaves alone what the notebook set since, and an empty environment undoes it."""
    monkeypatch.setattr(tracked_call, "_kernel", tracked_call._Kernel())
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://users.own")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")
    given = {"MLFLOW_TRACKING_URI": "sqlite:////x.db", "MLFLOW_EXPERIMENT_ID": "7", "MLFLOW_RUN_ID": "r"}

    tracked_call.begin(given)
    assert {name: os.environ[name] for name in given} == given
    tracked_call.end()
    assert "MLFLOW_RUN_ID" not in os.environ
    os.environ["MLFLOW_EXPERIMENT_ID"] = "8"  # as mlflow.set_experiment does
    tracked_call.begin(given)
    assert (os.environ["MLFLOW_EXPERIMENT_ID"], "MLFLOW_RUN_ID" in os.environ) == ("8", False)
    tracked_call.end()
    tracked_call.begin({})
    assert (os.environ["MLFLOW_TRACKING_URI"], os.environ["MLFLOW_EXPERIMENT_ID"]) == ("http://users.own", "8")


def test_a_cell_that_does_not_use_mlflow_does_not_load_it() -> None:
    """`begin` and `end` in a fresh interpreter import neither MLflow nor anything heavy."""
    code = (
        "import sys\nfrom nb2prod.kernel import tracked_call\n"
        f"tracked_call.begin({json.dumps({'MLFLOW_RUN_ID': 'r', 'MLFLOW_TRACKING_URI': 'sqlite:///x.db'})})\n"
        "tracked_call.end()\nprint(sorted({'mlflow', 'pandas', 'numpy', 'sqlalchemy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_without_its_source_a_cell_may_start_a_run_after_an_earlier_one_left_one_open(run: Any) -> None:
    """MLflow refuses a second run beside an active one; so what the first cell left open is not taken up."""
    ran = run(
        [
            ("a", "import mlflow\nmlflow.log_metric('m', 1)"),
            ("b", "with mlflow.start_run():\n    mlflow.log_metric('m', 2)"),
        ],
        hint=False,
    )
    assert set(ran.errors.values()) == {""}
    assert [ran.step(name).data.metrics["m"] for name in "ab"] == [1, 2]


def test_a_failed_step_stays_failed_when_its_kernel_ends(run: Any) -> None:
    """MLflow ends, as finished, what is active when a process exits: a run that a cell left open is not."""
    ran = run(
        [
            ("open", "import mlflow\nmlflow.log_metric('m', 1)\n1 / 0"),
            ("block", "with mlflow.start_run():\n    mlflow.log_metric('m', 2)\n    1 / 0"),
        ],
        finished="failed",
        last=True,
    )
    assert set(ran.errors.values()) == {"division by zero"}
    assert [(ran.step(n).info.status, ran.step(n).data.metrics["m"]) for n in ("open", "block")] == [
        ("FAILED", 1),
        ("FAILED", 2),
    ]
    assert ran.parent.info.status == "FAILED"
