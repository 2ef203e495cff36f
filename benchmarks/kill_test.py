"""Runs are killed at random moments and resumed: is the end what it is without the kill?

python benchmarks/kill_test.py [--kills N] [--ways NAME,…] [--seed N]     writes benchmarks/results/kill_test.json

Each kill has a folder of its own, with an MLflow store that is ready. `nb2prod run` is killed with SIGKILL at a moment
drawn from the whole time that it takes undisturbed: the command alone, the command with all its processes, the kernel
(or the process that makes the steps' own) alone, or twice in a row. Then the same command runs with `--resume`. What it
comes to is compared with an undisturbed run: parameters, prints, metrics, artifacts, tests, outputs of the executed
notebook, MLflow's runs (one parent, FINISHED; each step once, FINISHED; every metric logged once; no model PENDING),
processes, partial files and sockets left behind. `nb2prod map` over eight rows is killed in the same way; there each
row of the results, the bytes of each item's model, and MLflow's runs are compared.

Commands are forked from a process that has imported nb2prod and MLflow, so that two hundred of them fit in minutes.
A way of running is one line of WAYS.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

WAYS: Mapping[str, tuple[str, ...]] = {
    "papermill": ("--engine", "papermill"),
    "inprocess": ("--engine", "inprocess"),
    "steps": ("--engine", "steps"),
    "steps-processes": ("--engine", "steps", "--executor", "processes"),
}
MAPS: Mapping[str, tuple[str, ...]] = {
    "map-fork": ("--isolation", "fork"),
    "map-shared-each": ("--isolation", "shared", "--track", "each"),
}
ITEMS = "n,name\n" + "".join(f"{3 + number % 4},item {number}\n" for number in range(8))
VICTIMS = ("command", "command", "everything", "kernel", "twice")
MARK = "NB2PROD_KILL_TEST"
PATIENCE = 120.0  # seconds that a command may take
GONE = 8.0  # seconds after which nothing of it may be left
CELLS: tuple[tuple[str, str], ...] = (
    ("parameters", "n: int = 3\nname: str = 'a'"),
    ("imports", "import random\nimport time\n\nimport numpy as np"),
    ("setup", "random.seed(5)\nnp.random.seed(7)"),
    ("functions", "class Mean:\n    def __init__(self, m):\n        self.m = m\n\n    def predict(self, xs):\n"
     "        return [self.m for _ in xs]"),
    ("step:load", "time.sleep(0.1)\nrows = [random.random() for _ in range(n)]\nsame = rows\nprint(name, len(rows))"),
    ("step:clean metric:first", "time.sleep(0.1)\nsame.append(np.random.rand())\nfirst = float(rows[-1])\nprint(rows)"),
    ("test:clean", "def test_same():\n    assert rows is same"),
    ("step:train model:model metric:mean", "time.sleep(0.1)\nmean = sum(rows) / len(rows)\nmodel = Mean(mean)\n"
     "print(mean)"),
    ("step:judge metric:score example:seen", "time.sleep(0.1)\nseen = rows[:2]\n"
     "score = model.predict(seen)[0] + random.random()\nprint(score, np.random.rand())"),
    ("step:tell", "time.sleep(0.1)\nprint(len(rows), n, name)"),
)  # fmt: skip


@dataclass
class Kill:
    """One kill: what was killed and when, and what was wrong afterwards."""

    way: str
    victim: str
    after: list[float]
    hit: str = ""  # what the command was doing
    taken_over: int = 0  # steps that were not run again
    wrong: list[str] = field(default_factory=list)


def main() -> None:
    asked = _asked()
    import mlflow  # noqa: F401 - commands are forked from here

    from nb2prod import api, cli  # noqa: F401

    draw = random.Random(asked.seed)
    began = time.monotonic()
    kills: list[Kill] = []
    # in memory, where there is such a place: the disk's own time says nothing here
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="kill-test-", dir=memory) as folder:
        place = Path(folder)
        template = _template(place)
        for way in asked.ways.split(","):
            undisturbed, seconds = _undisturbed(place, template, way)
            for number in range(asked.kills):
                victim = VICTIMS[number % len(VICTIMS)]
                kill = Kill(way, victim, [draw.uniform(0.0, seconds) for _ in range(1 + (victim == "twice"))])
                _killed(place / f"{way}-{number}", template, kill, undisturbed)
                kills.append(kill)
                _keep(asked, kills, time.monotonic() - began)
                print(f"{way} {number + 1} {victim} {kill.after} {kill.hit}: {kill.wrong or 'equal'}", flush=True)
    sys.exit(1 if any(kill.wrong for kill in kills) else 0)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="of each way")
    parser.add_argument("--ways", default=",".join([*WAYS, *MAPS]))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "kill_test.json")
    return parser.parse_args()


# -- one command -----------------------------------------------------------------------------------------------------


def _template(place: Path) -> Path:
    """A folder with the notebook and an MLflow store whose tables are made."""
    template = place / "template"
    template.mkdir()
    cells = [_cell(number, tags, source) for number, (tags, source) in enumerate(CELLS)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    document = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": cells}
    (template / "nb.ipynb").write_text(json.dumps(document), encoding="utf-8")
    (template / "items.csv").write_text(ITEMS, encoding="utf-8")
    child = os.fork()
    if child == 0:
        from nb2prod.storage import mlflow_store

        os.chdir(template)
        mlflow_store.make_ready("sqlite:///mlflow.db")
        os._exit(0)
    os.waitpid(child, 0)
    return template


def _cell(number: int, tags: str, source: str) -> dict[str, Any]:
    made = {"id": f"cell-{number}", "cell_type": "code", "source": source, "metadata": {"tags": tags.split()}}
    return {**made, "outputs": [], "execution_count": None}


def _command(folder: Path, way: str, *more: str) -> int:
    """Start `nb2prod run`, or `map`, in a process of its own; its number."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    os.setsid()
    os.chdir(folder)
    (folder / "tmp").mkdir(exist_ok=True)
    os.environ |= {MARK: str(folder), "TMPDIR": str(folder / "tmp"), "MLFLOW_DISABLE_TELEMETRY": "true"}
    tempfile.tempdir = None
    said = os.open(folder / "said.txt", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(said, 1)
    os.dup2(said, 2)
    from nb2prod.cli import main as front_door

    code = 70
    try:
        front_door(_words(way, more), standalone_mode=True)
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _words(way: str, more: tuple[str, ...]) -> list[str]:
    if way in WAYS:
        return ["run", "nb.ipynb", "-p", "n", "4", *WAYS[way], *more]
    return ["map", *(more or ("nb.ipynb", "--over", "items.csv", *MAPS[way]))]


def _ended(child: int) -> int:
    """Wait for a command; its exit code, negative for a signal."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        number, status = os.waitpid(child, os.WNOHANG)
        if number:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -999


def _undisturbed(place: Path, template: Path, way: str) -> tuple[dict[str, Any], float]:
    folder = place / f"{way}-undisturbed"
    shutil.copytree(template, folder)
    began = time.monotonic()
    code = _ended(_command(folder, way))
    seconds = time.monotonic() - began
    if code:
        sys.exit(f"{way}: the undisturbed run ended with {code}\n{(folder / 'said.txt').read_text()}")
    return _state(folder, way), seconds


# -- one kill --------------------------------------------------------------------------------------------------------


def _killed(folder: Path, template: Path, kill: Kill, undisturbed: Mapping[str, Any]) -> None:
    shutil.copytree(template, folder)
    more: tuple[str, ...] = ()
    for after in kill.after:
        child = _command(folder, kill.way, *more)
        time.sleep(after)
        kill.hit = _doing(folder)
        _strike(child, kill.victim)
        _ended(child)
        _wait_for_the_end(folder)
        more = _again(folder, kill.way)
    code = _ended(_command(folder, kill.way, *more))
    if code:
        kill.wrong.append(f"exit code {code}: {(folder / 'said.txt').read_text()[-1500:]}")
        return
    state = _state(folder, kill.way)
    if "error" in state:
        kill.wrong.append(f"what it came to cannot be read: {state['error']}")
        return
    kill.taken_over = sum(status == "skipped" for status in state.pop("statuses"))
    for name, value in undisturbed.items():
        if name != "statuses" and state[name] != value:
            kill.wrong.append(f"{name}: {state[name]!r} is not {value!r}")
    kill.wrong += _left_behind(folder)
    if not kill.wrong:
        shutil.rmtree(folder)


def _again(folder: Path, way: str) -> tuple[str, ...]:
    """The same command goes on with the run; it begins a new one when none had begun."""
    if way in MAPS:
        begun = [path.parent.relative_to(folder) for path in folder.glob("runs/*/map.json")]
        return ("--resume", str(begun[0])) if begun else ()
    journals = list(folder.glob("runs/*/events.jsonl"))
    return ("--resume",) if any(b'"RunStarted"' in path.read_bytes() for path in journals) else ()


def _strike(child: int, victim: str) -> None:
    with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
        command = psutil.Process(child)
        below = command.children(recursive=True)
        if victim == "kernel":
            targets = below[:1] or [command]
        else:
            targets = [command, *below] if victim == "everything" else [command]
        for process in targets:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def _doing(folder: Path) -> str:
    """The last thing that the journal says."""
    lines = [line for path in folder.glob("runs/*/events.jsonl") for line in path.read_text().splitlines()]
    with contextlib.suppress(json.JSONDecodeError, IndexError):
        event = json.loads(lines[-1])
        return f"{event['event']} {event.get('step') or event.get('cell') or ''}".strip()
    return "nothing yet"


def _ours(folder: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == str(folder):
                yield process


def _wait_for_the_end(folder: Path) -> None:
    until = time.monotonic() + GONE
    while any(_ours(folder)) and time.monotonic() < until:
        time.sleep(0.05)


def _left_behind(folder: Path) -> list[str]:
    _wait_for_the_end(folder)
    found = [f"the process {process.cmdline()} is left" for process in _ours(folder)]
    found += [f"{path.relative_to(folder)} is left" for path in folder.rglob("*.part")]
    return found + [f"{path.relative_to(folder)} is left" for path in folder.glob("tmp/nb2prod*")]


# -- what it came to -------------------------------------------------------------------------------------------------


def _state(folder: Path, way: str) -> dict[str, Any]:
    """All that must be equal, read in a process of its own: nothing of MLflow stays open here."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.chdir(folder)
            content = json.dumps(_read_state() if way in WAYS else _read_map())
        except BaseException as error:  # noqa: BLE001 - it is said to who waits
            content = json.dumps({"statuses": [], "error": f"{type(error).__name__}: {error}"})
        with os.fdopen(writer, "w") as file:
            file.write(content)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        state: dict[str, Any] = json.loads(file.read())
    os.waitpid(child, 0)
    return state


def _read_state() -> dict[str, Any]:
    from mlflow import MlflowClient

    from nb2prod import api

    (directory,) = Path("runs").iterdir()
    result = api.load_result(directory)
    client = MlflowClient("sqlite:///mlflow.db")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, max_results=1000)
    models = client.search_logged_models(experiments)
    cells = json.loads(Path(result.notebook).read_text())["cells"]
    return {
        "statuses": [step.status for step in result.steps],
        "status": result.status,
        "parameters": dict(result.parameters),
        "prints": [(step.name, step.printed) for step in result.steps],
        "metrics": result.metrics,
        "tests": [(test.id, test.outcome) for test in result.tests],
        "artifacts": sorted((a.kind, a.name, a.step or "", a.digest) for a in result.artifacts if a.kind != "notebook"),
        "outputs": [c["outputs"] for c in cells if not any(t.startswith("test") for t in c["metadata"]["tags"])],
        "mlflow": sorted(_told(client, run) for run in runs),
        "pending": [model.model_id for model in models if "PENDING" in str(model.status)],
        "parents": len([run for run in runs if "mlflow.parentRunId" not in run.data.tags]),
    }


