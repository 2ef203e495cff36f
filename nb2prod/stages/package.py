"""A finished run becomes a model package: an MLflow model folder that carries its own proof.

    MLmodel, model.skops …      what MLflow loads, serves and registers as it is
    code/                       the notebook's functions and classes, when the model needs them
    package.json                what this is, where it comes from, how it is written and why
    parity.json, parity/        the proof, with the example and the notebook's predictions to make it again
    model_card.md, plots/       what a person must know
    checksums                   of every other file; the SHA-256 of this one is the package's digest

The folder is made beside its place, proved there, and only then moved. When anything is refused nothing is there.
"""

from __future__ import annotations

import dataclasses
import json
import math
import platform
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from nb2prod.core.errors import FindingsError, NotebookFailed, NotProved, StoreError, TestsFailed, UsageError
from nb2prod.core.model_package import ModelPackage, Parity
from nb2prod.core.pipeline import Pipeline
from nb2prod.core.result import Artifact, ArtifactKind, Result
from nb2prod.stages import card, model_folder, proof
from nb2prod.stages.model_folder import Kept, Written
from nb2prod.stages.register import register as register
from nb2prod.storage import artifacts, checksums, codec, model_formats, requirements
from nb2prod.storage.digests import rows_of
from nb2prod.storage.files import write_text
from nb2prod.storage.folders import replacing_folder

SCHEMA = "nb2prod/package/1"
PARITY_SCHEMA = "nb2prod/parity/1"
MANIFEST = "package.json"
PARITY = "parity.json"
FORBIDDEN = frozenset("/:.%\"'\\")  # MLflow refuses them in the name of a model


def package(
    pipeline: Pipeline, result: Result, destination: Path, *, name: str | None = None, version: str = "1"
) -> ModelPackage:
    """Make the package of a run at `destination`, which may hold an earlier package. Raises when it is not proved."""
    called = name_of(pipeline, name)
    refuse_unfinished(pipeline, result)
    refuse_destination(destination)
    model = _artifact(pipeline, result, "model")
    _refuse_other_environment(model)
    with (
        proof.mlflow_settings(),
        proof.Prover(model.details["requirements"]) as prover,
        _loaded(pipeline, result, model) as kept,
        replacing_folder(destination.absolute()) as folder,
    ):
        written = model_folder.write(folder, kept, moment=_moment(result), seed=result.run)
        parity = _proved(prover, folder, kept, written)
        manifest = _manifest(pipeline, result, called, version, kept, written, parity)
        _write_papers(folder, manifest, parity, pipeline, result)
        digest = checksums.write(folder)
    return as_package(manifest, destination, digest)


def as_package(manifest: Mapping[str, Any], folder: Path, digest: str) -> ModelPackage:
    """The value of a package whose `package.json` has this content."""
    names = {field.name for field in dataclasses.fields(ModelPackage)} & manifest.keys()
    metrics = {name: float(value) for name, value in manifest["metrics"].items()}
    content = {**{name: manifest[name] for name in names}, "directory": str(folder), "digest": digest}
    return cast(ModelPackage, codec.build(ModelPackage, {**content, "metrics": metrics}))


def refuse_unfinished(pipeline: Pipeline, result: Result) -> None:
    """Raise unless the run is finished, its tests passed, and model and example are tagged."""
    if result.failure is not None:
        raise NotebookFailed(
            f"the run failed: {result.failure.message}",
            where=result.failure.place,
            fix="correct the notebook and run it again",
        )
    if result.status != "finished":
        raise NotebookFailed(f"the run is {result.status}, not finished", where=result.run, fix="run it again")
    if result.failed_tests:
        failed = result.failed_tests
        others = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
        raise TestsFailed(f"the test {failed[0].id} failed{others}; there is no package of a run whose tests fail")
    for tag, tagged in (("model", pipeline.model), ("example", pipeline.example)):
        if tagged is None:
            raise FindingsError(
                f"no step is tagged {tag}:NAME, so there is nothing to package",
                where=str(pipeline.notebook.path),
                fix=f"tag the step that makes the {tag} with {tag}:NAME",
            )


def name_of(pipeline: Pipeline, name: str | None) -> str:
    """The name as given, or the notebook's without what MLflow refuses."""
    if name is None:
        return "".join("_" if letter in FORBIDDEN else letter for letter in pipeline.notebook.name).strip() or "model"
    bad = sorted(FORBIDDEN.intersection(name))
    if bad or not name.strip() or not name.isprintable():
        what = f"contains {' '.join(bad)}" if bad else "is empty or not printable"
        raise UsageError(f"the package's name {name!r} {what}", fix="use letters, digits, spaces, _ and -")
    return name


def refuse_destination(destination: Path) -> None:
    """Only a new place, an empty folder, or a package of ours with no file of anyone else's."""
    where = str(destination)
    if destination.is_symlink():
        raise UsageError("the destination is a link", where=where, fix="name the folder itself")
    if not destination.exists() or (destination.is_dir() and not any(destination.iterdir())):
        return
    if not destination.is_dir():
        raise UsageError("the destination is a file", where=where, fix="name a new folder")
    if _schema(destination) != SCHEMA:
        raise UsageError("the destination exists and is not a package", where=where, fix="name a new folder")
    ours = {*checksums.named(destination), checksums.FILE, checksums.LEFT_BY_MLFLOW}
    there = {path.relative_to(destination).as_posix() for path in destination.rglob("*") if not path.is_dir()}
    if there - ours:
        other = sorted(there - ours)[0]
        raise UsageError(
            f"the earlier package at the destination holds {other}, which is not of it and would be lost",
            where=where,
            fix="move that file away, or name a new folder",
        )


