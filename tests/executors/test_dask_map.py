"""A map on a Dask cluster: all items, each once, also when a worker is lost on the way."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from nb2prod import api
from tests.notebook_maker import write_notebook

pytest.importorskip("distributed")
ITEMS = 30


def kill_a_worker(runs: Path, killed: list[int]) -> None:
    """As soon as the first results are there."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if any(path.stat().st_size for path in runs.glob("*/items.jsonl")):
            children = psutil.Process().children(recursive=True)
            worker = next(child for child in children if "spawn_main" in " ".join(child.cmdline()))
            worker.kill()
            killed.append(worker.pid)
            return
        time.sleep(0.02)


def test_a_lost_worker_costs_no_item(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("FACTOR = 2\n")
    cells = [
        ("parameters", "a: int = 1"),
        ("imports", "import time\nimport beside"),
        ("step:fit metric:score", "time.sleep(0.05)\nscore = a * beside.FACTOR"),
    ]
    notebook = write_notebook(tmp_path / "nb.ipynb", cells)
    pd.DataFrame({"a": range(ITEMS)}).to_csv(tmp_path / "table.csv", index=False)
    killed: list[int] = []
    watch = threading.Thread(target=kill_a_worker, args=(tmp_path / "runs", killed))
    watch.start()
    summary = api.map(
        notebook, tmp_path / "table.csv", executor="dask", workers=2, track="none", runs=tmp_path / "runs"
    )
    watch.join()
    assert len(killed) == 1
    assert (summary.counts["ok"], summary.total, summary.stopped) == (ITEMS, ITEMS, "")
    results = pd.read_parquet(summary.results)
    assert results["number"].tolist() == list(range(ITEMS))
    assert results["metrics.score"].tolist() == [2.0 * n for n in range(ITEMS)]