def _read_map() -> dict[str, Any]:
    import hashlib

    import pandas as pd
    from mlflow import MlflowClient

    (results,) = Path("runs").glob("*/results.parquet")
    table = pd.read_parquet(results)
    models = [
        hashlib.sha256((results.parent / "models" / shard).read_bytes()[at : at + length]).hexdigest()
        for shard, at, length in zip(table["model.shard"], table["model.offset"], table["model.length"], strict=True)
    ]
    rows = table.drop(columns=["seconds", "model.shard", "model.offset", "model.length"]).to_json(orient="records")
    client = MlflowClient("sqlite:///mlflow.db")
    runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    return {
        "statuses": [],
        "rows": json.loads(rows),
        "models": models,
        "mlflow": sorted(_item_told(client, run) for run in runs),
        "parents": len([run for run in runs if "mlflow.parentRunId" not in run.data.tags]),
    }


def _item_told(client: Any, run: Any) -> list[Any]:
    """An item's run, or the map's own; of that the metrics about the time it took are left out.

    A map that lost an item with its worker has ended, and ends again when it goes on: each end may stand there once.
    """
    item = run.data.tags.get("nb2prod.item", "map")
    told = {n: v for n, v in run.data.metrics.items() if "seconds" not in n and not n.startswith("system/")}
    ends = {n: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, n)] for n in told}
    often = {n: max(found.count(end) for end in found) for n, found in ends.items()}
    files = sorted(file.path for file in client.list_artifacts(run.info.run_id))
    return [item, run.info.status, told, max(often.values(), default=0), dict(run.data.params), files]


