"""The model card: what a person must know of a package, from the run that made it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from nb2prod.core.notebook import Notebook
from nb2prod.core.pipeline import Parameter, Pipeline
from nb2prod.core.result import Result
from nb2prod.storage import codec, templates

TEMPLATE = "package/model_card.md.j2"
HEADING = re.compile(r"\s{0,3}#{1,6}\s+(?P<text>.+?)\s*#*$")
PROSE = re.compile(r"\w|[\"'“‘*_`]")


def render(manifest: Mapping[str, Any], parity: Any, pipeline: Pipeline, result: Result, plots: Sequence[str]) -> str:
    """`manifest` is the content of `package.json`, `plots` the paths of the plots within the package."""
    title, description = opening(pipeline.notebook)
    return templates.render(
        TEMPLATE,
        {
            **manifest,
            "title": title,
            "description": description,
            "parity": parity,
            "plots": [{"name": _plot_name(path), "path": path, "image": path.endswith(".png")} for path in plots],
            "datasets": _once(result),
            "tests": result.tests,
            "columns": _columns(manifest["signature"]["inputs"]),
            "input_text": _input_text(manifest["signature"]["inputs"]),
            "computed": [p for p in computed(pipeline, result) if not p.secret],
            "given": _given(manifest["parameters"], pipeline, result),
            "hidden": [parameter.name for parameter in pipeline.parameters if parameter.secret],
        },
    )


def computed(pipeline: Pipeline, result: Result) -> list[Parameter]:
    """Parameters whose value the notebook computed and the run could not keep, as it is no plain value."""
    return [p for p in pipeline.parameters if p.computed and p.name not in result.parameters]


def _given(parameters: Mapping[str, Any], pipeline: Pipeline, result: Result) -> dict[str, Any]:
    """What the notebook does not say itself: the values that are not the defaults."""
    defaults = {parameter.name: codec.plain(parameter.default) for parameter in pipeline.parameters}
    chosen = {name: value for name, value in parameters.items() if name not in result.computed}
    return {name: value for name, value in chosen.items() if defaults.get(name) != value}


def opening(notebook: Notebook) -> tuple[str, str]:
    """The notebook's first heading, and the first paragraph of prose that follows it; empty when there is none."""
    title = ""
    for cell in notebook.cells:
        if cell.kind != "markdown":
            continue
        for block in re.split(r"\n\s*\n", cell.source):
            heading, text = _split(block)
            if title and heading:
                return title, ""
            title = title or heading
            if text:
                return title, text
    return title, ""


def _split(block: str) -> tuple[str, str]:
    """(heading, prose) of a block of Markdown; lists, images, tables and code are neither."""
    lines = block.strip().splitlines()
    found = HEADING.match(lines[0]) if lines else None
    rest = " ".join(line.strip() for line in (lines[1:] if found else lines))
    return (found["text"] if found else ""), (rest if PROSE.match(rest) else "")


def _once(result: Result) -> list[Any]:
    """Each table once, at the first step that read it as it is."""
    return list({(dataset.name, dataset.digest): dataset for dataset in reversed(result.datasets)}.values())[::-1]


def _plot_name(path: str) -> str:
    return path.removeprefix("plots/").rpartition(".")[0]


def _columns(inputs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    if not inputs or any("name" not in column or "type" not in column for column in inputs):
        return []
    return [{"required": True, **column} for column in inputs]


def _input_text(inputs: Sequence[Mapping[str, Any]]) -> str:
    if inputs and "tensor-spec" in inputs[0]:
        spec = inputs[0]["tensor-spec"]
        return f"An array of {spec['dtype']}, of shape {tuple(spec['shape'])}, where -1 is any number of rows."
    return f"One column of {inputs[0]['type']}." if inputs else ""
