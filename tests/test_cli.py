"""The command line in real processes: exit codes, JSON alone on stdout, errors without tracebacks, interruption."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from tests.notebook_maker import Row, write_notebook

MORTGAGE = Path(__file__).parents[1] / "notebooks" / "mortgage.ipynb"


def environment(tmp_path: Path) -> dict[str, str]:
    ours = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return {**os.environ, **ours}


def nb2prod(tmp_path: Path, *words: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nb2prod", *map(str, words)]
    done = subprocess.run(command, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback (most recent call last)" not in done.stdout
    return done


def documents(done: subprocess.CompletedProcess[str]) -> Mapping[str, Any]:
    document = json.loads(done.stdout)
    assert document["schema"].startswith("nb2prod/")
    return dict(document)


def small(tmp_path: Path, *rows: Row) -> Path:
    return write_notebook(tmp_path / "small.ipynb", rows)


def test_a_run_of_the_sample_with_a_changed_parameter_leaves_nested_mlflow_runs(tmp_path: Path) -> None:
    """Parent and step runs, parameters, metrics, plots, the executed notebook; the input stays as it was."""
    before = hashlib.sha256(MORTGAGE.read_bytes()).hexdigest()
    done = nb2prod(tmp_path, "run", MORTGAGE, "-p", "test_size", "0.3", "-p", "n_trees", "30", "--json")
    ran = documents(done)
    assert (ran["status"], ran["failure"], ran["parameters"]["test_size"]) == ("finished", None, 0.3)
    assert [step["name"] for step in ran["steps"]] == ["load", "split", "train", "evaluate"]
    assert 0.7 < ran["metrics"]["auc"] < 1
    client = MlflowClient(ran["mlflow"]["tracking_uri"])
    parent = client.get_run(ran["mlflow"]["run_id"])
    assert (parent.info.status, parent.data.params["test_size"]) == ("FINISHED", "0.3")
    assert parent.data.metrics["auc"] == ran["metrics"]["auc"]
    children = client.search_runs([parent.info.experiment_id], f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
    by_name = {child.info.run_name: child for child in children}
    assert {name: child.info.status for name, child in by_name.items()} == {
        step["name"]: "FINISHED" for step in ran["steps"]
    }
    plots = [file.path for file in client.list_artifacts(by_name["evaluate"].info.run_id, "plots")]
    assert sorted(plots) == ["plots/curves.png", "plots/importance.png"]
    kept = [file.path for file in client.list_artifacts(parent.info.run_id, "notebook")]
    assert kept == ["notebook/mortgage.ipynb"]
    assert {test["outcome"] for test in ran["tests"]} == {"passed"}
    assert hashlib.sha256(MORTGAGE.read_bytes()).hexdigest() == before


def test_a_failing_cell_exits_1_and_its_mlflow_run_is_failed(tmp_path: Path) -> None:
    notebook = small(tmp_path, ("step:a", "print('fine')"), ("step:b", "x = 1\nraise ValueError('no good')"))
    done = nb2prod(tmp_path, "run", notebook, "--json", code=1)
    ran = documents(done)
    failure = {"kind": "cell", "step": "b", "cell": 1, "line": 2, "message": "ValueError: no good"}
    assert ran["failure"] == {**failure, "explanation": None}
    assert "cell 1" in done.stderr
    assert "line 2" in done.stderr
    assert Path(ran["notebook"]).exists()
    client = MlflowClient(ran["mlflow"]["tracking_uri"])
    runs = client.search_runs([ran["mlflow"]["experiment_id"]])
    assert sorted((run.info.run_name == ran["run"], run.info.status) for run in runs) == [
        (False, "FAILED"),
        (False, "FINISHED"),
        (True, "FAILED"),
    ]


def test_a_failing_test_exits_4(tmp_path: Path) -> None:
    notebook = small(tmp_path, ("step:a", "x = 1"), ("test:a", "def test_x():\n    assert x == 2"))
    done = nb2prod(tmp_path, "run", notebook, "--no-track", code=4)
    assert "assert 1 == 2" in done.stderr
    done = nb2prod(tmp_path, "test", notebook, "--json", "--junit", "report.xml", code=4)
    assert [(test["id"], test["outcome"]) for test in documents(done)["tests"]] == [("a::test_x", "failed")]
    assert 'tests="1"' in (tmp_path / "report.xml").read_text()
    nb2prod(tmp_path, "package", notebook, "-o", "package", "--no-track", code=4)
    assert not (tmp_path / "package").exists()


WRONG = [
    (("run", MORTGAGE, "-p", "tset_size", "0.3"), 2, "did you mean test_size?"),
    (("run", MORTGAGE, "-p", "test_size", "lots"), 2, "parameter test_size expects float, and was given 'lots'"),
    (("run", MORTGAGE, "-p", 'a=1;open("made","w");b', "5"), 2, "not a parameter's name"),
    (("run", MORTGAGE, "-p", "seed", "1", "-p", "seed", "2"), 2, "given twice"),
    (("run", MORTGAGE, "-f", "nothing.yaml"), 7, "nothing.yaml"),
    (("run", MORTGAGE, "--engine", "papermil"), 2, "did you mean 'papermill'?"),
    (("run", MORTGAGE, "--kernel", "julia"), 7, "the kernel 'julia' is not installed"),
    (("run", "nothing.ipynb"), 7, "there is no such file"),
    (("inspect", "empty.ipynb"), 2, "not a notebook: the file is empty"),
    (("check", "broken.ipynb"), 3, ""),
    (("run", "broken.ipynb", "--no-track"), 3, "nothing before this cell binds `nowhere`"),
    (("verify", "no-package"), 7, "no-package"),
    (("serve", "no-package"), 7, "no-package"),
    (("run",), 2, "Missing argument"),
    (("rnu",), 2, "No such command"),
]


@pytest.mark.parametrize(("words", "code", "reason"), WRONG, ids=[" ".join(map(str, row[0]))[-40:] for row in WRONG])
def test_wrong_use_has_its_exit_code_and_says_what_to_do(
    tmp_path: Path, words: tuple[str | Path, ...], code: int, reason: str
) -> None:
    (tmp_path / "empty.ipynb").write_bytes(b"")
    write_notebook(tmp_path / "broken.ipynb", [("step:a", "x = nowhere")])
    done = nb2prod(tmp_path, *words, code=code)
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists() or "julia" in words
    assert not (tmp_path / "made").exists()


def test_parameters_come_from_a_file_and_words_win(tmp_path: Path) -> None:
    notebook = small(
        tmp_path, ("parameters", "a: str = ''\nb: int = 0\nc: list[int] = []"), ("step:s", "print(a, b, c)")
    )
    (tmp_path / "p.yaml").write_text("a: '001'\nb: 2\nc: [1, 2]\n")
    done = nb2prod(tmp_path, "run", notebook, "-f", "p.yaml", "-p", "b", "3", "--no-track", "--json")
    assert documents(done)["steps"][0]["printed"] == "001 3 [1, 2]\n"
    (tmp_path / "p.yaml").write_text("b: '2'\n")
    assert "expects int" in nb2prod(tmp_path, "run", notebook, "-f", "p.yaml", code=2).stderr


def test_check_and_inspect_print_what_the_contract_says(tmp_path: Path) -> None:
    found = documents(nb2prod(tmp_path, "check", small(tmp_path, ("step:a", "x = nowhere")), "--json", code=3))
    assert set(found["findings"][0]) == {"notebook", "code", "severity", "cell", "line", "message", "fix", "isolated"}
    seen = documents(nb2prod(tmp_path, "inspect", MORTGAGE, "--json"))
    assert [step["name"] for step in seen["steps"]] == ["load", "split", "train", "evaluate"]
    train = seen["steps"][2]
    assert (train["inputs"], train["outputs"], train["model"]) == (["X_train", "y_train"], ["model"], "model")
    assert {"name", "from", "kind"} <= set(train["edges"][0])
    assert nb2prod(tmp_path, "inspect", MORTGAGE, "--format", "mermaid").stdout.startswith("flowchart")
    assert nb2prod(tmp_path, "inspect", MORTGAGE, "--format", "svg").stdout.startswith("<svg")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_its_kernel_and_its_mlflow_run(tmp_path: Path, number: signal.Signals) -> None:
    notebook = small(tmp_path, ("step:a", "import os, time\nopen('pid', 'w').write(str(os.getpid()))\ntime.sleep(600)"))
    command = [sys.executable, "-m", "nb2prod", "run", str(notebook)]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment(tmp_path), stderr=subprocess.PIPE, text=True)
    pid = tmp_path / "pid"
    for _ in range(600):
        if pid.exists() and pid.read_text():
            break
        time.sleep(0.1)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert number.name in said
    assert "Traceback" not in said
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    by_step = {run.data.tags.get("mlflow.parentRunId") is not None: run.info.status for run in runs}
    assert by_step == {False: "KILLED", True: "FAILED"}


def test_papermill_runs_our_engine_and_types_its_parameters(tmp_path: Path) -> None:
    """`papermill --engine nb2prod`: false is False for a bool, derived parameters follow, wrong ones are refused."""
    source = "flag: bool = True\nn: int = 1\ntwice = n * 2\nname: str = ''"
    notebook = small(tmp_path, ("parameters", source), ("step:s", "print(flag, n, twice, repr(name))"))
    papermill = [str(Path(sys.executable).parent / "papermill"), "--engine", "nb2prod", str(notebook), "out.ipynb"]
    words = ["-p", "flag", "false", "-p", "n", "4", "-p", "name", "x"]
    done = subprocess.run([*papermill, *words], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "False 4 8 'x'" in (tmp_path / "out.ipynb").read_text()
    wrong = subprocess.run(
        [*papermill, "-p", "m", "4"], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True
    )
    assert wrong.returncode != 0
    assert "unknown parameter m" in wrong.stderr


def test_no_command_writes_over_the_notebook_that_it_reads(tmp_path: Path) -> None:
    notebook = small(tmp_path, ("step:a", "x = 1"), ("test:a", "assert x"))
    before = notebook.read_bytes()
    (tmp_path / "link").symlink_to(notebook)
    for words in (["inspect", notebook, "-o", tmp_path / "link"], ["test", notebook, "--junit", notebook]):
        assert "would overwrite the input" in nb2prod(tmp_path, *words, code=2).stderr
    assert notebook.read_bytes() == before


def test_a_number_that_json_lacks_is_the_text_of_its_name(tmp_path: Path) -> None:
    notebook = small(tmp_path, ("parameters", "x: float = float('inf')"), ("step:a metric:m", "m = -x"))

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    done = nb2prod(tmp_path, "run", notebook, "--no-track", "--json", "-p", "x", "inf")
    document = json.loads(done.stdout, parse_constant=refuse)
    assert (document["parameters"], document["metrics"]) == ({"x": "Infinity"}, {"m": "-Infinity"})
    shown = json.loads(nb2prod(tmp_path, "inspect", notebook, "--json").stdout, parse_constant=refuse)
    assert shown["parameters"][0]["default"] == "Infinity"


def test_papermill_keeps_secrets_and_refuses_before_it_writes(tmp_path: Path) -> None:
    notebook = small(tmp_path, ("parameters", "token = ''\nx: float = 1.0"), ("step:a", "print(token, x)"))
    papermill = Path(sys.executable).with_name("papermill")

    def run(*words: str) -> int:
        command = [str(papermill), "--engine", "nb2prod", str(notebook), *words]
        return subprocess.run(command, cwd=tmp_path, env=environment(tmp_path), capture_output=True).returncode

    assert run("out.ipynb", "-p", "token", "hunter2-hunter2", "-p", "x", "nan") == 0
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in written if b"hunter2" in path.read_bytes()] == []
    assert '"******** nan\\n"' in (tmp_path / "out.ipynb").read_text()
    before = notebook.read_bytes()
    assert run("other.ipynb", "-p", "token", "hunter2-hunter2", "-p", "y", "1") != 0
    assert not (tmp_path / "other.ipynb").exists()
    assert run(str(notebook), "-p", "x", "2") != 0
    assert notebook.read_bytes() == before
