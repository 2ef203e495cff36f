"""What a run kept, read back for a package: model, example and predictions, in the libraries that the notebook had."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from nb2prod.core.errors import NotProved, StoreError, UsageError
from nb2prod.core.pipeline import Pipeline
from nb2prod.core.result import Artifact, ArtifactKind, Result
from nb2prod.stages.model_folder import Kept
from nb2prod.storage import artifacts, model_formats, requirements
from nb2prod.storage.digests import rows_of


def artifact_of(pipeline: Pipeline, result: Result, kind: ArtifactKind) -> Artifact:
    tagged = pipeline.example if kind == "example" else pipeline.model
    found = result.artifact(kind, tagged[1] if tagged else None)
    if found is None:
        raise StoreError(f"the run kept no {kind}", where=result.directory, fix="run the notebook again")
    return found


def refuse_other_environment(model: Artifact) -> None:
    """The package is written and proved with the libraries that are here; they must be those of the run."""
    here, there = platform.python_version_tuple()[:2], tuple(str(model.details["python"]).split(".")[:2])
    if here != there:
        raise _other_environment(f"Python {'.'.join(there)}", f"Python {'.'.join(here)}")
    for pin in model.details["requirements"]:
        distribution = pin.partition("==")[0]
        installed = requirements.pin(distribution)
        if installed != pin:
            raise _other_environment(pin, installed or f"no {distribution}")
    if model.details["local"]:
        listed = ", ".join(model.details["local"])
        raise UsageError(
            f"the model needs the module {listed}, which no installed package has, so it cannot travel with the model",
            fix="put its functions and classes into a functions cell, or install it as a package",
        )


def _other_environment(there: str, here: str) -> UsageError:
    return UsageError(
        f"the notebook ran with {there}, and here is {here}",
        fix="run nb2prod in the environment of the notebook's kernel",
    )


@contextmanager
def loaded(pipeline: Pipeline, result: Result, model: Artifact) -> Iterator[Kept]:
    """Model, example and predictions as the run kept them, with the notebook's module importable meanwhile."""
    predictions = artifact_of(pipeline, result, "predictions")
    if predictions.details["stochastic"]:
        raise NotProved(
            f"the model {model.name} predicts something else each time, so nothing can be proved of it",
            fix="give it a random_state, or make predict deterministic",
        )
    module = model_formats.of_its_own(pipeline.module) if model.details["uses"] else None
    run = Path(result.directory)
    there = nullcontext() if module is None else model_formats.importable(module, also=pipeline.module.name)
    with there, warnings.catch_warnings():
        example = _read(run, artifact_of(pipeline, result, "example"))
        kept = Kept(_read(run, model), model, example, _read(run, predictions), module)
        _refuse_answer(kept)
        yield kept


def _read(run: Path, artifact: Artifact) -> Any:
    return artifacts.read(run / artifact.path, artifact.digest)


def _refuse_answer(kept: Kept) -> None:
    import numpy as np
    from pandas import isna

    expected, given = rows_of(kept.example), rows_of(kept.predictions)
    if expected == 0:
        raise NotProved("the example has no rows, so nothing can be proved with it", fix="tag data with rows")
    if expected != given:
        raise NotProved(
            f"the model gives {given} predictions for the {expected} rows of the example",
            fix="predict must give one answer a row",
        )
    missing = int(np.asarray(isna(np.asarray(kept.predictions, dtype=object))).sum())
    if missing:
        raise NotProved(
            f"{missing} of the model's predictions on the example are missing (NaN)",
            fix="handle missing values inside the model, or take such rows out of the example",
        )
