"""A folder's checksums: the file `checksums`, as `sha256sum` writes it, over every other file, sorted by path.

A folder is whole when writing its checksums again gives the very same bytes. So a changed, missing or added file is
found, and so is a change in `checksums` itself; links and anything else that is no plain file are refused.

One file may be there that no line names: the signature, which is about `checksums` and all that it names.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from nb2prod.core.errors import NotProved, StoreError
from nb2prod.storage.files import digest_of, write_bytes

FILE = "checksums"
# MLflow writes it into its own copy of a registered model
LEFT_BY_MLFLOW = "registered_model_meta"
SIGNATURE = "signature.json"
UNNAMED = frozenset({FILE, LEFT_BY_MLFLOW, SIGNATURE})
LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def write(folder: Path) -> str:
    """Write `checksums`; returns its SHA-256, which is the folder's digest."""
    content = _content({name: digest_of(folder / name) for name in sorted(_files(folder)) if name not in UNNAMED})
    write_bytes(folder / FILE, content)
    return hashlib.sha256(content).hexdigest()


def verify(folder: Path) -> str:
    """The folder's digest. Raises NotProved, naming the first file that is not as it was, and loads nothing."""
    if not folder.is_dir():
        raise StoreError("there is no such folder", where=str(folder), fix="give the folder of a package")
    files = set(_files(folder))
    if FILE not in files:
        raise _not_whole(folder, f"it has no file {FILE}")
    raw = (folder / FILE).read_bytes()
    stated = _stated(folder, raw)
    missing = sorted(stated.keys() - files)
    extra = sorted(files - stated.keys() - UNNAMED)
    if missing:
        raise _not_whole(folder, f"the file {missing[0]} is missing")
    if extra:
        raise _not_whole(folder, f"the file {extra[0]} was added")
    changed = [name for name, digest in stated.items() if digest_of(folder / name) != digest]
    if changed:
        raise _not_whole(folder, f"the file {changed[0]} was changed")
    if raw != _content(stated):
        raise _not_whole(folder, f"the file {FILE} was changed")
    return hashlib.sha256(raw).hexdigest()


def named(folder: Path) -> tuple[str, ...]:
    """The files that `checksums` names, whether they are there or not."""
    return tuple(_stated(folder, (folder / FILE).read_bytes()))


def _content(digests: dict[str, str]) -> bytes:
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode()


def _files(folder: Path) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            relative = path.relative_to(folder).as_posix()
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                yield relative
            elif not stat.S_ISDIR(mode):
                kind = "a link" if stat.S_ISLNK(mode) else "neither a file nor a folder"
                raise _not_whole(folder, f"{relative} is {kind}")


def _stated(folder: Path, raw: bytes) -> dict[str, str]:
    stated: dict[str, str] = {}
    for number, line in enumerate(raw.decode(errors="replace").splitlines(), start=1):
        found = LINE.fullmatch(line)
        if found is None:
            raise _not_whole(folder, f"the file {FILE} was changed: line {number} is no checksum")
        stated[found[2]] = found[1]
    return stated


def _not_whole(folder: Path, what: str) -> NotProved:
    return NotProved(
        f"the package is not as it was made: {what}; nothing of it was loaded",
        where=str(folder),
        fix="make the package again, or fetch it again from where it was kept",
    )
