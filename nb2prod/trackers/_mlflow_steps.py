"""The nested runs of a run's steps: begun with the step, and written when it ends.

What a step measured is written when it has finished, and its parameters with it: those that the notebook's own calls
set in the meantime are left as they are, for MLflow takes no second value and would stop the cell that gives one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from nb2prod.core.events import RunStarted, StepFinished, StepStarted
from nb2prod.core.result import Dataset, RunStatus, StepStatus
from nb2prod.trackers import _mlflow_resume as resume
from nb2prod.trackers import _mlflow_words as words
from nb2prod.trackers._mlflow_calls import Place, Telling, milliseconds, params_of

ENDS: Mapping[RunStatus | StepStatus, str] = {
    "finished": "FINISHED",
    "skipped": "FINISHED",
    "failed": "FAILED",
    "killed": "KILLED",
}


@dataclass(slots=True)
class StepRun:
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


def took(step: StepRun, event: StepFinished) -> dict[str, tuple[float, float]]:
    """What the step took, under the names that MLflow itself has for what it takes of a machine."""
    took = {"seconds": event.seconds}
    if step.memory:
        took |= {"system/cpu_seconds": step.cpu, "system/peak_memory_megabytes": step.memory / 1e6}
    return {name: (value, event.at) for name, value in took.items()}


class StepRuns:
    """Of one run; `text` writes a parameter's value as MLflow takes it."""

    def __init__(self, telling: Telling, run: RunStarted, text: Callable[[str, Any], str]) -> None:
        self.known: dict[str, StepRun] = {}
        self.computed: dict[str, Any] = {}
        self._telling = telling
        self._run = run
        self._text = text

    def of(self, name: str) -> StepRun:
        return self.known.setdefault(name, StepRun(name))

    def begin(self, event: StepStarted) -> None:
        place = self._telling.place
        if event.step in self._telling.before.done:
            self.known[event.step] = StepRun(event.step, self._telling.before.done.pop(event.step), adopted=event)
            return
        earlier = self.known.get(event.step)
        if earlier and earlier.open:  # it is tried again
            self._telling.end(earlier.run_id, "FAILED", event.at)
        tags = {**place.tags, words.NAME_TAG: event.step, words.PARENT_TAG: place.run_id, "nb2prod.step": event.step}
        if event.reason:
            tags["nb2prod.reason"] = event.reason
        run = self._telling.tell(
            f"the start of step {event.step}",
            place.client.create_run,
            place.experiment_id,
            start_time=milliseconds(event.at),
            tags=tags,
        )
        if run is not None:
            self.known[event.step] = StepRun(event.step, run.info.run_id, event.parameters, open=True)

    def forget(self, step: str) -> None:
        """The step runs after all: what was told of it goes, and is told anew."""
        known = self.known.get(step)
        if known is not None and known.adopted is not None:
            place = self._telling.place
            self._telling.tell(
                f"the start of step {step}", resume.delete, place.client, place.experiment_id, known.run_id
            )
            self.begin(known.adopted)

    def end(self, event: StepFinished) -> None:
        step = self.of(event.step)
        if step.adopted is not None:
            return
        if event.status == "skipped":
            self._tag_skipped(step, event.reason)
        again = event.status == "skipped" and not self._telling.before.run_id  # told of its own run, not of another
        self.flush(step, {} if again else took(step, event))
        if step.open:
            self._telling.end(step.run_id, ENDS.get(event.status, "FAILED"), event.at)
            step.open = False

    def _tag_skipped(self, step: StepRun, reason: str) -> None:
        place = self._telling.place
        run_id = step.run_id or place.run_id
        self._telling.tell(
            "a skipped step", place.client.set_tag, run_id, f"nb2prod.skipped.{step.name}", reason or "skipped"
        )

    def flush(self, step: StepRun, timing: Mapping[str, tuple[float, float]] = MappingProxyType({})) -> None:
        """Write what the step measured and read on its own run, and its metrics on the parent too."""
        place = self._telling.place
        metrics, step.metrics = step.metrics, {}
        datasets, step.datasets = step.datasets, []
        if step.adopted is not None:
            return
        if step.run_id and (metrics or timing):
            self._telling.metrics(f"the metrics of step {step.name}", step.run_id, {**timing, **metrics})
        if metrics:
            self._telling.metrics(f"the metrics of step {step.name}", place.run_id, metrics)
        if datasets:
            inputs = [words.dataset_input(dataset, self._run.notebook) for dataset in datasets]
            self._telling.tell("datasets", place.client.log_inputs, step.run_id or place.run_id, datasets=inputs)
        if step.open:
            self._telling.tell(f"the parameters of step {step.name}", self._complete, place, step)

    def _complete(self, place: Place, step: StepRun) -> None:
        """Add the step's parameters that its cells did not log themselves, and give its run its name back."""
        run = place.client.get_run(step.run_id)
        values = {**self._run.parameters, **self.computed}
        missing = [name for name in step.parameters if name in values and name not in run.data.params]
        texts = {name: self._text(name, values[name]) for name in missing}
        place.client.log_batch(step.run_id, params=params_of(texts))
        if run.info.run_name != step.name:  # `start_run(run_name=…)` renames the run that it resumes
            place.client.set_tag(step.run_id, "nb2prod.run_name", run.info.run_name)
            place.client.update_run(step.run_id, name=step.name)
