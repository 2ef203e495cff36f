"""A run that goes on in the MLflow run that it had: what is there stays, what will be done again is taken away.

Runs of steps that were finished before the point are kept and adopted: nothing is logged to them a second time. What
began after the point (the run of the step that was interrupted, runs that its cells started, models that they logged)
is deleted, because it comes again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nb2prod.core.pipeline import Plan
from nb2prod.storage import mlflow_store
from nb2prod.trackers._mlflow_words import PARENT_TAG

OPTION = "resume"  # of the plan: {"mlflow": the run's id, "at": when the point was taken, in seconds}
STEP_TAG = "nb2prod.step"


@dataclass(slots=True)
class Reopened:
    """`done` are the runs of finished steps by the step's name; `logged` the metrics that runs have already."""

    run_id: str = ""
    done: dict[str, str] = field(default_factory=dict)
    logged: dict[str, Mapping[str, float]] = field(default_factory=dict)

    def has(self, run_id: str, name: str, value: float) -> bool:
        known = self.logged.get(run_id, {}).get(name)
        return known is not None and (known == value or (known != known and value != value))


def run_of(client: Any, plan: Plan, experiment: str) -> str:
    """The id of the MLflow run to go on in; empty for a run that begins anew.

    A run that was killed as soon as MLflow had it could not write down which one it is: it is found by its tag.
    """
    option = plan.options.get(OPTION, {})
    if "mlflow" not in option:
        return ""
    if option["mlflow"]:
        return str(option["mlflow"])
    runs = mlflow_store.every_run(client, experiment, f"tags.`nb2prod.run` = '{plan.run}'")
    return next((str(run.info.run_id) for run in runs if PARENT_TAG not in run.data.tags), "")


def reopened(client: Any, plan: Plan, run_id: str, tags: Mapping[str, str], failure_tag: str) -> Reopened:
    """Raises MLflow's own error when the run is not there."""
    parent = client.get_run(run_id)
    experiment = parent.info.experiment_id
    client.update_run(run_id, status="RUNNING")
    for name, value in tags.items():
        client.set_tag(run_id, name, value)
    if failure_tag in parent.data.tags:
        client.delete_tag(run_id, failure_tag)
    found = Reopened(run_id, logged={run_id: dict(parent.data.metrics)})
    for child in mlflow_store.every_run(client, experiment, f"tags.`nb2prod.run` = '{plan.run}'"):
        if child.info.run_id == run_id:
            continue
        step = child.data.tags.get(STEP_TAG)
        if not _is_kept(plan, child, step, found.done):
            delete(client, experiment, child.info.run_id)
        elif step is not None:
            found.done[step] = child.info.run_id
            found.logged[child.info.run_id] = dict(child.data.metrics)
    return found


def _is_kept(plan: Plan, run: Any, step: str | None, done: Mapping[str, str]) -> bool:
    """Whether what the run tells was done before the point.

    Without a point runs of finished steps are kept where the engine takes what is done from its cache, and all where
    everything was done.
    """
    if run.info.status != "FINISHED" or step in done:
        return False
    option = plan.options[OPTION]
    if option.get("finished"):
        return True
    if "at" in option:
        return bool(run.info.start_time < option["at"] * 1000)
    return step is not None and plan.engine == "steps"


def delete(client: Any, experiment: str, run_id: str) -> None:
    """A run, with the models that were logged in it."""
    mlflow_store.fail_pending_models(client, experiment, run_id)
    for model in client.search_logged_models([experiment], filter_string=f"source_run_id = '{run_id}'"):
        client.delete_logged_model(model.model_id)
    client.delete_run(run_id)
