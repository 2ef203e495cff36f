"""A DAG of Airflow 3: a task for each step, each in a process of its own.

    dag.py                     the DAG, its parameters typed; nothing of it runs a step
    code/mortgage/steps.py     a function for each step, as in the target `project`
    code/mortgage/one_step.py  runs one of them, from files to a file
    code/data/                 what the notebook reads
    requirements.txt           what the steps import

`retries:` and `timeout:` are the task's. What Kale's tags ask of a cluster is named in the README.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nb2prod.core.pipeline import Pipeline, Step
from nb2prod.storage import templates
from nb2prod.targets._alone import asked, code_folder
from nb2prod.targets._alone.code_folder import Alone
from nb2prod.targets._alone.fields import Field, ascii_names, fields_of
from nb2prod.targets._alone.wiring import Wired
from nb2prod.targets._project.problems import Problems

ISOLATED = True
JSON_TYPES = {
    "int": "integer",
    "float": "number",
    "str": "string",
    "bool": "boolean",
    "list": "array",
    "dict": "object",
}
RESERVED = frozenset({"dag", "task", "pipeline", "run_step", "json", "os", "subprocess", "sys", "timedelta"})


@dataclass(frozen=True, slots=True)
class Task:
    """A step as the template wants it."""

    name: str
    function: str
    task: str
    docstring: str
    settings: tuple[str, ...]
    parameters: list[str]
    after: str


def export(pipeline: Pipeline, destination: Path, *, allow_shell: bool = False) -> tuple[Path, ...]:
    """Write it. Raises FindingsError when the notebook says what separate steps cannot."""
    problems = Problems(pipeline.notebook.path)
    alone = code_folder.of(pipeline, problems, allow_shell=allow_shell)
    fields = fields_of(pipeline, problems)
    problems.refuse()
    code_folder.write(alone, destination / "code")
    values = _values(alone, fields)
    for template, name in (("dag.py.j2", "dag.py"), ("README.md.j2", "README.md")):
        (destination / name).write_text(templates.render(f"airflow/{template}", values), encoding="utf-8")
    (destination / "requirements.txt").write_text("\n".join(alone.packages) + "\n", encoding="utf-8")
    code_folder.in_style(destination)
    return tuple(sorted(path for path in destination.rglob("*") if path.is_file()))


def _values(alone: Alone, fields: tuple[Field, ...]) -> dict[str, Any]:
    functions = ascii_names((step.step.name for step in alone.steps), "step")
    names = {field.name for field in fields}
    folder = next(word for word in ("folder", "runs_folder", "folder_of_runs") if word not in names)
    described = alone.described()
    return {
        **described,
        "notes": [*described["notes"], *_asked_of_a_cluster(alone)],
        "name": alone.content.package.encode("ascii", "ignore").decode().strip("_") or "notebook",
        "folder": folder,
        "place": f"~/{alone.content.package}-runs",
        "fields": fields,
        "params": {field.name: _param(field) for field in fields},
        "secrets": [p.name.upper() for p in alone.pipeline.parameters if p.secret],
        "steps": [_task(alone, wires, fields, functions) for wires in alone.steps],
    }


def _param(field: Field) -> str:
    kind = JSON_TYPES[field.type]
    said = f'["null", "{kind}"]' if field.optional or field.may_be_missing else f'"{kind}"'
    default = "" if field.required else f"{field.default!r}, "
    told = f", description={field.help!r}" if field.help else ""
    return f"Param({default}type={said}{told})"


def _task(alone: Alone, wires: Wired, fields: tuple[Field, ...], functions: Mapping[str, str]) -> Task:
    step, function = wires.step, functions[wires.step.name]
    after = [f"{functions[other]}_task" for other in wires.upstream]
    return Task(
        name=step.name,
        function=f"{function}_step" if function in RESERVED else function,
        task=f"{function}_task",
        docstring=alone.prose_of(step),
        settings=tuple(_settings(step)),
        parameters=[field.name for field in fields if field.name in wires.parameters],
        after=f"[{', '.join(after)}]" if len(after) > 1 else "".join(after),
    )


def _settings(step: Step) -> list[str]:
    found = [f"retries={step.retries}"] if step.retries else []
    return [*found, f"execution_timeout=timedelta(seconds={step.timeout:g})"] if step.timeout else found


def _asked_of_a_cluster(alone: Alone) -> list[str]:
    found = []
    for wires in alone.steps:
        told = asked.told(alone.pipeline, wires.step)
        if told:
            found.append(
                f"Step {wires.step.name} asks for {', '.join(told)}: say it to your executor (executor_config)"
            )
    return found
