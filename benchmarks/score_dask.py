"""`nb2prod score --executor dask` on many files, and what becomes of it when a worker or its process is killed.

python benchmarks/score_dask.py        writes benchmarks/results/score_dask.json

Six files are scored one after the other, and by a local cluster of two workers: undisturbed; with a worker of Dask
killed; with the process killed that scores for a worker. Each output must be that of the first, byte for byte, after
the same command again where it ended otherwise than well.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from benchmarks.score_speed import LOGISTIC, machine, many_rows, packaged  # noqa: E402
from tests.notebook_maker import write_notebook  # noqa: E402

FILES, ROWS = 6, 100_000
SCORES = "nb2prod.stages.scoring.elsewhere"
DASK = ("--executor", "dask", "--workers", "2")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="nb2prod-score-dask-") as folder:
        work = Path(folder)
        package = packaged(work, write_notebook(work / "logistic.ipynb", LOGISTIC), "logistic")
        data = work / "data"
        data.mkdir()
        frame = many_rows(package, ROWS)
        for number in range(FILES):
            frame.sample(frac=1, random_state=number).to_parquet(data / f"{number}.parquet")
        command = [sys.executable, "-m", "nb2prod", "score", str(package), str(data), "-o"]
        serial = work / "serial.parquet"
        subprocess.run([*command, str(serial)], check=True, capture_output=True)
        found: dict[str, Any] = {"machine": machine(), "files": FILES, "rows of each": ROWS}
        for name, level in (("undisturbed", None), ("a worker killed", 1), ("a process that scores killed", 0)):
            output = work / f"{level}.parquet"
            found[name] = run([*command, str(output), *DASK], level)
            found[name]["equal bytes"] = output.read_bytes() == serial.read_bytes()
            found[name]["processes left"] = len(scoring(psutil.process_iter()))
            print(name, found[name], flush=True)
    (HERE / "results" / "score_dask.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def run(command: list[str], level: int | None) -> dict[str, Any]:
    """Run it, killing a process that scores (level 0) or the worker above it (1), and again when that ended badly."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while level is not None and process.poll() is None:
        there = scoring(psutil.Process(process.pid).children(recursive=True))
        chosen = there[0] if there and level == 0 else there[0].parent() if there else None
        if chosen is not None:
            chosen.kill()
            break
        time.sleep(0.05)
    _, errors = process.communicate()
    said: dict[str, Any] = {"code": process.returncode, "said": errors.decode().strip().splitlines()[-3:]}
    if process.returncode:
        said["code of the same command again"] = subprocess.run(command, check=False, capture_output=True).returncode
    return said


def scoring(processes: Any) -> list[psutil.Process]:
    found = []
    for one in processes:
        with contextlib.suppress(psutil.Error):  # it ended meanwhile
            found += [one] if SCORES in one.cmdline() else []
    return found


if __name__ == "__main__":
    main()
