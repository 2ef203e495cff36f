"""A run is planned: parameters checked, folders chosen, before any kernel starts or any file is written."""

from __future__ import annotations

import dataclasses
import datetime
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nb2prod.core.errors import BadParameter, UsageError
from nb2prod.core.pipeline import Pipeline, Plan
from nb2prod.language.names import functions_of
from nb2prod.language.parameter_values import resolve
from nb2prod.language.parameters import in_environment, used_too_early
from nb2prod.language.plain import plain

MASK = "********"
LONGEST_SECRET = 100_000


def plan(
    pipeline: Pipeline,
    given: Mapping[str, Any],
    *,
    texts: Mapping[str, str] | None = None,
    engine: str = "papermill",
    executor: str = "serial",
    runs: Path = Path("runs"),
    output: Path | None = None,
    kernel: str | None = None,
    experiment: str = "",
    timeout: float | None = None,
    time_limit: float | None = None,
    only_steps: bool = False,
    options: Mapping[str, Any] | None = None,
) -> Plan:
    """`given` are values, `texts` a command line's words. Raises BadParameter or UsageError; nothing is written yet."""
    values = resolve(pipeline.parameters, given, texts)
    refuse_early_use(pipeline, values)
    _refuse_secrets_that_do_not_fit(pipeline, values)
    # the kernel works in another folder than this process
    notebook = dataclasses.replace(pipeline.notebook, path=pipeline.notebook.path.absolute())
    run = f"{datetime.datetime.now():%Y%m%d-%H%M%S}-{notebook.name}-{secrets.token_hex(2)}"
    directory = (runs / run).absolute()
    target = (output or directory / f"{notebook.name}.ipynb").absolute()
    if target.exists() and target.samefile(notebook.path):
        raise UsageError(
            "the executed notebook would overwrite the input", where=str(target), fix="choose another -o, or none"
        )
    if target.is_dir():
        raise UsageError("the executed notebook needs a file name", where=str(target), fix=f"-o {target}/out.ipynb")
    return Plan(
        run=run,
        pipeline=dataclasses.replace(pipeline, notebook=notebook),
        directory=str(directory),
        output=str(target),
        engine=engine,
        executor=executor,
        given=values,
        parameters=shown(pipeline, values),
        kernel=kernel,
        experiment=experiment,
        timeout=timeout,
        time_limit=time_limit,
        only_steps=only_steps,
        options=options or {},
    )


def refuse_early_use(pipeline: Pipeline, given: Mapping[str, Any]) -> None:
    """A given value counts below the parameters cell: what the cell itself does with the default would stay."""
    cells = dict.fromkeys(parameter.cell for parameter in pipeline.parameters if parameter.name in given)
    for cell in cells:
        role = pipeline.roles[cell]
        tree = plain(role.body).tree if role is not None else None
        if role is None or tree is None:
            continue
        above = [plain(role.body).tree for role in pipeline.roles[:cell] if role and role.kind not in ("skip", "test")]
        functions = functions_of(tree for tree in above if tree is not None)
        for line, text, name in used_too_early(tree, pipeline.parameters, given, functions):
            raise BadParameter(
                f"`{text}` uses the default of the parameter {name}, and not the value that is given",
                where=f"cell {cell}, line {line + role.line_offset}",
                fix=f"move that statement from the parameters cell to the cell below it, or leave {name} as it is",
            )


def _refuse_secrets_that_do_not_fit(pipeline: Pipeline, given: Mapping[str, Any]) -> None:
    """A secret reaches the kernel through an environment variable."""
    for parameter in pipeline.parameters:
        if parameter.secret and parameter.name in given:
            text = in_environment(given[parameter.name])
            if "\0" in text or len(text.encode("utf-8", "surrogatepass")) > LONGEST_SECRET:
                raise BadParameter(
                    f"the secret parameter {parameter.name} is too long, or holds a NUL character, "
                    "to reach the kernel through its environment",
                    fix="give the path of a file that holds it, and read that in the notebook",
                )


def shown(pipeline: Pipeline, given: Mapping[str, Any]) -> dict[str, Any]:
    """Every parameter's value as a person may see it: secrets masked, what the notebook will compute left out."""
    values: dict[str, Any] = {}
    for parameter in pipeline.parameters:
        if parameter.secret:
            values[parameter.name] = MASK
        elif parameter.name in given:
            values[parameter.name] = given[parameter.name]
        elif not parameter.computed:
            values[parameter.name] = parameter.default
    return values
