"""A notebook before it runs: its kernel's name, its secrets, and its cells with the given parameters among them.

It loads nothing that runs a notebook, so that a run in which nothing runs does not pay for it.
"""

from __future__ import annotations

from typing import Any

from nb2prod.core.errors import StoreError
from nb2prod.core.notebook import Cell, Notebook
from nb2prod.core.pipeline import Plan
from nb2prod.language import parameters
from nb2prod.storage import notebook_file
from nb2prod.storage.notebook_node import Node, from_dict

INJECTED = "nb2prod_injected"


def kernel_of(plan: Plan) -> str:
    """The kernel's name. Raises StoreError with the kernels there are when the notebook's is not installed."""
    from jupyter_client.kernelspec import KernelSpecManager

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
    node = from_dict({**document.content, "cells": [], "metadata": document.metadata})
    node.setdefault("nbformat_minor", 4)
    seen: set[str] = set()
    for cell, raw in zip(cells, document.content["cells"], strict=True):
        kept = {name: value for name, value in raw.items() if name not in ("outputs", "execution_count")}
        made = from_dict({**kept, "source": cell.source, "metadata": cell.metadata})
        if cell.kind == "code":
            made |= {"outputs": [], "execution_count": None}
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
        node.cells.insert(plan.pipeline.parameters[-1].cell + 1, _injected(notebook, f"# Parameters\n{source}"))
    if node.nbformat_minor < 5:
        # cell ids came with 4.5; without them two saves of one run would differ
        for cell in node.cells:
            cell.pop("id", None)
    return node


def _injected(notebook: Notebook, source: str) -> Node:
    """The cell with the given parameters."""
    metadata = {"tags": ["injected-parameters"], "nb2prod": {INJECTED: True}}
    cell = {"cell_type": "code", "id": f"parameters-{notebook.digest[:8]}", "metadata": metadata, "source": source}
    return Node(from_dict({**cell, "outputs": [], "execution_count": None}))
