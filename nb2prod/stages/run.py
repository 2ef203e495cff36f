"""A planned pipeline is run: the engine publishes events, journal and trackers hear them, `fold` adds them up."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from nb2prod.core.errors import Nb2prodError, StoreError
from nb2prod.core.events import ArtifactKept, Event, RunFinished, RunStarted, fold
from nb2prod.core.pipeline import Plan
from nb2prod.core.ports import Begun, Engine, Tracker, TrackerPlugin
from nb2prod.core.result import Artifact, Failure, Result, RunStatus
from nb2prod.stages.plan import MASK
from nb2prod.storage import files, scratch
from nb2prod.storage.codec import plain
from nb2prod.storage.journal import Journal
from nb2prod.storage.owner import owner

PLAN = "plan.json"


def run(plan: Plan, engine: Engine, trackers: Sequence[TrackerPlugin], replayed: Sequence[Event] = ()) -> Result:
    """Run the plan to its end, whatever end that is. Raises only what is nb2prod's own to say (a StoreError, say).

    `replayed` are events of an earlier run that this one goes on from.
    """
    scratch.sweep()
    with contextlib.ExitStack() as begun:
        return _run(plan, _begun(plan, engine, begun), trackers, replayed)


def _begun(plan: Plan, engine: Engine, begun: contextlib.ExitStack) -> Engine:
    """What an engine can start at once starts before anybody is told of the run: that takes a second with MLflow."""
    if not hasattr(engine, "begin"):
        return engine
    started: Begun = engine.begin(plan)
    begun.callback(started.close)
    return started


def _run(plan: Plan, engine: Engine, trackers: Sequence[TrackerPlugin], replayed: Sequence[Event]) -> Result:
    directory = Path(plan.directory)
    journal = Journal(directory)
    files.write_text(directory / PLAN, json.dumps(plain(without_secrets(plan)), ensure_ascii=False, indent=1))
    house = _House(journal)
    house.trackers = [tracker.open(plan, house.publish) for tracker in trackers]
    try:
        house.publish(_started(plan))
        for event in replayed:
            house.publish(event)
        _executed(plan, engine, house)
    finally:
        for tracker in house.trackers:
            tracker.close()
        journal.close()
    return fold(house.events)


class _House:
    """Where events go: to the journal first, then to whoever listens."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.trackers: list[Tracker] = []
        self.events: list[Event] = []

    def publish(self, event: Event) -> None:
        self.events.append(event)
        self.journal.append(event)
        for tracker in self.trackers:
            tracker.hear(event)

    def environment(self, step: str) -> Mapping[str, str]:
        return {name: value for tracker in self.trackers for name, value in tracker.environment(step).items()}


def _executed(plan: Plan, engine: Engine, house: _House) -> None:
    status: RunStatus = "killed"
    failure: Failure | None = Failure("interrupted", "ended before it was done")
    try:
        failure = engine.run(plan, house.publish, house.environment)
        if failure is not None:
            from nb2prod.stages.explain import explain  # loads much, and most runs do not fail

            failure = explain(failure, plan)
        status = _status(failure)
        _keep_notebook(plan, house)
    except KeyboardInterrupt:
        failure = Failure("interrupted", "ended by SIGINT")
    except Nb2prodError as error:
        status, failure = "failed", Failure("start", error.what)
        raise
    except OSError as error:
        where = str(error.filename or plan.output)
        status, failure = "failed", Failure("start", f"{where}: {error.strerror or error}")
        raise StoreError(f"it cannot be read or written: {error.strerror or error}", where=where) from error
    except BaseException as error:
        status, failure = "failed", Failure("start", f"{type(error).__name__}: {error}")
        raise
    finally:
        house.publish(RunFinished(status=status, failure=failure))


def _status(failure: Failure | None) -> RunStatus:
    if failure is None:
        return "finished"
    return "killed" if failure.kind == "interrupted" else "failed"


def _keep_notebook(plan: Plan, house: _House) -> None:
    output = Path(plan.output)
    if output.exists():
        path = os.path.relpath(output, plan.directory)
        house.publish(ArtifactKept(artifact=Artifact("notebook", output.name, path, files.digest_of(output))))


def without_secrets(plan: Plan) -> Plan:
    """The plan as it may be written: a secret parameter's value is masked wherever it stands."""
    secret = {parameter.name for parameter in plan.pipeline.parameters if parameter.secret}
    given = {name: MASK if name in secret else value for name, value in plan.given.items()}
    return dataclasses.replace(plan, given=given)


def _started(plan: Plan) -> RunStarted:
    pipeline = plan.pipeline
    return RunStarted(
        run=plan.run,
        notebook=str(pipeline.notebook.path),
        digest=pipeline.notebook.digest,
        directory=plan.directory,
        engine=plan.engine,
        executor=plan.executor,
        parameters=plan.parameters,
        steps=tuple(step.name for step in pipeline.steps),
        cells=sum(cell.kind == "code" for cell in pipeline.notebook.cells),
        owner=owner(),
        experiment=plan.experiment,
        output=plan.output,
    )
