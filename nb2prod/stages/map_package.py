"""A finished map becomes one model package: it takes the key beside the model's own input, and asks the key's model.

    MLmodel, python_model.py    what MLflow loads: `templates/package/routed_model.py`
    artifacts/models/           the models of the items that are ok, in shards, and `routes.json`: whose is where
    code/, package.json, parity.json, parity/, model_card.md, checksums     as in every package (`stages/package.py`)

A key that has no model gets no guess. Which answer it gets is the `fallback`:

    refuse          the call is refused, with the key and the row (the default)
    null            the row has no prediction, and the column `reason` says so; every answer has that column
    item:NUMBER     the model of one item, chosen by name
    pooled          a model that the notebook itself fits on the whole table

Before anything is written every model is loaded once; then a fresh process and the package's service must predict, for
a sample of the items, what those items' own models said in the run, and give a key without a model what the fallback
says.
"""

from __future__ import annotations

import dataclasses
import platform
import tempfile
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nb2prod.core.errors import FindingsError, NotebookFailed, NotProved, UsageError
from nb2prod.core.mapping import ItemResult
from nb2prod.core.model_package import FormatChoice, ModelPackage, Parity
from nb2prod.core.parity import ISOLATED, PROJECT, LeftOut, brief
from nb2prod.core.pipeline import HoistedModule
from nb2prod.stages import card, floors, model_folder, proof, routes
from nb2prod.stages import package as packaging
from nb2prod.stages.certificate import papers as certificate
from nb2prod.stages.certificate import probe
from nb2prod.stages.certificate.certify import Way, certify, with_further
from nb2prod.stages.certificate.paths import Evidence, begin_fresh
from nb2prod.stages.map_probe import probe_of
from nb2prod.stages.map_sample import Sample, sample
from nb2prod.stages.provenance import origin, papers, signing, steady
from nb2prod.stages.provenance.lock import PINS
from nb2prod.stages.routes import REFUSE, Fallback, Finished, Tell
from nb2prod.stages.signature import Described, describe, first_rows
from nb2prod.storage import artifacts, checksums, codec, model_formats, requirements, shards, templates
from nb2prod.storage.files import write_text
from nb2prod.storage.folders import replacing_folder

CARD = "package/routed_card.md.j2"
TELLS = {
    "refuse": "The call is refused, with the keys and rows that have no model.",
    "null": "The row has no prediction, and the column `reason` says so.",
    "item": "The model of one item answers instead, which was chosen by name.",
    "pooled": "A model answers that the notebook fitted on the whole table.",
}
FORMAT = FormatChoice("cloudpickle", "a model of a map is written once, in the process that fitted it, and not anew")
# how its items ran is said by the map's isolation, and no project trains a model for each row of a table
NOT_OF_A_MAP: tuple[Way, ...] = (
    lambda _: LeftOut(ISOLATED, "of a map there is no run in isolated steps"),
    lambda _: LeftOut(PROJECT, "of a map there is no project"),
)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the package is made of: the models' keys and items, their sample, and how a signature describes it."""

    keys: tuple[str, ...]
    good: tuple[ItemResult, ...]
    sample: Sample
    described: Described
    module: HoistedModule | None
    pins: tuple[str, ...]


