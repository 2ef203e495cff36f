"""What the notebook's own MLflow calls say, by their text: the experiment, the server, and whether one comes early.

What the text does not show is seen before the next cell, in the kernel (`kernel.tracked_call`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from nb2prod.core.errors import StoreError
from nb2prod.core.mapping import MapPlan
from nb2prod.core.pipeline import Plan
from nb2prod.kernel import tracked_call
from nb2prod.language import surroundings
from nb2prod.language.plain import plain

_SETS_EXPERIMENT = re.compile(r"^[^#\n]*\bset_experiment\(\s*(?:experiment_name\s*=\s*)?([^,)\n]*)", re.MULTILINE)
_SETS_URI = re.compile(r"^[^#\n]*\bset_tracking_uri\(\s*(?:uri\s*=\s*)?([^,)\n]*)", re.MULTILINE)
# libraries that log to MLflow by themselves when it is installed
_LOG_BY_THEMSELVES = frozenset({"transformers", "lightning", "pytorch_lightning", "setfit", "ultralytics"})


def may_log_early(plan: Plan) -> bool:
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


def cells_of(plan: Plan, experiment: str, uri: str) -> Literal["join", "experiment", "server"]:
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
