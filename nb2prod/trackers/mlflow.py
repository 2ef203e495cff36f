"""Tells MLflow: a parent run for the run, a nested run for each step, everything in batches.

A run writes to the store that MLflow itself would use (`MLFLOW_TRACKING_URI`, else `mlflow.db` in the current folder),
into the experiment that was asked for, else the one that the notebook sets, else one of the notebook's name. To import
MLflow takes a second: that happens beside the start of the kernel; the parent run is made when the next event comes.

When the store does not answer, one warning says so and the run goes on untold: its journal has everything.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nb2prod.core.events import (
    ArtifactKept,
    DatasetRead,
    Event,
    MetricMeasured,
    ParametersComputed,
    ResourcesUsed,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
    TestFinished,
    Tracked,
)
from nb2prod.core.pipeline import Plan
from nb2prod.core.ports import Publish
from nb2prod.core.result import Artifact, TestResult
from nb2prod.kernel import tracked_call
from nb2prod.storage import mlflow_store
from nb2prod.trackers import _mlflow_resume as resume
from nb2prod.trackers import _mlflow_words as words
from nb2prod.trackers._mlflow_calls import (
    FAILURE_TAG,
    Place,
    Telling,
    impatient,
    milliseconds,
    params_of,
    without_password,
)
from nb2prod.trackers._mlflow_own_calls import cells_of, experiment_of, may_log_early
from nb2prod.trackers._mlflow_steps import ENDS, StepRuns

NAME = "mlflow"
REPORT = "tests/report.json"
JUNIT = "tests/junit.xml"
REQUIREMENTS = "requirements.txt"  # as the notebook declares them; the package of a model has its own
_log = logging.getLogger("nb2prod.mlflow")


def open(plan: Plan, publish: Publish) -> MlflowTracker:
    """Raises StoreError at once, before anything runs, for an old file store that MLflow no longer writes."""
    mlflow_store.refuse_file_store()
    return MlflowTracker(plan, publish)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What needs no server and can be found out while the kernel starts."""

    tracking_uri: str
    tags: Mapping[str, str]


