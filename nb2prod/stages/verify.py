"""A package is verified: first that its files are those that were made, then that it still answers as it did.

Nothing of the package is loaded before every checksum holds, and before its `MLmodel` and `package.json` agree on what
may be loaded. Both cover each other but nothing covers both: who can write the whole folder can write another package.
Where that matters, compare the digest with one that was kept elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from nb2prod.core.errors import NotProved
from nb2prod.core.model_package import ModelPackage, Parity
from nb2prod.core.pipeline import HoistedModule
from nb2prod.stages import proof
from nb2prod.stages.model_folder import CODE, EXAMPLE, PREDICTIONS
from nb2prod.stages.package import MANIFEST, PARITY, SCHEMA, as_package
from nb2prod.storage import artifacts, checksums, codec, model_formats
from nb2prod.storage.artifacts import FORMATS, Stored

LOADERS = ("mlflow.sklearn", "mlflow.pyfunc.loaders.code_model")


def verify_package(folder: Path) -> Parity:
    """The proof, made again. Raises NotProved when a file is not as it was made, or the package answers otherwise."""
    package = read_package(folder)
    stated = codec.build(Parity, _without_schema(_json(folder, PARITY)))
    if stated != package.parity:
        raise _refused(folder, f"{PARITY} and {MANIFEST} say different things of the proof")
    example = _stored(folder, EXAMPLE)
    predictions = _stored(folder, PREDICTIONS)
    with proof.Prover(package.requirements) as prover:
        parity = proof.prove(prover, folder, example, artifacts.read(predictions.path, predictions.digest))
    return _agreed(folder, stated, parity)


def read_package(folder: Path) -> ModelPackage:
    """A package from its folder: every checksum holds, and nothing of it was loaded."""
    digest = checksums.verify(folder)
    manifest = _json(folder, MANIFEST)
    if manifest.get("schema") != SCHEMA:
        raise _refused(folder, f"{MANIFEST} is not of the schema {SCHEMA}")
    _refuse_forged(folder, manifest)
    return as_package(manifest, folder, digest)


def _refuse_forged(folder: Path, manifest: Mapping[str, Any]) -> None:
    """`MLmodel` says what is loaded and how; it may say only what nb2prod writes."""
    import yaml

    try:
        flavors = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))["flavors"]
        loader = flavors["python_function"]["loader_module"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise _refused(folder, "MLmodel describes no model with the python_function flavor") from error
    if loader not in LOADERS:
        raise _refused(folder, f"MLmodel asks for the loader {loader}")
    for flavor in flavors.values():
        _refuse_places(folder, flavor)
    sklearn = flavors.get("sklearn", {})
    if sklearn and sklearn.get("serialization_format") != manifest["format"]["format"]:
        raise _refused(folder, f"MLmodel and {MANIFEST} say different things of the format")
    _refuse_trust(folder, sklearn.get("skops_trusted_types") or [], manifest)


def _refuse_places(folder: Path, flavor: Mapping[str, Any]) -> None:
    if flavor.get("code") not in (None, CODE):
        raise _refused(folder, f"MLmodel takes code from {flavor['code']}")
    places = [flavor.get(key) for key in ("data", "model_path", "pickled_model", "model_code_path")]
    places += [artifact.get(key) for artifact in (flavor.get("artifacts") or {}).values() for key in ("path", "uri")]
    for place in (PurePosixPath(str(place or ".")) for place in places):
        if place.is_absolute() or ".." in place.parts:
            raise _refused(folder, f"MLmodel names {place}, which is outside of the package")


def _refuse_trust(folder: Path, trusted: list[str], manifest: Mapping[str, Any]) -> None:
    if sorted(trusted) != sorted(manifest["format"]["trusted"]):
        raise _refused(folder, f"MLmodel and {MANIFEST} trust different types")
    name = manifest["module"]
    for kind in trusted:
        home, _, last = kind.rpartition(".")
        module = HoistedModule(name, "", (last,)) if name and home == name else None
        if not model_formats.is_trusted(kind, module):
            raise _refused(folder, f"MLmodel trusts {kind}, which is not on the list of types to trust")


def _agreed(folder: Path, stated: Parity, found: Parity) -> Parity:
    if (stated.input_digest, stated.output_digest) != (found.input_digest, found.output_digest):
        raise _refused(folder, f"{PARITY} is about another example or other predictions")
    if found.verdict not in ("equal", "tolerant"):
        path = found.paths[0]
        raise NotProved(
            f"the package predicts otherwise than it did when it was made, for {path.rows - path.exact} of "
            f"{path.rows} rows",
            where=str(folder),
            fix="compare the environment with the one in parity.json",
        )
    return found


def _stored(folder: Path, stem: str) -> Stored:
    found = [folder / f"{stem}{suffix}" for suffix in FORMATS if (folder / f"{stem}{suffix}").is_file()]
    if len(found) != 1:
        raise _refused(folder, f"it has {len(found)} files {stem}.*, not one")
    return artifacts.found(found[0])


def _json(folder: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _refused(folder, f"{name} is not there, or is no JSON") from error
    if not isinstance(content, dict):
        raise _refused(folder, f"{name} is no JSON object")
    return content


def _without_schema(content: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name != "schema"}


def _refused(folder: Path, what: str) -> NotProved:
    return NotProved(
        f"{what}; nothing of it was loaded", where=str(folder), fix="make the package again, or fetch it again"
    )
