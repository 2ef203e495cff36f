"""The MLflow model folder within a package: the model in its format, its signature, input example, code and pins.

A model that is asked by one method and takes the example as the signature says it is written by MLflow's flavor for
its library: scikit-learn, XGBoost, LightGBM, statsmodels. Any other (several objects, a function of the notebook,
labels with probabilities, columns that must be made again what they were) is written in parts (`model_parts`), which
the package's own `python_model.py` puts together.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib
import logging
import sys
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from nb2prod.core.errors import NotProved
from nb2prod.core.model_package import Asking, FormatChoice
from nb2prod.core.pipeline import HoistedModule
from nb2prod.core.result import Artifact
from nb2prod.stages import columns, model_parts
from nb2prod.stages.signature import Described, describe, first_rows, refuse_dropped
from nb2prod.storage import artifacts, codec, model_formats, requirements, templates
from nb2prod.storage.artifacts import Stored
from nb2prod.storage.asking import Asked, columns_of_fit
from nb2prod.storage.digests import digest
from nb2prod.storage.files import write_bytes, write_text
from nb2prod.storage.model_formats import Chosen

logger = logging.getLogger(__name__)
OWN_FLAVORS = ("xgboost", "lightgbm", "statsmodels")
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

    @property
    def asked(self) -> Asked:
        """The model with the way in which the notebook asks it: `kept.asked.predict(rows)`."""
        asking = codec.build(Asking, self.artifact.details.get("asking", {}))
        home = sys.modules.get(self.module.name) if self.module is not None else None
        return Asked(self.model, asking, getattr(home, asking.function) if asking.function else None)


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
    example, left_out = _as_fitted(kept)
    described = describe(example, kept.predictions, kept.asked.predict, left_out)
    chosen = _chosen(kept, described)
    kept, chosen = _without_data(kept, described, chosen)
    pins = _requirements(kept.artifact, chosen.choice)
    identity = {"utc_time_created": str(moment.replace(tzinfo=None)), "model_uuid": _id(seed, kept.artifact)}
    with tempfile.TemporaryDirectory(prefix="nb2prod-model-") as scratch, quiet():
        try:
            _save(folder, Path(scratch), kept, described, chosen, pins, identity)
            refuse_dropped(described.signature, mlflow_model(folder).signature)
        except NotProved:
            raise
        except Exception as error:
            raise NotProved(f"MLflow cannot write the model: {type(error).__name__}: {error}") from error
    if kept.module is not None:
        write_text(folder / CODE / "__pycache__", NO_BYTE_CODE)
    example = artifacts.write(described.example, folder / EXAMPLE)
    artifacts.write(kept.predictions, folder / PREDICTIONS)
    return Written(described, chosen.choice, pins, example)


def _save(
    folder: Path,
    scratch: Path,
    kept: Kept,
    described: Described,
    chosen: Chosen,
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
    save = _flavor(kept, described, chosen)
    if save is not None:
        save(kept.model, **common)
    else:
        _save_parts(scratch, kept, described, chosen, common)


def _as_fitted(kept: Kept) -> tuple[Any, tuple[str, ...]]:
    """The example without the columns that the model was not fitted on, and how that is said.

    A notebook often adds to a frame what the model said, or the target. Nobody who asks the model has those.
    """
    wanted, there = list(columns_of_fit(kept.model)), list(getattr(kept.example, "columns", ()))
    others = [name for name in there if name not in wanted]
    if kept.asked.function is not None or not wanted or not others or not set(wanted) <= set(there):
        return kept.example, ()
    narrow = kept.example[wanted]
    if digest(kept.asked.predict(copy.deepcopy(narrow))) != digest(kept.predictions):
        return kept.example, ()
    return narrow, tuple(f"{name}: left out, as the model was not fitted on it" for name in others)


def _chosen(kept: Kept, described: Described) -> Chosen:
    """The format of the model, or of each object of which it is made."""
    if kept.asked.function is not None and model_parts.is_several(kept.model):
        return model_parts.choose(kept.model, kept.module, partial(_same, kept, described))
    rows = columns.restored(described.example, described.restored)
    answered = digest(kept.predictions)
    return model_formats.choose(kept.model, kept.module, rows, answer=partial(_answer, kept), answered=answered)


def _answer(kept: Kept, model: Any, rows: Any) -> Any:
    return dataclasses.replace(kept.asked, model=model).predict(rows)


def _same(kept: Kept, described: Described, model: Any) -> bool:
    rows = columns.restored(described.example, described.restored)
    return digest(_answer(kept, model, copy.deepcopy(rows))) == digest(kept.predictions)


def _without_data(kept: Kept, described: Described, chosen: Chosen) -> tuple[Kept, Chosen]:
    """Statsmodels keeps in a model what it was fitted on; a package has the model without, if that answers the same."""
    choice = chosen.choice
    if choice.format != "statsmodels":
        return kept, chosen
    model = copy.deepcopy(kept.model)
    try:
        model.remove_data()
        if not _same(kept, described, model):
            raise ValueError("it answers otherwise")
    except Exception as error:  # noqa: BLE001 - some models cannot be without their data, and say so in many ways
        logger.debug("a %s cannot be without its data: %s", kept.artifact.details["type"], error)
        return kept, Chosen(dataclasses.replace(choice, reason=f"{choice.reason}, which holds what it was fitted on"))
    reason = f"{choice.reason}; what it was fitted on is left out"
    return dataclasses.replace(kept, model=model), Chosen(dataclasses.replace(choice, reason=reason))


def _flavor(kept: Kept, described: Described, chosen: Chosen) -> Callable[..., None] | None:
    """How MLflow saves the model by itself; None for one that is asked in a way that only our own code knows."""
    asking, choice = kept.asked.asking, chosen.choice
    if described.restored or len(asking.methods) != 1:
        return None
    if choice.format in ("skops", "cloudpickle") and model_formats.is_estimator(kept.model):
        import mlflow.sklearn

        if choice.format == "skops":
            return partial(_save_skops, chosen, asking.methods[0])
        return partial(
            mlflow.sklearn.save_model, serialization_format="cloudpickle", pyfunc_predict_fn=asking.methods[0]
        )
    if asking.methods != ("predict",) or choice.format not in OWN_FLAVORS:
        return None
    flavor = importlib.import_module(f"mlflow.{choice.format}")
    more = {"model_format": "ubj"} if choice.format == "xgboost" else {}
    return partial(flavor.save_model, **more)


def _save_skops(chosen: Chosen, method: str, model: Any, **common: Any) -> None:
    """MLflow would write the model once more, and read it once more, which for a large forest takes most of the time.

    So it writes its folder around a model that is nothing, whose file then becomes the one that was compared.
    """
    import mlflow.sklearn
    from sklearn.dummy import DummyClassifier

    mlflow.sklearn.save_model(
        DummyClassifier() if hasattr(DummyClassifier, method) else model,
        serialization_format="skops",
        skops_trusted_types=list(chosen.choice.trusted) or None,
        pyfunc_predict_fn=method,
        **common,
    )
    folder, written = Path(common["path"]), common["mlflow_model"]
    path = folder / written.flavors["sklearn"]["pickled_model"]
    written.model_size_bytes += len(chosen.files[""]) - path.stat().st_size
    write_bytes(path, chosen.files[""])
    written.save(str(folder / "MLmodel"))


def _save_parts(scratch: Path, kept: Kept, described: Described, chosen: Chosen, common: dict[str, Any]) -> None:
    import mlflow.pyfunc

    module = kept.module.name if kept.module is not None else ""
    parts = model_parts.write(
        scratch / "model", kept.model, chosen, asking=kept.asked.asking, module=module, restored=described.restored
    )
    caller = templates.folder("package") / "python_model.py"
    mlflow.pyfunc.save_model(python_model=str(caller), artifacts={"model": str(parts)}, **common)
    finish_code_model(Path(common["path"]))


def finish_code_model(folder: Path) -> None:
    """Of a model that MLflow loads from a file of code: no place of this machine is named, no byte code can be left."""
    _forget_places(folder)
    write_text(folder / "__pycache__", NO_BYTE_CODE)


def _forget_places(folder: Path) -> None:
    """MLflow writes down where on this machine it took the files from; what it loads is beside `MLmodel`."""
    written = mlflow_model(folder)
    flavor = written.flavors["python_function"]
    flavor["model_code_path"] = Path(flavor["model_code_path"]).name
    for artifact in flavor["artifacts"].values():
        artifact["uri"] = artifact["path"]
    written.save(str(folder / "MLmodel"))


def mlflow_model(folder: Path) -> Any:
    import mlflow.models

    return mlflow.models.Model.load(str(folder))


def _requirements(model: Artifact, choice: FormatChoice) -> tuple[str, ...]:
    """Exact versions of what loading and predicting import. `mlflow-skinny` has all that loading a model needs."""
    formats = {choice.format, *(part.format for part in choice.parts)} & {"skops", "cloudpickle"}
    formats |= {"cloudpickle"} if choice.format == "statsmodels" else set()
    always = [requirements.pin(name) for name in ("mlflow-skinny", "numpy", "pandas", *formats)]
    return tuple(sorted({*model.details["requirements"], *always}, key=str.lower))


def code_of(scratch: Path, module: HoistedModule | None) -> list[str] | None:
    if module is None:
        return None
    return [str(write_text(scratch / f"{module.name}.py", module.source))]


def _id(seed: str, model: Artifact) -> str:
    return uuid.uuid5(uuid.NAMESPACE_URL, f"{seed}/{model.digest}").hex


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
