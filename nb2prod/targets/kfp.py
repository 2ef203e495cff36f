"""A pipeline of Kubeflow Pipelines 2: a component for each step, compiled by kfp's own SDK.

    pipeline.yaml              what Kubeflow runs; the code travels in it
    pipeline.py                what it was compiled from
    code/mortgage/steps.py     a function for each step, as in the target `project`
    code/mortgage/one_step.py  runs one of them, from files to a file
    code/data/                 what the notebook reads

Parameters are typed, metrics are Metrics, the model is a Model, figures are a page. `retries:` and `cache:off` are the
task's, and so are Kale's `image:`, `limit:`, `secret:`, `label:` and `annotation:`.
"""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from nb2prod.core.errors import PluginError, StoreError
from nb2prod.core.pipeline import Pipeline
from nb2prod.storage import templates
from nb2prod.targets._alone import asked, code_folder
from nb2prod.targets._alone.code_folder import Alone
from nb2prod.targets._alone.fields import Field, ascii_names, fields_of
from nb2prod.targets._alone.wiring import Wired
from nb2prod.targets._project.problems import Problems

ISOLATED = True
LARGEST = 400_000  # bytes of code and data, compressed, that travel in the definition of every step
RESERVED = frozenset({"dsl", "compiler", "kubernetes", "pipeline"})
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True, slots=True)
class Component:
    """A step as the template wants it: names of Python, and what is set on its task."""

    name: str
    function: str
    task: str
    image: str
    docstring: str
    sources: Mapping[str, str]
    outputs: Mapping[str, str]
    fields: tuple[Field, ...]
    metrics: tuple[str, ...]
    model: str
    figures: tuple[str, ...]
    settings: tuple[str, ...]
    told: tuple[str, ...]


def export(pipeline: Pipeline, destination: Path, *, allow_shell: bool = False) -> tuple[Path, ...]:
    """Write and compile it. Raises FindingsError when the notebook says what it cannot, PluginError without kfp."""
    _refuse_missing()
    problems = Problems(pipeline.notebook.path)
    alone = code_folder.of(pipeline, problems, allow_shell=allow_shell)
    fields = tuple(_exact(field) for field in fields_of(pipeline, problems))
    problems.refuse()
    code_folder.write(alone, destination / "code")
    _refuse_large(alone, destination / "code", problems)
    values = _values(alone, fields)
    (destination / "pipeline.py").write_text(templates.render("kfp/pipeline.py.j2", values), encoding="utf-8")
    (destination / "README.md").write_text(templates.render("kfp/README.md.j2", values), encoding="utf-8")
    code_folder.in_style(destination)
    _compile(destination)
    return tuple(sorted(path for path in destination.rglob("*") if path.is_file()))


def _refuse_missing() -> None:
    try:
        metadata.version("kfp")
        metadata.version("kfp-kubernetes")
    except metadata.PackageNotFoundError as error:
        raise PluginError("the target kfp needs Kubeflow's SDK", fix="install nb2prod[kfp]") from error


def _exact(field: Field) -> Field:
    """A list or dictionary as text of JSON: as a value of kfp's own, every whole number in it would become a float."""
    if field.type not in ("list", "dict"):
        return field
    default = None if field.default is None else json.dumps(field.default, ensure_ascii=False)
    return dataclasses.replace(field, type="str", default=default, is_json=True)


def _refuse_large(alone: Alone, folder: Path, problems: Problems) -> None:
    size = code_folder.compressed_size(folder)
    if size > LARGEST:
        named = ", ".join(alone.content.data.copied) or "the code"
        what = (
            f"{named} would travel in the pipeline's file, {size // 1000} kB compressed, and {LARGEST // 1000} kB may"
        )
        problems.add(None, None, what, "put the data where a URL finds it (s3://…) and make the URL a parameter")
        problems.refuse()


def _values(alone: Alone, fields: Sequence[Field]) -> dict[str, Any]:
    taken = {field.word for field in fields}
    functions = ascii_names((step.step.name for step in alone.steps), "step")
    components = [_component(alone, step, fields, functions, taken) for step in alone.steps]
    used = [line for one in components for line in one.settings]
    return {
        **alone.described(),
        "name": alone.content.package.encode("ascii", "ignore").decode().replace("_", "-").strip("-") or "notebook",
        "description": repr(alone.content.title) if alone.content.title else "",
        "image": f"python:{PYTHON}-slim",
        "packages": alone.packages,
        "kubernetes": any("kubernetes." in line for line in used),
        "fields": fields,
        "steps": components,
        "named": _named(components, functions),
        "tasks": {one.name: one.task for one in components},
        "outputs": {one.name: one.outputs["handed_on"] for one in components},
        "kfp": metadata.version("kfp"),
    }


def _named(components: Sequence[Component], functions: Mapping[str, str]) -> set[str]:
    """The tasks that other lines of the pipeline name."""
    text = "\n".join(line for one in components for line in one.settings)
    sources = {_task(functions, source) for one in components for source in one.sources.values()}
    return {one.task for one in components if one.task in sources or re.search(rf"\b{one.task}\b", text)}


def _component(
    alone: Alone, wires: Wired, fields: Sequence[Field], functions: Mapping[str, str], taken: set[str]
) -> Component:
    step = wires.step
    function = functions[step.name]
    outputs = {
        word: f"{word}_output" if word in taken else word for word in ("handed_on", "metrics", "model", "figures")
    }
    order = [f"{_task(functions, other)}" for other in wires.upstream if other not in wires.reads_from]
    settings, told = asked.kubeflow(alone.pipeline, step, _task(functions, step.name), alone.secrets_of(wires))
    return Component(
        name=step.name,
        function=f"{function}_step" if function in taken | RESERVED else function,
        task=_task(functions, step.name),
        image=asked.image(alone.pipeline, step),
        docstring=alone.prose_of(step),
        sources={f"from_{functions[source]}": source for source in wires.reads_from},
        outputs=outputs,
        fields=tuple(field for field in fields if field.name in wires.parameters),
        metrics=step.metrics,
        model=step.model or "",
        figures=step.plots,
        settings=(*(f"{_task(functions, step.name)}.after({other})" for other in order), *settings),
        told=told,
    )


def _task(functions: Mapping[str, str], step: str) -> str:
    return f"{functions[step]}_task"


# kfp writes the moment and the user into the archives that it makes; the same notebook must give the same file
COMPILE = """
import functools, gzip, runpy, tarfile
gzip.compress = functools.partial(gzip.compress, mtime=0)
plain = tarfile.TarFile.gettarinfo
def nobody(*arguments, **named):
    made = plain(*arguments, **named)
    made.uid = made.gid = made.mtime = 0
    made.uname = made.gname = ""
    made.mode = 0o755 if made.isdir() else 0o644
    return made
tarfile.TarFile.gettarinfo = nobody
runpy.run_path("pipeline.py", run_name="__main__")
"""


def _compile(destination: Path) -> None:
    """By kfp, in a process of its own: nothing of the notebook's code is imported there."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", COMPILE],
        cwd=destination, capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    if done.returncode != 0 or not (destination / "pipeline.yaml").is_file():
        said = done.stderr.strip().splitlines()
        raise StoreError(
            f"kfp does not compile it: {said[-1] if said else 'it says nothing'}",
            where="pipeline.py",
            fix="report this notebook",
        )
