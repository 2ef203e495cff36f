"""The model card: what a person must know of a package, as Markdown and as one page that needs nothing else.

It says what is known and leaves out what is not: a notebook without prose has no purpose here, a metric that does not
come out again no interval (`carding/judged.py`), an example without known truth no slices. What an author could add,
`nb2prod check` asks for (`card-purpose`, `untested-step`, `missing-example`). It depends on the notebook, its data and
its libraries alone, as everything in a package: no moment, no run, no duration, no place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nb2prod.core.pipeline import Parameter, Pipeline
from nb2prod.core.result import Result
from nb2prod.drawing import certificate_page
from nb2prod.language.opening import opening as opening
from nb2prod.stages.carding import judged as judging
from nb2prod.stages.carding.importance import Importance, importance
from nb2prod.stages.carding.judged import Judged
from nb2prod.stages.carding.slices import Slices, slices
from nb2prod.stages.model_folder import Kept
from nb2prod.storage import codec, templates
from nb2prod.storage.files import write_text

TEMPLATE = "package/model_card.md.j2"
PAGE = "package/model_card.html.j2"
MARKDOWN, HTML = "model_card.md", "model_card.html"
CONTRACT = "contract.json"
EXAMPLE = "serving_input_example.json"
SHOWN = 6  # values of a column in the table of limits
LONGEST = 60  # characters of a value in the call
IMAGES = {".png": "image/png", ".svg": "image/svg+xml", ".jpg": "image/jpeg"}


@dataclass(frozen=True, slots=True)
class Studied:
    """What the model's example tells of it; it is the same however often the card is written."""

    judged: Judged
    slices: Slices
    importance: Importance


def study(result: Result, kept: Kept) -> Studied:
    """Look at the model by its example: metrics again, parts of the data, and what the model looks at."""
    judged = judging.judge(result, kept)
    return Studied(judged, slices(judged, kept.example), importance(judged, kept))


def write(
    folder: Path,
    manifest: Mapping[str, Any],
    parity: Any,
    pipeline: Pipeline,
    result: Result,
    plots: Sequence[str],
    studied: Studied,
) -> None:
    """Both cards into the package's folder, where the contract, the example and the plots are already."""
    values = {
        **_values(manifest, parity, pipeline, result, plots),
        **_studied(studied, manifest["metrics"]),
        "limits": _limits(folder, manifest["signature"]["inputs"]),
        "call": _call(folder),
        "has_translation": (folder / "onnx" / "model.onnx").is_file(),
    }
    write_text(folder / MARKDOWN, templates.render(TEMPLATE, values))
    images = {path: _inline(folder / path) for path in plots if Path(path).suffix in IMAGES}
    write_text(folder / HTML, templates.render(PAGE, {**values, "images": images}))


def _values(
    manifest: Mapping[str, Any], parity: Any, pipeline: Pipeline, result: Result, plots: Sequence[str]
) -> dict[str, Any]:
    title, description = opening(pipeline.notebook)
    return {
        **manifest,
        "title": title,
        "description": description,
        "parity": parity,
        "proof": certificate_page.headline(parity),
        "paths": [_path(path) for path in parity.paths],
        "plots": [{"name": _plot_name(path), "path": path, "image": path.endswith(".png")} for path in plots],
        "datasets": _once(result),
        "tests": result.tests,
        "columns": _columns(manifest["signature"]["inputs"]),
        "input_text": _input_text(manifest["signature"]["inputs"]),
        "helped": {parameter.name: parameter.help for parameter in pipeline.parameters if not parameter.secret},
        "computed": [p for p in computed(pipeline, result) if not p.secret],
        "given": _given(manifest["parameters"], pipeline, result),
        "hidden": [parameter.name for parameter in pipeline.parameters if parameter.secret],
    }


def _studied(studied: Studied, metrics: Mapping[str, Any]) -> dict[str, Any]:
    again = studied.judged.again
    return {
        "measured": [
            {
                "name": name,
                "value": _number(value),
                "interval": f"{_number(again[name].low)} to {_number(again[name].high)}" if name in again else "",
                "as": again[name].measure.name if name in again else "",
            }
            for name, value in metrics.items()
        ],
        "example_rows": studied.judged.rows,
        "why_not": {name: why for name, why in studied.judged.why_not.items() if name in metrics},
        "slices": studied.slices,
        "importance": studied.importance,
        "number": _number,
    }


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _path(path: Any) -> dict[str, Any]:
    return {
        "path": path.path,
        "rows": f"{path.exact} of {path.rows}",
        "boundary": f"{path.alike} of {path.boundary}" if path.boundary else "–",
        "refused": path.refused,
        "gap": certificate_page.gap(path),
        "verdict": path.verdict,
    }


def _limits(folder: Path, inputs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of each column, what the contract says: what the example had, and whether anything else is refused."""
    path = folder / CONTRACT
    if not path.is_file():
        return []
    told = json.loads(path.read_bytes())["columns"]
    kinds = {str(column.get("name", "")): column.get("type", "") for column in inputs}
    return [
        {
            "name": name,
            "type": kinds.get(name, ""),
            "seen": _seen(facts),
            "else": "refused" if facts.get("enforced") else "answered",
            "null": "allowed" if facts.get("nullable") else "refused",
            "description": facts.get("description", ""),
        }
        for name, facts in told.items()
    ]


def _seen(facts: Mapping[str, Any]) -> str:
    values = facts.get("values", ())
    if values:
        more = f" and {len(values) - SHOWN} more" if len(values) > SHOWN else ""
        return ", ".join(map(str, values[:SHOWN])) + more
    low, high = facts.get("minimum"), facts.get("maximum")
    return f"{low} to {high}" if low is not None and high is not None else ""


def _call(folder: Path) -> str:
    """The body of a request to the service: the first row of the example, or nothing when it has no named columns."""
    path = folder / EXAMPLE
    if not path.is_file():
        return ""
    content = json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda _: None)
    table = content.get("dataframe_split")
    if not table or not table.get("data"):
        return ""
    row = dict(zip(table["columns"], table["data"][0], strict=True))
    if any(len(str(value)) > LONGEST for value in row.values()):
        return ""
    return json.dumps({"rows": [row]}, ensure_ascii=False)


def _inline(path: Path) -> str:
    import base64

    return f"data:{IMAGES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def computed(pipeline: Pipeline, result: Result) -> list[Parameter]:
    """Parameters whose value the notebook computed and the run could not keep, as it is no plain value."""
    return [p for p in pipeline.parameters if p.computed and p.name not in result.parameters]


def _given(parameters: Mapping[str, Any], pipeline: Pipeline, result: Result) -> dict[str, Any]:
    """What the notebook does not say itself: the values that are not the defaults."""
    defaults = {parameter.name: codec.plain(parameter.default) for parameter in pipeline.parameters}
    chosen = {name: value for name, value in parameters.items() if name not in result.computed}
    return {name: value for name, value in chosen.items() if defaults.get(name) != value}


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
