"""What a run leaves in MLflow: real SQLite stores and real HTTP, read back with MLflow's own client."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import json
import logging
import math
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from nb2prod.core.errors import StoreError
from nb2prod.core.events import (
    ArtifactKept,
    DatasetRead,
    Event,
    KernelStarted,
    MetricMeasured,
    RunFinished,
    StepFinished,
    StepStarted,
    TestFinished,
    Tracked,
)
from nb2prod.core.notebook import Cell, Notebook
from nb2prod.core.pipeline import Plan
from nb2prod.core.result import Artifact, Dataset, Explanation, Failure, TestResult
from nb2prod.stages.compile import compile as compile_notebook
from nb2prod.storage import mlflow_store, owner
from nb2prod.trackers import mlflow as tracker_plugin

T0 = 1_700_000_000.0
Told = Callable[..., "Run"]


class Run:
    """A parent run and its step runs, as MLflow has them."""

    def __init__(self, client: Any, run_id: str, published: list[Event]) -> None:
        self.client, self.published = client, published
        self.parent = client.get_run(run_id)
        children = client.search_runs([self.parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'")
        self.steps = {run.info.run_name: run for run in children}

    def files(self, run: Any, folder: str | None = None) -> set[str]:
        return {file.path for file in self.client.list_artifacts(run.info.run_id, folder)}

    def text(self, run: Any, path: str, folder: Path) -> str:
        return Path(self.client.download_artifacts(run.info.run_id, path, str(folder))).read_text()


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite store with its tables, copied by each test: MLflow takes seconds to make one."""
    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    mlflow_store.make_ready(f"sqlite:///{file}")
    return file


