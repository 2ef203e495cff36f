"""A kernel without Jupyter: the cells of a notebook run in the real `__main__`, with a keeper beside them.

python simulated_kernel.py NOTEBOOK RUN_FOLDER
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nb2prod.core import events as said
from nb2prod.core.pipeline import Pipeline
from nb2prod.core.result import Failure
from nb2prod.kernel.keep import Keeper
from nb2prod.kernel.keepable import CannotKeep
from nb2prod.stages.compile import compile as compile_notebook
from nb2prod.stages.read import read
from nb2prod.storage.journal import Journal


def play(pipeline: Pipeline, folder: Path, namespace: dict[str, Any]) -> None:
    """Run every cell in `namespace` and write the run's journal to `folder`."""
    journal = Journal(folder)
    for event in _events(pipeline, folder, namespace):
        journal.append(event)
    journal.close()


def _events(pipeline: Pipeline, folder: Path, namespace: dict[str, Any]) -> Iterator[said.Event]:
    yield said.RunStarted(
        at=1_700_000_000.0,
        run=folder.name,
        notebook=str(pipeline.notebook.path),
        digest=pipeline.notebook.digest,
        directory=str(folder),
        engine="simulated",
        executor="serial",
        parameters={
            parameter.name: parameter.default for parameter in pipeline.parameters if not parameter.derived_from
        },
        steps=tuple(step.name for step in pipeline.steps),
        cells=len(pipeline.roles),
        owner="",
    )
    keeper = Keeper(pipeline, folder)
    for number, role in enumerate(pipeline.roles):
        if role is None or role.kind in ("test", "skip"):
            continue
        step = pipeline.step(role.name) if role.kind == "step" else None
        if step is not None and step.cells[0] == number:
            yield said.StepStarted(step=step.name)
            yield from keeper.before(step.name, namespace)
        exec(compile(role.body, f"cell {number}", "exec"), namespace)
        if step is not None and step.cells[-1] == number:
            try:
                yield from keeper.after(step.name, namespace)
            except CannotKeep as refused:
                yield from refused.events
                failure = Failure("keep", refused.message, step=step.name, cell=number)
                yield said.RunFinished(status="failed", failure=failure)
                return
            yield said.StepFinished(step=step.name, status="finished", seconds=0.0)
    yield said.RunFinished(status="finished")


if __name__ == "__main__":
    play(compile_notebook(read(Path(sys.argv[1]))), Path(sys.argv[2]), globals())
