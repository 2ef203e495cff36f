"""Ports: the one method by which the house meets each kind of plug-in.

A plug-in is a module (one file in the folder of its kind, or a module named by an entry point) or an object that
offers what its port asks for. The port *Executor* is the standard library's `concurrent.futures.Executor`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any, Protocol, TypeVar

from nb2prod.core.events import Event
from nb2prod.core.finding import Finding
from nb2prod.core.pipeline import Pipeline, Plan
from nb2prod.core.result import Failure

Publish = Callable[[Event], None]
Environment = Callable[[str], Mapping[str, str]]
Made = TypeVar("Made")


class Engine(Protocol):
    """How a pipeline runs: it publishes what happens, all but the run's own beginning and end.

    `environment(step)` gives the environment variables with which the step's cells must run (MLflow's run, say), and
    `environment("")` those of cells that belong to no step. A failure of the notebook's code is returned, not raised.
    """

    def run(self, plan: Plan, publish: Publish, environment: Environment) -> Failure | None: ...


class Begun(Protocol):
    """A run that an engine has started to prepare, where it offers `begin(plan) -> Begun`: a kernel, say.

    `run` is then called in the engine's place. `close` ends what was started, however far it has come; twice is once.
    """

    def run(self, plan: Plan, publish: Publish, environment: Environment) -> Failure | None: ...

    def close(self) -> None: ...


class ExecutorPlugin(Protocol):
    """Where the steps of an engine run that offers `on(executor) -> Engine`: opens a standard Executor.

    What an executor may be told (`scheduler`, say) are named parameters of its own; the API binds them. An Executor
    with an attribute `away` (a port of its own) runs steps on other machines, its threads only wait for them.
    """

    def open(self) -> Executor: ...


class Away(Protocol):
    """The workers of a cluster. A future raises WorkerLost when the cluster is lost; a lost worker's work is redone.

    `is_own`, where there is one and it is true: they are processes of this machine that were started for this run, so
    that what they see of files, libraries and the environment is what we see.
    """

    def submit_to(self, worker: str, call: Callable[..., Made], /, *arguments: Any) -> Future[Made]:
        """Call it in the worker of that address, or, without one, in any."""

    def everywhere(self, call: Callable[..., Any], /, *arguments: Any) -> None:
        """Call it in every worker that there is, whatever they are doing."""

    def addresses(self) -> frozenset[str]:
        """The workers that there are."""


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
    """What a pipeline becomes elsewhere: writes below `destination`, which is new, and returns what it wrote.

    What a target may be told is a named parameter of its own: `run`, the Result of a run of the notebook, or
    `allow_shell`; the API binds it.
    """

    def export(self, pipeline: Pipeline, destination: Path) -> tuple[Path, ...]: ...