@pytest.fixture(autouse=True)
def store(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def told(started: Any) -> Told:
    """Tells a plan's run to MLflow, event by event, and reads it back."""

    def tell(plan: Plan, *events: Event, close: bool = False) -> Run:
        from mlflow import MlflowClient

        published: list[Event] = []
        tracker = tracker_plugin.open(plan, published.append)
        for event in (started(plan), *events):
            tracker.hear(event)
        if close:
            tracker.close()
        (where,) = [event.where for event in published if isinstance(event, Tracked)]
        return Run(MlflowClient(tracking_uri=where["tracking_uri"]), where["run_id"], published)

    return tell


def test_a_run_is_a_parent_run_and_a_nested_run_for_each_step(told: Told, plan: Any, tmp_path: Path) -> None:
    """Names, tags, parameters, metrics, times and files, each on the run where it belongs."""
    (tmp_path / "runs" / "steps" / "train").mkdir(parents=True)
    (tmp_path / "runs" / "steps" / "train" / "roc.png").write_bytes(b"png")
    (tmp_path / "runs" / "plan.json").write_text("{}")
    (tmp_path / "runs" / "events.jsonl").write_text("{}\n")
    (tmp_path / "out.ipynb").write_text("{}")
    run = told(
        plan("x = 1"),
        KernelStarted(kernel="python3", seconds=0.5),
        StepStarted(at=T0 + 1, step="load", parameters=("alpha", "password")),
        MetricMeasured(step="load", name="rows", value=100.0),
        StepFinished(at=T0 + 3, step="load", status="finished", seconds=2.0),
        StepStarted(at=T0 + 3, step="train", reason="load changed"),
        MetricMeasured(step="train", name="auc", value=0.8),
        ArtifactKept(artifact=Artifact("plot", "roc", "steps/train/roc.png", "0", "train")),
        StepFinished(at=T0 + 4, step="train", status="finished", seconds=1.0),
        RunFinished(at=T0 + 5, status="finished"),
    )
    parent, load, train = run.parent, run.steps["load"], run.steps["train"]
    assert (parent.info.run_name, parent.info.status) == ("run-1", "FINISHED")
    assert (parent.info.start_time, parent.info.end_time) == (T0 * 1000, (T0 + 5) * 1000)
    assert (load.info.start_time, load.info.end_time, load.info.status) == (
        (T0 + 1) * 1000,
        (T0 + 3) * 1000,
        "FINISHED",
    )
    assert run.client.get_experiment(parent.info.experiment_id).name == "houses"
    assert parent.data.params == {"alpha": "0.5", "password": "***"}
    assert (load.data.params, train.data.params) == ({"alpha": "0.5", "password": "***"}, {})
    assert parent.data.metrics == {"rows": 100.0, "auc": 0.8}
    assert load.data.metrics == {"rows": 100.0, "seconds": 2.0}
    assert train.data.metrics == {"auc": 0.8, "seconds": 1.0}
    assert train.data.tags["nb2prod.reason"] == "load changed"
    tags = parent.data.tags
    assert tags["mlflow.source.name"] == str(tmp_path / "houses.ipynb")
    assert (tags["mlflow.source.type"], tags["nb2prod.notebook.sha256"]) == ("NOTEBOOK", "d" * 64)
    assert (tags["nb2prod.engine"], tags["nb2prod.executor"], tags["nb2prod.run"]) == ("papermill", "serial", "run-1")
    assert tags["nb2prod.owner"] == load.data.tags["nb2prod.owner"] == owner.owner()
    assert run.files(parent) == {"notebook", "plan.json", "events.jsonl"}
    assert run.files(parent, "notebook") == {"notebook/out.ipynb"}
    assert run.files(train, "plots") == {"plots/roc.png"}


def test_a_secret_is_nowhere_in_the_store(told: Told, plan: Any, tmp_path: Path) -> None:
    """Neither in the database nor in an artifact, long as it may be."""
    secret = "tell-nobody" * 1000
    finished = StepFinished(step="load", status="finished", seconds=1.0)
    told(
        plan("x = 1", parameters={"password": secret}),
        StepStarted(step="load", parameters=("password",)),
        finished,
        RunFinished(status="finished"),
    )
    digest = hashlib.sha256(secret.encode()).hexdigest().encode()
    for file in [tmp_path / "mlflow.db", *(path for path in (tmp_path / "mlruns").rglob("*") if path.is_file())]:
        content = file.read_bytes()
        assert b"tell-nobody" not in content
        assert digest not in content


def test_a_long_parameter_is_kept_whole_as_an_artifact_and_named_by_its_digest(
    told: Told, plan: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """At MLflow's limit it is still a value; one character more and MLflow would cut it."""
    fits, long = "x" * 6000, ["é"] * 3000
    parameters = {"fits": fits, "long": long, "none": None, "empty": "", "many": {"a": (1, 2)}}
    run = told(
        plan(parameters=parameters),
        StepStarted(step="load", parameters=("long",)),
        StepFinished(step="load", status="finished", seconds=1.0),
        RunFinished(status="finished"),
    )
    digest = hashlib.sha256(str(long).encode()).hexdigest()
    assert run.parent.data.params == {
        "fits": fits,
        "long": f"sha256:{digest} (15000 characters)",
        "none": "None",
        "empty": "",
        "many": "{'a': (1, 2)}",
    }
    assert run.steps["load"].data.params == {"long": f"sha256:{digest} (15000 characters)"}
    assert run.files(run.parent, "parameters") == {"parameters/long.json"}
    assert json.loads(run.text(run.parent, "parameters/long.json", tmp_path)) == long
    assert "truncated" not in caplog.text


def test_many_parameters_arrive(told: Told, plan: Any) -> None:
    """More than MLflow takes in one request."""
    parameters = {f"p{number}": number for number in range(250)}
    run = told(plan(parameters=parameters), RunFinished(status="finished"))
    assert run.parent.data.params == {name: str(value) for name, value in parameters.items()}


def test_a_metric_that_is_no_number_stays_one_and_an_infinite_one_is_said_in_words(told: Told, plan: Any) -> None:
    """MLflow would keep infinity as 1.8e308, which nobody measured."""
    run = told(
        plan(),
        StepStarted(step="train"),
        MetricMeasured(step="train", name="nan", value=math.nan),
        MetricMeasured(step="train", name="loss", value=math.inf),
        StepFinished(step="train", status="finished", seconds=1.0),
        RunFinished(status="finished"),
    )
    for found in (run.parent, run.steps["train"]):
        assert math.isnan(found.data.metrics["nan"])
        assert "loss" not in found.data.metrics
        assert found.data.tags["nb2prod.metric.loss"] == "inf"


def test_a_dataset_is_an_input_of_its_step_with_the_digest_of_all_its_rows(told: Told, plan: Any) -> None:
    """MLflow keeps 36 characters of a digest, a tag the others."""
    digest = hashlib.sha256(b"all of it").hexdigest()
    columns = (("price", "float64"), ("rooms", "int64"), ("when", "datetime64[ns, UTC]"), ("odd", "complex128"))
    run = told(
        plan(),
        StepStarted(step="load"),
        DatasetRead(dataset=Dataset("houses", "load", digest, 500, columns)),
        DatasetRead(dataset=Dataset("sold", "load", "a" * 64, 3)),
        StepFinished(step="load", status="finished", seconds=1.0),
        RunFinished(status="finished"),
    )
    inputs = {each.dataset.name: each for each in run.steps["load"].inputs.dataset_inputs}
    assert set(inputs) == {"houses", "sold"}
    houses = inputs["houses"]
    assert houses.dataset.digest == digest[:36]
    assert {tag.key: tag.value for tag in houses.tags}["nb2prod.digest"] == digest
    assert json.loads(houses.dataset.profile) == {"num_rows": 500, "num_elements": 2000}
    types = [column["type"] for column in json.loads(houses.dataset.schema)["mlflow_colspec"]]
    assert types == ["double", "long", "datetime", "any"]
    import mlflow.data

    assert mlflow.data.get_source(houses).to_dict()["tags"]["nb2prod.step"] == "load"
    assert run.parent.inputs.dataset_inputs == []


def test_a_failed_cell_ends_its_step_and_the_run_failed_and_says_where(told: Told, plan: Any) -> None:
    """The open step too, with what it had measured by then."""
    failure = Failure("cell", "ValueError: no rows\nsecond line", "train", 4, 2, "Traceback …")
    run = told(
        plan(),
        StepStarted(step="load"),
        StepFinished(step="load", status="finished", seconds=1.0),
        StepStarted(step="train", parameters=("alpha",)),
        MetricMeasured(step="train", name="epoch", value=3.0),
        RunFinished(status="failed", failure=failure),
    )
    assert {name: step.info.status for name, step in run.steps.items()} == {"load": "FINISHED", "train": "FAILED"}
    assert run.parent.info.status == "FAILED"
    assert run.parent.data.tags["nb2prod.failure"].startswith("step train, cell 4, line 2: ValueError: no rows")
    assert run.steps["train"].data.metrics == {"epoch": 3.0}
    assert run.steps["train"].data.params == {"alpha": "0.5"}


def test_the_tag_of_a_failure_has_its_explanation(told: Told, plan: Any) -> None:
    known = Explanation("missing-package", "the module cv2 comes with opencv-python", "pip install opencv-python")
    failure = Failure("cell", "ModuleNotFoundError: No module named 'cv2'", "load", 1, 1, explanation=known)
    run = told(plan(), RunFinished(status="failed", failure=failure))
    assert run.parent.data.tags["nb2prod.failure"].splitlines()[1:] == [
        "missing-package: the module cv2 comes with opencv-python",
        "fix: pip install opencv-python",
    ]


def test_what_the_notebook_declares_that_it_needs_is_kept_with_the_run(told: Told, plan: Any, tmp_path: Path) -> None:
    """With the lines of the file that it names, and without the password of its index."""
    (tmp_path / "more.txt").write_text("--index-url https://me:hidden@pypi.example.org/simple\nscipy\n")
    (tmp_path / "houses.ipynb").touch()
    pipeline = compile_notebook(
        Notebook(tmp_path / "houses.ipynb", (Cell(0, "code", "%pip install -q 'pandas>=2' -r more.txt"),))
    )
    run = told(dataclasses.replace(plan(), pipeline=pipeline), RunFinished(status="finished"))
    assert run.text(run.parent, "requirements.txt", tmp_path).splitlines() == [
        "pandas>=2  # cell 0",
        "# -r more.txt  # cell 0",
        "",
        "# more.txt",
        "--index-url https://***@pypi.example.org/simple",
        "scipy",
    ]


def test_a_failed_test_fails_the_run_and_the_report_has_every_test(told: Told, plan: Any, tmp_path: Path) -> None:
    """As JSON and as JUnit XML, also when a message has characters that XML forbids; its step itself did finish."""
    run = told(
        plan(),
        StepStarted(step="train"),
        StepFinished(step="train", status="finished", seconds=1.0),
        TestFinished(
            test=TestResult("nb::train::test_auc", "train", "failed", 0.25, "\x1b[31massert 0.7 > 0.8\x1b[0m\x00")
        ),
        TestFinished(test=TestResult("nb::train::test_rows", "train", "passed", 0.25)),
        TestFinished(test=TestResult("nb::test_all", None, "skipped", 0.0, "no data")),
        RunFinished(status="finished"),
    )
    assert (run.parent.info.status, run.steps["train"].info.status) == ("FAILED", "FINISHED")
    assert run.parent.data.tags["nb2prod.failure"] == "test nb::train::test_auc: assert 0.7 > 0.8"
    assert run.parent.data.metrics == {"tests_passed": 1.0, "tests_failed": 1.0}
    assert run.steps["train"].data.metrics == {"seconds": 1.0, "tests_passed": 1.0, "tests_failed": 1.0}
    report = json.loads(run.text(run.parent, "tests/report.json", tmp_path))
    assert [(test["id"], test["outcome"]) for test in report["tests"]] == [
        ("nb::train::test_auc", "failed"),
        ("nb::train::test_rows", "passed"),
        ("nb::test_all", "skipped"),
    ]
    (suite,) = ElementTree.fromstring(run.text(run.parent, "tests/junit.xml", tmp_path))
    counts = (suite.get("tests"), suite.get("failures"), suite.get("errors"), suite.get("skipped"))
    assert counts == ("3", "1", "0", "1")
    assert [case.get("name") for case in suite] == ["nb::train::test_auc", "nb::train::test_rows", "nb::test_all"]
    assert suite[0][0].get("message") == "assert 0.7 > 0.8"


@pytest.mark.parametrize("close", [False, True])
def test_a_run_that_was_given_up_is_killed_with_its_steps(told: Told, plan: Any, close: bool) -> None:
    """By `RunFinished`, or by closing the tracker without it; a run that a cell left open ends too."""
    last = () if close else (RunFinished(status="killed", failure=Failure("interrupted", "interrupted")),)
    run = told(plan(), StepStarted(step="load"), *last, close=close)
    assert (run.parent.info.status, run.steps["load"].info.status) == ("KILLED", "KILLED")


def test_runs_that_cells_left_open_end_with_the_run(plan: Any, started: Any) -> None:
    """A kernel that died could not end them."""
    from mlflow import MlflowClient

    tracker = tracker_plugin.open(plan(), lambda event: None)
    tracker.hear(started(plan()))
    tracker.hear(StepStarted(step="train"))
    environment = tracker.environment("train")
    client = MlflowClient(tracking_uri=environment["MLFLOW_TRACKING_URI"])
    tags = json.loads(environment["NB2PROD_MLFLOW_STEP_TAGS"])
    child = client.create_run(environment["MLFLOW_EXPERIMENT_ID"], tags=tags)
    assert child.data.tags["mlflow.parentRunId"] == environment["MLFLOW_RUN_ID"]
    tracker.hear(RunFinished(status="failed", failure=Failure("kernel", "the kernel died", "train", 3)))
    assert client.get_run(child.info.run_id).info.status == "FAILED"


def test_a_skipped_step_has_no_run_and_the_parent_says_why(told: Told, plan: Any) -> None:
    """A step tried again has two."""
    run = told(
        plan(),
        StepFinished(step="load", status="skipped", seconds=0.0, reason="nothing changed"),
        StepStarted(at=T0, step="train"),
        StepStarted(at=T0 + 9, step="train"),
        StepFinished(step="train", status="finished", seconds=1.0),
        RunFinished(status="finished"),
    )
    assert run.parent.data.tags["nb2prod.skipped.load"] == "nothing changed"
    tries = run.client.search_runs([run.parent.info.experiment_id], "tags.`nb2prod.step` = 'train'")
    assert {(r.info.start_time, r.info.status) for r in tries} == {(T0 * 1000, "FAILED"), ((T0 + 9) * 1000, "FINISHED")}


@pytest.mark.parametrize(
    ("source", "changes", "environment", "expected"),
    [
        ("x = 1", {}, {}, "houses"),
        ("x = 1", {"experiment": "asked"}, {"MLFLOW_EXPERIMENT_NAME": "env"}, "asked"),
        ("x = 1", {}, {"MLFLOW_EXPERIMENT_NAME": "env"}, "env"),
        ("x = 1", {}, {"MLFLOW_EXPERIMENT_ID": "0"}, "Default"),
        ("mlflow.set_experiment('own')", {}, {"MLFLOW_EXPERIMENT_NAME": "env"}, "own"),
        ('mlflow.set_experiment(experiment_name="own")', {}, {}, "own"),
        ("mlflow.set_experiment(alpha)", {"parameters": {"alpha": "from parameter"}}, {}, "from parameter"),
        ("# mlflow.set_experiment('own')", {}, {}, "houses"),
        ("set_experiment('one')\nset_experiment('two')", {}, {}, "houses"),
        ("mlflow.set_experiment(f'own {x}')", {}, {}, "houses"),
    ],
)
def test_the_experiment_is_the_one_asked_for_else_the_notebooks_own(
    source: str, changes: Any, environment: Any, expected: str, told: Told, plan: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the environment's, as MLflow reads it, else one of the notebook's name."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    run = told(plan(source, **changes), RunFinished(status="finished"))
    assert run.client.get_experiment(run.parent.info.experiment_id).name == expected


def test_the_commit_is_a_tag_and_whether_the_notebook_differs_from_it(
    told: Told, plan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new notebook, a committed one, a changed one."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    commit = [*git, "commit", "-qm", "more"]
    notebook = tmp_path / "houses.ipynb"
    notebook.write_text("one")
    (tmp_path / "README").write_text("one")
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "README"], check=True)
    subprocess.run(commit, check=True)
    dirty = []
    for prepare in (None, commit, None):
        if prepare:
            subprocess.run([*git, "add", "houses.ipynb"], check=True)
            subprocess.run(prepare, check=True)
        elif dirty:
            notebook.write_text("two")
        tags = told(plan(), RunFinished(status="finished")).parent.data.tags
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        assert tags["mlflow.source.git.commit"] == head
        dirty.append(tags["nb2prod.git.dirty"])
    assert dirty == ["true", "false", "true"]


def test_the_runs_of_a_killed_process_are_closed_by_the_next_run(told: Told, plan: Any, tmp_path: Path) -> None:
    """Parent and step: both carry their owner."""
    code = (
        "import os, signal, sys\nsys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\nimport conftest\n"
        "from nb2prod.core.events import StepStarted\nfrom nb2prod.trackers import mlflow\n"
        "plan = conftest.plan_in(Path.cwd())\n"
        "tracker = mlflow.open(plan, lambda event: None)\n"
        "tracker.hear(conftest.start_of(plan))\ntracker.hear(StepStarted(step='load'))\n"
        "tracker.environment('load')\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(Path(__file__).parent)], check=False)
    assert done.returncode == -9
    run = told(plan(), RunFinished(status="finished"))
    everything = run.client.search_runs([run.parent.info.experiment_id])
    assert sorted(r.info.status for r in everything) == ["FINISHED", "KILLED", "KILLED"]


@pytest.fixture
def broken_server() -> Iterator[str]:
    """A tracking server that answers 503 to everything."""

    class Unavailable(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503)
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *arguments: object) -> None:
            logging.getLogger(__name__).debug("%s", arguments)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Unavailable)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://user:hidden@127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def test_when_the_server_does_not_answer_the_run_goes_on_with_one_warning(
    broken_server: str, plan: Any, started: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The cells run as without a tracker; the warning hides the server's password and names the journal."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", broken_server)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    published: list[Event] = []
    tracker = tracker_plugin.open(plan(), published.append)
    tracker.hear(started(plan()))
    tracker.hear(StepStarted(step="load"))
    assert tracker.environment("load") == {}
    tracker.hear(StepFinished(step="load", status="finished", seconds=1.0))
    tracker.hear(RunFinished(status="finished"))
    tracker.close()
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 1
    assert "MLflow is told nothing more of this run, which goes on" in warnings[0]
    assert str(Path("runs") / "events.jsonl") in warnings[0]
    assert "hidden" not in caplog.text
    assert published == []
    assert "MLFLOW_HTTP_REQUEST_TIMEOUT" not in os.environ


def test_a_store_that_breaks_in_the_middle_stops_the_telling_not_the_run(
    plan: Any, started: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Here its tables are gone."""
    import sqlite3

    tracker = tracker_plugin.open(plan(), lambda event: None)
    tracker.hear(started(plan()))
    tracker.hear(StepStarted(step="load"))
    assert tracker.environment("load")["MLFLOW_RUN_ID"]
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("DROP TABLE runs")
    tracker.hear(StepStarted(step="train"))
    tracker.hear(RunFinished(status="finished"))
    assert tracker.environment("train") == {}
    assert len([record for record in caplog.records if record.name == "nb2prod.mlflow"]) == 1


def test_an_old_file_store_is_refused_before_anything_runs(plan: Any, tmp_path: Path) -> None:
    """When the tracker opens, not in the middle of a run."""
    (tmp_path / "mlruns" / "0").mkdir(parents=True)
    (tmp_path / "mlruns" / "0" / "meta.yaml").write_text("name: Default\n")
    with pytest.raises(StoreError, match="file store"):
        tracker_plugin.open(plan(), lambda event: None)


def test_to_import_and_open_the_tracker_does_not_load_mlflow(tmp_path: Path) -> None:
    """It is loaded beside the start of the kernel, once there is a run to tell."""
    code = (
        "import sys\nsys.path.insert(0, sys.argv[1])\nfrom pathlib import Path\nimport conftest\n"
        "from nb2prod.trackers import mlflow\n"
        "mlflow.open(conftest.plan_in(Path.cwd()), lambda event: None).close()\n"
        "print(sorted({'mlflow', 'pandas', 'sqlalchemy'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parent)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"
