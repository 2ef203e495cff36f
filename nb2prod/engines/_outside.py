"""What a step depends on outside of the notebook: files, folders, the author's modules, installed libraries.

Each has a state, which is compared, and a way to see quickly that it is the same. A file is the same without being read
when its size, both of its times, its number and its device are; the time of change is the system's, and nobody sets it.
A file that changed within two seconds of when it was looked at is read again: two changes may have one time.
"""

# ruff: noqa: PTH100, PTH112, PTH113, PTH116, PTH118, PTH208 - paths are compared as texts, and no link is resolved

from __future__ import annotations

import ast
import hashlib
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from nb2prod.language.surroundings import modules
from nb2prod.storage.files import digest_of

ABSENT, UNREADABLE, MANY = "absent", "unreadable", "many"
SETTLED = 2_000_000_000  # nanoseconds
MOST_FILES = 20_000  # of a folder that a text in the code names


def stamp(path: str | Path) -> list[int] | None:
    """What tells quickly that a file is the same; None when it is too young to tell, or not there."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    settled = time.time_ns() - max(found.st_ctime_ns, found.st_mtime_ns) > SETTLED
    return _stamp(found) if settled else None


def _stamp(found: os.stat_result) -> list[int]:
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev]


def same_stamp(path: str | Path, known: Any) -> bool:
    try:
        return known is not None and _stamp(os.stat(path)) == list(known)
    except OSError:
        return False


def state_of(path: str) -> str:
    """A file's digest, a folder's names with their sizes and times, or that it is not there."""
    try:
        found = os.stat(path)
        if stat.S_ISDIR(found.st_mode):
            return _tree(path)
        return digest_of(Path(path)) if stat.S_ISREG(found.st_mode) else UNREADABLE
    except (FileNotFoundError, NotADirectoryError):
        return ABSENT
    except OSError:
        return UNREADABLE


def seen(path: str) -> list[Any]:
    """[state, stamp]"""
    quick = stamp(path) if os.path.isfile(path) else None  # before it is read: a change meanwhile is then seen later
    return [state_of(path), quick]


def is_same(path: str, known: list[Any]) -> bool:
    return same_stamp(path, known[1]) or state_of(path) == known[0]


def plain_path(path: str | Path) -> str:
    """An absolute path as `kernel.watching` writes it."""
    return os.path.abspath(path)


def changed_since(path: str, moment: int) -> bool:
    """Whether a file has changed after a moment, in nanoseconds since the epoch."""
    try:
        found = os.stat(path)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and max(found.st_mtime_ns, found.st_ctime_ns) > moment


def first_changed(known: Mapping[str, list[Any]]) -> tuple[str, str] | None:
    """(`file` or `folder`, its path) of the first that is not as it was, files first; None when all are."""
    for what, is_folder in (("file", False), ("folder", True)):
        for path, state in known.items():
            if str(state[0]).startswith("folder:") == is_folder and not is_same(path, state):
                return what, path
    return None


def listing(path: str) -> str:
    """The names in a folder."""
    try:
        return _digest("\n".join(sorted(os.listdir(path))))
    except OSError:
        return ABSENT


def _tree(path: str) -> str:
    lines = []
    for folder, _, files in os.walk(path):
        for name in files:
            try:
                found = os.stat(os.path.join(folder, name))
            except OSError:
                continue
            lines.append(f"{folder}/{name} {found.st_size} {found.st_mtime_ns}")
        if len(lines) > MOST_FILES:
            return MANY
    return "folder:" + _digest("\n".join(sorted(lines)))


def forget() -> None:
    """A library may have been installed since the last run of this process."""
    for known in (_distributions, _homes, _required):
        known.cache_clear()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


# -- the author's modules --------------------------------------------------------------------------------------------


def own_modules(tops: Iterable[str], loaded: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The files of the author's modules that `tops` lead to: those of their packages, and of what these import."""
    files: dict[str, dict[str, str]] = {}
    for name, file in loaded:
        files.setdefault(name.partition(".")[0], {})[name] = file
    found: dict[str, str] = {}
    pending, done = list(tops), set[str]()
    while pending:
        top = pending.pop()
        if top in done or top not in files:
            continue
        done.add(top)
        found |= files[top]
        pending += [other for file in files[top].values() for other in _imported_by(file)]
    return found


