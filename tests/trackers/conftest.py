"""Plans to track: a notebook of two steps, in tmp_path."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nb2prod.core.events import RunStarted
from nb2prod.core.notebook import Cell, Notebook
from nb2prod.core.pipeline import HoistedModule, Parameter, ParameterType, Pipeline, Plan, Role
from nb2prod.storage import owner


def plan_in(folder: Path, *sources: str, **changes: Any) -> Plan:
    """A plan of a notebook `houses.ipynb` in a folder; `password` is a secret parameter."""
    cells = tuple(Cell(index, "code", source) for index, source in enumerate(sources))
    text = ParameterType("str", "str")
    parameters = tuple(Parameter(n, text, "", "''", 0, 1, secret=n == "password") for n in ("alpha", "password"))
    roles = tuple(Role("exploration") for _ in cells)
    notebook = Notebook(folder / "houses.ipynb", cells)
    pipeline = Pipeline(notebook, roles, parameters, (), (), HoistedModule("houses_module", ""))
    (folder / "runs").mkdir(exist_ok=True)
    given = {"parameters": {"alpha": 0.5, "password": "tell-nobody"}, **changes}
    return Plan("run-1", pipeline, str(folder / "runs"), str(folder / "out.ipynb"), "papermill", **given)


def start_of(plan: Plan) -> RunStarted:
    return RunStarted(
        at=1_700_000_000.0,
        run=plan.run,
        notebook=str(plan.pipeline.notebook.path),
        digest="d" * 64,
        directory=plan.directory,
        engine=plan.engine,
        executor=plan.executor,
        parameters=plan.parameters,
        steps=("load", "train"),
        cells=6,
        owner=owner.owner(),
        output=plan.output,
    )


@pytest.fixture
def plan(tmp_path: Path) -> Callable[..., Plan]:
    return functools.partial(plan_in, tmp_path)


@pytest.fixture
def started() -> Callable[[Plan], RunStarted]:
    return start_of
