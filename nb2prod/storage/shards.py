"""The models of a map: thousands of small ones in a few large files, instead of a folder each.

    models/shard-00000.bin      one record after another, up to 64 MB a file, then the next file
    models/proofs.bin           records of the same form, see `kernel/map_proof.py`

A record is a head of 56 bytes (the letters `nb2m`, the item's number, the length, the SHA-256, and a checksum of these)
and the content. Files only grow, one process writes, and what a record says of itself is enough to read the file again:
so a kill at any moment costs no more than the record that was being written, whose torn end is cut off when the map
goes on. A zip archive would have its list of contents at the end, where a killed process never got; a data base would
be a second thing to carry with a package. A reference (`ModelReference`) finds its content with one seek, and the
content is checked against its SHA-256 before anybody sees it.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from nb2prod.core.errors import StoreError
from nb2prod.core.mapping import ModelReference

FOLDER = "models"
PROOFS = "proofs.bin"
LOCK = ".writer.lock"
LIMIT = 64 * 1024 * 1024
MAGIC = b"nb2m"
HEAD = struct.Struct(">4sQQ32s")
SUM = struct.Struct(">I")
AHEAD = HEAD.size + SUM.size  # of a record's content
NAME = re.compile(r"shard-\d{5,}\.bin|proofs\.bin")


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it was found: whose it is, and where its content lies."""

    number: int
    reference: ModelReference


class Shards:
    """The writer of one map's models. Cuts the torn end that a killed writer left; refuses a second writer."""

    def __init__(self, directory: Path, limit: int = LIMIT) -> None:
        self._folder = directory / FOLDER
        self._limit = limit
        self._lock = _Lock(self._folder)
        self._shard: _File | None = None
        self._proofs: _File | None = None

    def put(self, content: bytes, number: int = 0) -> ModelReference:
        """Append one model. It is safe from a kill of this process at once, from a power cut after `sync`."""
        if self._shard is None:
            self._shard = self._file(_last(self._folder))
        if self._shard.size and self._shard.size + AHEAD + len(content) > self._limit:
            self._shard.close()
            self._shard = self._file(_following(self._shard.path.name))
        return self._shard.append(number, content)

    def put_proof(self, number: int, content: bytes) -> None:
        """Append what an item's model is proved with; of two for one item the later counts."""
        if self._proofs is None:
            self._proofs = self._file(PROOFS)
        self._proofs.append(number, content)

    def sync(self) -> None:
        """What was put is on the disk."""
        for file in (self._shard, self._proofs):
            if file is not None:
                file.sync()

    def close(self) -> None:
        try:
            for file in (self._shard, self._proofs):
                if file is not None:
                    file.close()
        finally:
            self._shard = self._proofs = None
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _file(self, name: str) -> _File:
        self._lock.take()
        return _File(self._folder / name)


def open_shards(directory: Path) -> Shards:
    """The models of the map whose run has this directory, to add to. Nothing is written before the first `put`."""
    return Shards(directory)


class ShardReader:
    """Reads models by their references, from any number of threads; files stay open until `close`."""

    def __init__(self, directory: Path) -> None:
        self._folder = directory / FOLDER
        self._files: dict[str, BinaryIO] = {}

    def read(self, reference: ModelReference) -> bytes:
        """The content. Raises StoreError when it is not there, or is not what was written."""
        path = self._folder / reference.shard
        if not NAME.fullmatch(reference.shard):
            raise StoreError(f"{reference.shard!r} is no name of a shard", where=str(self._folder))
        try:
            file = self._files.get(reference.shard) or self._files.setdefault(reference.shard, path.open("rb"))
            content = os.pread(file.fileno(), reference.length, reference.offset)
        except OSError as error:
            raise StoreError(f"a model cannot be read: {error.strerror}", where=str(path)) from error
        if hashlib.sha256(content).hexdigest() != reference.sha256:
            raise StoreError(
                f"the model at byte {reference.offset} is not the one that was written: its SHA-256 differs; "
                "nothing of it was loaded",
                where=str(path),
                fix="run the map again",
            )
        return content

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def proofs(directory: Path) -> dict[int, bytes]:
    """What items brought to prove their models with, by number; empty when there is nothing."""
    path = directory / FOLDER / PROOFS
    if not path.is_file():
        return {}
    with ShardReader(directory) as reader:
        return {record.number: reader.read(record.reference) for record in records(path)}


