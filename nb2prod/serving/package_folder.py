"""A model folder, looked at from outside: checked against its checksums, its signature read, nothing of it loaded.

A *package* has `package.json` and `checksums` (`sha256sum` lines for every file but itself); its digest is the SHA-256
of `checksums`. A plain MLflow model folder has neither; it is served under its folder's name, with the digest of its
`MLmodel`, and without a promise about its other files.

Three kinds of files may be there although no line names them: the signature, `signature.json`, which is about the
checksums and is not read here; and what loading a package elsewhere leaves behind, MLflow's `registered_model_meta` and
byte code in `__pycache__`. Byte code can be forged, so a package is never loaded
from where it lies: `copied_to` makes a copy of the named files only, and what it copies it checks again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from . import contract
from .contract import NOTHING_KNOWN, Contract
from .errors import ServingError
from .signature import Signature, read_signature

CHECKSUMS = "checksums"
MANIFEST = "package.json"
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_LEFT_BEHIND = re.compile(r"signature\.json|registered_model_meta|(.+/)?__pycache__/[^/]+\.pyc")
_PATHS_IN_FLAVORS = ("code", "data", "model_path", "pickled_model", "python_model")
_EXAMPLE_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class PackageFolder:
    """`checksums` maps a relative path to its SHA-256 and is None for a plain MLflow folder.

    `example` are up to three rows of the input example, as JSON has them.
    """

    path: Path
    name: str
    version: str
    digest: str
    signature: Signature | None
    example: tuple[Any, ...] = ()
    checksums: Mapping[str, str] | None = None
    contract: Contract = NOTHING_KNOWN

    def copied_to(self, target: Path) -> Path:
        """Copy the files that the checksums name. Raises ServingError when one changed since it was checked."""
        for name, digest in (self.checksums or {}).items():
            copy = target / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            if _digest(self.path / name, copy) != digest:
                raise _refused(self.path, f"the file {name} changed while it was being read")
        return target


def open_folder(folder: Path) -> PackageFolder:
    """Check a folder and read what serving needs to know. Raises ServingError (exit code 7) when it is not whole."""
    folder = folder.absolute()
    if not folder.is_dir():
        raise ServingError("there is no such folder", where=str(folder), fix="give a package's folder", exit_code=7)
    files = frozenset(_files(folder))
    checksums, digest = _checked(folder, files)
    if "MLmodel" not in files:
        raise _refused(folder, "this is no MLflow model: the file MLmodel is missing")
    model = _model_file(folder)
    name, version = _identity(folder) if checksums is not None else (folder.name, "")
    return PackageFolder(
        path=folder,
        name=name,
        version=version,
        digest=digest,
        signature=read_signature(model, where=str(folder / "MLmodel")),
        example=_example(folder, model, files),
        checksums=checksums,
        contract=_contract(folder) if contract.FILE in files else NOTHING_KNOWN,
    )


def _contract(folder: Path) -> Contract:
    return contract.read_contract(_bytes(folder, contract.FILE), where=str(folder / contract.FILE))


def _files(folder: Path) -> Iterator[str]:
    """The relative POSIX path of every file. A symlink, or anything but files and folders, is refused by its name."""
    for parent, folders, files in os.walk(folder, onerror=_unreadable):
        for name in (*folders, *files):
            path = Path(parent, name)
            relative = path.relative_to(folder).as_posix()
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                raise _refused(folder, f"{relative} is a symlink")
            if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
                raise _refused(folder, f"{relative} is neither a file nor a folder")
            if stat.S_ISREG(mode):
                yield relative


def _checked(folder: Path, files: frozenset[str]) -> tuple[Mapping[str, str] | None, str]:
    """The checksums, all of which hold, and the digest."""
    marks = {MANIFEST, CHECKSUMS} & files
    if not marks:
        return None, _digest(folder / "MLmodel") if "MLmodel" in files else ""
    if len(marks) == 1:
        missing = ({MANIFEST, CHECKSUMS} - marks).pop()
        raise _refused(folder, f"the file {missing} is missing, which a package has")
    raw = _bytes(folder, CHECKSUMS)
    checksums = _lines(folder, raw)
    _same_files(folder, files, checksums)
    for name, digest in checksums.items():
        if _digest(folder / name) != digest:
            raise _refused(folder, f"the file {name} is not what its checksum says")
    return checksums, hashlib.sha256(raw).hexdigest()


def _lines(folder: Path, raw: bytes) -> dict[str, str]:
    checksums: dict[str, str] = {}
    try:
        lines = raw.decode().splitlines()
    except UnicodeDecodeError as error:
        raise _refused(folder, f"{CHECKSUMS} is not UTF-8") from error
    for number, line in enumerate(lines, start=1):
        match = _LINE.fullmatch(line)
        if match is None or not _stays_inside(match[2]) or match[2] in (*checksums, CHECKSUMS):
            raise _refused(folder, f"line {number} of {CHECKSUMS} is not a checksum of one file in the folder")
        checksums[match[2]] = match[1]
    return checksums


def _same_files(folder: Path, files: frozenset[str], checksums: Mapping[str, str]) -> None:
    missing = sorted(checksums.keys() - files)
    if missing:
        raise _refused(folder, f"the file {missing[0]} is missing")
    extra = sorted(name for name in files - checksums.keys() - {CHECKSUMS} if not _LEFT_BEHIND.fullmatch(name))
    if extra:
        raise _refused(folder, f"the file {extra[0]} was added: {CHECKSUMS} does not name it")


def _stays_inside(path: str) -> bool:
    parts = PurePosixPath(path)
    return not parts.is_absolute() and ".." not in parts.parts and "\\" not in path and str(parts) == path


def _identity(folder: Path) -> tuple[str, str]:
    try:
        manifest = json.loads(_bytes(folder, MANIFEST))
        name, version = manifest["name"], manifest["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise _refused(folder, f"{MANIFEST} does not say name and version") from error
    if not isinstance(name, str) or not isinstance(version, str | int):
        raise _refused(folder, f"name and version in {MANIFEST} must be text")
    return name, str(version)


def _model_file(folder: Path) -> Mapping[str, Any]:
    """`MLmodel`, refused when it would load something that is not MLflow's own loader or lies outside the folder."""
    import yaml

    try:
        content = yaml.safe_load(_bytes(folder, "MLmodel"))
        flavors = content["flavors"]
        loader = flavors["python_function"]["loader_module"]
        places = [flavor.get(key) for flavor in flavors.values() for key in _PATHS_IN_FLAVORS]
        places += [kept["path"] for kept in (flavors["python_function"].get("artifacts") or {}).values()]
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise _refused(folder, "MLmodel describes no model with the python_function flavor") from error
    if not isinstance(loader, str) or not loader.startswith("mlflow."):
        raise _refused(folder, "MLmodel asks for a loader that is not one of MLflow's own (loader_module)")
    for place in places:
        if isinstance(place, str) and not _stays_inside(place.removesuffix("/")) and place != ".":
            raise _refused(folder, "MLmodel names a path outside its folder")
    return dict(content)


