"""A package as one file (`.zip`, `.tar.gz`, `.tgz`, `.tar`), unpacked so that nothing is written outside of its folder.

An archive says itself where its members go and what they are, so none of that is believed: a member is a plain file
or a folder with a plain relative name, there are only so many of them, and they unpack to only so many bytes. All of it
is counted while it is read, not afterwards. Whatever is wrong, the target folder is empty then.
"""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from nb2prod.core.errors import NotProved, StoreError

SUFFIXES = (".zip", ".tar.gz", ".tgz", ".tar")
_CHUNK = 1 << 20
_LONGEST = 100_000  # bytes that a tar member's own description may take
_TRAILER, _END = 22, b"PK\x05\x06"  # of a zip file
_ROOT = "checksums"  # the file that is at the top of a package


def is_archive(path: Path) -> bool:
    """By its name."""
    return path.name.endswith(SUFFIXES)


def unpack(archive: Path, target: Path, *, most_bytes: int, most_files: int) -> None:
    """Unpack into `target`, which does not exist yet. The package may be at the archive's top or in one folder there.

    Raises StoreError for what is no archive, NotProved for one that is refused.
    """
    if not archive.is_file() or not is_archive(archive):
        kinds = ", ".join(SUFFIXES)
        raise StoreError("there is no such folder or archive", where=str(archive), fix=f"a folder, or {kinds}")
    inner = target.with_name(target.name + ".unpacked")
    inner.mkdir(parents=True)
    try:
        _write(archive, inner, most_bytes, most_files)
        _top(inner).rename(target)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError) as error:
        raise _refused(archive, f"it is damaged, or no archive ({type(error).__name__})") from error
    except (OSError, ValueError) as error:
        raise _refused(archive, f"it cannot be unpacked ({type(error).__name__})") from error
    finally:
        shutil.rmtree(inner, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Member:
    """`name` as the archive has it; `content` is None for a folder. `wrong` says why it is not unpacked."""

    name: str
    content: IO[bytes] | None
    wrong: str = ""


def _write(archive: Path, inner: Path, most_bytes: int, most_files: int) -> None:
    left, seen = most_bytes, set[str]()
    for count, member in enumerate(_members(archive, most_files), start=1):
        if count > most_files:
            raise _refused(archive, f"it has more than {most_files} members")
        name, wrong = _plain(member.name)
        wrong = member.wrong or wrong
        if wrong or name in seen:
            raise _refused(archive, f"its member {_printable(member.name)} {wrong or 'is there twice'}")
        seen.add(name)
        if member.content is None:
            (inner / name).mkdir(parents=True, exist_ok=True)
        else:
            left -= _written(archive, member.content, inner / name, left)


def _written(archive: Path, content: IO[bytes], place: Path, left: int) -> int:
    """Write one file of at most so many bytes; returns how many it has."""
    place.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
        while chunk := content.read(_CHUNK):
            size += len(chunk)
            if size > left:
                raise _refused(archive, "it unpacks to more bytes than the policy's maximum_size")
            file.write(chunk)
    return size


def _plain(name: str) -> tuple[str, str]:
    """The relative name, and what is wrong with it."""
    stripped = name.rstrip("/").removeprefix("./") or "."
    path = PurePosixPath(stripped)
    if path.is_absolute() or name.startswith(("/", "\\")) or stripped[1:2] == ":":
        return stripped, "has an absolute name"
    if ".." in path.parts:
        return stripped, "leads outside"
    if "\\" in name or not name.isprintable() or (str(path) != stripped):
        return stripped, "has no plain name"
    return stripped, ""


def _top(inner: Path) -> Path:
    """The package's own folder: the archive's top, or the one folder that is there."""
    found = list(inner.iterdir())
    if not (inner / _ROOT).is_file() and len(found) == 1 and found[0].is_dir():
        return found[0]
    return inner


# -- the two kinds of archive ---------------------------------------------------------------------------------------


def _members(archive: Path, most_files: int) -> Iterator[_Member]:
    if archive.name.endswith(".zip"):
        return _of_zip(archive, most_files)
    return _of_tar(archive)


def _of_zip(archive: Path, most_files: int) -> Iterator[_Member]:
    if _counted(archive) > most_files:
        raise _refused(archive, f"it has more than {most_files} members")
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            wrong = _wrong_in_zip(info)
            if wrong or info.is_dir():
                yield _Member(info.orig_filename, None, wrong)
                continue
            with opened.open(info) as content:
                yield _Member(info.filename, content)


def _wrong_in_zip(info: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link" if kind == stat.S_IFLNK else "is neither a file nor a folder"
    if info.flag_bits & 1:
        return "is encrypted"
    return "has no plain name" if info.orig_filename != info.filename else ""


def _counted(archive: Path) -> int:
    """How many members the end of a zip file says that it has: reading the whole list of a million takes long.

    One with 65,535 or more says it elsewhere, and counts as too many here.
    """
    with archive.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TRAILER - 65_535))
        end = file.read()
    place = end.rfind(_END)
    if place < 0:
        return 0  # no zip file at all, which is said when it is opened
    count = int.from_bytes(end[place + 10 : place + 12], "little")
    listed = int.from_bytes(end[place + 12 : place + 16], "little")
    return 1 << 62 if count == 0xFFFF else max(count, listed // 1_000)


class _Described(tarfile.TarInfo):
    """A member whose own description (a long name, attributes) is not read into memory when it is large."""

    def _proc_pax(self, opened: Any) -> Any:
        return self._limited(super()._proc_pax, opened)  # type: ignore[misc]

    def _proc_gnulong(self, opened: Any) -> Any:
        return self._limited(super()._proc_gnulong, opened)  # type: ignore[misc]

    def _limited(self, read: Any, opened: Any) -> Any:
        if self.size > _LONGEST:
            raise tarfile.ReadError("a member's description is too large")
        return read(opened)


def _of_tar(archive: Path) -> Iterator[_Member]:
    with tarfile.open(archive, "r|*", tarinfo=_Described) as opened:
        for info in opened:
            wrong = _wrong_in_tar(info)
            yield _Member(info.name, None if wrong or info.isdir() else opened.extractfile(info), wrong)


def _wrong_in_tar(info: tarfile.TarInfo) -> str:
    if info.isreg() or info.isdir():
        return ""
    return "is a link" if info.issym() or info.islnk() else "is neither a file nor a folder"


def _printable(text: str) -> str:
    return ascii(text)[1:-1][:200]


def _refused(archive: Path, what: str) -> NotProved:
    return NotProved(
        f"the archive is refused: {what}; nothing of it was loaded",
        where=str(archive),
        fix="fetch it again, or unpack it yourself where it can do no harm, and look",
    )
