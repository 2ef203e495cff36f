"""Tells MLflow of a map: one run for all of it, and with `each` a run for every item below it.

The one run has the parameters that are the same for all items, the counts by status, the distribution of every metric
(`r2/p05`, `r2/mean`, …), the table of results and the report. It is made beside the start of the workers, and ends with
the map: FINISHED, FAILED when a floor does not hold, KILLED when it was interrupted.

A run for every item costs three calls of MLflow's client, which is more than many an item takes. A thread of its own
makes them while items run, and goes on when they have all ended. MLflow is also what says which items it knows: a map
that goes on reopens its run, and makes runs only for the items that have none, so that nothing is there twice.

When the store does not answer, one warning says so and the map goes on untold; `--resume` tells the rest.
"""

from __future__ import annotations

import json
import logging
import math
import queue
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nb2prod.core.distribution import MapReport, title
from nb2prod.core.errors import StoreError
from nb2prod.core.events import RunStarted
from nb2prod.core.mapping import ItemResult, MapPlan, MapSummary
from nb2prod.storage import mlflow_store
from nb2prod.storage.files import write_text
from nb2prod.trackers import _map_words as map_words
from nb2prod.trackers import _mlflow_words as words
from nb2prod.trackers._mlflow_calls import FAILURE_TAG, impatient, one_line, params_of
from nb2prod.trackers._mlflow_own_calls import experiment_of

PLACE = "mlflow.json"  # in the run's folder: where MLflow was told of it
ITEM_TAG = "nb2prod.item"
ENDS = {"ok": "FINISHED"}
RESULTS = "results.parquet"
GIVEN = "params."  # what the columns of parameters begin with
FILES = ("report.html", "report.txt", "worst.txt", RESULTS, "map.json")
PLOTS = "plots"
_SAID_EACH = 10.0  # seconds between two lines about items that MLflow is still told of
_NO_NAME = re.compile(r"[^\w\-. :/]")
_log = logging.getLogger("nb2prod.mlflow")


@dataclass(frozen=True, slots=True)
class _Place:
    client: Any
    tracking_uri: str
    experiment_id: str
    run_id: str
    tags: Mapping[str, str]