def package(
    finished: Finished,
    destination: Path,
    *,
    name: str | None = None,
    version: str = "1",
    fallback: Fallback = REFUSE,
    tell: Tell = lambda _: None,
    lock: str = PINS,
    key: Path | None = None,
    further: Sequence[Way] = (),
) -> ModelPackage:
    """Make the package. Raises, and leaves nothing at `destination`, unless it answers as the items' models did."""
    plan = finished.plan
    called = packaging.name_of(plan.pipeline, name)
    packaging.refuse_destination(destination)
    _refuse_unfinished(finished)
    found = (result for result in finished.results if result.status == "ok" and result.kept is not None)
    good = tuple(sorted(found, key=lambda result: result.number))
    own = model_formats.of_its_own(plan.pipeline.module)  # as the job of the map's workers has it
    keys = routes.keys_of(plan, good)
    routes.refuse_fallback(finished, good, fallback)
    with (
        proof.mlflow_settings(),
        _importable(own),
        replacing_folder(destination.absolute()) as folder,
        tempfile.TemporaryDirectory(prefix="nb2prod-map-") as scratch,
    ):
        packed = routes.pack(Path(scratch), finished, good, tell)
        shown = sample(plan, keys, good, fallback)
        routes.write_routes(packed, good, keys, shown.inputs, fallback, shown.answer)
        probed = probe_of(finished, good, keys, shown, fallback)
        parts = _parts(own, keys, good, shown, packed.packages)
        with proof.Prover(parts.pins) as prover:
            evidence = _write_folder(folder, Path(scratch), finished, parts, probed)
            begin_fresh(prover, evidence)
            carried = papers.carry(folder, parts.pins, lock)
            parity = with_further(_proved(lambda: certify(prover, evidence)), evidence, NOT_OF_A_MAP)

        def finish(parity: Parity) -> tuple[dict[str, Any], str]:
            manifest = _manifest(finished, called, version, fallback, parts, parity) | carried.told(folder)
            packaging.write_json(folder / packaging.MANIFEST, manifest)
            certificate.write(folder, parity, called)
            write_text(folder / "model_card.md", _card(manifest, parity, finished))
            papers.write_papers(folder, manifest, carried)
            return manifest, checksums.write(folder)

        manifest, digest = finish(parity)
        if further:
            parity = _proved(lambda: with_further(parity, evidence, further))
            manifest, digest = finish(parity)
        if key is not None:
            signing.sign(folder, key)
    made = dataclasses.replace(packaging.as_package(manifest, destination, digest), run=plan.run)
    origin.note(Path(plan.directory), made)
    return made


def _importable(module: HoistedModule) -> AbstractContextManager[Any]:
    return model_formats.importable(module) if module.source else nullcontext()


# -- what may be packed ---------------------------------------------------------------------------------------------


def _refuse_unfinished(finished: Finished) -> None:
    plan = finished.plan
    for tag, tagged in (("model", plan.pipeline.model), ("example", plan.pipeline.example)):
        if tagged is None:
            raise FindingsError(
                f"no step is tagged {tag}:NAME, so there is nothing to package",
                where=str(plan.pipeline.notebook.path),
                fix=f"tag the step that makes the {tag} with {tag}:NAME, and run the map again",
            )
    for step in plan.pipeline.steps:
        if step.predicts:
            raise FindingsError(
                f"step {step.name} is tagged predict:{step.predicts[0]}; a map's models answer by their predict alone",
                where=str(plan.pipeline.notebook.path),
                fix="leave out the tag, or give the model a method predict that answers so",
            )
    if len(finished.results) < finished.total:
        raise NotebookFailed(
            f"the map is not finished: {len(finished.results):,} of {finished.total:,} items were run",
            where=plan.directory,
            fix="go on with --resume",
        )
    floors.refuse_failed(finished.judged)
    if not any(result.status == "ok" and result.kept for result in finished.results):
        raise NotebookFailed("no item of the map has a model", where=plan.directory, fix="look at the failures")


def _parts(
    own: HoistedModule, keys: tuple[str, ...], good: tuple[ItemResult, ...], shown: Sample, needed: frozenset[str]
) -> _Parts:
    module = own if own.name in needed else None
    packages = {*needed, *shown.packages, *(own.imports if module else ())} - {own.name}
    described = describe(shown.example, shown.predictions)
    return _Parts(keys, good, shown, described, module, _pins(packages))


# -- what the package holds -----------------------------------------------------------------------------------------


def _pins(packages: Iterable[str]) -> tuple[str, ...]:
    """Exact versions of what loading and predicting import. Raises UsageError for a module that cannot travel."""
    found = requirements.installed(packages)
    if found["local"]:
        raise UsageError(
            f"the models need the module {', '.join(found['local'])}, which no installed package has",
            fix="put its functions and classes into a functions cell, or install it as a package",
        )
    always = [requirements.pin(name) for name in ("mlflow-skinny", "numpy", "pandas", "cloudpickle")]
    return tuple(sorted({*found["requirements"], *always}, key=str.lower))


