"""One real notebook all the way: a run, a package, its proof, and three servers that give the same answers."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
import requests

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
BIN = Path(sys.executable).parent
# on a busy machine, threads that wait for each other take twice as long
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1"}


def nb2prod(folder: Path, *words: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **QUIET, "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    command = [str(BIN / "nb2prod"), *map(str, words)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done


@contextmanager
def serving(folder: Path, *command: str | Path) -> Iterator[str]:
    """A server as a process of its own; yields its address once it has said it."""
    log = folder / f"{Path(command[0]).name}.log"
    environment = {**os.environ, **QUIET, "PATH": f"{BIN}:{os.environ['PATH']}"}
    with log.open("w") as out:
        process = subprocess.Popen([*map(str, command)], stdout=out, stderr=out, env=environment, cwd=folder)
    try:
        for _ in range(600):
            said = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
            assert process.poll() is None, log.read_text()
            if said and _answers(said[0]):
                break
            time.sleep(0.1)
        yield said[0] if said else ""
    finally:
        process.terminate()
        process.wait(30)


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/ping", timeout=5).status_code < 500
    except requests.ConnectionError:
        return False


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("way")
    words = ["-o", "package", "-p", "n_trees", "30", "--register", "mortgage"]
    nb2prod(folder, "package", NOTEBOOKS / "mortgage.ipynb", *words)
    return folder / "package"


@pytest.fixture(scope="module")
def rows(packaged: Path) -> pd.DataFrame:
    return pd.read_parquet(packaged / "parity" / "example.parquet").head(50)


def test_the_package_is_an_mlflow_model_that_predicts_what_the_notebook_predicted(packaged: Path) -> None:
    example = pd.read_parquet(packaged / "parity" / "example.parquet")
    predicted = mlflow.pyfunc.load_model(str(packaged)).predict(example)
    assert np.array_equal(predicted, np.load(packaged / "parity" / "predictions.npy"))
    manifest = json.loads((packaged / "package.json").read_text())
    assert manifest["format"]["format"] == "skops"
    assert f"{manifest['module']}.add_features" in manifest["format"]["trusted"]
    assert manifest["notebook_digest"] == hashlib.sha256((NOTEBOOKS / "mortgage.ipynb").read_bytes()).hexdigest()


def test_the_registered_version_is_the_package(packaged: Path, rows: pd.DataFrame) -> None:
    mlflow.set_registry_uri(f"sqlite:///{packaged.parent}/mlflow.db")
    mlflow.set_tracking_uri(f"sqlite:///{packaged.parent}/mlflow.db")
    registered = mlflow.pyfunc.load_model("models:/mortgage/1").predict(rows)
    assert np.array_equal(registered, mlflow.pyfunc.load_model(str(packaged)).predict(rows))


def test_our_service_answers_what_the_model_and_mlflows_own_server_answer(packaged: Path, rows: pd.DataFrame) -> None:
    expected = mlflow.pyfunc.load_model(str(packaged)).predict(rows).tolist()
    split: dict[str, Any] = {"dataframe_split": rows.to_dict(orient="split")}
    with serving(packaged.parent, BIN / "nb2prod", "serve", packaged, "--port", "0") as ours:
        assert requests.post(f"{ours}/invocations", json=split, timeout=30).json() == {"predictions": expected}
        answer = requests.post(f"{ours}/predict", json={"rows": rows.to_dict(orient="records")}, timeout=30).json()
        assert answer["predictions"] == expected
        schema = requests.get(f"{ours}/openapi.json", timeout=30).json()
        assert set(rows.columns) <= set(re.findall(r'"(\w+)"', json.dumps(schema)))
        assert requests.get(f"{ours}/readyz", timeout=30).status_code == 200
    port = ours.rpartition(":")[2]
    theirs = ("mlflow", "models", "serve", "-m", str(packaged), "--env-manager", "local", "--port", port)
    with serving(packaged.parent, BIN / theirs[0], *theirs[1:]) as url:
        assert requests.post(f"{url}/invocations", json=split, timeout=30).json() == {"predictions": expected}


def test_verify_is_green_on_the_package_and_red_when_one_bit_is_flipped(packaged: Path, tmp_path: Path) -> None:
    """The package stands as it was also after other servers have loaded it."""
    assert "every path that was tried answers as certified" in nb2prod(tmp_path, "verify", packaged).stdout
    model = packaged / "model.skops"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    assert "model.skops" in nb2prod(tmp_path, "verify", packaged, code=5).stderr
    assert nb2prod(tmp_path, "serve", packaged, "--port", "0", code=5).stderr
    content[len(content) // 2] ^= 1
    model.write_bytes(content)


def test_the_notebook_with_magics_runs_headless_and_its_tests_pass(tmp_path: Path) -> None:
    notebook = NOTEBOOKS / "flight_delays.ipynb"
    before = hashlib.sha256(notebook.read_bytes()).hexdigest()
    fewer = ("-p", "sample", "12000", "-p", "rounds", "40")  # the whole of it runs in JupyterLab
    done = nb2prod(tmp_path, "run", notebook, *fewer, "--no-track", "--json")
    ran = json.loads(done.stdout)
    assert (ran["status"], {test["outcome"] for test in ran["tests"]}) == ("finished", {"passed"})
    assert hashlib.sha256(notebook.read_bytes()).hexdigest() == before
