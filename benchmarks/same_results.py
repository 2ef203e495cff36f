"""Does a notebook come to the same, whichever way it runs? Every way beside the first, on every sample.

python benchmarks/same_results.py [NOTEBOOK…] [--way NAME]…       writes benchmarks/results/same_results.json

The notebooks of `notebooks/` and `tests/notebooks/`, as commands: each engine, isolated steps on each executor, and
runs that were killed with SIGKILL when the step after the middle one had begun, and then went on with `--resume`. What
one way comes to is compared with the first: metrics to the last bit, parameters, what every step prints, outcomes of
tests, digests of models, examples, predictions and plots, and the outputs of the steps' cells in the executed notebook.
A way is one line of WAYS. Where a command was done before it could be killed, the result says so.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import hashlib
import itertools
import json
import os
import pickletools
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TOP = HERE.parent
RESULTS = HERE / "results" / "same_results.json"
BIN = Path(sys.executable).parent
STOPPED = "stopped and resumed"
WHERE = {
    "papermill": ("--engine", "papermill"),
    "inprocess": ("--engine", "inprocess"),
    "steps, serial": ("--engine", "steps", "--executor", "serial"),
    "steps, processes": ("--engine", "steps", "--executor", "processes"),
    "steps, dask": ("--engine", "steps", "--executor", "dask"),
}
WAYS: Mapping[str, tuple[str, ...]] = {**WHERE, **{f"{name}, {STOPPED}": words for name, words in WHERE.items()}}
PATIENCE = 600.0  # seconds that a command may take
ADDRESS = re.compile(r"\bat 0x[0-9a-f]{6,}")  # where an object without a text of its own lies in memory


class Ended(Exception):
    """A command did not end as it should."""


def main() -> None:
    asked = _asked()
    found = json.loads(RESULTS.read_text(encoding="utf-8"))["notebooks"] if RESULTS.exists() else {}
    with tempfile.TemporaryDirectory(prefix="same-results-") as place, scheduler() as address:
        for notebook in asked.notebooks or notebooks():
            name = notebook.resolve().relative_to(TOP).as_posix()
            found[name] = compared(
                _copy(notebook, Path(place)), Path(place) / "runs", asked.ways or list(WAYS), address
            )
            _keep(found)
    wrong = [f"{name}: {way}" for name, ways in found.items() for way, told in ways.items() if told["differs"]]
    print(f"{len(found)} notebooks; not the same: {wrong or 'none'}")
    sys.exit(1 if wrong else 0)


def notebooks() -> list[Path]:
    tests = TOP / "tests" / "notebooks"
    return sorted([*(TOP / "notebooks").glob("*.ipynb"), *tests.glob("*.ipynb"), tests / "vorhersage_windenergie.py"])


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--way", dest="ways", action="append", choices=WAYS)
    return parser.parse_args()


def _copy(notebook: Path, place: Path) -> Path:
    """The notebook beside its data, in a folder where nothing else is."""
    folder = place / notebook.resolve().parent.relative_to(TOP)
    if not folder.exists():
        shutil.copytree(notebook.resolve().parent, folder)
    return folder / notebook.name


@contextlib.contextmanager
def scheduler() -> Iterator[str]:
    """The address of a Dask cluster of two workers, which all runs use."""
    import distributed

    cluster: Any = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with cluster:
        yield str(cluster.scheduler_address)


# -- one notebook ----------------------------------------------------------------------------------------------------


def compared(notebook: Path, runs: Path, ways: Sequence[str], address: str = "") -> dict[str, Any]:
    """By way: how long it took, which steps were taken over, and what is not as it is with the first way.

    Without the `address` of a scheduler each run on Dask has a cluster of its own.
    """
    first: dict[str, Any] = {}
    found: dict[str, Any] = {}
    for way in ways:
        folder = folder_of(runs, notebook, way)
        began = time.monotonic()
        try:
            taken_over = came_to(notebook, folder, way, address)
            state = state_of(folder)
        except Ended as error:
            taken_over, state = "", {**first, "the command": str(error)}
        first = first or state
        other = [name for name in state if state[name] != first.get(name)]
        differs = [f"{name}: {_other(state[name], first.get(name))}"[:2000] for name in other]
        found[way] = {"seconds": round(time.monotonic() - began, 1), "taken over": taken_over, "differs": differs}
        print(
            f"{notebook.name:32} {way:38} {found[way]['seconds']:5.1f} s  {taken_over}  {differs or 'same'}", flush=True
        )
    return found


def _other(now: Any, before: Any) -> str:
    if isinstance(now, dict) and isinstance(before, dict):
        return "; ".join(
            f"{key}: {now.get(key)!r}, not {before.get(key)!r}"
            for key in now | before
            if now.get(key) != before.get(key)
        )
    return f"{now!r}, not {before!r}"


def folder_of(runs: Path, notebook: Path, way: str) -> Path:
    return runs / notebook.stem / re.sub(r"\W+", "-", way)


def came_to(notebook: Path, folder: Path, way: str, address: str) -> str:
    """Run it to its end; which of its steps a resumed run did not run again."""
    folder.mkdir(parents=True)
    command = [str(BIN / "nb2prod"), "run", str(notebook), "--no-track", "--allow-shell", "--json", *WAYS[way]]
    command += ["--scheduler", address] if address and "dask" in way else []
    if not way.endswith(STOPPED):
        _ended(subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return ""
    step = _stopped(command, folder)
    resumed = [*command, "--resume"]
    told = _ended(subprocess.Popen(resumed, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    skipped = [step["name"] for step in told["steps"] if step["status"] == "skipped"]
    return f"killed in {step}; taken over: {', '.join(skipped) or 'nothing'}" if step else "was done before the kill"


def _ended(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, errors = process.communicate(timeout=PATIENCE)
    if process.returncode:
        raise Ended(f"it ended with {process.returncode}: {errors[-1500:]}")
    document: dict[str, Any] = json.loads(out)
    return document


def _stopped(command: list[str], folder: Path) -> str:
    """Kill the command when the step after the middle one has begun; that step, empty when it was done before."""
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        events = _events(folder)
        steps = next((event["steps"] for event in events if event["event"] == "RunStarted"), [])
        begun = [event["step"] for event in events if event["event"] == "StepStarted"]
        if steps and len(begun) > len(steps) // 2:
            time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
            process.wait()
            return "" if any(event["event"] == "RunFinished" for event in _events(folder)) else str(begun[-1])
        time.sleep(0.002)
    return ""


def _events(folder: Path) -> list[dict[str, Any]]:
    lines = [line for path in folder.glob("runs/*/events.jsonl") for line in path.read_text("utf-8").splitlines()]
    found = []
    for line in lines:
        with contextlib.suppress(json.JSONDecodeError):  # it is being written
            found.append(json.loads(line))
    return found


# -- what it came to -------------------------------------------------------------------------------------------------


def state_of(folder: Path) -> dict[str, Any]:
    """What must not depend on the way; the run must be the only one in its folder."""
    from nb2prod import api

    (directory,) = (folder / "runs").iterdir()
    result = api.load_result(directory)
    kept = [artifact for artifact in result.artifacts if artifact.kind != "notebook"]
    for artifact in kept:
        assert (directory / artifact.path).is_file(), artifact
    return {
        "status": (result.status, result.failure),
        "parameters": dict(result.parameters),
        "metrics": result.metrics,
        "prints": {step.name: step.printed for step in result.steps},
        "tests": sorted((test.id, test.outcome) for test in result.tests),
        "artifacts": sorted((one.kind, one.name, one.step or "", _content(directory / one.path)) for one in kept),
        "datasets": sorted((one.name, one.step, one.digest, one.rows) for one in result.datasets),
        "outputs": dict(_outputs(directory, Path(result.notebook))),
    }


def _content(path: Path) -> str:
    """A digest of a file; of a pickle one that does not say which of its equal texts are one object.

    A text that stands in code is there once in a process, and one that was unpickled is there again.
    """
    content = path.read_bytes()
    return hashlib.sha256(repr(list(_written(content))).encode() if path.suffix == ".pkl" else content).hexdigest()


def _written(content: bytes) -> Iterator[Any]:
    memo: list[Any] = []
    numbers = itertools.count()
    last: Any = None
    for operation, argument, _ in pickletools.genops(content):
        name = operation.name
        if name == "MEMOIZE":
            memo.append(last if isinstance(last, str) else next(numbers))
        elif name.endswith("BINGET"):
            found = memo[argument]
            yield found if isinstance(found, str) else ("again", found)
        elif "UNICODE" in name:
            yield argument
        elif name != "FRAME":
            yield name, argument
        last = argument if "UNICODE" in name else None


def _outputs(directory: Path, executed: Path) -> Iterator[tuple[int, Any]]:
    """What cells of steps show, by the author's number of the cell."""
    plan = json.loads((directory / "plan.json").read_text(encoding="utf-8"))
    steps = {cell for step in plan["pipeline"]["steps"] for cell in step["cells"]}
    for cell in json.loads(executed.read_text(encoding="utf-8"))["cells"]:
        index = cell["metadata"].get("nb2prod", {}).get("cell")
        if index in steps:
            shown = [{**one, "execution_count": None} for one in cell["outputs"] if one.get("name") != "stderr"]
            yield index, json.loads(ADDRESS.sub("at …", json.dumps(shown)))


def _keep(found: Mapping[str, Any]) -> None:
    told = {
        "question": "does a notebook come to the same, whichever way it runs?",
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "load of the machine": round(os.getloadavg()[1], 1),
        "versions": {name: version(name) for name in ("nb2prod", "distributed", "scikit-learn", "pandas")},
        "runs": sum(len(ways) for ways in found.values()),
        "runs that differ": sum(bool(way["differs"]) for ways in found.values() for way in ways.values()),
        "notebooks": found,
    }
    RESULTS.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