class MlflowTracker:
    """The tracker of one run."""

    def __init__(self, plan: Plan, publish: Publish) -> None:
        self._plan = plan
        self._publish = publish
        self._secrets = frozenset(p.name for p in plan.pipeline.parameters if p.secret)
        self._started: RunStarted | None = None
        self._preparing: Future[_Prepared | Place] | None = None
        self._place: Place | None = None
        self._telling = Telling(Path(plan.directory))
        self._over = False
        self._tests: list[TestResult] = []
        self._unheard: list[Event] = []  # what happened while MLflow was being imported
        self._may_wait = not may_log_early(plan)

    def hear(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._prepare(event)
        elif self._is_preparing() and not isinstance(event, RunFinished):
            self._unheard.append(event)
        elif self._connected() is not None:
            self._written(event)

    def _is_preparing(self) -> bool:
        return self._place is None and self._preparing is not None and not self._preparing.done()

    def _written(self, *events: Event) -> None:
        unheard, self._unheard = self._unheard, []
        with impatient():
            for event in (*unheard, *events):
                self._write(event)

    def environment(self, step: str) -> Mapping[str, str]:
        """What the cells of a step need so that their MLflow calls land in its run; `""` stands for the run itself.

        Empty when MLflow is not being told: the cells then run as they would without a tracker.
        """
        if not step and self._may_wait and self._is_preparing():
            return {}  # the cells before the first step import what they need meanwhile
        place = self._connected()
        if place is None or place.cells == "server":
            return {}
        self._written()
        self._steps.forget(step)
        known = self._steps.known.get(step)
        run_id = known.run_id if known and known.run_id else place.run_id
        values = {
            tracked_call.TRACKING_URI: place.tracking_uri,
            tracked_call.EXPERIMENT_ID: place.experiment_id,
            tracked_call.STEP_TAGS: json.dumps({**place.tags, words.PARENT_TAG: run_id}),
        }
        if tracked_call.EXPERIMENT_NAME in os.environ:  # MLflow refuses a name that does not fit the number
            values[tracked_call.EXPERIMENT_NAME] = place.experiment
        if place.cells == "join":
            values[tracked_call.RUN_ID] = run_id
        return values

    def close(self) -> None:
        """End what is still open: the run was given up without `RunFinished`."""
        if self._started is not None and not self._over:
            self.hear(RunFinished(status="killed"))

    # -- the run -------------------------------------------------------------------------------------------------

    def _prepare(self, event: RunStarted) -> None:
        self._started = event
        self._steps = StepRuns(self._telling, event, self._text)
        pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="nb2prod-mlflow")
        self._preparing = pool.submit(self._prepared, event)
        pool.shutdown(wait=False)

    def _connected(self) -> Place | None:
        """The place, made at the first need; None before the run and when MLflow cannot be told."""
        if self._telling.is_silent or self._preparing is None or self._started is None:
            return None
        if self._place is None:
            with impatient():
                place = self._telling.tell("the start of the run", self._connect, self._preparing, self._started)
            if place is None:
                self._telling.give_up("the run could not be begun there")
            else:
                self._place = place
                self._telling.begin(place)
                self._say_where(place)
        return self._place

    def _prepared(self, event: RunStarted) -> _Prepared | Place:
        """In a thread of its own: a store on this machine is told of the run, for another one all is made ready."""
        uri = mlflow_store.tracking_uri()
        mlflow_store.make_ready(uri)
        prepared = _Prepared(uri, words.run_tags(self._plan, event))
        return self._begun(prepared, event) if uri.startswith(("sqlite:", "file:")) else prepared

    def _connect(self, preparing: Future[_Prepared | Place], event: RunStarted) -> Place:
        prepared = preparing.result()
        return prepared if isinstance(prepared, Place) else self._begun(prepared, event)

    def _begun(self, prepared: _Prepared, event: RunStarted) -> Place:
        from mlflow import MlflowClient

        uri = prepared.tracking_uri
        client = MlflowClient(tracking_uri=uri)
        experiment = experiment_of(client, self._plan)
        mlflow_store.close_orphans(client, experiment.experiment_id)
        earlier = resume.run_of(client, self._plan, experiment.experiment_id)
        if earlier:
            self._telling.before = resume.reopened(client, self._plan, earlier, prepared.tags, FAILURE_TAG)
        run_id = self._telling.before.run_id or self._new_run(client, experiment.experiment_id, prepared, event)
        self._log_parameters(client, run_id, event.parameters)
        cells = cells_of(self._plan, experiment.name, uri)
        if cells != "join":
            _log.warning(
                "the notebook names an MLflow %s of its own: its mlflow calls go there, not into the runs of its steps",
                cells,
            )
        tags = words.shared_tags(event)
        return Place(client, uri, experiment.experiment_id, experiment.name, run_id, tags, cells)

    def _new_run(self, client: Any, experiment: str, prepared: _Prepared, event: RunStarted) -> str:
        tags = {**prepared.tags, words.NAME_TAG: event.run}
        run = client.create_run(experiment, start_time=milliseconds(event.at), tags=tags)
        return str(run.info.run_id)

    def _log_parameters(self, client: Any, run_id: str, parameters: Mapping[str, Any]) -> None:
        """All in one batch; a value that MLflow would cut is kept as an artifact."""
        texts = {name: self._text(name, value) for name, value in parameters.items()}
        client.log_batch(run_id, params=params_of(texts))
        for name, value in parameters.items():
            if name not in self._secrets and texts[name] != str(value):
                client.log_text(run_id, words.parameter_json(value), f"parameters/{name}.json")

    def _text(self, name: str, value: Any) -> str:
        from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH

        return words.parameter_text(name, value, self._secrets, MAX_PARAM_VAL_LENGTH)

    def _say_where(self, place: Place) -> None:
        where = {
            "tracking_uri": without_password(place.tracking_uri),
            "run_id": place.run_id,
            "experiment_id": place.experiment_id,
        }
        self._publish(Tracked(tracker=NAME, where=where))

    def _write(self, event: Event) -> None:
        match event:
            case ParametersComputed(values=values):
                self._steps.computed = dict(values)
                place = self._telling.place
                self._telling.tell("computed parameters", self._log_parameters, place.client, place.run_id, values)
            case StepStarted():
                self._steps.begin(event)
            case DatasetRead(dataset=dataset):
                self._steps.of(dataset.step).datasets.append(dataset)
            case MetricMeasured(step=step, name=name, value=value, at=at):
                self._steps.of(step).metrics[name] = (value, at)
            case ResourcesUsed(step=step, cpu=cpu, memory=memory):
                used = self._steps.of(step)
                used.cpu, used.memory = used.cpu + cpu, max(used.memory, memory)
            case ArtifactKept(artifact=artifact):
                self._keep(artifact)
            case TestFinished(test=test):
                self._tests.append(test)
            case StepFinished():
                self._steps.end(event)
            case RunFinished():
                self._end_run(event)
            case _:
                pass

    def _end_run(self, event: RunFinished) -> None:
        place = self._telling.place
        self._over = True
        failed = [test for test in self._tests if test.outcome in ("failed", "error")]
        status = "FAILED" if event.status == "finished" and failed else ENDS.get(event.status, "KILLED")
        for step in self._steps.known.values():
            self._steps.flush(step)
            if step.open:
                self._telling.end(step.run_id, ENDS.get(event.status, "KILLED"), event.at)
        self._telling.tell("unfinished runs of cells", self._end_children, place, status)
        self._log_tests(place)
        self._log_files(place)
        if event.failure or failed:
            text = words.failure_text(event.failure, failed)
            self._telling.tell("the failure", place.client.set_tag, place.run_id, FAILURE_TAG, text)
        self._telling.end(place.run_id, status, event.at)

    def _end_children(self, place: Place, status: str) -> None:
        """Runs that cells started and left open: their kernel may have died before it could end them."""
        condition = f"attributes.status = 'RUNNING' and tags.`nb2prod.run` = '{self._plan.run}'"
        for run in mlflow_store.every_run(place.client, place.experiment_id, condition):
            if run.info.run_id != place.run_id:
                place.client.set_terminated(run.info.run_id, status)
                mlflow_store.fail_pending_models(place.client, place.experiment_id, run.info.run_id)

    def _log_tests(self, place: Place) -> None:
        if not self._tests:
            return
        self._telling.count(place.run_id, words.count(self._tests))
        for step in self._steps.known.values():
            own = [test for test in self._tests if test.step == step.name]
            if own and step.run_id:
                self._telling.count(step.run_id, words.count(own))
        run = self._plan.run
        self._telling.tell(
            "the test report", place.client.log_text, place.run_id, words.test_report(run, self._tests), REPORT
        )
        self._telling.tell("the test report", place.client.log_text, place.run_id, words.junit(run, self._tests), JUNIT)

    def _log_files(self, place: Place) -> None:
        directory = Path(self._plan.directory)
        self._telling.file(place.run_id, Path(self._plan.output), "notebook")
        needs = words.requirements_text(self._plan)
        if needs:
            self._telling.tell("the notebook's requirements", place.client.log_text, place.run_id, needs, REQUIREMENTS)
        for name in ("plan.json", "events.jsonl"):
            self._telling.file(place.run_id, directory / name, None)

    def _keep(self, artifact: Artifact) -> None:
        folder = {"plot": "plots", "report": "reports"}.get(artifact.kind)
        if folder:
            known = self._steps.known.get(artifact.step or "")
            run_id = known.run_id if known and known.run_id else self._telling.place.run_id
            self._telling.file(run_id, Path(self._plan.directory) / artifact.path, folder)
