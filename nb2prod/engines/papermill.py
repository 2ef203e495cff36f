"""The whole notebook in one kernel, through papermill: what happens is what happens in Jupyter, top to bottom.

papermill prepares the notebook and keeps its record of cells and times; the cells themselves are sent
by `StepClient`, which knows where steps begin and end, asks the kernel for their values (`kernel.probe`) and turns
all of it into events. Test cells run their tests instead of only defining them, magics of ours are taken off so that
a step's cell is an ordinary cell, and secrets are masked in every output.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
import papermill
from jupyter_client.kernelspec import KernelSpecManager
from papermill.engines import Engine as PapermillEngine
from papermill.engines import papermill_engines
from papermill.exceptions import PapermillExecutionError

from nb2prod.core.errors import StoreError
from nb2prod.core.notebook import Cell, Notebook
from nb2prod.core.pipeline import Plan
from nb2prod.core.ports import Environment, Publish
from nb2prod.core.result import Failure
from nb2prod.engines._step_client import Running, StepClient
from nb2prod.language import parameters
from nb2prod.storage import notebook_file

PLANNED = "nb2prod-planned"  # papermill's name for an engine that is handed a plan
INJECTED = "nb2prod_injected"


def run(plan: Plan, publish: Publish, environment: Environment) -> Failure | None:
    """Run the plan's notebook in a new kernel. Raises StoreError when its kernel is not installed."""
    kernel = kernel_of(plan)
    running = Running(plan, publish, environment, secrets_of(plan), output=Path(plan.output))
    papermill_engines.register(PLANNED, PlannedEngine)
    output = Path(plan.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        papermill.execute_notebook(
            prepared(plan),
            None,  # the client saves it, whole or not at all
            engine_name=PLANNED,
            kernel_name=kernel,
            progress_bar=False,
            running=running,
        )
    except PapermillExecutionError:
        # the failure is known; or a cell tagged `raises-exception` failed, as it should
        return running.failure
    return running.failure


class PlannedEngine(PapermillEngine):  # type: ignore[misc]  # papermill has no types
    """papermill's engine for a run that nb2prod planned."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, running: Running, **_: Any) -> None:
        execute(nb_man, kernel_name, running)


def execute(nb_man: Any, kernel: str, running: Running, *, folder: Path | None = None) -> None:
    """Send the cells of papermill's notebook to a kernel, and leave the failure, if any, in `running`."""
    client = StepClient(nb_man, running, kernel_name=kernel)
    folder = folder or running.plan.pipeline.notebook.folder
    environment = {**os.environ, **{variable(name): value for name, value in running.secrets.items()}}
    try:
        client.execute(env=environment, cwd=str(folder))
    finally:
        client.end()


# -- before the kernel starts ----------------------------------------------------------------------------------------


def kernel_of(plan: Plan) -> str:
    """The kernel's name. Raises StoreError with the kernels there are when the notebook's is not installed."""
    wanted = plan.kernel or plan.pipeline.notebook.kernel or "python3"
    installed = KernelSpecManager().find_kernel_specs()
    if wanted not in installed:
        raise StoreError(
            f"the kernel {wanted!r} is not installed",
            where=str(plan.pipeline.notebook.path),
            fix=_kernel_fix(sorted(installed)),
        )
    return wanted


def _kernel_fix(installed: list[str]) -> str:
    there = f"those installed: {', '.join(installed) or 'none'}"
    if "python3" not in installed:
        return f"install one, or name one of {there} with --kernel"
    return f"run it with --kernel python3, the interpreter here, if it has what the notebook imports ({there})"


def secrets_of(plan: Plan) -> dict[str, str]:
    """What the kernel finds in its environment, by the parameter's name."""
    secret = [parameter.name for parameter in plan.pipeline.parameters if parameter.secret]
    return {name: parameters.in_environment(plan.given[name]) for name in secret if name in plan.given}


def variable(name: str) -> str:
    """The environment variable in which a secret parameter reaches the kernel."""
    return f"NB2PROD_PARAMETER_{name}"


def _node(notebook: Notebook) -> Any:
    """The notebook as nbformat has it, as lenient as our own reading of it: what a cell lacks is filled in."""
    content = notebook.path.read_bytes()
    document = notebook_file.parsed(notebook.path, content)
    cells = notebook_file.cells(notebook.path, document)
    # Jupyter saves by itself, with other outputs; what counts is that the code is the code that was compiled
    if [_code(cell) for cell in cells] != [_code(cell) for cell in notebook.cells]:
        raise StoreError("the notebook has changed since it was read", where=str(notebook.path), fix="run it again")
    node = nbformat.from_dict({**document.content, "cells": [], "metadata": document.metadata})
    node.setdefault("nbformat_minor", 4)
    seen: set[str] = set()
    for cell, raw in zip(cells, document.content["cells"], strict=True):
        made = nbformat.from_dict({**raw, "source": cell.source, "metadata": cell.metadata})
        if cell.kind == "code":
            made.outputs, made.execution_count = [], None
        if node.nbformat_minor >= 5 and cell.id in {"", *seen}:
            made.id = f"cell-{cell.index}-{notebook.digest[:8]}"
        seen.add(cell.id)
        node.cells.append(made)
    return node


def _code(cell: Cell) -> tuple[str, str, tuple[str, ...]]:
    return cell.kind, cell.source, cell.tags


def prepared(plan: Plan) -> Any:
    """The notebook to run, in memory: the given parameters behind the parameters cell, exploration left out on request.

    Each cell carries its number in the input as metadata, so that events and failures name the author's cells.
    """
    notebook = plan.pipeline.notebook
    node = _node(notebook)
    for index, cell in enumerate(node.cells):
        cell.metadata["nb2prod"] = {"cell": index}
        cell.metadata.setdefault("tags", [])
    source = parameters.injected(plan.pipeline.parameters, plan.given, secret_variable=variable)
    if source:
        cell = nbformat.v4.new_code_cell(f"# Parameters\n{source}")
        cell.metadata.update({"tags": ["injected-parameters"], "nb2prod": {INJECTED: True}})
        node.cells.insert(plan.pipeline.parameters[-1].cell + 1, cell)
    if node.nbformat_minor < 5:
        # cell ids came with 4.5; without them two saves of one run would differ
        for cell in node.cells:
            cell.pop("id", None)
    return node