def _example(folder: Path, model: Mapping[str, Any], files: frozenset[str]) -> tuple[Any, ...]:
    """The first rows of the input example, or none when there is no example that reads as rows."""
    info = model.get("saved_input_example_info") or {}
    name = info.get("artifact_path")
    if name not in files or (folder / name).stat().st_size > _EXAMPLE_BYTES:
        return ()
    try:
        # MLflow writes a missing number as NaN, which JSON has not
        content = json.loads(_bytes(folder, name), parse_constant=lambda _: None)
    except ValueError:
        return ()
    if isinstance(content, dict) and {"columns", "data"} <= content.keys():
        return tuple(dict(zip(content["columns"], row, strict=False)) for row in content["data"][:3])
    return tuple(content[:3]) if isinstance(content, list) else ()


def _bytes(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise _refused(folder, f"the file {name} cannot be read: {error.strerror}") from error


def _digest(path: Path, copy: Path | None = None) -> str:
    """SHA-256 of a file's bytes; with `copy`, the bytes that were digested are written there."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as source, (copy or Path(os.devnull)).open("wb") as target:
            while chunk := source.read(1 << 20):
                digest.update(chunk)
                target.write(chunk)
    except OSError as error:
        where = str(error.filename or path)
        raise ServingError(f"cannot read or copy: {error.strerror}", where=where, exit_code=7) from error
    return digest.hexdigest()


def _unreadable(error: OSError) -> None:
    raise ServingError(f"cannot be read: {error.strerror}", where=str(error.filename), exit_code=7)


def _refused(folder: Path, what: str) -> ServingError:
    return ServingError(
        f"refused, and nothing of it was loaded: {what}",
        where=str(folder),
        fix="make or fetch the package again; do not serve this copy",
        exit_code=7,
    )
