"""What the package is made of, for tools that watch over such lists: `sbom.json`, a CycloneDX 1.6 document.

Its subject is the model, with a model card as CycloneDX has one (inputs, outputs, data, metrics); its components are
the libraries of the locks, with what each needs of the others. No library of CycloneDX writes a model card, so it is
written here and tested against the official schema.

The serial number is made from the content, and the moment is only there where `SOURCE_DATE_EPOCH` says one: the same
package has the same document.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from nb2prod.core.result import Dataset
from nb2prod.stages.provenance import steady
from nb2prod.stages.provenance.closure import Installed
from nb2prod.stages.provenance.licences import UNKNOWN, Licence
from nb2prod.stages.provenance.lock import Lock
from nb2prod.storage.files import write_text

FILE = "sbom.json"
SPACE = uuid.UUID("7a1c2b9e-6f0d-5c43-9d1e-2f8b0a4e6d31")  # of nb2prod's serial numbers


@dataclass(frozen=True, slots=True)
class Library:
    """One distribution; `locks` are the files of the package that name it."""

    installed: Installed
    licence: Licence
    hashes: tuple[str, ...]
    locks: tuple[str, ...]

    @property
    def purl(self) -> str:
        return f"pkg:pypi/{self.licence.name}@{self.licence.version}"


def libraries(
    locks: Mapping[str, tuple[Lock, Sequence[Installed]]], licences: Iterable[Licence]
) -> tuple[Library, ...]:
    """Everything that any of the locks names, once."""
    by_name = {one.name: one for one in licences}
    found: dict[str, Library] = {}
    for file, (lock, distributions) in locks.items():
        for distribution in distributions:
            licence = by_name[distribution.name]
            earlier = found[licence.name].locks if licence.name in found else ()
            hashes = tuple(lock.hashes.get(f"{licence.name}=={licence.version}", ()))
            found[licence.name] = Library(distribution, licence, hashes, (*earlier, file))
    return tuple(found[name] for name in sorted(found))


def write(folder: Path, manifest: Mapping[str, Any], found: Sequence[Library], datasets: Iterable[Dataset]) -> None:
    text = json.dumps(document(manifest, found, datasets), ensure_ascii=False, indent=2, allow_nan=False)
    write_text(folder / FILE, text + "\n")


def document(manifest: Mapping[str, Any], found: Sequence[Library], datasets: Iterable[Dataset] = ()) -> dict[str, Any]:
    """The CycloneDX document of a package whose `package.json` has this content."""
    model = _model(manifest, tuple(datasets))
    content = {
        "metadata": {**_when(), "component": model},
        "components": [_component(library) for library in found],
        "dependencies": [*_dependencies(model["bom-ref"], manifest, found)],
    }
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(SPACE, hashlib.sha256(text.encode()).hexdigest())}",
        "version": 1,
        **content,
    }


def _when() -> dict[str, str]:
    moment = steady.moment()
    return {} if moment is None else {"timestamp": moment.isoformat(timespec="seconds")}


# -- the model ------------------------------------------------------------------------------------------------------


def _model(manifest: Mapping[str, Any], datasets: tuple[Dataset, ...]) -> dict[str, Any]:
    told = {
        "nb2prod:notebook": manifest["notebook"],
        "nb2prod:notebook_digest": manifest["notebook_digest"],
        "nb2prod:format": manifest["format"]["format"],
    }
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{manifest['name']}@{manifest['version']}",
        "name": manifest["name"],
        "version": manifest["version"],
        "modelCard": _card(manifest, datasets),
        "properties": [{"name": name, "value": value} for name, value in told.items()],
    }


def _card(manifest: Mapping[str, Any], datasets: tuple[Dataset, ...]) -> dict[str, Any]:
    parameters: dict[str, Any] = {"modelArchitecture": manifest["model_type"]}
    seen = {(data.name, data.digest): data for data in datasets}
    if seen:
        parameters["datasets"] = [_dataset(data) for data in seen.values()]
    for name, key in (("inputs", "inputs"), ("outputs", "outputs")):
        formats = _formats(manifest["signature"].get(key) or ())
        if formats:
            parameters[name] = formats
    card: dict[str, Any] = {"modelParameters": parameters}
    if manifest["metrics"]:
        measured = [{"type": name, "value": str(value)} for name, value in manifest["metrics"].items()]
        card["quantitativeAnalysis"] = {"performanceMetrics": measured}
    return card


def _dataset(data: Dataset) -> dict[str, Any]:
    rows = f"{data.rows} rows, " if data.rows is not None else ""
    return {
        "type": "dataset",
        "name": data.name,
        "description": f"{rows}read by step {data.step}",
        "contents": {"properties": [{"name": "nb2prod:digest", "value": data.digest}]},
    }


def _formats(columns: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """`pirat: double` of each column; of an array its type."""
    said = []
    for column in columns:
        kind = column["tensor-spec"]["dtype"] if "tensor-spec" in column else column.get("type", "any")
        kind = kind if isinstance(kind, str) else json.dumps(kind)
        said.append({"format": f"{column['name']}: {kind}" if "name" in column else kind})
    return said


# -- its libraries --------------------------------------------------------------------------------------------------


def _component(library: Library) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": library.purl,
        "name": library.licence.name,
        "version": library.licence.version,
        "purl": library.purl,
        "properties": [{"name": "nb2prod:lock", "value": lock} for lock in library.locks],
    }
    if library.licence.spdx != UNKNOWN:
        component["licenses"] = [{"expression": library.licence.spdx}]
    elif library.licence.stated:
        component["licenses"] = [{"license": {"name": library.licence.stated}}]
    if len(library.hashes) == 1:
        # several are of several files for several platforms, which one component cannot say
        component["hashes"] = [{"alg": "SHA-256", "content": library.hashes[0].removeprefix("sha256:")}]
    return component


def _dependencies(model: str, manifest: Mapping[str, Any], found: Sequence[Library]) -> Iterable[dict[str, Any]]:
    purls = {library.licence.name: library.purl for library in found}
    wanted = {str(canonicalize_name(pin.partition("==")[0])) for pin in manifest["requirements"]}
    yield {"ref": model, "dependsOn": sorted(purls[name] for name in wanted & purls.keys())}
    for library in found:
        # what extras add is in the locks and has lines of its own
        needed = {str(canonicalize_name(one.name)) for one in library.installed.needed([""])} & purls.keys()
        yield {"ref": library.purl, "dependsOn": sorted(purls[name] for name in needed - {library.licence.name})}