def _write_folder(folder: Path, scratch: Path, finished: Finished, parts: _Parts, probed: probe.ProbeSet) -> Evidence:
    """The MLflow model, and what its proof is made with."""
    try:
        with model_folder.quiet():
            _save(folder, scratch, finished, parts)
    except Exception as error:
        raise NotProved(f"MLflow cannot write the model: {type(error).__name__}: {error}") from error
    if parts.module is not None:
        write_text(folder / model_folder.CODE / "__pycache__", model_folder.NO_BYTE_CODE)
    artifacts.write(parts.sample.predictions, folder / model_folder.PREDICTIONS)
    example = artifacts.write(parts.described.example, folder / model_folder.EXAMPLE)
    steady.make_steady(folder)
    asked = probe.write(probe.described(probed, parts.described.example), folder)
    return Evidence(folder, example, parts.sample.predictions, asked)


def _save(folder: Path, scratch: Path, finished: Finished, parts: _Parts) -> None:
    import mlflow.models
    import mlflow.pyfunc

    moment = str(_moment(finished).replace(tzinfo=None))
    identity = uuid.uuid5(uuid.NAMESPACE_URL, f"{finished.plan.run}/{finished.plan.digest}").hex
    mlflow.pyfunc.save_model(
        path=str(folder),
        python_model=str(templates.folder("package") / "routed_model.py"),
        artifacts={"models": str(scratch / shards.FOLDER)},
        mlflow_model=mlflow.models.Model(utc_time_created=moment, model_uuid=identity),
        signature=parts.described.signature,
        input_example=first_rows(parts.described.example),
        pip_requirements=list(parts.pins),
        code_paths=model_folder.code_of(scratch, parts.module),
    )
    model_folder.finish_code_model(folder)


def _proved(prove: Callable[[], Parity]) -> Parity:
    """Raises NotProved unless the package answers as the items' models did, on every path."""
    try:
        return prove()
    except NotProved as error:
        advice = (
            "let the models depend on nothing but their input, and change neither model nor example after their step"
        )
        raise NotProved(f"{error.what}; it is not released", fix=advice) from error


# -- papers ---------------------------------------------------------------------------------------------------------


def _manifest(
    finished: Finished, name: str, version: str, fallback: Fallback, parts: _Parts, parity: Parity
) -> dict[str, Any]:
    """The content of `package.json`: that of any package, and `map`."""
    plan = finished.plan
    secret = {parameter.name for parameter in plan.pipeline.parameters if parameter.secret}
    content = {
        "schema": packaging.SCHEMA,
        "name": name,
        "version": version,
        **steady.created(),
        "notebook": plan.pipeline.notebook.path.name,
        "notebook_digest": plan.pipeline.notebook.digest,
        "model_type": f"{len(parts.good)} models, one for each {', '.join(parts.keys)} ({parts.sample.model_type})",
        "format": FORMAT,
        "module": parts.module.name if parts.module is not None else "",
        "signature": {"inputs": parts.described.signature.inputs.to_dict()},
        "conversions": parts.described.conversions,
        "metrics": finished.metrics,
        "parameters": {name: value for name, value in plan.given.items() if name not in secret},
        "requirements": parts.pins,
        "parity": brief(parity),
        "python": platform.python_version(),
        "map": {
            "keys": parts.keys,
            "inputs": parts.sample.inputs,
            "models": len(parts.good),
            "items": len(finished.results),
            "left_out": plan.left_out,
            "fallback": fallback.text,
            "pooled": finished.told,
            "proved_items": len(parts.sample.items),
            "table": Path(plan.table).name,
            "table_digest": plan.digest,
        },
    }
    return dict(packaging.finite(codec.plain(content)))


def _card(manifest: Mapping[str, Any], parity: Parity, finished: Finished) -> str:
    heading, description = card.opening(finished.plan.pipeline.notebook)
    columns = [{"required": True, **column} for column in manifest["signature"]["inputs"]]
    values = {**manifest, "title": heading, "description": description, "parity": parity, "columns": columns}
    return templates.render(CARD, {**values, "tells": TELLS[manifest["map"]["fallback"].partition(":")[0]]})


def _moment(finished: Finished) -> datetime:
    """When the map began: the same for every package of it."""
    return datetime.fromtimestamp(finished.started, UTC)
