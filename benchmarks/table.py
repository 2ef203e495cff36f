"""The figures of all benchmarks as one table with their targets, and a plot: docs/benchmarks.md, docs/benchmarks.svg.

python benchmarks/table.py

It measures nothing: each row is taken from the results that a script has left in `results/`. A row without results says
so, and a target that is missed is shown as missed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"


@dataclass(frozen=True, slots=True)
class Row:
    """What was done, beside what, and where the ratio stands: a file of results and the keys that lead to it.

    The ratio is met when it is no more than the target; `at_least`: when it is no less. `bound` is where in the docs it
    is said what keeps it from being less.
    """

    work: str
    peer: str
    target: float
    file: str
    keys: tuple[str, ...]
    at_least: bool = False
    bound: str = ""

    def share(self, ratio: float) -> float:
        """How much of what the target allows was taken: 1 at the target, more when it is missed."""
        return self.target / ratio if self.at_least else ratio / self.target


RUN, MAP, RERUN = "run_speed", "map_speed", "rerun"
BESIDE = "ratio of our median to each peer's"
SPEED = "seconds, and ratio of the medians to papermill in full"
MODELS = ("mortgage", "logistic")
DISK = ("environments", "ratio")
COST = "provenance.md#what-it-costs"
ONNX = (
    ("p50 of one row", "p50 ms", 1 / 30, False),
    ("requests a second, 16 connections", "req/s", 30.0, True),
    ("time to the first answer", "first answer s", 1 / 8, False),
    ("memory", "MB", 1 / 3, False),
)
NATIVE = (("p50 of one row", "p50 ms", 1.0, False), ("requests a second, 16 connections", "req/s", 2.0, True))
SERVED = (("ONNX", "mlflow models serve", ONNX), ("native", "FastAPI, pandas, scikit-learn", NATIVE))


def served(model: str, way: str, peer: str, key: str) -> tuple[str, ...]:
    ours = "nb2prod, ONNX" if way == "ONNX" else "nb2prod"
    return ("models", model, "ratios", f"{ours} to {peer}", key, "median")


ROWS = (
    Row("`--help`", "`papermill --help`", 0.15, "start_up", ("ratio",)),
    *(
        Row(f"run, {work}: {way}", "`papermill`", target, RUN, ("works", work, "ways", way, "ratio", "median"))
        for work, way, target in (
            ("five steps, scikit-learn", "kernel, MLflow", 1.1),
            ("five steps, scikit-learn", "in process", 0.7),
            ("200 small cells", "kernel", 0.3),
            ("200 small cells", "in process", 0.1),
            ("100 cells of 100 KB", "kernel", 0.3),
            ("100 cells of 100 KB", "in process", 0.15),
        )
    ),
    *(
        Row(f"run again, {what}", "`papermill`, in full", target, RERUN, (SPEED, OURS, what, "ratio"))
        for OURS in ("nb2prod run --engine steps",)
        for what, target in (("nothing changed", 0.08), ("last step changed", 0.65))
    ),
    *(
        Row(f"run again, {what}", f"`{peer}`", 1.0, RERUN, ("beside the peers", BESIDE, peer, what))
        for peer in ("ploomber build", "metaflow resume", "hamilton, with its cache")
        for what in ("nothing changed", "last step changed")
    ),
    *(
        Row(f"map, an item: {ours}", peer, target, MAP, ("ratios", f"{ours} / {peer}", "ratio"))
        for ours, peer, target in (
            ("fork", "papermill", 1 / 40),
            ("fork", "ploomber-engine", 1 / 2),
            ("shared", "papermill", 1 / 300),
            ("function", "joblib", 4.0),
        )
    ),
    *(
        Row(
            f"map, memory after 10,000 items: {how}",
            "after 100",
            1.1,
            MAP,
            (f"memory of the process that runs the items, {how}", "ratio"),
        )
        for how in ("fork", "shared", "function")
    ),
    Row("map `--track each`, an item", "a batched `MlflowClient`", 1.15, "track_each", ("ratio", "median")),
    *(
        Row(
            f"resume points, {what}",
            "the same run without",
            1.05,
            "checkpoint_cost",
            ("results", what, "ratio", "median"),
        )
        for what in ("small table", "large table")
    ),
    Row("map, short items: dask", "map on processes", 4.0, "dask_map", ("short items", "ratio", "median")),
    Row("map, items of 50 ms: dask", "map on processes", 1.3, "dask_map", ("items of 50 ms", "ratio", "median")),
    *(
        Row(f"serve, {model}, {way}: {what}", f"`{peer}`", target, "serving_speed", served(model, way, peer, key), more)
        for model in MODELS
        for way, peer, asked in SERVED
        for what, key, target, more in asked
    ),
    Row("environment of the ONNX service on disk", "one with full MLflow", 1 / 4, "container_environment", DISK),
    *(
        Row(
            f"log and register, {model}", "`log_model`", 1 / 15, "package_speed", ("models", model, "ratio"), bound=COST
        )
        for model in MODELS
    ),
    *(
        Row(f"score 1 M rows, {model}", "`mlflow.pyfunc`, one frame", 0.6, "score_speed", (model, "ratio"))
        for model in MODELS
    ),
)


def ratio_of(row: Row) -> float | None:
    """The ratio that was measured; None when there is no such figure."""
    path = HERE / "results" / f"{row.file}.json"
    if not path.exists():
        return None
    found: Any = json.loads(path.read_text(encoding="utf-8"))
    for key in row.keys:
        if not isinstance(found, dict) or key not in found:
            return None
        found = found[key]
    return float(found)


def lines(rows: list[tuple[Row, float | None]]) -> Iterator[str]:
    yield "| work | beside | ratio | target | |"
    yield "| --- | --- | --- | --- | --- |"
    for row, ratio in rows:
        shown = "not measured" if ratio is None else f"{ratio:.4g}"
        missed = f"**missed** ([what bounds it]({row.bound}))" if row.bound else "**missed**"
        held = "" if ratio is None else "met" if row.share(ratio) <= 1 else missed
        bound = "at least " if row.at_least else ""
        yield f"| {row.work} | {row.peer} | {shown} | {bound}{row.target:.3g} | {held} |"


def plot(rows: list[tuple[Row, float | None]], path: Path) -> None:
    """A bar for each ratio, as a share of its target: left of the line is met."""
    mpl.use("svg")
    import matplotlib.pyplot as plt

    known = [(row, ratio) for row, ratio in rows if ratio is not None][::-1]
    shares = [row.share(ratio) for row, ratio in known]
    figure, axes = plt.subplots(figsize=(8, 0.32 * len(known) + 1))
    axes.barh(range(len(known)), shares, color=["#2a7" if share <= 1 else "#c43" for share in shares], height=0.6)
    axes.axvline(1, color="black", linewidth=1)
    labels = [f"{row.work} / {row.peer}".replace("`", "") for row, _ in known]
    axes.set_yticks(range(len(known)), labels)
    axes.set_xlabel("measured ratio as a share of its target (left of the line: met)")
    axes.spines[["top", "right"]].set_visible(False)
    plt.rcParams["svg.hashsalt"] = "benchmarks"
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})


INTRO = """# Benchmarks

Each script in `benchmarks/` answers one question, beside a named peer in the same run, the two taking turns; what it
found is kept in `benchmarks/results/`, with ranges, versions and the machine. `make bench` runs them and writes this
page. A ratio below one is faster than the peer. Measured on two cores.

![Each ratio as a share of its target](benchmarks.svg)
"""


def main() -> None:
    rows = [(row, ratio_of(row)) for row in ROWS]
    plot(rows, DOCS / "benchmarks.svg")
    (DOCS / "benchmarks.md").write_text("\n".join([INTRO, *lines(rows), ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
