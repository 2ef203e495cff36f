"""Events: what happened during a run, one frozen value each, and `fold`, which adds them up to a result.

An engine publishes them, the journal keeps them, trackers hear them. `fold(journal)` gives the same result at any
later time, which is how a run is looked at after its process is gone.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nb2prod.core.result import Artifact, Dataset, Failure, Result, RunStatus, StepResult, StepStatus, TestResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """`at` is in seconds since the epoch."""

    at: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    run: str
    notebook: str
    digest: str
    directory: str
    engine: str
    executor: str
    parameters: Mapping[str, Any]
    steps: tuple[str, ...]
    cells: int
    owner: str
    experiment: str = ""
    output: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelStarted(Event):
    kernel: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked(Event):
    """A tracker says where it writes: `tracking_uri`, `run_id`, `experiment_id` for MLflow."""

    tracker: str
    where: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParametersComputed(Event):
    """The values of parameters that the notebook computed itself: `total = n * 10`."""

    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellFinished(Event):
    cell: int
    seconds: float
    step: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted(Event):
    step: str
    parameters: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRead(Event):
    dataset: Dataset


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricMeasured(Event):
    step: str
    name: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactKept(Event):
    artifact: Artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class TestFinished(Event):
    __test__ = False  # pytest: this is no test class

    test: TestResult


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourcesUsed(Event):
    """What one cell of a step took: `cpu` in seconds of one processor, `memory` at its peak in bytes."""

    step: str
    cpu: float
    memory: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRetried(Event):
    """A cell of the step failed with `message` and is tried again, for the `attempt`-th of `limit` times, in `wait` s.

    `cell` is -1 when the whole step begins anew.
    """

    step: str
    cell: int
    attempt: int
    limit: int
    wait: float
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFinished(Event):
    """The step's own cells are done; its tests may follow."""

    step: str
    status: StepStatus
    seconds: float
    printed: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(Event):
    status: RunStatus
    failure: Failure | None = None


EVENTS: Mapping[str, type[Event]] = {
    kind.__name__: kind
    for kind in (
        RunStarted,
        KernelStarted,
        Tracked,
        ParametersComputed,
        CellFinished,
        StepStarted,
        DatasetRead,
        MetricMeasured,
        ArtifactKept,
        TestFinished,
        ResourcesUsed,
        StepRetried,
        StepFinished,
        RunFinished,
    )
}


def fold(events: Iterable[Event]) -> Result:
    """Add up the events of one run, in order. Raises ValueError when the first is not `RunStarted`."""
    result: Result | None = None
    for event in events:
        if isinstance(event, RunStarted):
            result = _begun(event)
        elif result is None:
            raise ValueError("a run's events begin with RunStarted")
        else:
            result = _after(result, event)
    if result is None:
        raise ValueError("there is no event to fold")
    return result


def _begun(event: RunStarted) -> Result:
    return Result(
        run=event.run,
        status="running",
        engine=event.engine,
        executor=event.executor,
        directory=event.directory,
        notebook=event.output,
        started=event.at,
        parameters=dict(event.parameters),
        steps=tuple(StepResult(name) for name in event.steps),
    )


def _after(result: Result, event: Event) -> Result:
    match event:
        case Tracked(tracker=tracker, where=where):
            tracked = {**result.tracked, **{f"{tracker}.{key}": value for key, value in where.items()}}
            return dataclasses.replace(result, tracked=tracked)
        case ParametersComputed(values=values):
            merged = {**result.parameters, **values}
            return dataclasses.replace(result, parameters=merged, computed=tuple(values))
        case StepStarted(step=step, reason=reason):
            return _with_step(result, step, status="running", reason=reason)
        case MetricMeasured(step=step, name=name, value=value):
            metrics = next(s.metrics for s in result.steps if s.name == step)
            return _with_step(result, step, metrics={**metrics, name: value})
        case StepRetried(step=step, attempt=attempt):
            return _with_step(result, step, retries=attempt)
        case ResourcesUsed(step=step, cpu=cpu, memory=memory):
            before = next(s for s in result.steps if s.name == step)
            return _with_step(result, step, cpu=before.cpu + cpu, memory=max(before.memory, memory))
        case DatasetRead(dataset=dataset):
            return dataclasses.replace(result, datasets=(*result.datasets, dataset))
        case ArtifactKept(artifact=artifact):
            return dataclasses.replace(result, artifacts=(*result.artifacts, artifact))
        case TestFinished(test=test):
            return dataclasses.replace(result, tests=(*result.tests, test))
        case StepFinished(step=step, status=status, seconds=seconds, printed=printed, reason=reason):
            known = next(s.reason for s in result.steps if s.name == step)
            return _with_step(result, step, status=status, seconds=seconds, printed=printed, reason=reason or known)
        case RunFinished(status=run_status, failure=failure, at=at):
            return dataclasses.replace(result, status=run_status, failure=failure, ended=at)
        case _:
            return result


def _with_step(result: Result, name: str, **changes: Any) -> Result:
    steps = tuple(dataclasses.replace(s, **changes) if s.name == name else s for s in result.steps)
    return dataclasses.replace(result, steps=steps)
