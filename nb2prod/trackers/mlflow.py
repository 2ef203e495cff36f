"""Tells MLflow: a parent run for the run, a nested run for each step, everything in batches.

A run writes to the store that MLflow itself would use (`MLFLOW_TRACKING_URI`, else `mlflow.db` in the current folder),
into the experiment that was asked for, else the one that the notebook sets, else one of the notebook's name. To import
MLflow takes a second: that happens beside the start of the kernel; the parent run is made when the next event comes.

What a step measured is written when it has finished, and its parameters with it: those that the notebook's own calls
set in the meantime are left as they are, for MLflow takes no second value and would stop the cell that gives one.

When the store does not answer, one warning says so and the run goes on untold: its journal has everything.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from nb2prod.core.errors import Nb2prodError, StoreError
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
from nb2prod.core.mapping import MapPlan
from nb2prod.core.pipeline import Plan
from nb2prod.core.ports import Publish
from nb2prod.core.result import Artifact, Dataset, RunStatus, StepStatus, TestResult
from nb2prod.kernel import tracked_call
from nb2prod.language import surroundings
from nb2prod.language.plain import plain
from nb2prod.storage import mlflow_store
from nb2prod.trackers import _mlflow_resume as resume
from nb2prod.trackers import _mlflow_words as words

NAME = "mlflow"
FAILURE_TAG = "nb2prod.failure"
REPORT = "tests/report.json"
JUNIT = "tests/junit.xml"
REQUIREMENTS = "requirements.txt"  # as the notebook declares them; the package of a model has its own
# MLflow's own patience is seven retries of two minutes; a run must not wait that long to go on
_IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
_ENDS: Mapping[RunStatus | StepStatus, str] = {
    "finished": "FINISHED",
    "skipped": "FINISHED",
    "failed": "FAILED",
    "killed": "KILLED",
}
_MESSAGE_LENGTH = 300
_SETS_EXPERIMENT = re.compile(r"^[^#\n]*\bset_experiment\(\s*(?:experiment_name\s*=\s*)?([^,)\n]*)", re.MULTILINE)
_SETS_URI = re.compile(r"^[^#\n]*\bset_tracking_uri\(\s*(?:uri\s*=\s*)?([^,)\n]*)", re.MULTILINE)
_log = logging.getLogger("nb2prod.mlflow")
T = TypeVar("T")


def open(plan: Plan, publish: Publish) -> MlflowTracker:
    """Raises StoreError at once, before anything runs, for an old file store that MLflow no longer writes."""
    mlflow_store.refuse_file_store()
    return MlflowTracker(plan, publish)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What needs no server and can be found out while the kernel starts."""

    tracking_uri: str
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Place:
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


@dataclass(slots=True)
class _Step:
    """A step's run, with what is to be written when it ends. `run_id` is empty for a step that did not start.

    `adopted` is one that has all of it already: the run goes on from a point after that step.
    """

    name: str
    run_id: str = ""
    parameters: tuple[str, ...] = ()
    metrics: dict[str, tuple[float, float]] = field(default_factory=dict)
    datasets: list[Dataset] = field(default_factory=list)
    open: bool = False
    cpu: float = 0.0
    memory: int = 0
    adopted: StepStarted | None = None


def _took(step: _Step, event: StepFinished) -> dict[str, tuple[float, float]]:
    """What the step took, under the names that MLflow itself has for what it takes of a machine."""
    took = {"seconds": event.seconds}
    if step.memory:
        took |= {"system/cpu_seconds": step.cpu, "system/peak_memory_megabytes": step.memory / 1e6}
    return {name: (value, event.at) for name, value in took.items()}


