"""How long `nb2prod run` takes, beside `papermill` with the same notebook: with a kernel, and in process.

python benchmarks/run_speed.py [PAIRS] [WORK…]        writes benchmarks/results/run_speed.json

Three notebooks: five steps that train a forest on real mortgage applications; 200 cells that print a number; 100 cells
that print 100 KB each. Commands from nothing, as a user types them, one after the other in each round, the order turned
around every time. papermill does what it does by default, nb2prod too: types, tests, events, resume points and, where
the table says so, a run in MLflow whose store exists. The first round, which warms the file cache, does not count.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
DATA = HERE.parent / "notebooks" / "data" / "hmda.csv"
PEER = "papermill"

FIVE = [
    ("imports", "import pandas as pd\nimport matplotlib.pyplot as plt"),
    (
        "imports",
        "from sklearn.compose import make_column_transformer\nfrom sklearn.ensemble import RandomForestClassifier\n"
        "from sklearn.metrics import roc_auc_score, roc_curve\nfrom sklearn.model_selection import train_test_split\n"
        "from sklearn.pipeline import make_pipeline\nfrom sklearn.preprocessing import OneHotEncoder",
    ),
    ("parameters", "seed: int = 7\ntrees: int = 100"),
    ("step:load", "df = pd.read_csv('hmda.csv').drop_duplicates(ignore_index=True)\nprint(len(df))\ndf.head()"),
    (
        "step:split",
        "y = (df['deny'] == 'yes').astype(int)\nX = df.drop(columns=['deny', 'afam'])\n"
        "X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=seed)",
    ),
    (
        "step:train",
        "texts = X.select_dtypes(exclude='number').columns.tolist()\nmodel = make_pipeline(\n"
        "    make_column_transformer((OneHotEncoder(drop='if_binary'), texts), remainder='passthrough'),\n"
        "    RandomForestClassifier(trees, min_samples_leaf=5, random_state=seed),\n).fit(X_train, y_train)",
    ),
    (
        "step:evaluate metric:auc",
        "risk = model.predict_proba(X_test)[:, 1]\nauc = roc_auc_score(y_test, risk)\nprint(f'{auc:.3f}')",
    ),
    ("step:draw", "fig, ax = plt.subplots()\nax.plot(*roc_curve(y_test, risk)[:2])\nplt.show()"),
]
SMALL = [(f"step:part-{n // 20}", f"x{n} = {n}\nprint(x{n})") for n in range(200)]
LARGE = [(f"step:part-{n // 20}", f"print('{n % 10}' * 100_000)") for n in range(100)]


@dataclass(frozen=True, slots=True)
class Way:
    """A command beside papermill's: `target` is the share of papermill's time that it may take."""

    name: str
    target: float
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Work:
    name: str
    cells: list[tuple[str, str]]
    ways: tuple[Way, ...]


KERNEL, INPROCESS, ALONE = (), ("--engine", "inprocess"), ("--no-track",)
WORKS = (
    Work(
        "five steps, scikit-learn",
        FIVE,
        (Way("kernel, MLflow", 1.1, KERNEL), Way("in process", 0.7, (*INPROCESS, *ALONE))),
    ),
    Work("200 small cells", SMALL, (Way("kernel", 0.3, ALONE), Way("in process", 0.1, (*INPROCESS, *ALONE)))),
    Work("100 cells of 100 KB", LARGE, (Way("kernel", 0.3, ALONE), Way("in process", 0.15, (*INPROCESS, *ALONE)))),
)


def write(path: Path, cells: list[tuple[str, str]]) -> None:
    made = [
        {
            "cell_type": "code",
            "id": f"cell-{number}",
            "metadata": {"tags": tags.split()},
            "source": source,
            "outputs": [],
            "execution_count": None,
        }
        for number, (tags, source) in enumerate(cells)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    document = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": made}
    path.write_text(json.dumps(document), encoding="utf-8")


def commands(work: Work) -> dict[str, list[str]]:
    """By the name of the way; each writes its executed notebook."""
    found = {PEER: [str(BIN / "papermill"), "nb.ipynb", "out.ipynb"]}
    for way in work.ways:
        found[way.name] = [str(BIN / "nb2prod"), "run", "nb.ipynb", *way.options]
    return found


def seconds(command: list[str], folder: Path) -> tuple[float, float]:
    """(wall, processor) seconds, those of all processes that it started included."""
    before, began = os.times(), time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - began, os.times()
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    cpu = sum(getattr(after, name) - getattr(before, name) for name in ("children_user", "children_system"))
    return wall, cpu


def rounds(work: Work, pairs: int) -> Iterator[dict[str, tuple[float, float]]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "nb.ipynb", work.cells)
        shutil.copy(DATA, folder / "hmda.csv")
        for number in range(pairs + 1):
            asked = list(commands(work).items())
            found = {way: seconds(command, folder) for way, command in (asked if number % 2 else asked[::-1])}
            if number:
                yield found


def measure(work: Work, pairs: int) -> dict[str, Any]:
    found = list(rounds(work, pairs))
    ways = {way.name: _beside(found, way) for way in work.ways}
    return {"work": work.name, PEER: _spread([one[PEER][0] for one in found]), "ways": ways}


def _beside(found: list[dict[str, tuple[float, float]]], way: Way) -> dict[str, Any]:
    """Ratios of runs of one round: what else the machine did meanwhile, it did to both."""
    ratios = [one[way.name][0] / one[PEER][0] for one in found]
    cpu = [one[way.name][1] / one[PEER][1] for one in found]
    return {
        "command": " ".join(["nb2prod", "run", "nb.ipynb", *way.options]),
        "seconds": _spread([one[way.name][0] for one in found]),
        "ratio": _spread(ratios),
        "ratio of processor seconds": _spread(cpu),
        "target": way.target,
        "reached": statistics.median(ratios) <= way.target,
    }


def _spread(taken: list[float]) -> dict[str, float]:
    values = {"median": statistics.median(taken), "least": min(taken), "most": max(taken)}
    return {name: round(value, 3) for name, value in values.items()}


def _print(found: Mapping[str, Any]) -> None:
    print(f"{found['work']}: papermill {found[PEER]['median']:.2f} s")
    for name, way in found["ways"].items():
        ratio, reached = way["ratio"], "reached" if way["reached"] else "missed"
        print(
            f"  {name:16} {way['seconds']['median']:6.2f} s   {ratio['median']:.2f} of papermill"
            f" ({ratio['least']:.2f} to {ratio['most']:.2f}), target {way['target']}: {reached}"
        )


def _keep(found: Mapping[str, Any], pairs: int) -> Path:
    """Write it down beside the other works, which may have been measured at another time."""
    path = HERE / "results" / "run_speed.json"
    works = json.loads(path.read_text(encoding="utf-8"))["works"] if path.exists() else {}
    works[found["work"]] = {**found, "pairs": pairs, "load of the machine": round(os.getloadavg()[1], 1)}
    result = {
        "question": "how long does a run take, beside papermill with the same notebook?",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "versions": {name: version(name) for name in ("nb2prod", "papermill", "nbclient", "ipykernel", "mlflow")},
        "works": works,
    }
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return path


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for work in WORKS:
        if len(sys.argv) < 3 or any(word in work.name for word in sys.argv[2:]):
            found = measure(work, pairs)
            _print(found)
            print(f"written to {_keep(found, pairs)}", flush=True)


if __name__ == "__main__":
    main()
