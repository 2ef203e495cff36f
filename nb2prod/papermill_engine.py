"""`papermill --engine nb2prod IN OUT`: papermill leads, nb2prod types the parameters, tells the events, keeps values.

papermill has put its parameters into the notebook by then, as text where its command line could not tell better. They
are read back, checked against the declared types, and injected again as what they were meant to be.

Every `import papermill` imports this module, in the midst of papermill's own import: so it imports next to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from papermill.engines import Engine

if TYPE_CHECKING:
    from nb2prod.core.pipeline import Plan
    from nb2prod.core.ports import Environment, Publish
    from nb2prod.core.result import Failure


class Nb2prodEngine(Engine):  # type: ignore[misc]  # papermill has no types
    """papermill's entry point. `-p` values are checked before anything is written or a kernel starts."""

    @classmethod
    def execute_notebook(
        cls, nb: Any, kernel_name: str, output_path: Any = None, input_path: Any = None, **options: Any
    ) -> Any:
        from nb2prod import api
        from nb2prod.core.errors import UsageError
        from nb2prod.stages.plan import plan

        if not isinstance(input_path, str | Path) or not Path(input_path).exists():
            raise UsageError("the nb2prod engine needs the notebook as a local file", where=str(input_path)[:80])
        given = injected_values(nb)
        values, texts = _values(given), _texts(given)
        checked = plan(api.load_pipeline(input_path), values, texts=texts, output=output_path and Path(output_path))
        _mask_secrets(nb, checked)  # papermill saves the notebook before it asks us to run it
        options |= {"output_path": output_path, "input_path": input_path, "given": given}
        return super().execute_notebook(nb, kernel_name, **options)

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: Any,
        kernel_name: str,
        input_path: Any = None,
        execution_timeout: Any = None,
        given: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> None:
        from nb2prod import api

        led = _Led(nb_man, kernel_name)
        api.run(
            input_path,
            _values(given or {}),
            texts=_texts(given or {}),
            engine=led,
            kernel=kernel_name,
            output=nb_man.output_path,
            timeout=execution_timeout,
        )


class _Led:
    """An engine whose notebook papermill holds already."""

    def __init__(self, nb_man: Any, kernel: str) -> None:
        self.nb_man = nb_man
        self.kernel = kernel

    def run(self, plan: Plan, publish: Publish, environment: Environment) -> Failure | None:
        from nb2prod.engines import papermill as engine
        from nb2prod.engines._step_client import Running, StepClient

        running = Running(plan, publish, environment)
        self.nb_man.nb.cells[:] = _planned_cells(self.nb_man.nb, plan)
        kernel = engine.kernel(plan, self.kernel, _folder(plan))
        StepClient(self.nb_man.nb, running, kernel, self.nb_man).execute()
        return running.failure


def _values(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if not isinstance(value, str)}


def _texts(given: Mapping[str, Any]) -> dict[str, str]:
    """papermill's command line leaves as text what it cannot tell better: so texts are read as a command line's."""
    return {name: value for name, value in given.items() if isinstance(value, str)}


def injected_values(notebook: Any) -> dict[str, Any]:
    """What papermill's injected cell gives, read without running it."""
    import ast

    from nb2prod.language.parameter_types import literal

    cells = [cell for cell in notebook.cells if "injected-parameters" in cell.metadata.get("tags", [])]
    values: dict[str, Any] = {}
    for statement in ast.parse(cells[-1].source).body if cells else ():
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                values[name] = literal(value)
    return values


def _mask_secrets(notebook: Any, plan: Plan) -> None:
    """papermill has written its parameters into a cell, which the plan's own replaces later, and into the metadata."""
    secret = {parameter.name for parameter in plan.pipeline.parameters if parameter.secret}
    for cell in notebook.cells:
        if secret and "injected-parameters" in cell.metadata.get("tags", []):
            cell.source = "# Parameters"
    told = notebook.metadata.get("papermill", {}).get("parameters", {})
    told.update({name: "********" for name in told if name in secret})


def _planned_cells(notebook: Any, plan: Plan) -> list[Any]:
    """The plan's cells, with the metadata that papermill has given to its own."""
    import nbformat

    from nb2prod.engines._prepared import prepared

    planned = nbformat.from_dict(prepared(plan).cells)
    template: Mapping[str, Any] = notebook.cells[0].metadata.get("papermill", {}) if notebook.cells else {}
    for cell in planned:
        cell.metadata["papermill"] = dict(template)
    return list(planned)


def _folder(plan: Plan) -> Path:
    """Where the kernel works: papermill's --cwd when one was given, else the notebook's folder, as in Jupyter."""
    from papermill.iorw import papermill_io

    began = papermill_io.get_handler("local")._cwd
    here = Path.cwd()
    return here if began and Path(began) != here else plan.pipeline.notebook.folder
