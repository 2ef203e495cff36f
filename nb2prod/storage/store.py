"""The content store: values by their SHA-256, and small named records that say what the values are.

    .nb2prod/store/
      content/9f/9f86d0…    bytes, under their own digest: equal content is there once, and damage is noticed
      records/NAME          what somebody wants to find again: `runs/ID/step-a.json`

Everything is whole or absent. Many processes may write at the same time: content is the same whoever writes it, of a
record the last one wins, and `claim` says who was first. A record names the content that it needs by its digest in
hexadecimal: content that no record names may be removed by `nb2prod cache prune`.

`open_store` takes a folder, or the URL of a store elsewhere (`s3://bucket/store`).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nb2prod.core.errors import StoreError, UsageError
from nb2prod.storage import files

DEFAULT = Path(".nb2prod/store")
DIGEST = re.compile("[0-9a-f]{64}")
# a name is a relative path of plain parts; a part that begins with a dot is ours (a file that is being written)
NAME = re.compile(r"(?:[^/\\.\0][^/\\\0]*/)*[^/\\.\0][^/\\\0]*")


class Store(Protocol):
    """Where content and records rest. Raises StoreError for what cannot be read or written."""

    def put(self, content: bytes) -> str:
        """Keep the content; its SHA-256 in hexadecimal. What is there already is not written again."""

    def get(self, digest: str) -> bytes:
        """The content, checked against its digest. Raises StoreError when it is missing or damaged."""

    def has(self, digest: str) -> bool:
        """Whether the content is there (it is not read)."""

    def size(self, digest: str) -> int:
        """How many bytes the content has. Raises StoreError when it is missing."""

    def write(self, name: str, record: bytes) -> None:
        """Keep a small record under a name; an earlier one is replaced."""

    def read(self, name: str) -> bytes | None:
        """The record of that name; None when there is none."""

    def claim(self, name: str, record: bytes) -> bool:
        """Keep a record if there is none of that name. False: somebody else was first."""

    def names(self, prefix: str) -> Iterator[str]:
        """The names of the records that begin with `prefix`, in order."""

    def remove(self, name: str) -> None:
        """Remove a record; one that is not there is no error."""


def open_store(where: str | Path) -> Store:
    """The store in a folder, which is made when something is first kept, or at a URL that fsspec knows."""
    text = str(where)
    if "://" not in text:
        return LocalStore(Path(text))
    if text.startswith("file://"):
        return LocalStore(Path(text.removeprefix("file://")))
    from nb2prod.storage.remote_store import RemoteStore

    return RemoteStore(text)


def checked_name(name: str) -> str:
    """The name, when it is one. Raises UsageError."""
    if NAME.fullmatch(name):
        return name
    raise UsageError(
        f"{name!r} is no name of a record", fix="use parts that do not begin with a dot, with / between them"
    )


def checked_digest(digest: str) -> str:
    """The digest, when it is one: it becomes part of a path. Raises UsageError."""
    if DIGEST.fullmatch(digest):
        return digest
    raise UsageError(f"{digest!r} is no SHA-256 in hexadecimal")


def damaged(digest: str, where: str) -> StoreError:
    return StoreError(
        f"the content {digest[:12]}… is damaged: it has another digest", where=where, fix="run again what made it"
    )


def missing(digest: str, where: str) -> StoreError:
    return StoreError(f"the content {digest[:12]}… is not there", where=where, fix="run again what made it")


@dataclass(frozen=True, slots=True)
class Kept:
    """One content in a local store: `used` is when it was last put, or touched, in seconds since the epoch."""

    digest: str
    size: int
    used: float


@dataclass(frozen=True, slots=True)
class LocalStore:
    """A store of plain files in a folder."""

    folder: Path

    def put(self, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        path = self.place(digest)
        if self._is_whole(path, len(content)):
            self.touch(digest)
        else:
            with self._writing(path) as partial:
                partial.write_bytes(content)
        return digest

    def get(self, digest: str) -> bytes:
        path = self.place(digest)
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise missing(digest, str(path)) from error
        except OSError as error:
            raise _unreadable(path, error) from error
        if hashlib.sha256(content).hexdigest() != digest:
            # so that whoever makes it again can keep it
            path.unlink(missing_ok=True)
            raise damaged(digest, str(path))
        return content

    def has(self, digest: str) -> bool:
        return self.place(digest).exists()

    def size(self, digest: str) -> int:
        path = self.place(digest)
        try:
            return path.stat().st_size
        except OSError as error:
            raise missing(digest, str(path)) from error

    def write(self, name: str, record: bytes) -> None:
        with self._writing(self._record(name)) as partial:
            partial.write_bytes(record)

    def read(self, name: str) -> bytes | None:
        path = self._record(name)
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as error:
            raise _unreadable(path, error) from error

    def claim(self, name: str, record: bytes) -> bool:
        path = self._record(name)
        try:
            self._make(path.parent)
            handle, partial = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(record)
                    file.flush()
                    os.fsync(file.fileno())
                Path(partial).chmod(0o644)
                # a link to a file that is whole: there is no moment in which a reader sees half of it
                os.link(partial, path)
            finally:
                Path(partial).unlink(missing_ok=True)
        except FileExistsError:
            return False
        except OSError as error:
            raise StoreError(
                f"cannot write: {error.strerror or error}", where=str(path), fix="free space or choose another store"
            ) from error
        return True

    def names(self, prefix: str) -> Iterator[str]:
        records = self.folder / "records"
        top = records / prefix.rpartition("/")[0]
        if not top.is_dir():
            return
        found = (path.relative_to(records).as_posix() for path in top.rglob("*") if path.is_file())
        yield from sorted(name for name in found if name.startswith(prefix) and NAME.fullmatch(name))

    def remove(self, name: str) -> None:
        path = self._record(name)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise _unreadable(path, error) from error

    # -- what only a store of files can do ---------------------------------------------------------------------------

    def place(self, digest: str) -> Path:
        """The file that holds the content, or would: read it, never write to it."""
        checked_digest(digest)
        return self.folder / "content" / digest[:2] / digest

    @property
    def incoming(self) -> Path:
        """Where a run may write what it wants to be adopted; on the same volume, so that nothing is copied."""
        return self.folder / ".incoming"

    def adopt(self, path: Path, digest: str) -> None:
        """Keep a file that is known to have this digest; it stays where it is, too, and must not be written to."""
        place = self.place(digest)
        if self._is_whole(place, path.stat().st_size):
            self.touch(digest)
            return
        with _as_store_error(place):
            self._make(place.parent)
            try:
                os.link(path, place)
            except FileExistsError:
                # of another size: what a full volume has left
                place.unlink(missing_ok=True)
                os.link(path, place)
            except OSError:
                files.write_bytes(place, path.read_bytes())

    def is_sound(self, digest: str, size: int) -> bool:
        """Whether the content is there and whole. What is not is removed, so that it can be kept anew."""
        path = self.place(digest)
        if not self._is_whole(path, size):
            return False
        if files.digest_of(path) == digest:
            return True
        path.unlink(missing_ok=True)
        return False

    def touch(self, digest: str) -> None:
        """Say that the content is in use now."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(self.place(digest))

    def contents(self) -> Iterator[Kept]:
        """All content, in no order."""
        for path in (self.folder / "content").glob("*/*"):
            with contextlib.suppress(FileNotFoundError):  # somebody else removes as well
                if DIGEST.fullmatch(path.name):
                    state = path.stat()
                    yield Kept(path.name, state.st_size, state.st_mtime)

    def drop(self, digest: str) -> None:
        """Remove content."""
        self.place(digest).unlink(missing_ok=True)

    def sweep(self, older: float = 3600.0) -> None:
        """Remove what writers that were killed have left: partial files that are `older` than so many seconds."""
        for path in self.folder.rglob(".*.part"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > older:
                    path.unlink()

    def _record(self, name: str) -> Path:
        return self.folder / "records" / checked_name(name)

    def _is_whole(self, path: Path, size: int) -> bool:
        try:
            return path.stat().st_size == size
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise _unreadable(path, error) from error

    @contextmanager
    def _writing(self, path: Path) -> Iterator[Path]:
        with _as_store_error(path):
            self._make(path.parent)
        with files.replacing(path) as partial:
            yield partial

    def _make(self, folder: Path) -> None:
        if folder.is_dir():
            return
        folder.mkdir(parents=True, exist_ok=True)
        ignore = self.folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("# values of runs: nb2prod makes them again\n*\n", encoding="utf-8")


@contextmanager
def _as_store_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot write: {error.strerror or error}", where=str(path), fix="free space or choose another store"
        ) from error


def _unreadable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"cannot be read: {error.strerror or error}", where=str(path))
