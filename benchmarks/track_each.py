"""What a run for every item of a map costs in MLflow, beside a loop that uses its client as well as one can.

python benchmarks/track_each.py [PAIRS]        writes benchmarks/results/track_each.json

The loop makes, per item, `create_run`, one `log_batch` and `set_terminated`, with the very same tags, parameters and
metrics as ours. Both write into a SQLite store of their own, made ready before; pairs alternate. The cost of an item is
marginal: the time for MANY items less that for FEW, so that what is paid once (connecting, the report) does not count.
What the map pays once is told beside it, and so is what a run for each item takes if nobody waits: the time that
`hear` keeps the map's driver.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from nb2prod.core.mapping import STATUSES, ItemResult, MapPlan, MapSummary
from nb2prod.stages.compile import compile
from nb2prod.stages.mapping.report import Reporter
from nb2prod.stages.read import read
from nb2prod.storage import mlflow_store
from nb2prod.trackers import _map as ours

HERE = Path(__file__).parent
NOTEBOOK = HERE.parent / "notebooks" / "route_delay.ipynb"
FEW, MANY = 50, 350
TARGET = 1.15


def results(count: int) -> list[ItemResult]:
    return [
        ItemResult(
            number=n,
            key={"carrier": "UA", "flight": n, "origin": "EWR", "dest": "IAH"},
            status="ok",
            seconds=0.01,
            metrics={"r2": n / count, "mae": 10.0 + n, "flights": 30.0},
        )
        for n in range(count)
    ]


def by_hand(uri: str, items: list[ItemResult]) -> float:
    """Seconds for all items, as somebody would write it who has read MLflow's documentation."""
    client = MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment(f"by hand {time.time_ns()}")
    parent = client.create_run(experiment, tags={"mlflow.runName": "by hand"}).info.run_id
    began = time.perf_counter()
    for item in items:
        tags = {
            "mlflow.parentRunId": parent,
            "nb2prod.run": "by hand",
            "nb2prod.owner": "host:1:1",
            "mlflow.runName": ", ".join(f"{name}={value}" for name, value in item.key.items()),
            "nb2prod.item": str(item.number),
            "nb2prod.status": item.status,
        }
        now = int(time.time() * 1000)
        run = client.create_run(experiment, start_time=now, tags=tags).info.run_id
        values = {"seconds": item.seconds, **item.metrics}
        client.log_batch(
            run,
            metrics=[Metric(name, value, now, 0) for name, value in values.items()],
            params=[Param(name, str(value)) for name, value in item.key.items()],
        )
        client.set_terminated(run, "FINISHED", end_time=now)
    return time.perf_counter() - began


def by_map(uri: str, items: list[ItemResult]) -> tuple[float, float]:
    """(seconds until all is told, seconds that the driver was kept by `hear`)."""
    os.environ["MLFLOW_TRACKING_URI"] = uri
    with tempfile.TemporaryDirectory() as folder:
        pipeline = compile(read(NOTEBOOK))
        plan = MapPlan("a map", pipeline, folder, "t.csv", "0" * 64, "0" * 64, by=tuple(items[0].key), track="each")
        reporter = Reporter()
        tracker = ours.MapTracker(lambda: reporter.report)
        reporter.begin(plan, len(items))
        reporter.hear(items)
        summary = MapSummary("a map", folder, len(items), dict.fromkeys(STATUSES, 0) | {"ok": len(items)}, 1.0)
        reporter.end(summary)  # the report is drawn with and without MLflow
        tracker.begin(plan, len(items))
        while not tracker.where:
            time.sleep(0.002)
        began = time.perf_counter()
        for first in range(0, len(items), 10):
            tracker.hear(items[first : first + 10])
        heard = time.perf_counter()
        tracker.end(summary)
        return time.perf_counter() - began, heard - began


def marginal(measured: Callable[[list[ItemResult]], float]) -> tuple[float, float]:
    """(milliseconds an item, milliseconds that are paid once)."""
    few, many = measured(results(FEW)), measured(results(MANY))
    each = (many - few) / (MANY - FEW)
    return 1000 * each, 1000 * (few - FEW * each)


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    logging.getLogger("nb2prod").setLevel(logging.ERROR)
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    mine, hand, once, kept = [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        stores = {name: f"sqlite:///{folder}/{name}.db" for name in ("mine", "hand")}
        for uri in stores.values():
            mlflow_store.make_ready(uri)
        by_map(stores["mine"], results(10))  # imports, and the file cache
        by_hand(stores["hand"], results(10))
        for _ in range(pairs):
            hand.append(marginal(lambda items: by_hand(stores["hand"], items))[0])
            each, first = marginal(lambda items: by_map(stores["mine"], items)[0])
            mine.append(each)
            once.append(first)
            kept.append(1000 * by_map(stores["mine"], results(FEW))[1] / FEW)
    ratios = [one / other for one, other in zip(mine, hand, strict=True)]
    result = {
        "question": "what does a run for every item cost, beside create_run + log_batch + set_terminated by hand?",
        "pairs": pairs,
        "machine": f"{platform.machine()}, Python {platform.python_version()}, {os.cpu_count()} cores",
        "versions": {name: version(name) for name in ("nb2prod", "mlflow")},
        "milliseconds an item, nb2prod": spread(mine),
        "milliseconds an item, by hand": spread(hand),
        "ratio": spread(ratios),
        "milliseconds once a map": spread(once),
        "milliseconds an item that the driver waits": spread(kept),
        "target": f"ratio at most {TARGET}",
    }
    path = HERE / "results" / "track_each.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


def spread(taken: list[float]) -> dict[str, Any]:
    return {"median": statistics.median(taken), "least": min(taken), "most": max(taken)}


if __name__ == "__main__":
    main()
