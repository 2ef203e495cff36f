"""A package is verified: first that its files are those that were made, then that it still answers as it did.

Nothing of the package is loaded before every checksum holds, and before its `MLmodel` and `package.json` agree on what
may be loaded. Both cover each other but nothing covers both: who can write the whole folder can write another package.
Where that matters, compare the digest with one that was kept elsewhere.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nb2prod.core.errors import NotProved
from nb2prod.core.model_package import ModelPackage, Parity, PathParity
from nb2prod.core.parity import ONNX, brief
from nb2prod.core.policy import Policy
from nb2prod.stages import admission, proof
from nb2prod.stages.certificate import probe
from nb2prod.stages.certificate.certify import first_difference
from nb2prod.stages.certificate.client import PATH, Client, check_client, differs
from nb2prod.stages.certificate.elsewhere import batch
from nb2prod.stages.certificate.examine import Examined, Problem, examine
from nb2prod.stages.certificate.papers import PARITY
from nb2prod.stages.certificate.paths import Evidence
from nb2prod.stages.model_folder import EXAMPLE, PREDICTIONS
from nb2prod.stages.package import MANIFEST
from nb2prod.stages.read_package import described
from nb2prod.stages.read_package import read_package as read_package
from nb2prod.storage import artifacts, checksums, codec
from nb2prod.storage.artifacts import FORMATS, Stored
from nb2prod.storage.files import digest_of


def verify_package(
    folder: Path, *, only: Iterable[str] = (), other_versions: bool = False, policy: Policy | None = None
) -> Parity:
    """The proof, made again. Raises NotProved when a file is not as it was made, or a path answers otherwise."""
    examined = examine_package(folder, only=only, other_versions=other_versions, policy=policy)
    if examined.problems:
        raise not_proved(folder, examined)
    return examined.found


def examine_package(
    folder: Path, *, only: Iterable[str] = (), other_versions: bool = False, policy: Policy | None = None
) -> Examined:
    """What of a package's certificate holds here, path by path. Raises NotProved before anything of it is loaded when
    a file is not as it was made, and when it cannot be loaded.

    `only` names paths, none means all that can be tried offline; `other_versions` lets libraries differ while the
    numbers hold. `policy` says what may be loaded, None: the one that is found. What is examined is a copy.
    """
    with admission.admitted(folder, policy) as checked:
        return _examined(checked, only, other_versions)


def examine_client(folder: Path, client: Client, *, policy: Policy | None = None) -> Examined:
    """The path of somebody's own client, alone; the certificate's other paths are not tried."""
    with admission.admitted(folder, policy) as checked, proof.mlflow_settings():
        package, stated = _stated(checked)
        runtime = "onnx" if stated.path(ONNX) is not None else "mlflow"
        with proof.Prover(package.requirements if runtime == "mlflow" else None) as prover:
            path = check_client(prover, _evidence(checked), runtime, client)
    found = dataclasses.replace(stated, verdict=path.verdict, paths=(path,), left_out=())
    first = first_difference(path)
    problems = () if path.holds else (Problem(PATH, differs(path), first.row if first is not None else None),)
    return Examined(stated, found, problems)


def verify_client(folder: Path, client: Client, *, policy: Policy | None = None) -> PathParity:
    """The same; raises NotProved, naming row and column, when it does not hold."""
    examined = examine_client(folder, client, policy=policy)
    for problem in examined.problems:
        fix = "send every value with all its digits; in Python json.dumps of frame.to_dict does"
        raise NotProved(problem.what, where=str(folder), fix=fix)
    return examined.found.paths[0]


def _examined(folder: Path, only: Iterable[str], other_versions: bool) -> Examined:
    package, stated = _stated(folder)
    with proof.mlflow_settings():
        return examine(
            package.requirements, stated, _evidence(folder), only=only, other_versions=other_versions, batch=batch
        )


def _stated(folder: Path) -> tuple[ModelPackage, Parity]:
    package = described(folder, digest_of(folder / checksums.FILE))
    stated = codec.build(Parity, _without_schema(_json(folder, PARITY)))
    if brief(stated) != package.parity:
        raise _refused(folder, f"{PARITY} and {MANIFEST} say different things of the proof")
    return package, stated


def _evidence(folder: Path) -> Evidence:
    predictions = _stored(folder, PREDICTIONS)
    expected = artifacts.read(predictions.path, predictions.digest)
    return Evidence(folder, _stored(folder, EXAMPLE), expected, probe.read(folder))


def not_proved(folder: Path, examined: Examined) -> NotProved:
    """All that does not hold, as one error."""
    first, *more = [problem.what for problem in examined.problems]
    return NotProved(
        "\n  ".join([first, *more]),
        where=str(folder),
        fix="compare the environment with the one in parity.json; make the package again where it is meant to be so",
    )


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
