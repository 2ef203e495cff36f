"""What a map leaves in MLflow: one run, or one an item below it, and nothing twice however often it goes on."""

from __future__ import annotations

import dataclasses
import logging
import math
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient

from nb2prod.core.mapping import STATUSES, ItemResult, MapPlan, MapSummary
from nb2prod.stages import floors
from nb2prod.stages.mapping.report import Reporter
from nb2prod.storage import mlflow_store
from nb2prod.trackers._map import MapTracker
from tests.trackers.conftest import plan_in


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    mlflow_store.make_ready(f"sqlite:///{file}")
    return file


@pytest.fixture(autouse=True)
def store(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)


def plan_of(folder: Path, **changes: Any) -> MapPlan:
    run = plan_in(folder, "x = 1")
    given = {"parameters": run.parameters, "by": ("route",), **changes}
    return MapPlan(run.run, run.pipeline, run.directory, str(folder / "routes.csv"), "ab" * 32, "cd" * 32, **given)


def item(number: int, status: Any = "ok", error: str = "", **metrics: float) -> ItemResult:
    return ItemResult(
        number,
        {"route": f"R{number}"},
        status,
        0.25,
        metrics,
        error,
        cell=3 if error else None,
        given={"limit": number},
    )


def _given(done: Sequence[ItemResult]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for result in done for name in result.given)
    return {f"params.{name}": [result.given.get(name) for result in done] for name in names}


def tell(
    plan: MapPlan,
    *batches: Sequence[ItemResult],
    total: int | None = None,
    wanted: Sequence[str] = (),
    stopped: str = "",
) -> MapTracker:
    """As the driver tells a map to its sinks."""
    reporter = Reporter(floors.parse(wanted, ["r2"]))
    tracker = MapTracker(lambda: reporter.report)
    done = [result for batch in batches for result in batch]
    total = len(done) if total is None else total
    for sink in (reporter, tracker):
        sink.begin(plan, total)
    for batch in batches:
        for sink in (reporter, tracker):
            sink.hear(batch)
    counts = Counter(result.status for result in done)
    results = Path(plan.directory) / "results.parquet"
    pd.DataFrame({"number": [result.number for result in done], **_given(done)}).to_parquet(results)
    by_status = {status: counts[status] for status in STATUSES}
    summary = MapSummary(plan.run, plan.directory, total, by_status, 2.5, results=str(results), stopped=stopped)
    for sink in (reporter, tracker):
        sink.end(summary)
    return tracker


def run_of(tracker: MapTracker) -> Any:
    return MlflowClient(tracking_uri=tracker.where["tracking_uri"]).get_run(tracker.where["run_id"])


def runs_below(tracker: MapTracker) -> dict[str, Any]:
    """The items' runs by name; two of one name would be a mistake."""
    client = MlflowClient(tracking_uri=tracker.where["tracking_uri"])
    condition = f"tags.`mlflow.parentRunId` = '{tracker.where['run_id']}'"
    found = client.search_runs([tracker.where["experiment_id"]], condition)
    assert len({run.info.run_name for run in found}) == len(found)
    return {run.info.run_name: run for run in found}


def test_a_map_is_one_run_with_counts_distributions_and_its_report(tmp_path: Path) -> None:
    results = [item(n, r2=n / 10) for n in range(11)]
    tracker = tell(plan_of(tmp_path), results[:4], [*results[4:], item(11, "failed", "ValueError: no rows")])
    run = run_of(tracker)
    assert (run.info.status, run.info.run_name, runs_below(tracker)) == ("FINISHED", "run-1", {})
    assert run.data.params == {"alpha": "0.5", "password": "***"}
    numbers = run.data.metrics
    assert (numbers["items"], numbers["items_ok"], numbers["items_failed"], numbers["seconds"]) == (12, 11, 1, 2.5)
    assert [numbers[f"r2/{name}"] for name in ("min", "p05", "p50", "mean", "p95", "max", "missing")] == pytest.approx(
        [0, 0.05, 0.5, 0.5, 0.95, 1, 0]
    )
    client = MlflowClient()
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert files == {"report.html", "report.txt", "worst.txt", "results.parquet", "plots"}
    text = Path(client.download_artifacts(run.info.run_id, "report.txt", str(tmp_path))).read_text()
    assert "12 of 12 items (11 ok, 1 failed)" in text
    assert "cell 3" in text
    assert [file.path for file in client.list_artifacts(run.info.run_id, "plots")] == ["plots/r2.png"]
    (table,) = run.inputs.dataset_inputs
    assert {tag.key: tag.value for tag in table.tags}["nb2prod.digest"] == "ab" * 32


def test_parameters_that_every_item_has_its_own_of_are_none_of_the_map(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, parameters={"alpha": 0.5, "limit": 3, "route": "R", "frame": "…"}, rows="frame")
    assert run_of(tell(plan, [item(1)])).data.params == {"alpha": "0.5"}


def test_a_floor_that_does_not_hold_fails_the_run_and_is_in_its_report(tmp_path: Path) -> None:
    results = [item(n, r2=n / 10) for n in range(11)]
    tracker = tell(plan_of(tmp_path), results, wanted=["p05(r2) >= 0.5", "share(failed) <= 0"])
    run = run_of(tracker)
    assert run.info.status == "FAILED"
    assert run.data.tags["nb2prod.failure"] == "floors that do not hold: p05(r2) >= 0.5"
    assert (run.data.metrics["floors"], run.data.metrics["floors_failed"]) == (2, 1)
    page = Path(MlflowClient().download_artifacts(run.info.run_id, "report.html", str(tmp_path))).read_text()
    assert "FAILS" in page
    assert "route=R0" in page


