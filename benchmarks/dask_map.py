"""A map on a Dask cluster of this machine, beside the same map on processes.

python benchmarks/dask_map.py [PAIRS]        writes benchmarks/results/dask_map.json

Two workers each. As a command, from its start to its end: what starting a cluster takes is part of it. Items of 50 ms
sleep, so that the figure is what the way there and back costs; short items do one multiplication. The runs alternate.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
TARGETS = {"short items": 4.0, "items of 50 ms": 1.3}
ITEMS = {"short items": 3_000, "items of 50 ms": 600}
WORK = {"short items": "score = a * b", "items of 50 ms": "time.sleep(0.05)\nscore = a * b"}


def notebook(path: Path, work: str) -> None:
    cells = [
        ("parameters", "a: int = 1\nb: float = 0.5"),
        ("imports", "import time"),
        ("step:fit metric:score", work),
    ]
    made = [
        {
            "cell_type": "code",
            "id": f"c{n}",
            "metadata": {"tags": tags.split()},
            "source": source,
            "outputs": [],
            "execution_count": None,
        }
        for n, (tags, source) in enumerate(cells)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    document = {"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(document))


def seconds(folder: Path, executor: str, items: int) -> float:
    words = (
        "map",
        "map.ipynb",
        "--over",
        "table.csv",
        "--no-track",
        "--workers",
        "2",
        "--executor",
        executor,
        "--json",
    )
    began = time.perf_counter()
    done = subprocess.run([str(BIN / "nb2prod"), *words], cwd=folder, capture_output=True, text=True, check=False)
    took = time.perf_counter() - began
    if done.returncode or json.loads(done.stdout)["counts"]["ok"] != items:
        raise SystemExit(f"{executor}: {done.stdout[-500:]} {done.stderr[-2000:]}")
    return took


def measured(case: str, pairs: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        notebook(folder / "map.ipynb", WORK[case])
        rows = "\n".join(f"{n},{n / 8}" for n in range(ITEMS[case]))
        (folder / "table.csv").write_text(f"a,b\n{rows}\n")
        taken: dict[str, list[float]] = {"processes": [], "dask": []}
        for pair in range(pairs):
            for executor in sorted(taken, reverse=bool(pair % 2)):
                taken[executor].append(seconds(folder, executor, ITEMS[case]))
    ratios = [dask / here for dask, here in zip(taken["dask"], taken["processes"], strict=True)]
    return {
        "items": ITEMS[case],
        **{name: _spread(values) for name, values in taken.items()},
        "ratio": _spread(ratios),
        "target": TARGETS[case],
        "holds": statistics.median(ratios) <= TARGETS[case],
    }


def _spread(values: list[float]) -> dict[str, float]:
    median = statistics.median(values)
    return {"median": round(median, 3), "least": round(min(values), 3), "most": round(max(values), 3)}


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    found: dict[str, Any] = {}
    for case in TARGETS:
        found[case] = measured(case, pairs)
        print(case, json.dumps(found[case]))
    found["pairs"] = pairs
    found["load of the machine"] = [round(load, 1) for load in os.getloadavg()]
    found["versions"] = {name: version(name) for name in ("nb2prod", "distributed")}
    found["machine"] = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    (HERE / "results" / "dask_map.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