def _imported_by(file: str) -> Iterator[str]:
    if file.endswith(".py"):
        try:
            tree = ast.parse(Path(file).read_bytes())
        except (OSError, SyntaxError, ValueError):
            return
        yield from (module.partition(".")[0] for module in modules(tree))


# -- installed libraries ---------------------------------------------------------------------------------------------


def libraries(tops: Iterable[str], path: tuple[str, ...]) -> dict[str, list[Any]]:
    """The distributions that modules come from, and what these require: {name: [version, metadata file, stamp]}."""
    places = _distributions(path)
    homes = _homes(path)
    found: dict[str, list[Any]] = {}
    pending = [name for top in tops for name in homes.get(top, ())]
    while pending:
        name = pending.pop()
        if name in found or name not in places:
            continue
        file, version = places[name]
        found[name] = [version, file, _plain_stamp(file)]
        pending += _required(file)
    return found


def _plain_stamp(file: str) -> list[int] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]


def changed_library(name: str, known: list[Any]) -> str:
    """What happened to a library (`scikit-learn 1.9.1 → 1.9.2`); empty when nothing did."""
    version, file, quick = known
    if quick is not None and _plain_stamp(file) == quick:
        return ""
    place = str(Path(file).parents[1])
    now = _distributions((place,)).get(name, ("", ""))[1] if os.path.isdir(place) else ""
    if now == version:
        return ""
    return f"{name} {version} → {now}" if now else f"{name} {version} is no longer there"


@cache
def _distributions(path: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    """{name: (metadata file, version)}, the first on the path wins."""
    found: dict[str, tuple[str, str]] = {}
    for place in path:
        for file in _metadata_files(place):
            head = Path(file).read_bytes()[:5000].decode("utf-8", "replace")
            name, version = re.search(r"^Name: (.+)$", head, re.M), re.search(r"^Version: (.+)$", head, re.M)
            if name and version:
                found.setdefault(_canonical(name[1]), (file, version[1].strip()))
    return found


def _metadata_files(place: str) -> Iterator[str]:
    try:
        with os.scandir(place) as inside:
            names = sorted(one.name for one in inside if one.name.endswith((".dist-info", ".egg-info")))
    except OSError:
        return
    for name in names:
        for file in ("METADATA", "PKG-INFO"):
            if os.path.isfile(f"{place}/{name}/{file}"):
                yield f"{place}/{name}/{file}"
                break


@cache
def _homes(path: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    """The distributions that a top-level module comes from."""
    found: dict[str, tuple[str, ...]] = {}
    for name, (file, _) in _distributions(path).items():
        for top in _tops_of(Path(file).parent):
            found[top] = (*found.get(top, ()), name)
    return found


def _tops_of(folder: Path) -> set[str]:
    listed = folder / "top_level.txt"
    if listed.is_file():
        return set(listed.read_text("utf-8", "replace").split())
    try:
        record = (folder / "RECORD").read_text("utf-8", "replace")
    except OSError:
        return set()
    return set(
        re.findall(r"^([A-Za-z_]\w*)(?:/[^,\n]*\.(?:py|so|pyd|pyi)\b|(?:\.\w[^/,\n]*)?\.(?:py|so|pyd),)", record, re.M)
    )


@cache
def _required(file: str) -> tuple[str, ...]:
    head = Path(file).read_text("utf-8", "replace").partition("\n\n")[0]
    lines = re.findall(r"^Requires-Dist: ([A-Za-z0-9._-]+)([^\n]*)$", head, re.M)
    return tuple(_canonical(name) for name, more in lines if "extra ==" not in more)


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()
