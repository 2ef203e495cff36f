"""A notebook's own MLflow calls land in the run of the step that makes them.

`begin` is called before each cell and `end` after it, also when it failed, with the environment that the tracker gives
for the cell's step (for a cell of no step: for the run as a whole). Neither imports MLflow, and neither can break the
notebook: what goes wrong here is logged, and the cell runs as it would without nb2prod.

It is done with MLflow's own means, nothing of the library is replaced:

- `MLFLOW_RUN_ID` names the run that MLflow resumes when the next one starts, by `mlflow.log_metric`, by autologging or
  by `start_run`. So the first run that a step starts is the step's own.
- The runs that it starts after that are new ones; `StepTags`, which MLflow asks for tags, makes them children of the
  step's run. A loop of `with mlflow.start_run()` thus leaves one run per turn, and no parameter is set twice.
- A run that a cell leaves open is put aside after the cell and taken up before the next one, as the run of that cell's
  step; `mlflow.active_run()` works on. It is not taken up for a cell that starts a run itself, which MLflow would
  refuse, nor for one whose source is not known.
- A notebook that goes its own way, to another experiment or another tracking server, is left alone: then nothing is
  resumed, and what it starts in another experiment is still a child of the step's run.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

RUN_ID = "MLFLOW_RUN_ID"
TRACKING_URI = "MLFLOW_TRACKING_URI"
EXPERIMENT_ID = "MLFLOW_EXPERIMENT_ID"
EXPERIMENT_NAME = "MLFLOW_EXPERIMENT_NAME"
STEP_TAGS = "NB2PROD_MLFLOW_STEP_TAGS"
_SILENT = "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"
_log = logging.getLogger("nb2prod.mlflow")


@dataclass(slots=True)
class _Kernel:
    """What this process knows from one cell to the next."""

    put: dict[str, str] = field(default_factory=dict)  # variables as we last set them
    before: dict[str, str | None] = field(default_factory=dict)  # and as they were before we did
    run: str = ""  # where the current cell's calls belong
    offered: bool = False  # MLflow may resume it
    ours: set[str] = field(default_factory=set)  # every run that was offered
    taken: set[str] = field(default_factory=set)  # those that MLflow resumed: a run is offered once
    aside: set[str] = field(default_factory=set)  # those of them that the notebook left open
    left_open: bool = False
    inside: bool = False  # between `begin` and `end`


_kernel = _Kernel()


def begin(environment: Mapping[str, str], source: str = "") -> None:
    """Before a cell, of that source. An empty environment takes everything back."""
    try:
        _set_variables({name: value for name, value in environment.items() if name != RUN_ID})
        if _moved(TRACKING_URI):  # there, our experiment's number is another's, or nobody's
            for name in (EXPERIMENT_ID, EXPERIMENT_NAME):
                _restore(name)
        _offer(environment.get(RUN_ID, ""), source)
        _kernel.inside = True
    except Exception as error:  # noqa: BLE001 - the notebook runs on, whatever becomes of its tracking
        _log.warning("MLflow calls of the next cell may not land in its step's run: %s", error)


def end() -> None:
    """After a cell: a run of ours that it left open is put aside, still RUNNING; the tracker ends it."""
    try:
        _withdraw()
        active = _active_run()
        if active in _kernel.ours:
            _put_aside(active)
            _kernel.aside.add(active)
            _kernel.left_open = True
        elif _kernel.inside:
            _kernel.left_open = False
        _kernel.inside = False  # to end twice is to end once
    except Exception as error:  # noqa: BLE001 - as in begin
        _log.warning("the MLflow run of the last cell could not be put aside: %s", error)


class StepTags:
    """What MLflow asks for tags of each run that a cell starts (entry point group `mlflow.run_context_provider`)."""

    def in_context(self) -> bool:
        return STEP_TAGS in os.environ and not _moved(TRACKING_URI)

    def tags(self) -> dict[str, str]:
        return {str(key): str(value) for key, value in json.loads(os.environ[STEP_TAGS]).items()}


def _set_variables(wanted: Mapping[str, str]) -> None:
    for name in [name for name in _kernel.put if name not in wanted]:
        _restore(name)
    for name, value in wanted.items():
        if name not in _kernel.put:
            _kernel.before[name] = os.environ.get(name)
        elif _moved(name):
            continue  # the notebook set it since: its own word counts
        os.environ[name] = value
        _kernel.put[name] = value


def _restore(name: str) -> None:
    if name in _kernel.put and not _moved(name):
        before = _kernel.before[name]
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before
    _kernel.put.pop(name, None)
    _kernel.before.pop(name, None)


def _moved(name: str) -> bool:
    """Whether the notebook gave a variable another value; `mlflow.set_experiment` and `set_tracking_uri` do."""
    ours, now = _kernel.put.get(name), os.environ.get(name)
    return ours is not None and now is not None and not same_store(ours, now, Path())


def same_store(uri: str, other: str, folder: Path) -> bool:
    """Whether two tracking URIs mean the same, a relative SQLite file being one in `folder`."""
    files = [folder.absolute() / unquote(text.removeprefix("sqlite:///")) for text in (uri, other)]
    both = uri.startswith("sqlite:///") and other.startswith("sqlite:///")
    return uri == other or (both and files[0].resolve() == files[1].resolve())


def _elsewhere() -> bool:
    """Whether the notebook set its own tracking server or experiment: MLflow would refuse to resume our run."""
    fluent = sys.modules.get("mlflow.tracking.fluent")
    experiment = getattr(fluent, "_active_experiment_id", None)
    return _moved(TRACKING_URI) or _moved(EXPERIMENT_ID) or experiment not in (None, _kernel.put.get(EXPERIMENT_ID))


def _offer(run: str, source: str) -> None:
    """Let MLflow resume a run, once; after that take it up again only when a run was left open."""
    _withdraw()
    _kernel.run = run
    if not run or _elsewhere() or _active_run():
        return
    _kernel.ours.add(run)
    if _kernel.left_open and source and not _starts_a_run(source):
        sys.modules["mlflow"].start_run(run_id=run)
        _kernel.taken.add(run)
        _kernel.aside.discard(run)
    elif run not in _kernel.taken or (run in _kernel.aside and not _starts_a_run(source)):
        os.environ[RUN_ID] = run
        _kernel.offered = True
    else:
        os.environ.pop(RUN_ID, None)


def _withdraw() -> None:
    """Take back what was offered; MLflow removes the variable when it resumes the run."""
    if _kernel.offered and os.environ.pop(RUN_ID, None) != _kernel.run:
        _kernel.taken.add(_kernel.run)
        _kernel.aside.discard(_kernel.run)
    _kernel.offered = False


def _starts_a_run(source: str) -> bool:
    return "start_run(" in source and "nested" not in source


def _active_run() -> str:
    """The active run's id; empty when there is none, or the notebook has not imported MLflow."""
    mlflow: Any = sys.modules.get("mlflow")
    active = mlflow.active_run() if hasattr(mlflow, "active_run") else None
    return "" if active is None else str(active.info.run_id)


def _put_aside(run: str) -> None:
    """End a run for this process alone: its status is kept. `end_run` would print where the run is to be seen."""
    mlflow: Any = sys.modules["mlflow"]
    printing = os.environ.get(_SILENT)
    os.environ[_SILENT] = "true"
    try:
        mlflow.end_run("RUNNING" if run == _kernel.run else mlflow.MlflowClient().get_run(run).info.status)
    finally:
        del os.environ[_SILENT]
        if printing is not None:
            os.environ[_SILENT] = printing
