"""What one item of `nb2prod map` costs, beside the ways people run a notebook many times over.

python benchmarks/map_speed.py [PAIRS]                 writes benchmarks/results/map_speed.json
python benchmarks/map_speed.py memory [ISOLATION]      adds the memory to it

The notebook fits one small ridge model an item (200 rows, five columns: under 2 ms as a plain function) and logs two
metrics; an item is a row of a table with a seed and an alpha. Beside it, in the same run and alternating:

    papermill         papermill.execute_notebook in a loop, a kernel for each item
    ploomber-engine   ploomber_engine.execute_notebook in a loop, in an environment of its own, made with pip
    joblib            joblib.Parallel over the same code as a plain function, as many workers as the map has

All times are whole calls, start-up and results included, divided by the number of items; so a way with a high start-up
gets many items. Memory is what the process that runs the items holds after 100 items and after 10,000, of a notebook
that makes 0.8 MB an item and keeps none of it.
"""

from __future__ import annotations

import csv
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from nb2prod import api
from nb2prod.core.mapping import Item
from nb2prod.kernel import map_work
from nb2prod.stages import map as stage
from nb2prod.stages.mapping.jobs import job_of
from nb2prod.stages.mapping.table import Wanted

HERE = Path(__file__).parent
PEERS = Path(tempfile.gettempdir()) / "nb2prod-peers" / "ploomber"
PACKAGES = ("ploomber-engine", "papermill", "scikit-learn", "pandas", "ipykernel")
WORKERS = len(os.sched_getaffinity(0))
ITEMS = {"papermill": 3, "ploomber-engine": 20, "fork": 300, "shared": 3_000, "function": 4_000, "joblib": 4_000}
FEW, MANY = 100, 10_000
TARGETS = (
    ("fork", "papermill", 1 / 40),
    ("fork", "ploomber-engine", 1 / 2),
    ("shared", "papermill", 1 / 300),
    ("function", "joblib", 4.0),
)
FUNCTION = """
def fitted(seed, alpha):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(200, 5)), columns=list("abcde"))
    y = X["a"] - 2 * X["b"] + rng.normal(size=200)
    model = Ridge(alpha=alpha).fit(X, y)
    return model, model.score(X, y), float(np.abs(y - model.predict(X)).mean())
"""
IMPORTS = "import numpy as np\nimport pandas as pd\nfrom sklearn.linear_model import Ridge\n"
CELLS = (
    ("imports", IMPORTS),
    ("parameters", "seed: int = 0\nalpha: float = 1.0"),
    ("functions", FUNCTION),
    ("step:fit model:model", "model, r2, mae = fitted(seed, alpha)"),
    ("step:judge metric:r2 metric:mae", "r2, mae = float(r2), float(mae)\nprint(seed, r2)"),
)
LIGHT = (
    ("imports", "import numpy as np"),
    ("parameters", CELLS[1][1]),
    ("step:fit metric:first", "X = np.random.default_rng(seed).normal(size=(20_000, 5))\nfirst = alpha * X[0, 0]"),
)
LOOP = """
import sys, time
from {module} import execute_notebook
began = time.perf_counter()
for seed in range(int(sys.argv[2])):
    execute_notebook(sys.argv[1], {output}, parameters={{"seed": seed, "alpha": 0.5}}, {options})
print(time.perf_counter() - began)
"""
JOBLIB = f"""
import sys, time
from joblib import Parallel, delayed
{IMPORTS}{FUNCTION}
began = time.perf_counter()
found = Parallel(n_jobs=int(sys.argv[2]))(delayed(fitted)(seed, 0.5) for seed in range(int(sys.argv[1])))
print(time.perf_counter() - began)
"""


def notebook(folder: Path, cells: Sequence[tuple[str, str]] = CELLS) -> Path:
    written = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {"tags": tags.split()}, "source": source, "outputs": [],
         "execution_count": None}
        for n, (tags, source) in enumerate(cells)
    ]  # fmt: skip
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = folder / "ridge.ipynb"
    document = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": written}
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def table(folder: Path, items: int) -> Path:
    path = folder / f"table-{items}.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("seed", "alpha"), *((seed, 0.5) for seed in range(items))])
    return path


def loop(python: Path, module: str, output: str, options: str) -> Callable[[Path, int], float]:
    code = LOOP.format(module=module, output=output, options=options)
    return lambda path, items: printed(str(python), "-c", code, str(path), str(items))


def mapped(isolation: str) -> Callable[[Path, int], float]:
    command = (str(Path(sys.executable).parent / "nb2prod"), "map", "--no-track", "--no-test", "--json")

    def run(path: Path, items: int) -> float:
        over = ("--over", str(table(path.parent, items)), "--isolation", isolation, "--workers", str(WORKERS))
        began = time.perf_counter()
        done = subprocess.run([*command, str(path), *over], check=True, capture_output=True, text=True, cwd=path.parent)
        taken = time.perf_counter() - began
        assert json.loads(done.stdout)["counts"]["ok"] == items, done.stderr
        return taken

    return run