def _told(client: Any, run: Any) -> list[Any]:
    """A run without its name, when it is the parent, and without what the machine took."""
    own = {n: v for n, v in run.data.metrics.items() if n != "seconds" and not n.startswith("system/")}
    often = {n: len(client.get_metric_history(run.info.run_id, n)) for n in run.data.metrics}
    name = run.data.tags.get("nb2prod.step", "")
    files = sorted(file.path for file in client.list_artifacts(run.info.run_id))
    return [name, run.info.status, own, max(often.values(), default=0), dict(run.data.params), files]


def _keep(asked: argparse.Namespace, kills: list[Kill], seconds: float) -> None:
    ways = {
        way: {
            "kills": len([k for k in kills if k.way == way]),
            "equal": len([k for k in kills if k.way == way and not k.wrong]),
            "taken_over": sum(k.taken_over for k in kills if k.way == way),
        }
        for way in dict.fromkeys(kill.way for kill in kills)
    }
    told = {
        "date": datetime.date.today().isoformat(),
        "command": " ".join(["python", "benchmarks/kill_test.py", *sys.argv[1:]]),
        "seconds": round(seconds),
        "python": platform.python_version(),
        "seed": asked.seed,
        "ways": ways,
        "kills": [asdict(kill) for kill in kills],
    }
    asked.out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