class MlflowTracker:
    """The tracker of one run."""

    def __init__(self, plan: Plan, publish: Publish) -> None:
        self._plan = plan
        self._publish = publish
        self._secrets = frozenset(p.name for p in plan.pipeline.parameters if p.secret)
        self._started: RunStarted | None = None
        self._preparing: Future[_Prepared | _Place] | None = None
        self._place: _Place | None = None
        self._silent = False
        self._over = False
        self._steps: dict[str, _Step] = {}
        self._tests: list[TestResult] = []
        self._computed: dict[str, Any] = {}
        self._before = resume.Reopened()
        self._unheard: list[Event] = []  # what happened while MLflow was being imported
        self._may_wait = not _may_log_early(plan)

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
        self._forget(step)
        known = self._steps.get(step)
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
        pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="nb2prod-mlflow")
        self._preparing = pool.submit(self._prepared, event)
        pool.shutdown(wait=False)

    def _connected(self) -> _Place | None:
        """The place, made at the first need; None before the run and when MLflow cannot be told."""
        if self._silent or self._preparing is None or self._started is None:
            return None
        if self._place is None:
            with impatient():
                self._place = self._tell("the start of the run", self._connect, self._preparing, self._started)
            if self._place is None:
                self._give_up("the run could not be begun there")
            else:
                self._say_where(self._place)
        return self._place

    def _prepared(self, event: RunStarted) -> _Prepared | _Place:
        """In a thread of its own: a store on this machine is told of the run, for another one all is made ready."""
        uri = mlflow_store.tracking_uri()
        mlflow_store.make_ready(uri)
        prepared = _Prepared(uri, words.run_tags(self._plan, event))
        return self._begun(prepared, event) if uri.startswith(("sqlite:", "file:")) else prepared

    def _connect(self, preparing: Future[_Prepared | _Place], event: RunStarted) -> _Place:
        prepared = preparing.result()
        return prepared if isinstance(prepared, _Place) else self._begun(prepared, event)

    def _begun(self, prepared: _Prepared, event: RunStarted) -> _Place:
        from mlflow import MlflowClient

        uri = prepared.tracking_uri
        client = MlflowClient(tracking_uri=uri)
        experiment = experiment_of(client, self._plan)
        mlflow_store.close_orphans(client, experiment.experiment_id)
        earlier = resume.run_of(client, self._plan, experiment.experiment_id)
        if earlier:
            self._before = resume.reopened(client, self._plan, earlier, prepared.tags, FAILURE_TAG)
        run_id = self._before.run_id or self._new_run(client, experiment.experiment_id, prepared, event)
        self._log_parameters(client, run_id, event.parameters)
        cells = _cells(self._plan, experiment.name, uri)
        if cells != "join":
            _log.warning(
                "the notebook names an MLflow %s of its own: its mlflow calls go there, not into the runs of its steps",
                cells,
            )
        tags = words.shared_tags(event)
        return _Place(client, uri, experiment.experiment_id, experiment.name, run_id, tags, cells)

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

    def _say_where(self, place: _Place) -> None:
        where = {
            "tracking_uri": without_password(place.tracking_uri),
            "run_id": place.run_id,
            "experiment_id": place.experiment_id,
        }
        self._publish(Tracked(tracker=NAME, where=where))

    def _write(self, event: Event) -> None:
        match event:
            case ParametersComputed(values=values):
                self._computed = dict(values)
                place = self._there()
                self._tell("computed parameters", self._log_parameters, place.client, place.run_id, values)
            case StepStarted():
                self._begin_step(event)
            case DatasetRead(dataset=dataset):
                self._step(dataset.step).datasets.append(dataset)
            case MetricMeasured(step=step, name=name, value=value, at=at):
                self._step(step).metrics[name] = (value, at)
            case ResourcesUsed(step=step, cpu=cpu, memory=memory):
                used = self._step(step)
                used.cpu, used.memory = used.cpu + cpu, max(used.memory, memory)
            case ArtifactKept(artifact=artifact):
                self._keep(artifact)
            case TestFinished(test=test):
                self._tests.append(test)
            case StepFinished():
                self._end_step(event)
            case RunFinished():
                self._end_run(event)
            case _:
                pass

    def _end_run(self, event: RunFinished) -> None:
        place = self._there()
        self._over = True
        failed = [test for test in self._tests if test.outcome in ("failed", "error")]
        status = "FAILED" if event.status == "finished" and failed else _ENDS.get(event.status, "KILLED")
        for step in self._steps.values():
            self._flush(step)
            if step.open:
                self._terminate(step.run_id, _ENDS.get(event.status, "KILLED"), event.at)
        self._tell("unfinished runs of cells", self._end_children, place, status)
        self._log_tests(place)
        self._log_files(place)
        if event.failure or failed:
            text = words.failure_text(event.failure, failed)
            self._tell("the failure", place.client.set_tag, place.run_id, FAILURE_TAG, text)
        self._terminate(place.run_id, status, event.at)

    def _end_children(self, place: _Place, status: str) -> None:
        """Runs that cells started and left open: their kernel may have died before it could end them."""
        condition = f"attributes.status = 'RUNNING' and tags.`nb2prod.run` = '{self._plan.run}'"
        for run in mlflow_store.every_run(place.client, place.experiment_id, condition):
            if run.info.run_id != place.run_id:
                place.client.set_terminated(run.info.run_id, status)
                mlflow_store.fail_pending_models(place.client, place.experiment_id, run.info.run_id)

    def _log_tests(self, place: _Place) -> None:
        if not self._tests:
            return
        self._tell("the counts of tests", self._batch, place.run_id, words.count(self._tests))
        for step in self._steps.values():
            own = [test for test in self._tests if test.step == step.name]
            if own and step.run_id:
                self._tell("the counts of tests", self._batch, step.run_id, words.count(own))
        run = self._plan.run
        self._tell("the test report", place.client.log_text, place.run_id, words.test_report(run, self._tests), REPORT)
        self._tell("the test report", place.client.log_text, place.run_id, words.junit(run, self._tests), JUNIT)

    def _log_files(self, place: _Place) -> None:
        directory = Path(self._plan.directory)
        self._log_file(place.run_id, Path(self._plan.output), "notebook")
        needs = words.requirements_text(self._plan)
        if needs:
            self._tell("the notebook's requirements", place.client.log_text, place.run_id, needs, REQUIREMENTS)
        for name in ("plan.json", "events.jsonl"):
            self._log_file(place.run_id, directory / name, None)

    # -- a step --------------------------------------------------------------------------------------------------

    def _step(self, name: str) -> _Step:
        return self._steps.setdefault(name, _Step(name))

    def _begin_step(self, event: StepStarted) -> None:
        place = self._there()
        if event.step in self._before.done:
            self._steps[event.step] = _Step(event.step, self._before.done.pop(event.step), adopted=event)
            return
        earlier = self._steps.get(event.step)
        if earlier and earlier.open:  # it is tried again
            self._terminate(earlier.run_id, "FAILED", event.at)
        tags = {**place.tags, words.NAME_TAG: event.step, words.PARENT_TAG: place.run_id, "nb2prod.step": event.step}
        if event.reason:
            tags["nb2prod.reason"] = event.reason
        run = self._tell(
            f"the start of step {event.step}",
            place.client.create_run,
            place.experiment_id,
            start_time=milliseconds(event.at),
            tags=tags,
        )
        if run is not None:
            self._steps[event.step] = _Step(event.step, run.info.run_id, event.parameters, open=True)

    def _forget(self, step: str) -> None:
        """The step runs after all: what was told of it goes, and is told anew."""
        known = self._steps.get(step)
        if known is not None and known.adopted is not None:
            place = self._there()
            self._tell(f"the start of step {step}", resume.delete, place.client, place.experiment_id, known.run_id)
            self._begin_step(known.adopted)

    def _end_step(self, event: StepFinished) -> None:
        step = self._step(event.step)
        if step.adopted is not None:
            return
        if event.status == "skipped":
            self._tag_skipped(step, event.reason)
        again = event.status == "skipped" and not self._before.run_id  # told of its own run, not of another
        self._flush(step, {} if again else _took(step, event))
        if step.open:
            self._terminate(step.run_id, _ENDS.get(event.status, "FAILED"), event.at)
            step.open = False

    def _tag_skipped(self, step: _Step, reason: str) -> None:
        place = self._there()
        run_id = step.run_id or place.run_id
        self._tell("a skipped step", place.client.set_tag, run_id, f"nb2prod.skipped.{step.name}", reason or "skipped")

    def _flush(self, step: _Step, timing: Mapping[str, tuple[float, float]] = MappingProxyType({})) -> None:
        """Write what the step measured and read on its own run, and its metrics on the parent too."""
        place = self._there()
        metrics, step.metrics = step.metrics, {}
        datasets, step.datasets = step.datasets, []
        if step.adopted is not None:
            return
        if step.run_id and (metrics or timing):
            self._tell(f"the metrics of step {step.name}", self._batch_at, step.run_id, {**timing, **metrics})
        if metrics:
            self._tell(f"the metrics of step {step.name}", self._batch_at, place.run_id, metrics)
        if datasets:
            inputs = [words.dataset_input(dataset, self._notebook) for dataset in datasets]
            self._tell("datasets", place.client.log_inputs, step.run_id or place.run_id, datasets=inputs)
        if step.open:
            self._tell(f"the parameters of step {step.name}", self._complete, place, step)

    def _complete(self, place: _Place, step: _Step) -> None:
        """Add the step's parameters that its cells did not log themselves, and give its run its name back."""
        run = place.client.get_run(step.run_id)
        values = {**(self._started.parameters if self._started else {}), **self._computed}
        missing = [name for name in step.parameters if name in values and name not in run.data.params]
        texts = {name: self._text(name, values[name]) for name in missing}
        place.client.log_batch(step.run_id, params=params_of(texts))
        if run.info.run_name != step.name:  # `start_run(run_name=…)` renames the run that it resumes
            place.client.set_tag(step.run_id, "nb2prod.run_name", run.info.run_name)
            place.client.update_run(step.run_id, name=step.name)

    def _keep(self, artifact: Artifact) -> None:
        folder = {"plot": "plots", "report": "reports"}.get(artifact.kind)
        if folder:
            known = self._steps.get(artifact.step or "")
            run_id = known.run_id if known and known.run_id else self._there().run_id
            self._log_file(run_id, Path(self._plan.directory) / artifact.path, folder)

    # -- one thing told ------------------------------------------------------------------------------------------

    @property
    def _notebook(self) -> str:
        return self._started.notebook if self._started else ""

    def _there(self) -> _Place:
        assert self._place is not None, "nothing is written before the run has its place"
        return self._place

    def _tell(self, what: str, call: Callable[..., T], *arguments: Any, **named: Any) -> T | None:
        """Call MLflow. A value that it does not take is left out, with a warning; any other error ends the telling."""
        if self._silent:
            return None
        try:
            return call(*arguments, **named)
        except Exception as error:  # noqa: BLE001 - a client raises whatever its transport raises, and the run goes on
            if self._place is not None and getattr(error, "error_code", "") == "INVALID_PARAMETER_VALUE":
                _log.warning("MLflow did not take %s: %s", what, one_line(error))
            else:
                self._give_up(f"{what} could not be told: {one_line(error)}")
            return None

    def _give_up(self, reason: str) -> None:
        if not self._silent:
            self._silent = True
            _log.warning(
                "MLflow is told nothing more of this run, which goes on: %s. Its journal has everything: %s",
                reason,
                Path(self._plan.directory) / "events.jsonl",
            )

    def _batch(self, run_id: str, metrics: Mapping[str, float]) -> None:
        now = time.time()
        self._batch_at(run_id, {name: (value, now) for name, value in metrics.items()})

    def _batch_at(self, run_id: str, metrics: Mapping[str, tuple[float, float]]) -> None:
        """MLflow would keep an infinite metric as 1.8e308, a number nobody measured: it becomes a tag instead."""
        from mlflow.entities import Metric, RunTag

        metrics = {name: pair for name, pair in metrics.items() if not self._before.has(run_id, name, pair[0])}
        known = {name: pair for name, pair in metrics.items() if not math.isinf(pair[0])}
        infinite = {f"nb2prod.metric.{name}": str(metrics[name][0]) for name in metrics.keys() - known.keys()}
        self._there().client.log_batch(
            run_id,
            metrics=[Metric(name, value, milliseconds(at), 0) for name, (value, at) in known.items()],
            tags=[RunTag(name, value) for name, value in infinite.items()],
        )

    def _log_file(self, run_id: str, path: Path, folder: str | None) -> None:
        if path.is_file():
            self._tell(f"the file {path.name}", self._there().client.log_artifact, run_id, str(path), folder)

    def _terminate(self, run_id: str, status: str, at: float) -> None:
        client = self._there().client
        self._tell("the end of a run", client.set_terminated, run_id, status, end_time=milliseconds(at))


