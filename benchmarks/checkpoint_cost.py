"""What resume points cost a run: the same notebook with and without them, in pairs that alternate.

python benchmarks/checkpoint_cost.py [PAIRS]      writes benchmarks/results/checkpoint_cost.json

Two notebooks: five steps that each compute for a second and hold one table (4 MB), and five steps that hold a table of
100 MB, of which each step makes another. Beside them what it takes to write those bytes once, flushed.
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
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
STEPS = 5
WORK = "end = time.process_time() + {seconds}\nwhile time.process_time() < end:\n    total += 1"
TABLES = {"small table": (500_000, 1.0), "large table": (12_500_000, 1.0)}  # numbers of 8 bytes, seconds of work a step
TARGET = 1.05


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    measured = {name: _measured(*what, pairs) for name, what in TABLES.items()}
    told = {
        "question": "what resume points cost a run",
        "target": f"at most {TARGET} of the run without, plus the time to write the bytes once",
        "command": " ".join(["python", "benchmarks/checkpoint_cost.py", *sys.argv[1:]]),
        "machine": {"python": platform.python_version(), "cores": os.cpu_count(), "load": os.getloadavg()[0]},
        "results": measured,
    }
    text = json.dumps(told, indent=1)
    (HERE / "results" / "checkpoint_cost.json").write_text(text + "\n", encoding="utf-8")
    print(text)


def _measured(numbers: int, seconds: float, pairs: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        _notebook(place / "nb.ipynb", numbers, seconds)
        _ran(place, "--no-checkpoint")  # the files that Python reads are read
        both = [(_ran(place, "--no-checkpoint"), _ran(place, "--checkpoint")) for _ in range(pairs)]
        points = len(list(place.glob(".nb2prod/store/records/runs/*/points/*.json")))
        written = _written(place, 8 * numbers * (STEPS - 1))
    without, having = [pair[0] for pair in both], [pair[1] for pair in both]
    ratios = [mine / other for other, mine in both]
    return {
        "without": _shown(without),
        "with": _shown(having),
        "ratio": _shown(ratios),
        "points_of_a_run": points / pairs,
        "bytes": 8 * numbers * (STEPS - 1),
        "seconds_to_write_them_once": round(written, 3),
    }


def _shown(values: list[float]) -> dict[str, float]:
    found = {"median": statistics.median(values), "least": min(values), "most": max(values)}
    return {name: round(value, 3) for name, value in found.items()}


def _notebook(path: Path, numbers: int, seconds: float) -> None:
    cells = [("imports", "import time\n\nimport numpy as np")]
    cells += [("setup", f"np.random.seed(1)\ntotal = 0\ntable = np.zeros({numbers})")]
    work = WORK.format(seconds=seconds)
    cells += [(f"step:part-{n}", f"table = table + {n + 1}\n{work}\nprint(table[0])") for n in range(STEPS)]
    made = [
        {"id": f"cell-{number}", "cell_type": "code", "source": source, "metadata": {"tags": [tag]}, "outputs": [],
         "execution_count": None}
        for number, (tag, source) in enumerate(cells)
    ]  # fmt: skip
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    document = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": made}
    path.write_text(json.dumps(document), encoding="utf-8")


def _ran(place: Path, option: str) -> float:
    began = time.perf_counter()
    command = [str(BIN / "nb2prod"), "run", "nb.ipynb", "--no-track", option]
    subprocess.run(command, cwd=place, check=True, capture_output=True)
    return time.perf_counter() - began


def _written(place: Path, size: int) -> float:
    content = os.urandom(size)
    began = time.perf_counter()
    with (place / "bytes").open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
