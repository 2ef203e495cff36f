"""The whole notebook in one process without a kernel: all cells, in order, in the shell that Jupyter's kernel has too.

    begin    the process starts, while whoever is told of the run gets ready
    run      `StepClient` sends the cells and turns what happens into events, as it does for a kernel

No kernel has to be started and no message signed, so that small cells take less than a millisecond each. What a cell
does to its process (`os._exit`, a crash) is contained there. What cannot work without a kernel is refused by name:
widgets and their like (`kernel.whole_process`).
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from nb2prod.core.pipeline import Plan
from nb2prod.core.ports import Environment, Publish
from nb2prod.core.result import Failure
from nb2prod.engines._inprocess_child import WholeProcess
from nb2prod.engines._prepared import kernel_of, prepared
from nb2prod.engines._step_processes import interpreter_of, python_in
from nb2prod.engines.papermill import Begun, kernel_environment

NAME = re.compile(r"[a-z0-9_][a-z0-9._-]*")
BACKEND = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}  # as a kernel has it


def run(plan: Plan, publish: Publish, environment: Environment) -> Failure | None:
    """Run the plan's notebook. Raises StoreError when its kernel's Python is not there, WorkerLost when it fails."""
    return begin(plan).run(plan, publish, environment)


def begin(plan: Plan) -> Begun:
    """Start the process, and do not wait for it."""
    kernel, python = _kernel_and_python(plan)
    surroundings = {**BACKEND, **kernel_environment(plan)}
    node = prepared(plan)
    folder = plan.pipeline.notebook.folder
    return Begun(node, WholeProcess(kernel, python, folder, surroundings, plan.directory))


def _kernel_and_python(plan: Plan) -> tuple[str, str]:
    """The kernel's name and its Python. Raises StoreError when the kernel is not installed."""
    wanted = plan.kernel or plan.pipeline.notebook.kernel or "python3"
    python = _python_of(wanted)
    if python:
        return wanted, python
    kernel = kernel_of(plan)
    return kernel, interpreter_of(kernel)


def _python_of(kernel: str) -> str:
    """From the kernel's specification, where it lies in a folder of Jupyter's: its client, which knows all the other
    ways to have a kernel, takes a tenth of a second to import. Empty where it has to be asked."""
    from jupyter_core.paths import jupyter_path

    places = (Path(folder, kernel, "kernel.json") for folder in jupyter_path("kernels"))
    path = next((place for place in places if place.is_file()), None) if NAME.fullmatch(kernel) else None
    try:
        command = json.loads(path.read_text(encoding="utf-8"))["argv"] if path is not None else []
    except (ValueError, LookupError, TypeError):
        return ""  # Jupyter says what is wrong with it
    return python_in(str(command[0])) if command else ""