def test_with_each_every_item_has_a_run_of_its_own(tmp_path: Path) -> None:
    odd = dataclasses.replace(item(2, r2=math.nan, gap=math.inf), key={"route": "R2", "from/to, ü": "a"})
    tracker = tell(plan_of(tmp_path, track="each"), [item(1, r2=0.5)], [odd, item(3, "failed", "ValueError: x\nmore")])
    below = runs_below(tracker)
    assert {name: run.info.status for name, run in below.items()} == {
        "route=R1": "FINISHED",
        "route=R2, from/to, ü=a": "FINISHED",
        "route=R3": "FAILED",
    }
    one, two, three = (below[name] for name in sorted(below, key=lambda name: name[:8]))
    assert (one.data.params, one.data.metrics) == ({"route": "R1", "limit": "1"}, {"r2": 0.5, "seconds": 0.25})
    assert one.info.end_time - one.info.start_time == 250
    assert math.isnan(two.data.metrics["r2"])
    assert two.data.tags["nb2prod.metric.gap"] == "inf"
    assert two.data.params == {"route": "R2", "limit": "2", "from/to_ ü": "a"}
    assert (three.data.tags["nb2prod.status"], three.data.tags["nb2prod.failure"]) == (
        "failed",
        "cell 3: ValueError: x",
    )


def test_an_interrupted_map_is_killed_and_going_on_reopens_it_with_nothing_twice(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, track="each")
    before = [item(n, r2=0.5) for n in range(3)]
    first = tell(plan, before, total=6, stopped="interrupted")
    assert run_of(first).info.status == "KILLED"
    # what a kill in the middle leaves: a run without numbers, and one that was never ended
    client = MlflowClient()
    tags = {"mlflow.parentRunId": first.where["run_id"]}
    empty = client.create_run(
        first.where["experiment_id"], tags={**tags, "nb2prod.item": "3", "mlflow.runName": "route=R3"}
    )
    unended = client.create_run(
        first.where["experiment_id"], tags={**tags, "nb2prod.item": "4", "mlflow.runName": "route=R4"}
    )
    client.log_metric(unended.info.run_id, "seconds", 0.25)
    client.log_metric(unended.info.run_id, "r2", 0.5)
    resumed = dataclasses.replace(plan, resumed=True)
    second = tell(resumed, before, [item(n, r2=0.5) for n in range(3, 6)])
    assert second.where == first.where
    assert run_of(second).info.status == "FINISHED"
    below = runs_below(second)
    assert {(run.info.status, run.data.metrics["r2"]) for run in below.values()} == {("FINISHED", 0.5)}
    assert len(below) == 6
    assert below["route=R3"].info.run_id == empty.info.run_id
    assert len(client.get_metric_history(unended.info.run_id, "r2")) == 1
    ids = {run.info.run_id for run in below.values()}
    third = tell(resumed, [item(n, r2=0.5) for n in range(6)])
    assert {run.info.run_id for run in runs_below(third).values()} == ids
    assert [found.value for found in client.get_metric_history(third.where["run_id"], "items_ok")] == [3, 6]


def test_a_map_that_was_whole_already_tells_no_items_parameter_as_its_own(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, parameters={"limit": 10, "alpha": 0.5}, resumed=True)
    # read back from the run's folder, an item does not say what it was given: its table does
    told = run_of(tell(plan, [dataclasses.replace(item(1), given={}), item(2)]))
    assert told.data.params == {"alpha": "0.5"}


def test_a_map_that_goes_on_when_its_run_is_gone_gets_a_new_one(tmp_path: Path) -> None:
    first = tell(plan_of(tmp_path), [item(1)], total=2, stopped="interrupted")
    MlflowClient().delete_run(first.where["run_id"])
    second = tell(plan_of(tmp_path, resumed=True), [item(1), item(2)])
    assert second.where["run_id"] != first.where["run_id"]
    assert run_of(second).info.status == "FINISHED"


def test_an_item_that_was_lost_hides_no_parameter_of_the_others(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, parameters={"limit": 10, "alpha": 0.5})
    lost = ItemResult(0, {}, "lost", 0.0)
    assert run_of(tell(plan, [lost, item(1)])).data.params == {"alpha": "0.5"}


def test_a_map_that_ended_before_its_first_item_tells_no_parameter_yet(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, parameters={"limit": 10, "alpha": 0.5})
    assert run_of(tell(plan, total=2, stopped="the workers are gone")).data.params == {}
    later = tell(dataclasses.replace(plan, resumed=True), [item(1), item(2)])
    assert run_of(later).data.params == {"alpha": "0.5"}


def test_a_lost_cluster_fails_the_run_with_its_reason(tmp_path: Path) -> None:
    run = run_of(tell(plan_of(tmp_path), [item(1)], total=2, stopped="the cluster is gone"))
    assert (run.info.status, run.data.tags["nb2prod.failure"]) == ("FAILED", "the cluster is gone")


def test_when_mlflow_does_not_answer_one_warning_says_so_and_the_map_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    plan = plan_of(tmp_path, track="each")
    with caplog.at_level(logging.WARNING, "nb2prod.mlflow"):
        tracker = tell(plan, [item(1)], [item(2)])
    assert tracker.where == {}
    (said,) = [record.getMessage() for record in caplog.records if record.name == "nb2prod.mlflow"]
    assert "MLflow is told nothing more of this map, which goes on" in said
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    later = tell(dataclasses.replace(plan, resumed=True), [item(1), item(2)])
    assert sorted(runs_below(later)) == ["route=R1", "route=R2"]
