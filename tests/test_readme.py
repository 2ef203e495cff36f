"""The README's commands, run as they stand, in a folder that holds the notebooks."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import requests

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BIN = Path(sys.executable).parent


def commands(section: str) -> list[str]:
    text = README.partition(f"## {section}\n")[2].partition("\n## ")[0]
    block = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)[0]
    return [line.partition("#")[0].strip() for line in block.splitlines()]


def with_fewer_trees(notebook: str) -> str:
    assert notebook.count("n_trees: int = 200") == 1
    return notebook.replace("n_trees: int = 200", "n_trees: int = 15")


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.ipynb")}


def test_the_commands_of_the_readme_run_as_they_stand(tmp_path: Path) -> None:
    """In their order; the last one serves, and answers; the notebooks stay as they were.

    The forest has fewer trees, so that the eight runs of the notebook take less time.
    """
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    mortgage = tmp_path / "notebooks" / "mortgage.ipynb"
    mortgage.write_text(with_fewer_trees(mortgage.read_text(encoding="utf-8")), encoding="utf-8")
    before = digests(tmp_path / "notebooks")
    # on a busy machine, threads that wait for each other take twice as long
    alone = {"MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1"}
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **alone}
    *first, serve = commands("The command line")
    assert len(first) == 7
    assert serve.startswith("nb2prod serve")
    more = [
        "papermill --engine nb2prod notebooks/mortgage.ipynb out.ipynb",
        "pytest -p no:cacheprovider notebooks/mortgage.ipynb",
    ]
    for command in [*first, *more]:
        done = subprocess.run(command.split(), cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    assert "13 passed" in done.stdout, "one item per test function"
    assert (tmp_path / "mlflow.db").exists(), "MLflow's own default store"
    log = tmp_path / "serve.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [*serve.split(), "--port", "0"], cwd=tmp_path, env=environment, stdout=out, stderr=out
        )
    try:
        for _ in range(600):
            said = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
            if said or process.poll() is not None:
                break
            time.sleep(0.1)
        assert said, log.read_text()
        assert requests.get(f"{said[0]}/readyz", timeout=30).status_code == 200
    finally:
        process.terminate()
        assert process.wait(30) == 0
    assert digests(tmp_path / "notebooks") == before


def test_the_picture_is_the_one_that_the_command_makes(tmp_path: Path) -> None:
    command = "nb2prod inspect notebooks/mortgage.ipynb --format svg"
    assert command in README
    out = ["-o", str(tmp_path / "made.svg")]
    subprocess.run([BIN / "nb2prod", *command.split()[1:], *out], cwd=ROOT, check=True, capture_output=True)
    assert (tmp_path / "made.svg").read_bytes() == (ROOT / "docs" / "pipeline.svg").read_bytes()
