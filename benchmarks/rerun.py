"""How long running a five-step notebook again takes: with nothing changed, and with its last step changed.

python benchmarks/rerun.py [PAIRS] [--no-peers]        writes benchmarks/results/rerun.json

Beside it, in the same rounds: `papermill` of the whole notebook, and the same five steps for ploomber (`build`),
metaflow (`resume`) and hamilton (with its cache), each in an environment of its own that this script makes with pip
below the folder for temporary files, where the next round finds it. Where a peer does not install or does not run, the
result says so instead of a number.
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
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
PEERS = Path(tempfile.gettempdir()) / "nb2prod-peers"
LIBRARIES = ("numpy", "pandas", "scikit-learn")
IMPORTS = "import numpy as np\nimport pandas as pd\nfrom sklearn.datasets import load_breast_cancer\n"
IMPORTS += "from sklearn.ensemble import RandomForestClassifier\nfrom sklearn.model_selection import train_test_split\n"
STEPS = {
    "load": ("", "data = load_breast_cancer(as_frame=True)\ndf = data.frame", "df"),
    "clean": ("df", "df = df.assign(ratio=df['mean area'] / df['mean perimeter'])", "df"),
    "split": ("df", "parts = train_test_split(df.drop(columns='target'), df['target'], random_state=0)", "parts"),
    "train": ("parts", "model = RandomForestClassifier(60, random_state=0).fit(parts[0], parts[2])", "model"),
    "score": ("model, parts", "accuracy = float(model.score(parts[1], parts[3]))\nprint(accuracy)", "accuracy"),
}
EDITED = "accuracy = round(float(model.score(parts[1], parts[3])), {number})\nprint(accuracy)"
BESIDE = "ratio of our median to each peer's"
LOAD = "load average at the end"
PEERS_TOO = "beside the peers"
LIMIT = 900  # seconds that making an environment, or one run, may take
QUIET = {"METAFLOW_USER": "bench", "PLOOMBER_STATS_ENABLED": "false", "HAMILTON_TELEMETRY_ENABLED": "false"}


def source(step: str, edit: int) -> str:
    return EDITED.format(number=edit) if edit and step == "score" else STEPS[step][1]


@dataclass(frozen=True)
class Way:
    """One way of running: `write` makes its files (edit 0 is the original), `command` runs it (again)."""

    name: str
    write: Callable[[Path, int], None]
    first: list[str]
    again: list[str]
    needs: tuple[str, ...] = ()


# -- the same five steps, for each ---------------------------------------------------------------------------------


def write_notebook(folder: Path, edit: int) -> None:
    rows = [("imports", IMPORTS), *((f"step:{step}", source(step, edit)) for step in STEPS)]
    cells: list[dict[str, Any]] = [
        {
            "id": f"c{n}",
            "cell_type": "code",
            "metadata": {"tags": [tag]},
            "source": text,
            "outputs": [],
            "execution_count": None,
        }
        for n, (tag, text) in enumerate(rows)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    document = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": cells}
    (folder / "five.ipynb").write_text(json.dumps(document))


def write_ploomber(folder: Path, edit: int) -> None:
    tasks = ["tasks:"]
    before = ""
    for step, (given, _, made) in STEPS.items():
        upstream = f"upstream = ['{before}']" if before else "upstream = None"
        body = [
            '# + tags=["parameters"]',
            upstream,
            "product = None",
            "# +",
            "import pickle",
            IMPORTS,
            f"values = pickle.load(open(upstream['{before}']['data'], 'rb'))" if before else "values = {}",
            *(f"{name} = values['{name}']" for name in given.replace(" ", "").split(",") if name),
            source(step, edit),
            f"values['{made}'] = {made}",
            "pickle.dump(values, open(product['data'], 'wb'))",
        ]
        (folder / f"{step}.py").write_text("\n".join(body) + "\n")
        tasks += [f"  - source: {step}.py", f"    product: {{nb: out/{step}.ipynb, data: out/{step}.pkl}}"]
        before = step
    (folder / "pipeline.yaml").write_text("\n".join(tasks) + "\n")


def write_metaflow(folder: Path, edit: int) -> None:
    names = ["start", *list(STEPS)[1:-1], "end"]
    lines = ["from metaflow import FlowSpec, step", IMPORTS, "class Five(FlowSpec):"]
    for place, (step, (given, _, made)) in enumerate(STEPS.items()):
        lines += ["    @step", f"    def {names[place]}(self):"]
        lines += [f"        {name} = self.{name}" for name in given.replace(" ", "").split(",") if name]
        lines += [f"        {line}" for line in source(step, edit).splitlines()] + [f"        self.{made} = {made}"]
        lines += [f"        self.next(self.{names[place + 1]})"] if place < len(names) - 1 else []
    (folder / "flow.py").write_text("\n".join([*lines, "if __name__ == '__main__':", "    Five()", ""]))


def write_hamilton(folder: Path, edit: int) -> None:
    lines = ["from typing import Any", IMPORTS]
    made_by: dict[str, str] = {}
    for step, (given, _, made) in STEPS.items():
        names = [name for name in given.replace(" ", "").split(",") if name]
        lines.append(f"def {step}({', '.join(f'{made_by[name]}: Any' for name in names)}) -> Any:")
        lines += [f"    {name} = {made_by[name]}" for name in names]
        lines += [f"    {line}" for line in source(step, edit).splitlines()] + [f"    return {made}", ""]
        made_by[made] = step
    (folder / "steps.py").write_text("\n".join(lines))
    drive = "import steps\nfrom hamilton import driver\n"
    drive += "built = driver.Builder().with_modules(steps).with_cache().build()\nprint(built.execute(['score']))\n"
    (folder / "drive.py").write_text(drive)


OURS = [str(BIN / "nb2prod"), "run", "five.ipynb", "--engine", "steps", "--no-track"]
WHOLE = [str(BIN / "papermill"), "five.ipynb", "out.ipynb", "--no-progress-bar"]
METAFLOW = ["{python}", "flow.py", "--quiet", "--no-pylint"]
WAYS = (
    Way("nb2prod run --engine steps", write_notebook, OURS, OURS),
    Way("papermill, in full", write_notebook, WHOLE, WHOLE),
    Way(
        "ploomber build",
        write_ploomber,
        ["{bin}/ploomber", "build"],
        ["{bin}/ploomber", "build"],
        ("ploomber", "ipykernel", "setuptools<81"),
    ),
    Way("metaflow resume", write_metaflow, [*METAFLOW, "run"], [*METAFLOW, "resume"], ("metaflow", "setuptools<81")),
    Way(
        "hamilton, with its cache", write_hamilton, ["{python}", "drive.py"], ["{python}", "drive.py"], ("sf-hamilton",)
    ),
)


# -- measuring -----------------------------------------------------------------------------------------------------


def environment_for(way: Way) -> Path:
    """A Python with what the peer needs. Raises CalledProcessError or TimeoutExpired when that cannot be had."""
    if not way.needs:
        return Path(sys.executable)
    folder = PEERS / f"rerun-{way.name.split()[0].strip(',')}"
    if (folder / "complete").exists():
        return folder / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=LIMIT)
    install = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", *way.needs, *LIBRARIES]
    subprocess.run(install, check=True, timeout=LIMIT, capture_output=True, text=True)
    (folder / "complete").touch()
    return folder / "bin" / "python"


def seconds(command: list[str], python: Path, folder: Path) -> float:
    words = [word.format(python=python, bin=python.parent) for word in command]
    began = time.perf_counter()
    path = f"{python.parent}:{os.environ['PATH']}"
    subprocess.run(
        words,
        cwd=folder,
        check=True,
        timeout=LIMIT,
        capture_output=True,
        text=True,
        env={**os.environ, **QUIET, "PATH": path, "HOME": str(folder)},
    )
    return time.perf_counter() - began


def main() -> None:
    numbers = [int(word) for word in sys.argv[1:] if word.isdecimal()]
    pairs = numbers[0] if numbers else 5
    ways = [way for way in WAYS if not way.needs or "--no-peers" not in sys.argv]
    same: dict[str, list[float]] = {way.name: [] for way in ways}
    edited: dict[str, list[float]] = {way.name: [] for way in ways}
    failed: dict[str, str] = {}
    versions: dict[str, str] = {name: version(name) for name in ("nb2prod", "papermill", "scikit-learn")}
    with tempfile.TemporaryDirectory() as place:
        ready: list[tuple[Way, Path, Path]] = []
        for number, way in enumerate(ways):
            folder = Path(place) / str(number)
            folder.mkdir()
            try:
                python = environment_for(way)
                way.write(folder, 0)
                seconds(way.first, python, folder)
                ready.append((way, python, folder))
                if way.needs:
                    asked = f"import importlib.metadata as m; print(m.version('{way.needs[0]}'))"
                    versions[way.needs[0]] = subprocess.check_output([python, "-c", asked], text=True).strip()
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
                failed[way.name] = _why(error)
        for number in range(1, pairs + 1):
            for way, python, folder in ready:
                if way.name in failed:
                    continue
                try:
                    same[way.name].append(seconds(way.again, python, folder))
                    way.write(folder, number)
                    edited[way.name].append(seconds(way.again, python, folder))
                except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
                    failed[way.name] = _why(error)
    _report(pairs, same, edited, failed, versions)


def _why(error: subprocess.CalledProcessError | subprocess.TimeoutExpired) -> str:
    if isinstance(error, subprocess.TimeoutExpired):
        return f"not within {LIMIT} s"
    said = str(error.stderr or error.stdout or "").strip().splitlines()
    return f"exit code {error.returncode}: {said[-1] if said else 'it said nothing'}"[:300]


def _report(
    pairs: int,
    same: dict[str, list[float]],
    edited: dict[str, list[float]],
    failed: dict[str, str],
    versions: dict[str, str],
) -> None:
    whole = statistics.median(same["papermill, in full"])
    rows: dict[str, Any] = {}
    for name in same:
        if name in failed:
            rows[name] = {"did not run here": failed[name]}
            continue
        rows[name] = {"nothing changed": _spread(same[name], whole), "last step changed": _spread(edited[name], whole)}
        print(f"{name:28} same {rows[name]['nothing changed']}\n{'':28} last {rows[name]['last step changed']}")
    result = {
        "question": "how long does running a five-step notebook again take, beside papermill in full?",
        "pairs": pairs,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        LOAD: os.getloadavg()[0],
        "versions": versions,
        "seconds, and ratio of the medians to papermill in full": rows,
        BESIDE: beside(rows),
        "target": "nothing changed at most 0.08, last step changed at most 0.65; faster than each peer",
    }
    path = HERE / "results" / "rerun.json"
    path.write_text(json.dumps(kept(path, result), indent=1) + "\n", encoding="utf-8")
    print(f"written to {path}")


def kept(path: Path, result: dict[str, Any]) -> dict[str, Any]:
    """The file's content: the last measurement on a calm machine, and the last one beside the peers.

    A command of a third of a second cannot be measured where many others wait for the same cores; against commands of
    some seconds it can.
    """
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    peers = {PEERS_TOO: result} if result[BESIDE] else {}
    calm = result[LOAD] < 2 * (os.cpu_count() or 1)
    return {**before, **(result if calm or not before else {}), **peers}


def beside(rows: dict[str, Any]) -> dict[str, dict[str, float]]:
    """What ours takes as a share of what each peer takes; peers that did not run here are not in it."""
    ours, _, *peers = rows
    whats = ("nothing changed", "last step changed")
    ran = {name: rows[name] for name in peers if whats[0] in rows[name]}
    return {
        name: {what: round(rows[ours][what]["median"] / found[what]["median"], 3) for what in whats}
        for name, found in ran.items()
    }


def _spread(taken: list[float], whole: float) -> dict[str, float]:
    middle = statistics.median(taken)
    rounded = {"median": middle, "least": min(taken), "most": max(taken), "ratio": middle / whole}
    return {name: round(value, 3) for name, value in rounded.items()}


if __name__ == "__main__":
    main()