# libraries that log to MLflow by themselves when it is installed
_LOG_BY_THEMSELVES = frozenset({"transformers", "lightning", "pytorch_lightning", "setfit", "ultralytics"})


def _may_log_early(plan: Plan) -> bool:
    """Whether a cell before the first step may call MLflow: by its text, a module of the author's, or a library."""
    notebook = plan.pipeline.notebook
    for cell, role in zip(notebook.cells, plan.pipeline.roles, strict=True):
        if role is not None and role.kind == "step":
            return False
        tree = plain(role.body).tree if role is not None and role.kind != "skip" else None
        if "mlflow" in cell.source or (role is not None and tree is None and role.kind != "skip"):
            return True
        tops = {name.partition(".")[0] for name in surroundings.modules(tree)} if tree is not None else set()
        if tops & _LOG_BY_THEMSELVES or any(_is_local(notebook.folder / top) for top in tops):
            return True
    return False


def _is_local(place: Path) -> bool:
    return place.is_dir() or place.with_suffix(".py").exists()


def experiment_of(client: Any, plan: Plan | MapPlan) -> Any:
    """The experiment asked for, else the notebook's own, else the environment's, else one of the notebook's name."""
    own = _said(plan, _SETS_EXPERIMENT)
    name = plan.experiment or (own[0] if len(set(own)) == 1 else None) or os.environ.get("MLFLOW_EXPERIMENT_NAME")
    number = os.environ.get("MLFLOW_EXPERIMENT_ID")
    if not name and number:
        return client.get_experiment(number)
    name = name or plan.pipeline.notebook.name
    found = client.get_experiment_by_name(name) or _new_experiment(client, name)
    if found.lifecycle_stage != "active":
        raise StoreError(
            f"the MLflow experiment {name!r} is deleted",
            fix=f"mlflow experiments restore --experiment-id {found.experiment_id}, or name another experiment",
        )
    return found