def joblib(path: Path, items: int) -> float:
    """From a file, as a person would have it: the workers import the function from there."""
    script = path.parent / "plain.py"
    script.write_text(
        JOBLIB.replace("began =", "if __name__ == '__main__':\n  began =")
        .replace("\nfound", "\n  found")
        .replace("\nprint(time", "\n  print(time")
    )
    return printed(sys.executable, str(script), str(items), str(WORKERS))


def printed(*command: str) -> float:
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.strip().splitlines()[-1])


def peer_environment() -> Path:
    """ploomber-engine in an environment of its own: it wants other versions than we do."""
    python = PEERS / "bin" / "python"
    if not python.exists():
        venv.create(PEERS, with_pip=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *PACKAGES], check=True)
    return python


def memory(path: Path, isolation: str) -> dict[str, float]:
    """Megabytes of the process that runs the items, or that forks them, after few and after many."""
    how = stage.How(isolation=isolation)  # type: ignore[arg-type]
    over = table(path.parent, MANY)
    plan, found = stage.plan_map(
        api.load_pipeline(path), over, Wanted(), how, values={}, texts={}, runs=path.parent / "runs"
    )
    job = job_of(plan)
    held: list[float] = []
    for batch in (found.items[:FEW], found.items[FEW:]):
        for part in parts(batch, 250):
            map_work.work(job, part)
        (child,) = [process for process in psutil.Process().children() if "map_process" in " ".join(process.cmdline())]
        held.append(child.memory_full_info().uss / 1e6)
    map_work.close(job.digest)
    few, many = held
    return {"MB after 100": round(few, 1), "MB after 10,000": round(many, 1), "ratio": round(many / few, 3)}


def parts(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    return [items[n : n + size] for n in range(0, len(items), size)]


def spread(taken: list[float]) -> dict[str, float]:
    return {"median": statistics.median(taken), "least": min(taken), "most": max(taken)}


def main() -> None:
    words = sys.argv[1:]
    if words[:1] == ["memory"]:
        measure_memory(words[1:] or ["function", "shared", "fork"])
    else:
        measure_time(int(words[0]) if words else 3)


def measure_time(pairs: int) -> None:
    ways: dict[str, Callable[[Path, int], float]] = {
        "papermill": loop(Path(sys.executable), "papermill", "None", "progress_bar=False"),
        "ploomber-engine": loop(
            peer_environment(), "ploomber_engine", "output_path=None", "progress_bar=False, verbose=False"
        ),
        "fork": mapped("fork"),
        "shared": mapped("shared"),
        "function": mapped("function"),
        "joblib": joblib,
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as folder:
        path = notebook(Path(folder))
        for pair in range(pairs):
            for name, way in ways.items():
                taken[name].append(1000 * way(path, ITEMS[name]) / ITEMS[name])
                print(f"{pair + 1} of {pairs}  {name:16} {taken[name][-1]:10.2f} ms an item", flush=True)
            save(speeds(pair + 1, taken))


def measure_memory(isolations: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = notebook(Path(folder), LIGHT)
        for isolation in isolations:
            found = memory(path, isolation)
            print(f"memory, {isolation:10} {found}", flush=True)
            save({f"memory of the process that runs the items, {isolation}": found})


def speeds(pairs: int, taken: dict[str, list[float]]) -> dict[str, Any]:
    ratios = {
        f"{mine} / {peer}": {
            "ratio": statistics.median(a / b for a, b in zip(taken[mine], taken[peer], strict=True)),
            "target": target,
        }
        for mine, peer, target in TARGETS
    }
    for name, found in ratios.items():
        print(f"{name:28} {found['ratio']:8.4f}   target {found['target']:.4f}")
    return {
        "question": "what does one item of `nb2prod map` cost, beside a loop of papermill, ploomber-engine and joblib?",
        "pairs": pairs,
        "items": ITEMS,
        "workers": {"fork": WORKERS, "shared": WORKERS, "function": WORKERS, "joblib": WORKERS, "the loops": 1},
        "machine": f"{platform.machine()}, {WORKERS} cores, Python {platform.python_version()}",
        "load while it ran": [round(number, 1) for number in os.getloadavg()],
        "versions": {name: version(name) for name in ("nb2prod", "papermill", "joblib", "scikit-learn", "pandas")},
        "milliseconds an item": {name: spread(values) for name, values in taken.items()},
        "ratios": ratios,
    }


def save(found: dict[str, Any]) -> None:
    """Into the file of results; what it holds of other measurements stays."""
    path = HERE / "results" / "map_speed.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps({**before, **found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
