"""The MLflow model folder within a package: the model in its format, its signature, input example, code and pins."""

from __future__ import annotations

import logging
import sys
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from nb2prod.core.errors import NotProved
from nb2prod.core.model_package import FormatChoice
from nb2prod.core.pipeline import HoistedModule
from nb2prod.core.result import Artifact
from nb2prod.stages.signature import Described, describe, first_rows
from nb2prod.storage import artifacts, model_formats, requirements, templates
from nb2prod.storage.artifacts import Stored
from nb2prod.storage.files import write_bytes, write_text

CODE = "code"
EXAMPLE = "parity/example"
PREDICTIONS = "parity/predictions"
NO_BYTE_CODE = "Python would put byte code here; it finds a file and puts none, so the package stays as it was made.\n"


@dataclass(frozen=True, slots=True)
class Kept:
    """What a run kept, read back. `artifact` is the model's; `module` the notebook's, None when the model needs none
    of it, else importable now.
    """

    model: Any
    artifact: Artifact
    example: Any
    predictions: Any
    module: HoistedModule | None


@dataclass(frozen=True, slots=True)
class Written:
    """The model as it was written; `example` is the file that the proof reads."""

    described: Described
    format: FormatChoice
    requirements: tuple[str, ...]
    example: Stored


def write(folder: Path, kept: Kept, *, moment: datetime, seed: str) -> Written:
    """Write the model into `folder`, which is empty. `moment` and `seed` give MLflow's time and id of the model.

    Raises UsageError when the signature cannot describe the example, NotProved when MLflow cannot write the model.
    """
    described = describe(kept.example, kept.predictions)
    choice = model_formats.choose(kept.model, kept.module, described.example)
    pins = _requirements(kept.artifact, choice)
    identity = {"utc_time_created": str(moment.replace(tzinfo=None)), "model_uuid": _id(seed, kept.artifact)}
    with tempfile.TemporaryDirectory(prefix="nb2prod-model-") as scratch, quiet():
        try:
            _save(folder, Path(scratch), kept, described, choice, pins, identity)
        except Exception as error:
            raise NotProved(f"MLflow cannot write the model: {type(error).__name__}: {error}") from error
    if kept.module is not None:
        write_text(folder / CODE / "__pycache__", NO_BYTE_CODE)
    example = artifacts.write(described.example, folder / EXAMPLE)
    artifacts.write(kept.predictions, folder / PREDICTIONS)
    return Written(described, choice, pins, example)


def _save(
    folder: Path,
    scratch: Path,
    kept: Kept,
    described: Described,
    choice: FormatChoice,
    pins: tuple[str, ...],
    identity: dict[str, str],
) -> None:
    import mlflow.models

    common: dict[str, Any] = {
        "path": str(folder),
        "mlflow_model": mlflow.models.Model(**identity),
        "signature": described.signature,
        "input_example": first_rows(described.example),
        "pip_requirements": list(pins),
        "code_paths": code_of(scratch, kept.module),
    }
    if _is_estimator(kept.model):
        import mlflow.sklearn

        trusted = list(choice.trusted) or None
        mlflow.sklearn.save_model(kept.model, serialization_format=choice.format, skops_trusted_types=trusted, **common)
    else:
        _save_any(scratch, kept.model, common)


def _save_any(scratch: Path, model: Any, common: dict[str, Any]) -> None:
    """An object that is no scikit-learn estimator but has `predict`."""
    import cloudpickle
    import mlflow.pyfunc

    pickled = write_bytes(scratch / "model.pkl", cloudpickle.dumps(model, protocol=4))
    caller = templates.folder("package") / "python_model.py"
    mlflow.pyfunc.save_model(python_model=str(caller), artifacts={"model": str(pickled)}, **common)
    finish_code_model(Path(common["path"]))


def finish_code_model(folder: Path) -> None:
    """Of a model that MLflow loads from a file of code: no place of this machine is named, no byte code can be left."""
    _forget_places(folder)
    write_text(folder / "__pycache__", NO_BYTE_CODE)


def _forget_places(folder: Path) -> None:
    """MLflow writes down where on this machine it took the files from; what it loads is beside `MLmodel`."""
    import mlflow.models

    written = mlflow.models.Model.load(str(folder))
    flavor = written.flavors["python_function"]
    flavor["model_code_path"] = Path(flavor["model_code_path"]).name
    for artifact in flavor["artifacts"].values():
        artifact["uri"] = artifact["path"]
    written.save(str(folder / "MLmodel"))


def _requirements(model: Artifact, choice: FormatChoice) -> tuple[str, ...]:
    """Exact versions of what loading and predicting import. `mlflow-skinny` has all that loading a model needs."""
    always = [requirements.pin(name) for name in ("mlflow-skinny", "numpy", "pandas", choice.format)]
    return tuple(sorted({*model.details["requirements"], *always}, key=str.lower))


def code_of(scratch: Path, module: HoistedModule | None) -> list[str] | None:
    if module is None:
        return None
    return [str(write_text(scratch / f"{module.name}.py", module.source))]


def _id(seed: str, model: Artifact) -> str:
    return uuid.uuid5(uuid.NAMESPACE_URL, f"{seed}/{model.digest}").hex


def _is_estimator(model: Any) -> bool:
    sklearn_base = sys.modules.get("sklearn.base")
    return sklearn_base is not None and isinstance(model, sklearn_base.BaseEstimator)


@contextmanager
def quiet() -> Iterator[None]:
    """What MLflow warns of here, the package says itself: the format and its trust, whole numbers, requirements."""
    logger = logging.getLogger("mlflow")
    level = logger.level
    # recorded and not only filtered: MLflow sets a filter of its own before it warns
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)