class MapTracker:
    """The tracker of one map. `reported` gives the report when the map has ended."""

    def __init__(self, reported: Callable[[], MapReport]) -> None:
        self._reported = reported
        self._plan: MapPlan | None = None
        self._heard = 0
        self._varying: set[str] = set()  # parameters that every item has its own of
        self._told = 0
        self._waiting: queue.SimpleQueue[Sequence[ItemResult] | None] = queue.SimpleQueue()
        self._teller = threading.Thread(target=self._tell_all, name="nb2prod-mlflow", daemon=True)
        self._place: _Place | None = None
        self._silent = False
        self._given_up = threading.Event()
        self._refused: set[str] = set()

    # -- what the driver calls -----------------------------------------------------------------------------------

    def begin(self, plan: MapPlan, total: int) -> None:
        """Raises StoreError at once, before anything runs, for a store that cannot be written."""
        mlflow_store.refuse_file_store()
        self._plan = plan
        self._teller.start()

    def hear(self, results: Sequence[ItemResult]) -> None:
        self._heard += len(results)
        # an item that was lost with its worker does not say what it was given
        self._varying |= {name for result in results for name in (*result.given, *result.key)}
        if self._map.track == "each":
            self._waiting.put(results)

    def end(self, summary: MapSummary) -> None:
        if self._plan is None:
            return  # another sink could not begin, so this one never did
        finished = self._wait()
        if self._place is not None:
            self._tell("the end of the map", self._finish, self._place, self._reported(), finished)

    @property
    def where(self) -> Mapping[str, str]:
        """Where it was told: tracking_uri, experiment_id, run_id; empty when it was not."""
        place = self._place
        return {} if place is None else _where(place)

    # -- the thread that tells -----------------------------------------------------------------------------------

    @property
    def _map(self) -> MapPlan:
        assert self._plan is not None, "a map begins before anything is heard of it"
        return self._plan

    def _tell_all(self) -> None:
        self._place = self._tell("the start of the map", self._connect)
        place = self._place
        known = self._tell("the items that are known", _known, place) if place and self._map.resumed else None
        while (results := self._waiting.get()) is not None:
            for result in results:
                if place is None or self._silent or self._given_up.is_set():
                    break
                self._tell(title(result), self._tell_item, place, result, (known or {}).get(result.number))
                self._told += 1

    def _wait(self) -> bool:
        """Until all is told; False when a person did not want to wait for it."""
        self._waiting.put(None)
        began = time.monotonic()
        try:
            while self._teller.is_alive():
                self._teller.join(_SAID_EACH)
                if self._teller.is_alive() and self._map.track == "each" and not self._silent:
                    _log.info("%s, %.0f s after the last item ended", self._how_far, time.monotonic() - began)
        except KeyboardInterrupt:
            self._given_up.set()
            self._teller.join()
            _log.warning("%s; nb2prod map --resume %s tells the rest", self._how_far, self._map.directory)
            return False
        return True

    @property
    def _fixed(self) -> dict[str, Any]:
        """The parameters that are the same for all items; none while no item has said what it was given."""
        plan = self._map
        of_items = self._varying | _columns_given(plan)
        if not of_items:
            return {}
        varying = {*of_items, *plan.by, plan.rows}
        return {name: value for name, value in plan.parameters.items() if name not in varying}

    @property
    def _how_far(self) -> str:
        return f"MLflow knows {self._told:,} of {self._heard:,} items"

    # -- the one run ---------------------------------------------------------------------------------------------

    def _connect(self) -> _Place:
        from mlflow import MlflowClient

        plan = self._map
        before = _read_place(plan) if plan.resumed else {}
        uri = before.get("tracking_uri") or mlflow_store.tracking_uri()
        mlflow_store.make_ready(uri)
        client = MlflowClient(tracking_uri=uri)
        started = map_words.started(plan)
        run = _reopened(client, before, started.owner)
        if run is None:
            run = self._created(client, started)
        run_id = run.info.run_id
        place = _Place(client, uri, run.info.experiment_id, run_id, map_words.item_tags(started, run_id))
        write_text(Path(plan.directory) / PLACE, json.dumps(_where(place)) + "\n")
        return place

    def _created(self, client: Any, started: RunStarted) -> Any:
        plan = self._map
        experiment = experiment_of(client, plan)
        mlflow_store.close_orphans(client, experiment.experiment_id)
        tags = {**words.shared_tags(started), **words.git_tags(plan.pipeline.notebook.path), **map_words.map_tags(plan)}
        run = client.create_run(experiment.experiment_id, tags={**tags, words.NAME_TAG: plan.run})
        client.log_inputs(run.info.run_id, datasets=[map_words.table(plan)])
        return run

    def _texts(self, values: Mapping[str, Any]) -> dict[str, str]:
        from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH

        secrets = frozenset(p.name for p in self._map.pipeline.parameters if p.secret)
        texts = {
            name: words.parameter_text(name, value, secrets, MAX_PARAM_VAL_LENGTH) for name, value in values.items()
        }
        return {_NO_NAME.sub("_", name): text for name, text in texts.items()}

    def _finish(self, place: _Place, seen: MapReport, finished: bool) -> None:
        place.client.log_batch(place.run_id, params=params_of(self._texts(self._fixed)))
        self._log_numbers(place, seen)
        self._log_files(place)
        status, failure = map_words.ending(seen.summary, seen.judgements, finished)
        if failure:
            place.client.set_tag(place.run_id, FAILURE_TAG, failure)
        place.client.set_terminated(place.run_id, status)

    def _log_numbers(self, place: _Place, seen: MapReport) -> None:
        """At the step of how many items were done: of a map that went on, both ends stand there, each in its place."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        done = seen.summary.done
        numbers = {name: value for name, value in map_words.numbers(seen).items() if math.isfinite(value)}
        metrics = [Metric(_NO_NAME.sub("_", name), value, now, done) for name, value in numbers.items()]
        if self._map.resumed:
            metrics = [metric for metric in metrics if not _has_number(place, metric)]
        for first in range(0, len(metrics), 1000):  # what MLflow takes at a time
            place.client.log_batch(place.run_id, metrics=metrics[first : first + 1000])

    def _log_files(self, place: _Place) -> None:
        directory = Path(self._map.directory)
        for name in FILES:
            if (directory / name).is_file():
                place.client.log_artifact(place.run_id, str(directory / name))
        if (directory / PLOTS).is_dir():
            place.client.log_artifacts(place.run_id, str(directory / PLOTS), PLOTS)

    # -- a run for each item -------------------------------------------------------------------------------------

    def _tell_item(self, place: _Place, result: ItemResult, known: _Child | None) -> None:
        """Three calls; fewer for an item of which MLflow knows a part already."""
        if known is not None and known.ended:
            return
        ended = time.time() * 1000
        run_id = known.run_id if known else None
        if run_id is None:
            tags = {**place.tags, words.NAME_TAG: title(result), ITEM_TAG: str(result.number), **map_words.fate(result)}
            began = int(ended - result.seconds * 1000)
            run_id = place.client.create_run(place.experiment_id, start_time=began, tags=tags).info.run_id
        if known is None or not known.measured:
            self._log_item(place, run_id, result, int(ended))
        place.client.set_terminated(run_id, ENDS.get(result.status, "FAILED"), end_time=int(ended))

    def _log_item(self, place: _Place, run_id: str, result: ItemResult, now: int) -> None:
        from mlflow.entities import Metric, RunTag

        values = {"seconds": result.seconds, **result.metrics}
        # MLflow would keep an infinite metric as 1.8e308, a number nobody measured: it becomes a tag instead
        infinite = {f"nb2prod.metric.{name}": str(value) for name, value in values.items() if math.isinf(value)}
        place.client.log_batch(
            run_id,
            metrics=[Metric(name, value, now, 0) for name, value in values.items() if not math.isinf(value)],
            params=params_of(self._texts({**result.given, **result.key})),
            tags=[RunTag(name, text) for name, text in infinite.items()],
        )

    # -- one thing told ------------------------------------------------------------------------------------------

    def _tell(self, what: str, call: Callable[..., Any], *arguments: Any) -> Any:
        """Call MLflow. A value that it does not take is left out, with a warning; any other error ends the telling."""
        if self._silent:
            return None
        try:
            with impatient():
                return call(*arguments)
        except Exception as error:  # noqa: BLE001 - a client raises whatever its transport raises, and the map goes on
            reason = one_line(error)
            if self._place is not None and getattr(error, "error_code", "") == "INVALID_PARAMETER_VALUE":
                if reason not in self._refused:
                    self._refused.add(reason)
                    _log.warning("MLflow did not take %s: %s", what, reason)
            else:
                self._silent = True
                _log.warning(
                    "MLflow is told nothing more of this map, which goes on: %s could not be told: %s. "
                    "nb2prod map --resume %s tells the rest later",
                    what, reason, self._map.directory,
                )  # fmt: skip
            return None


@dataclass(frozen=True, slots=True)
class _Child:
    """What MLflow knows of an item already: its run, whether it has its numbers, and whether it has ended."""

    run_id: str
    measured: bool
    ended: bool


def _has_number(place: _Place, metric: Any) -> bool:
    """Whether MLflow was told it before the map was stopped, at the very end of its work."""
    history = place.client.get_metric_history(place.run_id, metric.key)
    return any((one.step, one.value) == (metric.step, metric.value) for one in history)


def _columns_given(plan: MapPlan) -> set[str]:
    """Parameters that items have had of their own, also when this process has seen none of them."""
    path = Path(plan.directory) / RESULTS
    if not plan.resumed or not path.is_file():
        return set()
    import pyarrow.parquet

    names = pyarrow.parquet.read_schema(path).names
    return {name.removeprefix(GIVEN) for name in names if name.startswith(GIVEN)}


def _known(place: _Place) -> dict[int, _Child]:
    """The items that have a run below the map's, by number."""
    found: dict[int, _Child] = {}
    for run in mlflow_store.every_run(
        place.client, place.experiment_id, f"tags.`{words.PARENT_TAG}` = '{place.run_id}'"
    ):
        number = run.data.tags.get(ITEM_TAG, "")
        if number.isdecimal():
            measured = "seconds" in run.data.metrics
            # another command may have ended it as an orphan: it is whole when it has its numbers
            ended = measured and run.info.status in ("FINISHED", "FAILED")
            found[int(number)] = _Child(run.info.run_id, measured, ended)
    return found


def _reopened(client: Any, before: Mapping[str, str], owner: str) -> Any:
    """The map's own run, running again and ours; None when it never was told, or is gone."""
    from mlflow.exceptions import MlflowException

    if not before.get("run_id"):
        return None
    try:
        run = client.get_run(before["run_id"])
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    if run.info.lifecycle_stage != "active":
        return None
    client.set_tag(run.info.run_id, mlflow_store.OWNER_TAG, owner)
    if FAILURE_TAG in run.data.tags:
        client.delete_tag(run.info.run_id, FAILURE_TAG)
    client.update_run(run.info.run_id, status="RUNNING")
    return run


def _read_place(plan: MapPlan) -> dict[str, str]:
    path = Path(plan.directory) / PLACE
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise StoreError(f"it is damaged: {error}", where=str(path)) from error
    return content if isinstance(content, dict) else {}


def _where(place: _Place) -> dict[str, str]:
    return {"tracking_uri": place.tracking_uri, "experiment_id": place.experiment_id, "run_id": place.run_id}
