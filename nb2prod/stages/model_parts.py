"""A model of several objects, or one that is asked in a way of its own, as files that `python_model.py` reads again.

    artifacts/model/model.json      what there is, and how it answers
    artifacts/model/NAME.skops …    each object in the format that suits it best

A notebook often has its model in pieces, `(vectorizer, classifier)` or `{"prepare": …, "model": …, "limit": 0.3}`,
with a function that puts them together. Each piece is written by itself, so that one which needs a pickle does not make
the others one. Plain values (a threshold, a list of names) are in `model.json`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nb2prod.core.model_package import Asking, FormatChoice, ModelFormat, PartFormat
from nb2prod.core.pipeline import HoistedModule
from nb2prod.stages.columns import Recipe
from nb2prod.storage import codec, model_formats
from nb2prod.storage.files import write_bytes, write_text
from nb2prod.storage.model_formats import Chosen

SCHEMA = "nb2prod/model/1"
FILE = "model.json"
CONTAINERS = (tuple, list, dict)
SUFFIXES: Mapping[ModelFormat, str] = {
    "skops": ".skops",
    "cloudpickle": ".pkl",
    "statsmodels": ".pkl",
    "xgboost": ".ubj",
    "lightgbm": ".txt",
}
# which of the formats a reader must trust most comes first
WEIGHT: tuple[ModelFormat, ...] = ("cloudpickle", "statsmodels", "skops", "lightgbm", "xgboost", "json")


@dataclass(frozen=True, slots=True)
class Part:
    """One object of the model. `name` is its key in a dictionary, else its position; empty for a model that is one."""

    name: str
    value: Any
    chosen: Chosen

    @property
    def choice(self) -> FormatChoice:
        return self.chosen.choice


def choose(model: Any, module: HoistedModule | None, same: Callable[[Any], bool]) -> Chosen:
    """The formats of a model of several objects. `same` says whether a rebuilt model answers as the model does."""
    parts = tuple(_parts(model, module))
    if len(parts) > 1 and any(part.choice.format == "skops" for part in parts) and not same(_rebuilt(model, parts)):
        parts = tuple(_pickled(part) for part in parts)
    files = {part.name: part.chosen.files[""] for part in parts if part.choice.format == "skops"}
    return Chosen(_as_one(parts), files)


def write(
    folder: Path, model: Any, chosen: Chosen, *, asking: Asking, module: str, restored: tuple[Recipe, ...]
) -> Path:
    """Write the objects and `model.json` into `folder`, which MLflow takes from there."""
    folder.mkdir()
    choice = chosen.choice
    values = dict(_named(model)) if choice.parts else {"": model}
    parts = choice.parts or (_described("", model, choice),)
    described = {
        "schema": SCHEMA,
        "container": type(model).__name__ if choice.parts else "object",
        "parts": [_written(folder, part, values[part.name], chosen.files) for part in parts],
        "asking": codec.plain(asking),
        "module": module,
        "restored": [dict(recipe) for recipe in restored],
    }
    write_text(folder / FILE, json.dumps(described, ensure_ascii=False, indent=2) + "\n")
    return folder


def is_several(model: Any) -> bool:
    """Whether the model is a tuple, a list or a dictionary by names, each part of which is written by itself."""
    return type(model) in CONTAINERS and len(model) > 0 and (type(model) is not dict or all(map(_is_text, model)))


def _is_text(key: Any) -> bool:
    return type(key) is str


def _named(model: Any) -> Iterator[tuple[str, Any]]:
    if type(model) is dict:
        yield from model.items()
    else:
        yield from ((str(position), value) for position, value in enumerate(model))


def _parts(model: Any, module: HoistedModule | None) -> Iterator[Part]:
    for name, value in _named(model):
        if _is_plain(value):
            yield Part(name, value, Chosen(FormatChoice("json", "a plain value")))
        else:
            yield Part(name, value, model_formats.choose(value, module))


def _is_plain(value: Any) -> bool:
    """A value that JSON gives back as it is."""
    if type(value) in (list, dict):
        inner = [*value, *value.values()] if type(value) is dict else value
        return all(map(_is_plain, inner)) and (type(value) is list or all(map(_is_text, value)))
    return value is None or type(value) in (str, bool, int) or (type(value) is float and value - value == 0)


def _pickled(part: Part) -> Part:
    reason = "the model that skops gives back answers something else"
    if part.choice.format != "skops":
        return part
    return Part(part.name, part.value, Chosen(FormatChoice("cloudpickle", reason)))


def _rebuilt(model: Any, parts: tuple[Part, ...]) -> Any:
    """The model with the objects that skops gives back."""
    made = {part.name: part.chosen.again if part.choice.format == "skops" else part.value for part in parts}
    return made if type(model) is dict else type(model)(made.values())


def _as_one(parts: tuple[Part, ...]) -> FormatChoice:
    most = min(parts, key=lambda part: WEIGHT.index(part.choice.format)).choice.format
    told = ", ".join(f"{part.name} as {part.choice.format}" for part in parts)
    pickled = [f"; {part.name}: {part.choice.reason}" for part in parts if part.choice.format == "cloudpickle"]
    trusted = tuple(dict.fromkeys(name for part in parts for name in part.choice.trusted))
    described = tuple(_described(part.name, part.value, part.choice) for part in parts)
    return FormatChoice(
        most, f"its {len(parts)} objects are written apart: {told}{''.join(pickled)}", trusted, described
    )


def _described(name: str, value: Any, choice: FormatChoice) -> PartFormat:
    kind = model_formats.type_name(type(value))
    file = "" if choice.format == "json" else f"{_stem(name)}{SUFFIXES[choice.format]}"
    return PartFormat(name, kind, file, choice.format, choice.reason, choice.trusted)


def _stem(name: str) -> str:
    """A file's name for any key: itself where it may be one everywhere, else its letters' numbers."""
    plain = name.isascii() and name.replace("_", "").isalnum() and name == name.lower() and len(name) < 50
    return f"part-{name}" if plain else f"part-x{name.encode().hex()[:100]}" if name else "object"


def _written(folder: Path, part: PartFormat, value: Any, files: Mapping[str, bytes]) -> dict[str, Any]:
    described: dict[str, Any] = {"name": part.name, "format": part.format}
    if part.format == "json":
        return {**described, "value": value}
    described["file"] = part.file
    if part.format == "skops":
        write_bytes(folder / part.file, files[part.name])
        return {**described, "trusted": list(part.trusted)}
    WRITERS[part.format](folder / part.file, value)
    if part.format == "xgboost":
        described["class"] = type(value).__name__
    return described


def _to_pickle(path: Path, value: Any) -> None:
    import cloudpickle

    write_bytes(path, cloudpickle.dumps(value, protocol=4))


def _to_own(path: Path, value: Any) -> None:
    value.save_model(str(path))


WRITERS: Mapping[ModelFormat, Callable[[Path, Any], None]] = {
    "cloudpickle": _to_pickle,
    "statsmodels": _to_pickle,
    "xgboost": _to_own,
    "lightgbm": _to_own,
}
