"""MLflow is called: impatiently, with one warning when it does not answer, and after that no more.

A run has a `Place` in a store. What is told of it goes through one `Telling`, which the run outlives.
"""

from __future__ import annotations

import logging
import math
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from nb2prod.core.errors import Nb2prodError
from nb2prod.trackers._mlflow_resume import Reopened

FAILURE_TAG = "nb2prod.failure"
# MLflow's own patience is seven retries of two minutes; a run must not wait that long to go on
_IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
_MESSAGE_LENGTH = 300


_log = logging.getLogger("nb2prod.mlflow")
T = TypeVar("T")
Values = Mapping[str, tuple[float, float]]  # metric -> (value, when)


@dataclass(frozen=True, slots=True)
class Place:
    """Where this run is told.

    `cells` is what the notebook's own MLflow calls have to do with it: `join` the runs that we make, keep an
    `experiment` of their own, or a `server`.
    """

    client: Any
    tracking_uri: str
    experiment_id: str
    experiment: str
    run_id: str
    tags: Mapping[str, str]
    cells: Literal["join", "experiment", "server"]


class Telling:
    """What is told of one run; `directory` has its journal, in which everything is anyway."""

    def __init__(self, directory: Path) -> None:
        self.is_silent = False
        self.before = Reopened()
        self._directory = directory
        self._place: Place | None = None

    def begin(self, place: Place) -> None:
        """From now on there is a run to tell of."""
        self._place = place

    @property
    def place(self) -> Place:
        assert self._place is not None, "nothing is written before the run has its place"
        return self._place

    def tell(self, what: str, call: Callable[..., T], *arguments: Any, **named: Any) -> T | None:
        """Call MLflow. A value that it does not take is left out, with a warning; any other error ends the telling."""
        if self.is_silent:
            return None
        try:
            return call(*arguments, **named)
        except Exception as error:  # noqa: BLE001 - a client raises whatever its transport raises, and the run goes on
            if self._place is not None and getattr(error, "error_code", "") == "INVALID_PARAMETER_VALUE":
                _log.warning("MLflow did not take %s: %s", what, one_line(error))
            else:
                self.give_up(f"{what} could not be told: {one_line(error)}")
            return None

    def give_up(self, reason: str) -> None:
        if not self.is_silent:
            self.is_silent = True
            _log.warning(
                "MLflow is told nothing more of this run, which goes on: %s. Its journal has everything: %s",
                reason,
                self._directory / "events.jsonl",
            )

    def count(self, run_id: str, counts: Mapping[str, float]) -> None:
        now = time.time()
        self.tell("the counts of tests", self._batch, run_id, {name: (value, now) for name, value in counts.items()})

    def metrics(self, what: str, run_id: str, metrics: Values) -> None:
        self.tell(what, self._batch, run_id, metrics)

    def _batch(self, run_id: str, metrics: Values) -> None:
        """MLflow would keep an infinite metric as 1.8e308, a number nobody measured: it becomes a tag instead."""
        from mlflow.entities import Metric, RunTag

        metrics = {name: pair for name, pair in metrics.items() if not self.before.has(run_id, name, pair[0])}
        known = {name: pair for name, pair in metrics.items() if not math.isinf(pair[0])}
        infinite = {f"nb2prod.metric.{name}": str(metrics[name][0]) for name in metrics.keys() - known.keys()}
        self.place.client.log_batch(
            run_id,
            metrics=[Metric(name, value, milliseconds(at), 0) for name, (value, at) in known.items()],
            tags=[RunTag(name, value) for name, value in infinite.items()],
        )

    def file(self, run_id: str, path: Path, folder: str | None) -> None:
        if path.is_file():
            self.tell(f"the file {path.name}", self.place.client.log_artifact, run_id, str(path), folder)

    def end(self, run_id: str, status: str, at: float) -> None:
        self.tell("the end of a run", self.place.client.set_terminated, run_id, status, end_time=milliseconds(at))


def params_of(texts: Mapping[str, str]) -> Sequence[Any]:
    from mlflow.entities import Param

    return [Param(name, text) for name, text in texts.items()]


@contextmanager
def impatient() -> Iterator[None]:
    """Our own calls give up early, and print nothing; a cell's calls keep the patience that their author chose."""
    wanted = {"MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}
    wanted |= {name: value for name, value in _IMPATIENT.items() if name not in os.environ}
    before = {name: os.environ.get(name) for name in wanted}
    retries = logging.getLogger("urllib3.connectionpool")  # it warns of each try; we warn once
    level = retries.level
    os.environ.update(wanted)
    retries.setLevel(logging.ERROR)
    try:
        yield
    finally:
        retries.setLevel(level)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def milliseconds(at: float) -> int:
    return int(at * 1000)


def without_password(uri: str) -> str:
    return re.sub(r"(//[^/:@]*):[^/@]*@", r"\1:***@", uri)


def one_line(error: Exception) -> str:
    text = str(error) if isinstance(error, Nb2prodError) else f"{error}" or type(error).__name__
    line = without_password(" ".join(text.split()))
    return line if len(line) <= _MESSAGE_LENGTH else f"{line[:_MESSAGE_LENGTH]}…"
