"""MLflow's store: ready for many processes at once, and free of runs whose process is gone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from nb2prod.core.errors import StoreError
from nb2prod.storage import mlflow_store, owner


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.chdir(tmp_path)


def test_eight_processes_at_once_make_one_fresh_store_and_all_write_to_it(tmp_path: Path) -> None:
    """Without the lock, MLflow lets all but one of them fail with "table experiments already exists"."""
    code = (
        "import os\nfrom nb2prod.storage import mlflow_store\nfrom mlflow import MlflowClient\n"
        "import mlflow.store.tracking.sqlalchemy_store\n"  # loaded once, so that the processes begin together
        "uri = mlflow_store.tracking_uri()\n"
        "for number in range(8):\n"
        "    if os.fork() == 0:\n"
        "        mlflow_store.make_ready(uri)\n"
        "        MlflowClient(tracking_uri=uri).create_run('0', run_name=str(number))\n"
        "        os._exit(0)\n"
        "print([os.wait()[1] for number in range(8)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[0, 0, 0, 0, 0, 0, 0, 0]\n", "")

    from mlflow import MlflowClient

    runs = MlflowClient(tracking_uri=mlflow_store.tracking_uri()).search_runs(["0"])
    assert {run.info.run_name for run in runs} == set("01234567")


def test_runs_of_dead_processes_are_closed_and_those_of_living_ones_are_not(tmp_path: Path) -> None:
    """By host, process number and the time the process started, so that a reused number does not count as alive."""
    from mlflow import MlflowClient

    uri = mlflow_store.tracking_uri()
    mlflow_store.make_ready(uri)
    client = MlflowClient(tracking_uri=uri)
    killed = subprocess.Popen(
        [sys.executable, "-c", "from nb2prod.storage import owner as s\nprint(s.owner(), flush=True)\ninput()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert killed.stdout is not None
    victim = killed.stdout.readline().strip()
    owners = {
        "killed": victim,
        "reused": f"{socket.gethostname()}:{os.getpid()}:1000.00",
        "alive": owner.owner(),
        "another host": "somewhere.else:1:1000.00",
        "unreadable": f"{socket.gethostname()}:x",
    }
    runs = {name: client.create_run("0", tags={"nb2prod.owner": owner}).info.run_id for name, owner in owners.items()}
    model = client.create_logged_model("0", "half_done", runs["killed"])
    assert not owner.is_gone(victim)

    killed.send_signal(signal.SIGKILL)  # not waited for: a zombie has ended too
    os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)
    closed = mlflow_store.close_orphans(client, "0")

    assert set(closed) == {runs["killed"], runs["reused"]}
    statuses = {name: client.get_run(run_id).info.status for name, run_id in runs.items()}
    assert statuses == {
        "killed": "KILLED",
        "reused": "KILLED",
        "alive": "RUNNING",
        "another host": "RUNNING",
        "unreadable": "RUNNING",
    }
    assert str(client.get_logged_model(model.model_id).status).endswith("FAILED")
    killed.communicate()


def test_a_relative_store_means_the_same_file_in_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel may run elsewhere: its address is absolute, also in a folder with a blank in its name."""
    folder = tmp_path / "my notebooks"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert mlflow_store.sqlite_file(mlflow_store.tracking_uri()) == folder / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///sub/runs.db")
    uri = mlflow_store.tracking_uri()
    monkeypatch.chdir(tmp_path)
    assert mlflow_store.sqlite_file(uri) == folder / "sub" / "runs.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert mlflow_store.tracking_uri() == "http://127.0.0.1:5000"
    assert mlflow_store.sqlite_file("http://127.0.0.1:5000") is None


@pytest.mark.parametrize("uri", ["", "file:///tmp/mlruns", "mlruns", "./mlruns"])
def test_an_old_file_store_is_refused_with_the_way_out(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named in the environment or found as `mlruns/0/meta.yaml`; allowed when the user allows it to MLflow."""
    mlflow_store.refuse_file_store()
    (tmp_path / "mlruns" / "0").mkdir(parents=True)
    (tmp_path / "mlruns" / "0" / "meta.yaml").write_text("name: Default\n")
    if uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(StoreError, match="file store") as caught:
        mlflow_store.refuse_file_store()
    assert "sqlite:///mlflow.db" in caught.value.fix
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow_store.refuse_file_store()


@pytest.mark.parametrize("uri", ["sqlite:///mlflow.db", "http://127.0.0.1:1", "databricks", "databricks://profile"])
def test_any_other_store_is_not_refused(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder `mlruns` with artifacts of a SQLite store, which has no `meta.yaml`, is no file store."""
    (tmp_path / "mlruns" / "1").mkdir(parents=True)
    assert mlflow_store.refuse_file_store() is None
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert mlflow_store.refuse_file_store() is None
    assert [path.name for path in sorted(tmp_path.rglob("*"))] == ["mlruns", "1"]


def test_a_store_that_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    """MLflow itself would try for a minute and a half."""
    (tmp_path / "mlflow.db").mkdir()
    with pytest.raises(StoreError, match="cannot be written"):
        mlflow_store.make_ready(f"sqlite:///{tmp_path}/mlflow.db")
