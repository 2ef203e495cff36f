"""What bounds a map on many workers: the driver's own work, with simulated workers, and what Dask adds to it.

python benchmarks/scale_simulation.py [ITEMS]        writes benchmarks/results/scale_simulation.json

The driver is the real one (`stages/map.py`: batches, journal, models in shards, table of results). Its executor is not:
a batch comes back after the time that a batch's way takes on a Dask cluster (measured first, on this machine) and what
its items take, which is next to nothing. Answers are pickled and unpickled, as they would be. So the items in a second
are what the driver can take in, whatever the workers do; from workers that take a second an item, so many at once can
be kept busy. A bound of Dask's own is measured beside it: tasks in a second through one scheduler.
"""

from __future__ import annotations

import heapq
import json
import os
import pickle
import platform
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, wait
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from nb2prod.api._pipelines import load_pipeline
from nb2prod.core.mapping import Item, ItemResult, MapPlan
from nb2prod.stages.map import How, plan_map, run_map
from nb2prod.stages.mapping.jobs import job_of
from nb2prod.stages.mapping.table import Wanted

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from dask_map import notebook  # noqa: E402 - a script of the same folder

WORKERS = (1, 2, 8, 64)
ITEMS = 100_000
MODEL = 2_000  # bytes of an item's model, where there is one
ITEM_SECONDS = 0.0002  # what an item takes: its worker answers its batch after so long
TASKS = 300
JOB = 10_000  # bytes: what a notebook's code is as a job


class Simulated(Executor):
    """Workers that answer a batch after `latency` and its items' time, one batch after another each; one thread."""

    def __init__(self, workers: int, latency: float, model: bytes | None) -> None:
        self._free = [0.0] * workers
        self._latency, self._model = latency, model
        self._due: list[tuple[float, int, Future[Any], Sequence[Item]]] = []
        self._count = 0
        self._changed = threading.Condition()
        self._closed = False
        threading.Thread(target=self._answer, daemon=True).start()

    def submit(self, call: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        job, items = arguments[0], arguments[1]
        pickle.dumps((call, job, items))
        future: Future[Any] = Future()
        with self._changed:
            worker = min(range(len(self._free)), key=self._free.__getitem__)
            begins = max(self._free[worker], time.monotonic())
            self._free[worker] = begins + ITEM_SECONDS * len(items)
            self._count += 1
            heapq.heappush(self._due, (self._free[worker] + self._latency, self._count, future, items))
            self._changed.notify()
        return future

    def _answer(self) -> None:
        while True:
            with self._changed:
                while not self._due and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                left = self._due[0][0] - time.monotonic()
                if left > 0:
                    self._changed.wait(left)
                    continue
                _, _, future, items = heapq.heappop(self._due)
            answer = pickle.dumps([self._result(item) for item in items])
            future.set_result(pickle.loads(answer))

    def _result(self, item: Item) -> ItemResult:
        metrics = {"score": float(item.number)}
        return ItemResult(item.number, item.key, "ok", ITEM_SECONDS, metrics, model=self._model, given=item.given)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()


def simulated(folder: Path, workers: int, latency: float, model: bytes | None) -> dict[str, Any]:
    plan, items = _planned(folder, workers)
    cpu, began = time.process_time(), time.perf_counter()
    summary = run_map(plan, items, job_of(plan), lambda: Simulated(workers, latency, model), [])
    took = time.perf_counter() - began
    assert summary.counts["ok"] == summary.total == len(items.items)
    return {
        "workers": workers,
        "seconds": round(took, 1),
        "items a second": round(summary.total / took),
        "items a second and worker": round(summary.total / took / workers, 1),
        "driver's share of a core": round((time.process_time() - cpu) / took, 2),
        "driver's microseconds an item": round((time.process_time() - cpu) / summary.total * 1e6, 1),
    }


def planning(folder: Path) -> dict[str, float]:
    """What a table of so many rows costs before anything runs."""
    process = psutil.Process()
    before, began = process.memory_info().rss, time.process_time()
    _, items = _planned(folder, 1)
    grown = process.memory_info().rss - before
    return {
        "microseconds of a core an item": round((time.process_time() - began) / len(items.items) * 1e6, 1),
        "bytes of memory an item": round(grown / len(items.items)),
    }


def _planned(folder: Path, workers: int) -> tuple[MapPlan, Any]:
    how = How(workers=workers, track="none", isolation="function")
    pipeline = load_pipeline(folder / "map.ipynb")
    return plan_map(pipeline, folder / "table.csv", Wanted(), how, values={}, texts={}, runs=folder / "runs")


def dask_itself() -> dict[str, float]:
    """The least time of a batch's way there and back; what client and scheduler, both in here, need for a task."""
    from nb2prod.executors import dask

    with dask.workers(2) as pool:
        wait([pool.submit(_nothing, b"") for _ in range(50)])
        ways = [_seconds(pool, 1) for _ in range(40)]
        cpu = time.process_time()
        took = _seconds(pool, TASKS)
        cpu = time.process_time() - cpu
        return {"way": min(ways), "tasks a second": TASKS / took, "core seconds a task": cpu / TASKS}


def _seconds(pool: Executor, tasks: int) -> float:
    began = time.perf_counter()
    wait([pool.submit(_nothing, b"x" * JOB) for _ in range(tasks)])
    return time.perf_counter() - began


def _nothing(content: bytes) -> int:
    return len(content)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else ITEMS
    of_dask = dask_itself()
    found: dict[str, Any] = {"items": count, "dask": {name: round(value, 4) for name, value in of_dask.items()}}
    print(json.dumps(found))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        notebook(folder / "map.ipynb", "score = a * b")
        rows = "\n".join(f"{n},{n / 8}" for n in range(count))
        (folder / "table.csv").write_text(f"a,b\n{rows}\n")
        found["planning"] = planning(folder)
        print("planning", json.dumps(found["planning"]))
        cases = (("without models", None, WORKERS), (f"with models of {MODEL} bytes", os.urandom(MODEL), WORKERS[-1:]))
        for title, model, counts in cases:
            found[title] = []
            for workers in counts:
                found[title].append(simulated(folder, workers, of_dask["way"], model))
                print(title, json.dumps(found[title][-1]))
    found["load of the machine"] = [round(load, 1) for load in os.getloadavg()]
    found["most memory, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    found["versions"] = {name: version(name) for name in ("nb2prod", "distributed")}
    found["machine"] = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    (HERE / "results" / "scale_simulation.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
