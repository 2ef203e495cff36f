"""A finished run becomes a model package: an MLflow model folder that carries its own proof.

    MLmodel, model.skops …      what MLflow loads, serves and registers as it is
    code/                       the notebook's functions and classes, when the model needs them
    package.json                what this is, where it comes from, how it is written and why
    parity.json, parity/        the proof, with the example and the notebook's predictions to make it again
    model_card.md, .html, plots/  what a person must know
    checksums                   of every other file; the SHA-256 of this one is the package's digest

The folder is made beside its place, proved there, and only then moved. When anything is refused nothing is there.
"""

from __future__ import annotations

import dataclasses
import json
import math
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from nb2prod.core.errors import FindingsError, NotebookFailed, NotProved, TestsFailed, UsageError
from nb2prod.core.model_package import ModelPackage, Parity
from nb2prod.core.parity import brief
from nb2prod.core.pipeline import Pipeline
from nb2prod.core.result import Result
from nb2prod.language.fitted import rows_of_fit
from nb2prod.stages import card, contract, model_folder, proof, translate
from nb2prod.stages import kept as kept_run
from nb2prod.stages.certificate import papers as certificate
from nb2prod.stages.certificate import probe
from nb2prod.stages.certificate.certify import Way, certify, with_further
from nb2prod.stages.certificate.paths import Evidence, begin_fresh
from nb2prod.stages.model_folder import Kept, Written
from nb2prod.stages.provenance import origin, papers, signing, steady
from nb2prod.stages.provenance.lock import PINS
from nb2prod.stages.register import register as register
from nb2prod.storage import artifacts, checksums, codec
from nb2prod.storage.files import write_text
from nb2prod.storage.folders import replacing_folder

SCHEMA = "nb2prod/package/1"
MANIFEST = "package.json"
FORBIDDEN = frozenset("/:.%\"'\\")  # MLflow refuses them in the name of a model


def package(
    pipeline: Pipeline,
    result: Result,
    destination: Path,
    *,
    name: str | None = None,
    version: str = "1",
    lock: str = PINS,
    key: Path | None = None,
    further: Sequence[Way] = (),
) -> ModelPackage:
    """Make the package of a run at `destination`, which may hold an earlier package. Raises when it is not proved.

    `lock` says where the lock's hashes come from (`provenance.lock`); `key` is a private key to sign the package with;
    `further` are paths to prove beside the cheap ones.
    """
    called = name_of(pipeline, name)
    refuse_unfinished(pipeline, result)
    refuse_destination(destination)
    model = kept_run.artifact_of(pipeline, result, "model")
    kept_run.refuse_other_environment(model)
    with (
        proof.mlflow_settings(),
        proof.Prover(model.details["requirements"]) as prover,
        kept_run.loaded(pipeline, result, model) as kept,
        replacing_folder(destination.absolute()) as folder,
    ):
        written = model_folder.write(folder, kept, moment=_moment(result), seed=result.run)
        steady.make_steady(folder)
        evidence = _evidence(folder, kept, written, result)
        begin_fresh(prover, evidence)
        contract.write(folder, kept, written, pipeline.notebook)
        translation = translate.translate(folder, kept, written)
        carried = papers.carry(folder, written.requirements, lock)
        studied = card.study(result, kept)
        parity = _proved(lambda: certify(prover, evidence), kept, written)
        translation, was_dropped = translate.proved(folder, translation, parity)
        if was_dropped:
            carried = papers.carry(folder, written.requirements, lock)
        more = carried.told(folder) | {"onnx": codec.plain(translation)}

        def finish(parity: Parity) -> tuple[dict[str, Any], str]:
            manifest = _manifest(pipeline, result, called, version, kept, written, parity) | more
            _write_papers(folder, manifest, parity, pipeline, result, studied)
            papers.write_papers(folder, manifest, carried, result.datasets)
            return manifest, checksums.write(folder)

        manifest, digest = finish(parity)
        if further:
            parity = _proved(lambda: with_further(parity, evidence, further), kept, written)
            manifest, digest = finish(parity)
        if key is not None:
            signing.sign(folder, key)
    made = dataclasses.replace(as_package(manifest, destination, digest), run=result.run)
    origin.note(Path(result.directory), made)
    return made


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
                fix=f"tag the step that makes the {tag} with {tag}:{_name_for(tag, pipeline)}",
            )


def _name_for(tag: str, pipeline: Pipeline) -> str:
    """What to tag: for the example the frame that `fit` got, where it has a name."""
    return (rows_of_fit(pipeline) if tag == "example" else "") or "NAME"


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
    ours = {*checksums.named(destination), *checksums.UNNAMED}
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


def _evidence(folder: Path, kept: Kept, written: Written, result: Result) -> Evidence:
    """What the paths are compared with, frozen in the package."""
    found = probe.kept(result)
    if found is not None:
        found = probe.write(probe.described(found, written.described.example), folder)
    return Evidence(folder, written.example, kept.predictions, found)


def _proved(prove: Callable[[], Parity], kept: Kept, written: Written) -> Parity:
    """Raises NotProved unless the package answers as the notebook did, on every path."""
    try:
        return prove()
    except NotProved as error:
        what = f"{error.what}; it is not released" if "otherwise than" in error.what else error.what
        raise NotProved(what, fix=_advice(kept, written)) from error


def _advice(kept: Kept, written: Written) -> str:
    if written.described.conversions and not written.described.restored:
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
        **steady.created(),
        "notebook": pipeline.notebook.path.name,
        "notebook_digest": pipeline.notebook.digest,
        "model_type": kept.artifact.details["type"],
        "format": written.format,
        "asking": kept.asked.asking,
        "classes": kept.artifact.details.get("classes", []),
        "module": kept.module.name if kept.module is not None else "",
        "signature": {"inputs": written.described.signature.inputs.to_dict()},
        "conversions": written.described.conversions,
        "metrics": result.metrics,
        "parameters": _parameters(pipeline, result),
        "requirements": written.requirements,
        "parity": brief(parity),
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
    folder: Path,
    manifest: Mapping[str, Any],
    parity: Parity,
    pipeline: Pipeline,
    result: Result,
    studied: card.Studied,
) -> None:
    write_json(folder / MANIFEST, manifest)
    certificate.write(folder, parity, str(manifest["name"]))
    plots = _copy_plots(folder, result)
    card.write(folder, manifest, parity, pipeline, result, plots, studied)


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
