"""What `MLmodel` may say. MLflow does what this file says before anything of the model is looked at, so it may say only
what nb2prod writes: known loaders with the settings that they have in a package, files within it, nothing of a run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from nb2prod.storage.model_formats import is_booster

FILE = "MLmodel"
_MOST_BYTES = 16_000_000
BOOSTER = "lightgbm.basic.Booster"
CODE_MODEL = "mlflow.pyfunc.loaders.code_model"
# loader -> the flavor beside python_function that it reads its settings from
LOADERS = {
    "mlflow.sklearn": "sklearn",
    "mlflow.xgboost": "xgboost",
    "mlflow.lightgbm": "lightgbm",
    "mlflow.statsmodels": "statsmodels",
    CODE_MODEL: "",
}
_PYFUNC = frozenset(
    [
        "code",
        "env",
        "loader_module",
        "python_version",
        "model_path",
        "data",
        "predict_fn",
        "artifacts",
        "model_code_path",
        "streamable",
        "python_model",
        "cloudpickle_version",
        "config",
    ]
)
_FLAVOR = frozenset(
    [
        "code",
        "pickled_model",
        "serialization_format",
        "sklearn_version",
        "skops_trusted_types",
        "xgb_version",
        "lgb_version",
        "statsmodels_version",
        "model_class",
        "model_format",
        "data",
    ]
)
_TOP = frozenset(
    [
        "flavors",
        "mlflow_version",
        "model_uuid",
        "utc_time_created",
        "signature",
        "saved_input_example_info",
        "model_size_bytes",
        "is_signature_from_type_hint",
        "type_hint_from_example",
    ]
)
_ABSENT = frozenset(
    [
        "artifact_path",
        "run_id",
        "model_id",
        "prompts",
        "metadata",
        "env_vars",
        "resources",
        "auth_policy",
        "databricks_runtime",
    ]
)
_PLACES = ("data", "model_path", "pickled_model", "model_code_path", "python_model")
_EXAMPLES = ("artifact_path", "serving_input_path")
_UUID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Described:
    """What `MLmodel` says, as far as it can be read; `flavors` is empty when it cannot."""

    content: Mapping[str, Any]
    flavors: Mapping[str, Mapping[str, Any]]

    @property
    def pyfunc(self) -> Mapping[str, Any]:
        return self.flavors.get("python_function", {})

    @property
    def loader(self) -> str:
        return str(self.pyfunc.get("loader_module", ""))

    @property
    def formats(self) -> tuple[str, ...]:
        """How the model is written that MLflow loads by itself; a model of code says it elsewhere."""
        own = self.flavors.get(LOADERS.get(self.loader, ""), {})
        if self.loader == "mlflow.sklearn":
            # MLflow takes a model without this key for a pickle
            return (str(own.get("serialization_format", "pickle")),)
        return (LOADERS[self.loader],) if LOADERS.get(self.loader) else ()

    @property
    def trusted(self) -> tuple[str, ...]:
        listed = self.flavors.get("sklearn", {}).get("skops_trusted_types") or ()
        return tuple(listed) if isinstance(listed, list) and all(isinstance(name, str) for name in listed) else ()


def read(folder: Path) -> Described:
    """`MLmodel` as data. Empty when it is missing, too large, or no YAML."""
    import yaml

    path = folder / FILE
    try:
        if path.stat().st_size > _MOST_BYTES:
            return Described({}, {})
        content = yaml.safe_load(path.read_bytes())  # with the very parser that MLflow has
        flavors = {str(name): dict(settings) for name, settings in content["flavors"].items()}
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError, RecursionError):
        return Described({}, {})
    return Described(content, flavors)


def problems(described: Described, names: frozenset[str]) -> Iterator[str]:
    """What makes it another file than nb2prod writes. `names` are the files of the package."""
    if not described.pyfunc:
        yield f"{FILE} describes no model with the python_function flavor"
        return
    if described.loader not in LOADERS:
        yield f"{FILE} asks for the loader {described.loader}"
        return
    for name in sorted(names):
        if name.endswith(f"/{FILE}"):
            yield f"{name} is a second {FILE}"
    yield from _of_top(described.content)
    yield from _of_flavors(described)
    for flavor in described.flavors.values():
        yield from _of_places(flavor, names)
    yield from _of_loaded(described)


def _of_top(content: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted(map(str, content.keys() - _TOP - _ABSENT)):
        yield f"{FILE} says {key}, which is not known"
    for key in sorted(_ABSENT):
        if content.get(key):
            yield f"{FILE} says {key}, which no package has"
    if not _UUID.fullmatch(str(content.get("model_uuid", ""))):
        yield f"{FILE} has a model_uuid that is none"
    info = content.get("saved_input_example_info") or {}
    for key in _EXAMPLES:
        place = info.get(key) if isinstance(info, dict) else "?"
        if place is not None and not _is_inside(place):
            yield f"{FILE} names {place}, which is outside of the package"


def _of_flavors(described: Described) -> Iterator[str]:
    wanted = {"python_function", LOADERS[described.loader]} - {""}
    if described.flavors.keys() != wanted:
        listed = ", ".join(sorted(described.flavors))
        yield f"{FILE} has the flavors {listed}, where {described.loader} needs {', '.join(sorted(wanted))}"
    for name, flavor in described.flavors.items():
        allowed = _PYFUNC if name == "python_function" else _FLAVOR
        for key in sorted(map(str, flavor.keys() - allowed)):
            yield f"{FILE} says {key} of {name}, which is not known"
        if flavor.get("code") not in (None, "code"):
            yield f"{FILE} takes code from {flavor['code']}"


def _of_places(flavor: Mapping[str, Any], names: frozenset[str]) -> Iterator[str]:
    places = [flavor[key] for key in _PLACES if flavor.get(key) is not None]
    for place in (*places, *_artifacts(flavor), *_environments(flavor)):
        if not _is_inside(place):
            yield f"{FILE} names {place}, which is outside of the package"
        elif not any(name == place or name.startswith(f"{place}/") for name in names):
            yield f"{FILE} names {place}, which the package does not have"


def _environments(flavor: Mapping[str, Any]) -> list[Any]:
    found = flavor.get("env")
    return list(found.values()) if isinstance(found, dict) else [] if found is None else [found]


def _artifacts(flavor: Mapping[str, Any]) -> list[Any]:
    found = flavor.get("artifacts") or {}
    if not isinstance(found, dict) or not all(isinstance(entry, dict) for entry in found.values()):
        return ["?"]
    return [entry.get(key) for entry in found.values() for key in ("path", "uri")]


def _of_loaded(described: Described) -> Iterator[str]:
    """The file that MLflow loads is the one that was looked at, and is read as what it is."""
    pyfunc, own = described.pyfunc, described.flavors.get(LOADERS[described.loader], {})
    method = str(pyfunc.get("predict_fn", "predict"))
    if not method.isidentifier() or method.startswith("_"):
        yield f"{FILE} asks the model by {method}"
    if described.loader == "mlflow.sklearn":
        if "data" in pyfunc:
            yield f"{FILE} says data of a scikit-learn model, which MLflow then reads as a pickle"
        if pyfunc.get("model_path") is None or pyfunc.get("model_path") != own.get("pickled_model"):
            yield f"{FILE} names two files as the model"
    elif described.loader == CODE_MODEL:
        if "/" in str(pyfunc.get("model_code_path", "/")) or pyfunc.get("python_model"):
            yield f"{FILE} names no file of code that is the model"
        if pyfunc.get("config"):
            yield f"{FILE} gives its code a configuration"
    elif pyfunc.get("data") is None or pyfunc["data"] != own.get("data"):
        yield f"{FILE} names two files as the model"
    if "model_class" in own and not is_booster(str(own["model_class"])):
        yield f"{FILE} asks for the class {own['model_class']}"
    if described.loader == "mlflow.lightgbm" and own.get("model_class", BOOSTER) != BOOSTER:
        # of any other class MLflow reads a pickle
        yield f"{FILE} asks for a LightGBM model that is not in LightGBM's own format"


def _is_inside(place: Any) -> bool:
    parts = PurePosixPath(place) if isinstance(place, str) else PurePosixPath("..")
    plain = isinstance(place, str) and "\\" not in place and "\0" not in place and str(parts) == place
    return plain and not parts.is_absolute() and ".." not in parts.parts and place != "."
