"""The files of a package's folder, each with what reads it and what its bytes are. No link is followed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from nb2prod.core.package_contents import FileSeen
from nb2prod.stages.trusting import bytes_seen
from nb2prod.storage import shards

# the first pattern that fits says what reads the file
ROLES = (
    ("MLmodel", "what MLflow loads, and how"),
    ("package.json", "what the package says of itself"),
    ("checksums", "the SHA-256 of every other file"),
    ("signature.json", "who signed the checksums"),
    ("registered_model_meta", "left by MLflow's registry; nothing reads it"),
    ("parity.json", "the proof"),
    ("parity/*", "what the proof is made with"),
    ("contract.json", "what rows may be"),
    ("profile.json", "what drift is measured against"),
    ("onnx/requirements.lock", "what to install for the translation"),
    ("onnx/*", "the translation"),
    ("code/*", "the notebook's functions and classes"),
    ("service/*", "the service that the package carries"),
    ("python_model.py", "how MLflow calls the model"),
    ("artifacts/*", "the model"),
    ("model.*", "the model"),
    ("*.py", "code"),
    ("requirements.*", "what to install"),
    ("conda.yaml", "what to install"),
    ("python_env.yaml", "what to install"),
    ("Dockerfile", "how to build a container"),
    (".dockerignore", "how to build a container"),
    ("*input_example.json", "an example of rows"),
    ("model_card.*", "for people"),
    ("parity.html", "for people"),
    ("plots/*", "for people"),
    ("sbom.json", "what it is made of"),
    ("licences.json", "the libraries' licences"),
    ("__pycache__", "keeps Python from putting byte code here"),
)


class NoFolder(Exception):
    """There is no folder, or it cannot be read."""


def seen(folder: Path) -> tuple[tuple[FileSeen, ...], tuple[str, ...]]:
    """The files, and what is wrong with any of them."""
    files: list[FileSeen] = []
    wrong: list[str] = []
    for name, path, mode in _walked(folder):
        if stat.S_ISREG(mode):
            files.append(_file(path, name, wrong))
        elif not stat.S_ISDIR(mode):
            wrong.append(f"{name} is {'a link' if stat.S_ISLNK(mode) else 'neither a file nor a folder'}")
    return tuple(sorted(files, key=lambda file: file.path)), tuple(wrong)


def _walked(folder: Path) -> Iterator[tuple[str, Path, int]]:
    if folder.is_symlink() or not folder.is_dir():
        raise NoFolder(str(folder))
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            yield path.relative_to(folder).as_posix(), path, path.lstat().st_mode


def _file(path: Path, name: str, wrong: list[str]) -> FileSeen:
    role = next((role for pattern, role in ROLES if fnmatchcase(name, pattern)), "unknown: nothing reads it")
    kind = ""
    try:
        kind = "shard" if _is_shard(path) else bytes_seen.kind_of(path, name)
    except bytes_seen.NotWhatItSays as error:
        wrong.append(str(error))
    except OSError as error:
        wrong.append(f"{name} cannot be read: {error.strerror}")
    if name.startswith("code/") and kind != "python" and not _is_placeholder(path):
        wrong.append(f"{name} is in the folder of code and is no Python file")
    return FileSeen(name, path.lstat().st_size, role, kind)


def _is_shard(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == shards.MAGIC


def _is_placeholder(path: Path) -> bool:
    """The file where Python would put a folder of byte code. Byte code itself is code that nobody can read."""
    return path.name == "__pycache__" and path.stat().st_size < 200