def records(path: Path) -> Iterator[Record]:
    """The whole records of a shard, in order; a torn one at the end is left out. Raises StoreError for any damage."""
    size = path.stat().st_size
    with path.open("rb") as file:
        place = 0
        while place < size:
            found = _record(path, file, place, size)
            if found is None:
                return
            yield found
            place = found.reference.offset + found.reference.length


def _record(path: Path, file: BinaryIO, place: int, size: int) -> Record | None:
    """The record at `place`; None when it is torn, which only the last one of a file can be."""
    file.seek(place)
    head = file.read(AHEAD)
    if len(head) < AHEAD:
        return None
    magic, number, length, digest = HEAD.unpack(head[: HEAD.size])
    start = place + AHEAD
    if magic != MAGIC or head[HEAD.size :] != _sum(head[: HEAD.size]):
        if not any(head) and _only_zeros(file):  # what some file systems leave of a file after a power cut
            return None
        raise _damaged(path, place)
    if start + length > size:
        return None
    if hashlib.sha256(file.read(length)).digest() != digest:
        if start + length == size:
            return None
        raise _damaged(path, place)
    return Record(number, ModelReference(path.name, start, length, digest.hex()))


def _sum(head: bytes) -> bytes:
    return SUM.pack(zlib.crc32(head))


def _only_zeros(file: BinaryIO) -> bool:
    return not any(any(chunk) for chunk in iter(lambda: file.read(1 << 20), b""))


def _damaged(path: Path, place: int) -> StoreError:
    return StoreError(
        f"the record at byte {place} is damaged, and it is not the last one, so no kill did it",
        where=str(path),
        fix="start the map anew, in another run",
    )


class _File:
    """One file that grows. Opening cuts what a killed writer left unfinished at its end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.size = _whole(path) if path.exists() else 0
            self._file = path.open("r+b" if path.exists() else "w+b", buffering=0)
            self._file.truncate(self.size)
            self._file.seek(self.size)
        except OSError as error:
            raise self._cannot(error) from error
        self._dirty = True

    def append(self, number: int, content: bytes) -> ModelReference:
        digest = hashlib.sha256(content)
        head = HEAD.pack(MAGIC, number, len(content), digest.digest())
        try:
            self._write(head + _sum(head) + content)
        except OSError as error:
            # half a record must not stay before the next one
            with suppress(OSError):
                self._file.truncate(self.size)
                self._file.seek(self.size)
            raise self._cannot(error) from error
        reference = ModelReference(self.path.name, self.size + AHEAD, len(content), digest.hexdigest())
        self.size += AHEAD + len(content)
        self._dirty = True
        return reference

    def sync(self) -> None:
        if self._dirty:
            try:
                os.fsync(self._file.fileno())
            except OSError as error:
                raise self._cannot(error) from error
            self._dirty = False

    def close(self) -> None:
        self.sync()
        self._file.close()

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:  # a raw file may take less than it is given
            written = self._file.write(view)
            view = view[written:]

    def _cannot(self, error: OSError) -> StoreError:
        return StoreError(
            f"a model cannot be written: {error.strerror or error}",
            where=str(self.path),
            fix="free space, and go on with --resume",
        )


def _whole(path: Path) -> int:
    """Where the last whole record of a file ends."""
    return max((found.reference.offset + found.reference.length for found in records(path)), default=0)


def _last(folder: Path) -> str:
    names = sorted(path.name for path in folder.glob("shard-*.bin")) if folder.is_dir() else []
    return names[-1] if names else "shard-00000.bin"


def _following(name: str) -> str:
    return f"shard-{int(name[6:-4]) + 1:05d}.bin"


class _Lock:
    """Two writers of one map would write into each other's records."""

    def __init__(self, folder: Path) -> None:
        from filelock import FileLock

        self._folder = folder
        self._lock = FileLock(folder / LOCK)

    def take(self) -> None:
        from filelock import Timeout

        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if not self._lock.is_locked:
                self._lock.acquire(timeout=0)
        except Timeout as error:
            raise StoreError(
                "another process is writing the models of this map", where=str(self._folder), fix="wait until it ends"
            ) from error
        except OSError as error:
            raise StoreError(f"cannot write: {error.strerror or error}", where=str(self._folder)) from error

    def release(self) -> None:
        if self._lock.is_locked:
            self._lock.release()
