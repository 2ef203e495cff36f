"""Folders that are whole or absent: made beside their place under another name, then put there in one move."""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nb2prod.core.errors import StoreError

_AT_FDCWD = -100
_EXCHANGE = 2  # RENAME_EXCHANGE of renameat2(2)


@contextmanager
def replacing_folder(destination: Path) -> Iterator[Path]:
    """Yield a new folder beside `destination`. On success it takes that place; on failure it is removed.

    An earlier folder is there until the new one takes its place, and gone after.
    """
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{destination.name}.", suffix=".part", dir=destination.parent))
    except OSError as error:
        raise _cannot_write(destination, error) from error
    try:
        yield made
        _open_to_others(made)
        _flush(made)
        _put(made, destination)
    except OSError as error:
        raise _cannot_write(destination, error) from error
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _put(made: Path, destination: Path) -> None:
    """Afterwards `made` is the earlier folder, if there was one."""
    if destination.exists() and any(destination.iterdir()):
        if _exchanged(made, destination):
            return
        # no such system call here: for a moment neither folder is in the place
        earlier = made.with_suffix(".earlier")
        destination.rename(earlier)
        try:
            made.rename(destination)
        except OSError:
            earlier.rename(destination)
            raise
        earlier.rename(made)
        return
    made.replace(destination)


def _exchanged(one: Path, other: Path) -> bool:
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    return int(call(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _EXCHANGE)) == 0


def _open_to_others(folder: Path) -> None:
    """mkdtemp makes a folder for its owner alone; the finished one gets what the umask allows."""
    mask = os.umask(0)
    os.umask(mask)
    folder.chmod(0o777 & ~mask)


def _flush(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _cannot_write(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"cannot write: {error.strerror or error}", where=str(path), fix="free space or choose another folder"
    )