def _new_experiment(client: Any, name: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_experiment(client.create_experiment(name))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        return client.get_experiment_by_name(name)  # another run made it at the same moment


def _cells(plan: Plan, experiment: str, uri: str) -> Literal["join", "experiment", "server"]:
    """Where the notebook's own calls go; MLflow would stop a cell that resumes a run of elsewhere."""
    # a relative file is in the kernel's folder, which is one of these two
    folders = (Path.cwd(), plan.pipeline.notebook.folder)
    for own in _said(plan, _SETS_URI):
        if own is None or not all(tracked_call.same_store(uri, own, folder) for folder in folders):
            return "server"
    return "join" if set(_said(plan, _SETS_EXPERIMENT)) <= {experiment} else "experiment"


def _said(plan: Plan | MapPlan, pattern: re.Pattern[str]) -> list[str | None]:
    """What the cells pass to a call, one entry a call: a text in quotes or a parameter's value, None for anything else.

    A look at the text, not at its meaning: what it misses is seen before the next cell, in the kernel.
    """
    pipeline = plan.pipeline
    cells = [
        cell.source
        for cell, role in zip(pipeline.notebook.cells, pipeline.roles, strict=True)
        if cell.kind == "code" and (role is None or role.kind != "skip")
    ]
    return [_value(text.strip(), plan.parameters) for source in cells for text in pattern.findall(source)]


def _value(text: str, parameters: Mapping[str, Any]) -> str | None:
    quoted = re.fullmatch(r"""(["'])([^"'{}\\]*)\1""", text)
    if quoted:
        return quoted[2]
    value = parameters.get(text)
    return value if isinstance(value, str) else None


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
