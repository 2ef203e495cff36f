"""A map read back from its folder, for what comes after it: packaging its models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nb2prod.core.distribution import Judgement, distributions
from nb2prod.core.errors import StoreError
from nb2prod.core.mapping import ItemResult, MapPlan, ModelReference
from nb2prod.stages import floors
from nb2prod.stages.map import read_plan
from nb2prod.stages.mapping.journal import RESULTS
from nb2prod.stages.mapping.report import FLOORS
from nb2prod.stages.routes import Finished
from nb2prod.storage import codec

PLACE = "mlflow.json"  # where MLflow was told of it
MODEL = ("model.shard", "model.offset", "model.length", "model.sha256")


def read_finished(directory: Path) -> Finished:
    """Plan, results and judged floors of a map. Raises StoreError when they are not there, or are damaged."""
    content = read_plan(directory)
    plan: MapPlan = codec.build(MapPlan, {**content["plan"], "directory": str(directory.absolute())})
    results = _results(directory / RESULTS)
    metrics = {f"{one.name}/{figure}": value for one in distributions(results) for figure, value in one.figures.items()}
    judged = _judged(directory / FLOORS, plan, results, content["total"])
    tracked = _json(directory / PLACE) if (directory / PLACE).is_file() else {}
    return Finished(plan, results, content["started"], content["total"], metrics, judged, tracked)


def _results(path: Path) -> tuple[ItemResult, ...]:
    """From the table; of what an item printed nothing."""
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise StoreError(
            f"the map's results cannot be read: {error}", where=str(path), fix="nb2prod map --resume RUN ends the map"
        ) from error
    return tuple(_result(row) for row in table.to_pylist())


def _result(row: Mapping[str, Any]) -> ItemResult:
    kept: list[Any] = [row.get(name) for name in MODEL]
    metrics = {name: value for name, value in _under("metrics.", row).items() if value is not None}
    return ItemResult(
        number=row["number"],
        key=_under("key.", row),
        status=row["status"],
        seconds=row["seconds"],
        metrics=metrics,
        error=row["error"] or "",
        step=row["step"],
        cell=row["cell"],
        line=row["line"],
        kept=None if kept[0] is None else ModelReference(*kept),
        given=_under("params.", row),
    )


def _under(prefix: str, row: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in row.items() if name.startswith(prefix)}


def _judged(path: Path, plan: MapPlan, results: tuple[ItemResult, ...], total: int) -> tuple[Judgement, ...]:
    """Judged once more, so that nothing in the folder can say that a floor holds."""
    said = _json(path)
    metrics = [name for step in plan.pipeline.steps for name in step.metrics]
    wanted = floors.parse([floor["floor"] for floor in said["floors"]], metrics)
    return floors.judge(wanted, results, total=total, allow_missing=said["allow_missing"])


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"it cannot be read: {error}", where=str(path), fix="nb2prod map --resume RUN") from error
