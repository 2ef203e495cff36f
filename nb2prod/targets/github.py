"""A workflow of GitHub Actions: the notebook is checked, tested, verified, run and packaged on every push.

    .github/workflows/mortgage.yml      copy both into the repository that has the notebook
    .github/nb2prod/mortgage.txt        nb2prod and what the notebook imports, pinned

Parameters are inputs of a manual start, typed; secret ones are secrets of the repository. Values that people give reach
the command through an environment variable, never through the text of a script.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from nb2prod.core.pipeline import Parameter, Pipeline
from nb2prod.language.code_cells import code_cells
from nb2prod.storage import templates
from nb2prod.targets._alone.fields import Field, ascii_names, fields_of
from nb2prod.targets._project import environment
from nb2prod.targets._project.problems import Problems

INPUTS = 25  # that GitHub lets a workflow have
TYPES = {"int": "number", "float": "number", "str": "string", "bool": "boolean"}


@dataclass(frozen=True, slots=True)
class Input:
    """A parameter as an input of a manual start; all texts are YAML already."""

    name: str
    help: str
    type: str
    required: str
    default: str
    options: str


def export(pipeline: Pipeline, destination: Path) -> tuple[Path, ...]:
    """Write the workflow and its requirements. Raises FindingsError for a parameter that nobody can give."""
    problems = Problems(pipeline.notebook.path)
    fields = fields_of(pipeline, problems)
    problems.refuse()
    name = _word(pipeline)
    requirements = destination / ".github" / "nb2prod" / f"{name}.txt"
    workflow = destination / ".github" / "workflows" / f"{name}.yml"
    for path in (requirements, workflow):
        path.parent.mkdir(parents=True)
    requirements.write_text("\n".join(_requirements(pipeline)) + "\n", encoding="utf-8")
    values = _values(pipeline, fields, name, requirements.relative_to(destination).as_posix())
    workflow.write_text(templates.render("github/workflow.yml.j2", values), encoding="utf-8")
    return (requirements, workflow)


def _values(pipeline: Pipeline, fields: tuple[Field, ...], name: str, requirements: str) -> dict[str, Any]:
    secrets = [parameter.name.upper() for parameter in pipeline.parameters if parameter.secret]
    parameters = {parameter.name: parameter for parameter in pipeline.parameters}
    return {
        "title": " ".join(pipeline.notebook.name.split()),
        "name": name,
        "notebook": json.dumps(_in_repository(pipeline.notebook.path.resolve()), ensure_ascii=False),
        "requirements": requirements,
        "inputs": [_input(field, parameters[field.name]) for field in fields if field.word == field.name][:INPUTS],
        "secrets": secrets,
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "model": pipeline.model is not None and pipeline.example is not None,
    }


def _input(field: Field, parameter: Parameter) -> Input:
    plain = {choice for choice in parameter.type.choices if isinstance(choice, str)}
    choices = [str(c) for c in parameter.type.choices] if parameter.type.kind == "literal" and plain else []
    choices = [str(name) for name, _ in parameter.type.choices] if parameter.type.kind == "enum" else choices
    kind = "choice" if choices else TYPES.get(field.type, "string")
    return Input(
        name=field.name,
        help=json.dumps(field.help or field.name, ensure_ascii=False),
        # no value at all is one of them where the default is None
        type="string" if field.optional or field.may_be_missing else kind,
        required="true" if field.required else "false",
        default="" if field.default is None else json.dumps(_text(field), ensure_ascii=False),
        options=json.dumps(choices, ensure_ascii=False) if choices and not field.optional else "",
    )


def _text(field: Field) -> Any:
    """What the manual start shows: lists and dictionaries are text there."""
    return json.dumps(field.default, ensure_ascii=False) if field.type in ("list", "dict") else field.default


def _word(pipeline: Pipeline) -> str:
    name = ascii_names([pipeline.notebook.name])[pipeline.notebook.name]
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name)


def _in_repository(notebook: Path) -> str:
    """The notebook's path within its repository; its name alone when it is in none."""
    root = next((folder for folder in notebook.parents if (folder / ".git").exists()), notebook.parent)
    return notebook.relative_to(root).as_posix()


def _requirements(pipeline: Pipeline) -> list[str]:
    sources = [ast.unparse(cell.tree) for cell in code_cells(pipeline)]
    wanted, unknown = environment.needs(sources)
    pins = [f"{need.name}=={need.version}" for need in wanted if need.version and need.name != "nb2prod"]
    head = ["# what the notebook ran with"]
    head += [f"# {name} is imported, and no installed package offers it" for name in unknown]
    return [*head, f"nb2prod=={metadata.version('nb2prod')}", *sorted(pins)]
