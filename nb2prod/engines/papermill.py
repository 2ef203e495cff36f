"""The whole notebook in one kernel: what happens is what happens in Jupyter, top to bottom.

    begin    the kernel starts, while whoever is told of the run (MLflow takes a second to import) gets ready
    run      `StepClient` sends the cells, tells where steps begin and end, and turns all of it into events

The engine has papermill's name, and papermill can lead it: `papermill --engine nb2prod` (`nb2prod.papermill_engine`).
Alone it does without papermill, whose import and whose save after every cell take longer than most cells do; the
executed notebook has the same content. Test cells run their tests instead of only defining them, magics of ours are
taken off so that a step's cell is an ordinary cell, and secrets are masked in every output.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nb2prod.core.pipeline import Plan
from nb2prod.core.ports import Environment, Publish
from nb2prod.core.result import Failure
from nb2prod.engines._kernel import Kernel
from nb2prod.engines._prepared import kernel_of, prepared, secrets_of, variable

if TYPE_CHECKING:
    from nb2prod.engines._step_client import Place


def run(plan: Plan, publish: Publish, environment: Environment) -> Failure | None:
    """Run the plan's notebook in a new kernel. Raises StoreError when its kernel is not installed."""
    return begin(plan).run(plan, publish, environment)


def begin(plan: Plan) -> Begun:
    """Start the kernel, and do not wait for it. Raises StoreError when it is not installed, or the notebook changed."""
    node = prepared(plan)
    return Begun(node, kernel(plan, kernel_of(plan), plan.pipeline.notebook.folder))


def kernel(plan: Plan, name: str, folder: Path) -> Kernel:
    """A kernel that has just been started for the plan, with its secrets."""
    return Kernel(name, folder, kernel_environment(plan), plan.directory)


def kernel_environment(plan: Plan) -> dict[str, str]:
    return {**os.environ, **{variable(name): value for name, value in secrets_of(plan).items()}}


@dataclass(frozen=True, slots=True)
class Begun:
    """A run whose place has been started: `run` uses it and ends it, `close` ends it when there is to be no run."""

    node: Any
    place: Place

    def run(self, plan: Plan, publish: Publish, environment: Environment) -> Failure | None:
        # not before: what leads the cells takes a tenth of a second to import, and the place starts meanwhile
        from nb2prod.engines._step_client import Running, StepClient

        running = Running(plan, publish, environment, output=Path(plan.output))
        StepClient(self.node, running, self.place).execute()
        return running.failure

    def close(self) -> None:
        self.place.close()
