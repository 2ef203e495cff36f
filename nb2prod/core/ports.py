"""Ports: the one method by which the house meets each kind of plug-in.

A plug-in is a module (one file in the folder of its kind, or a module named by an entry point) or an object that
offers what its port asks for. The port *Executor* is the standard library's `concurrent.futures.Executor`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Protocol

from nb2prod.core.events import Event
from nb2prod.core.finding import Finding
from nb2prod.core.pipeline import Pipeline, Plan
from nb2prod.core.result import Failure

Publish = Callable[[Event], None]
Environment = Callable[[str], Mapping[str, str]]


class Engine(Protocol):
    """How a pipeline runs: it publishes what happens, all but the run's own beginning and end.

    `environment(step)` gives the environment variables with which the step's cells must run (MLflow's run, say), and
    `environment("")` those of cells that belong to no step. A failure of the notebook's code is returned, not raised.
    """

    def run(self, plan: Plan, publish: Publish, environment: Environment) -> Failure | None: ...


class ExecutorPlugin(Protocol):
    """Where the steps of an engine run that offers `on(executor) -> Engine`: opens a standard Executor."""

    def open(self) -> Executor: ...


class Tracker(Protocol):
    """Who is told. Trackers listen to events and cannot change the run.

    `environment(step)` is asked after `StepStarted` was heard, so that a step's own calls (`mlflow.log_metric`) land
    in the tracker's run for that step; most trackers return an empty mapping.
    """

    def hear(self, event: Event) -> None: ...

    def environment(self, step: str) -> Mapping[str, str]: ...

    def close(self) -> None: ...


class TrackerPlugin(Protocol):
    """A tracker's module: `open` makes the tracker of one run. `publish` is for saying where it writes (`Tracked`)."""

    def open(self, plan: Plan, publish: Publish) -> Tracker: ...


class Check(Protocol):
    """What must hold of a pipeline. The module's docstring is the check's page in the docs."""

    def check(self, pipeline: Pipeline) -> Iterable[Finding]: ...


class Target(Protocol):
    """What a pipeline becomes elsewhere: writes below `destination`, which is new, and returns what it wrote."""

    def export(self, pipeline: Pipeline, destination: Path) -> tuple[Path, ...]: ...
