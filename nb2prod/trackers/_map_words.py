"""What a map is called in MLflow: tags, the table as an input, metrics, and how its run ends. Pure translation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nb2prod.core.distribution import Judgement, MapReport, headline
from nb2prod.core.events import RunStarted
from nb2prod.core.mapping import ItemResult, MapPlan, MapSummary
from nb2prod.storage import mlflow_store
from nb2prod.storage.owner import owner
from nb2prod.trackers import _mlflow_words as words

STATUS_TAG = "nb2prod.status"
FAILURE_TAG = "nb2prod.failure"
_LONGEST = 500  # characters of a tag that says why


def started(plan: MapPlan) -> RunStarted:
    """The map as a run of MLflow's begins, so that it has the tags that every run of ours has."""
    notebook = plan.pipeline.notebook
    return RunStarted(
        run=plan.run,
        notebook=str(notebook.path),
        digest=notebook.digest,
        directory=plan.directory,
        engine="map",
        executor=plan.executor,
        parameters=plan.parameters,
        steps=tuple(step.name for step in plan.pipeline.steps),
        cells=sum(cell.kind == "code" for cell in notebook.cells),
        owner=owner(),
        experiment=plan.experiment,
    )


def map_tags(plan: MapPlan) -> dict[str, str]:
    return {
        "nb2prod.notebook.sha256": plan.pipeline.notebook.digest,
        "nb2prod.engine": "map",
        "nb2prod.executor": plan.executor,
        "nb2prod.directory": plan.directory,
        "nb2prod.map.table": plan.table,
        "nb2prod.map.table.sha256": plan.digest,
        "nb2prod.map.by": ", ".join(plan.by),
        "nb2prod.map.isolation": plan.isolation,
        "nb2prod.map.left_out": str(plan.left_out),
    }


def item_tags(started: RunStarted, run_id: str) -> dict[str, str]:
    """What every item's run has in common: few, for there are thousands."""
    return {words.PARENT_TAG: run_id, "nb2prod.run": started.run, mlflow_store.OWNER_TAG: started.owner}


def fate(result: ItemResult) -> dict[str, str]:
    if result.status == "ok":
        return {STATUS_TAG: result.status}
    where = f"cell {result.cell}: " if result.cell is not None else ""
    return {STATUS_TAG: result.status, FAILURE_TAG: f"{where}{headline(result)}"[:_LONGEST]}


def table(plan: MapPlan) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = json.dumps({"uri": plan.table})
    entity = Dataset(name=Path(plan.table).name, digest=plan.digest[:36], source_type="local", source=source)
    return DatasetInput(entity, [InputTag("mlflow.data.context", "map"), InputTag("nb2prod.digest", plan.digest)])


def numbers(seen: MapReport) -> dict[str, float]:
    """Counts by status, seconds, floors, and the distribution of every metric."""
    summary = seen.summary
    counts = {f"items_{status}": float(count) for status, count in summary.counts.items()}
    failing = float(sum(not judgement.holds for judgement in seen.judgements))
    floors = {"floors": float(len(seen.judgements)), "floors_failed": failing} if seen.judgements else {}
    own = {"items": float(summary.total), "items_done": float(summary.done), "seconds": summary.seconds}
    values = {f"{one.name}/{figure}": value for one in seen.distributions for figure, value in one.figures.items()}
    missing = {f"{one.name}/missing": float(one.missing) for one in seen.distributions}
    return {**own, **counts, **floors, **values, **missing}


def ending(summary: MapSummary, judgements: Sequence[Judgement], finished: bool) -> tuple[str, str]:
    """(MLflow's status, why it is not FINISHED)."""
    if summary.stopped == "interrupted" or not finished:
        return "KILLED", ""
    if summary.stopped:
        return "FAILED", summary.stopped[:_LONGEST]
    failed = [j.floor.text for j in judgements if not j.holds]
    return ("FAILED", f"floors that do not hold: {'; '.join(failed)}"[:_LONGEST]) if failed else ("FINISHED", "")