def _schema(folder: Path) -> str:
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    has_checksums = (folder / checksums.FILE).is_file()
    return str(content.get("schema", "")) if isinstance(content, dict) and has_checksums else ""


def _artifact(pipeline: Pipeline, result: Result, kind: ArtifactKind) -> Artifact:
    tagged = pipeline.example if kind == "example" else pipeline.model
    found = result.artifact(kind, tagged[1] if tagged else None)
    if found is None:
        raise StoreError(f"the run kept no {kind}", where=result.directory, fix="run the notebook again")
    return found


def _refuse_other_environment(model: Artifact) -> None:
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
def _loaded(pipeline: Pipeline, result: Result, model: Artifact) -> Iterator[Kept]:
    """Model, example and predictions as the run kept them, with the notebook's module importable meanwhile."""
    predictions = _artifact(pipeline, result, "predictions")
    if predictions.details["stochastic"]:
        raise NotProved(
            f"the model {model.name} predicts something else each time, so nothing can be proved of it",
            fix="give it a random_state, or make predict deterministic",
        )
    module = pipeline.module if model.details["uses"] else None
    run = Path(result.directory)
    with nullcontext() if module is None else model_formats.importable(module), warnings.catch_warnings():
        example = _read(run, _artifact(pipeline, result, "example"))
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


def _proved(prover: proof.Prover, folder: Path, kept: Kept, written: Written) -> Parity:
    """Raises NotProved unless the package answers as the notebook did."""
    advice = _advice(kept, written)
    try:
        parity = proof.prove(prover, folder, written.example, kept.predictions)
    except NotProved as error:
        raise NotProved(error.what, fix=advice) from error
    if parity.verdict in ("equal", "tolerant"):
        return parity
    path = parity.paths[0]
    how = f"{path.flips} flipped" if path.flips else f"by up to {path.difference:g}"
    raise NotProved(
        f"in a fresh process the package predicts otherwise than the notebook for {path.rows - path.exact} of "
        f"{path.rows} rows ({how}); it is not released",
        fix=advice,
    )


def _advice(kept: Kept, written: Written) -> str:
    if written.described.conversions:
        return f"do in the notebook, before fit, what the signature needs: {'; '.join(written.described.conversions)}"
    return "let the model depend on nothing but its input: no global, file, time or random number of the notebook"


def _manifest(
    pipeline: Pipeline, result: Result, name: str, version: str, kept: Kept, written: Written, parity: Parity
) -> dict[str, Any]:
    """The content of `package.json`."""
    content = {
        "schema": SCHEMA,
        "name": name,
        "version": version,
        "created": _moment(result).isoformat(timespec="seconds"),
        "run": result.run,
        "notebook": pipeline.notebook.path.name,
        "notebook_digest": pipeline.notebook.digest,
        "model_type": kept.artifact.details["type"],
        "format": written.format,
        "module": kept.module.name if kept.module is not None else "",
        "signature": {"inputs": written.described.signature.inputs.to_dict()},
        "conversions": written.described.conversions,
        "metrics": result.metrics,
        "parameters": _parameters(pipeline, result),
        "requirements": written.requirements,
        "parity": parity,
        "python": platform.python_version(),
    }
    return dict(finite(codec.plain(content)))


def _parameters(pipeline: Pipeline, result: Result) -> dict[str, Any]:
    """The values that are known. A secret is not there, nor is a default that the notebook computed from others:
    of that the run has the expression and not the value.
    """
    hidden = {parameter.name for parameter in pipeline.parameters if parameter.secret}
    hidden |= {parameter.name for parameter in card.computed(pipeline, result)}
    return {name: value for name, value in result.parameters.items() if name not in hidden}


def finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: they become the words that Protocol Buffers' JSON uses for them."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _write_papers(
    folder: Path, manifest: Mapping[str, Any], parity: Parity, pipeline: Pipeline, result: Result
) -> None:
    write_json(folder / MANIFEST, manifest)
    write_json(folder / PARITY, {"schema": PARITY_SCHEMA, **codec.plain(parity)})
    plots = _copy_plots(folder, result)
    write_text(folder / "model_card.md", card.render(manifest, parity, pipeline, result, plots))


def write_json(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def _copy_plots(folder: Path, result: Result) -> list[str]:
    """Every plot of the run, the last of each name of a step, as `plots/STEP-NAME.png`."""
    copied: dict[str, None] = {}
    for plot in result.artifacts:
        source = Path(result.directory) / plot.path
        if plot.kind != "plot":
            continue
        artifacts.checked(source, source.read_bytes(), plot.digest)
        target = folder / "plots" / f"{plot.step}-{plot.name}{source.suffix}"
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(source, target)
        copied[target.relative_to(folder).as_posix()] = None
    return list(copied)


def _moment(result: Result) -> datetime:
    """When the run began: the same for every package of it."""
    return datetime.fromtimestamp(result.started, UTC)
