"""The lock: the exact version of everything that the package needs, and the hash of the file that an installer takes.

    requirements.lock        for the service with the model itself
    onnx/requirements.lock   for the service with the translation, which needs a fraction of it

Versions are those that are installed here, with which the package is proved. An installed library does not know the
hash of the wheel that it came from, so there are three ways, and `package` is told which:

    pins      versions alone. No network, the same lock for everybody who has the same libraries: the default
    hashed    with hashes. pip asks the package index for those that this user has not asked for yet: of the wheels
              that it would install here. They are kept in the user's cache folder; the next package asks nobody
    FILE      the hashes are in a lock that is there already (of pip-compile, uv, another package), for these versions

The lock is part of the package, as the notebook and the data are: with hashes it is another package than without, for
everybody in the same way. Where hashes are wanted and not to be had, there is no package.
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from nb2prod.core.errors import StoreError, UsageError
from nb2prod.stages.provenance.closure import Closure
from nb2prod.storage.files import write_text

FILE = "requirements.lock"
PINS, HASHED = "pins", "hashed"
OPTIONS = ("--dry-run", "--ignore-installed", "--no-deps", "--only-binary", ":all:", "--no-input", "--quiet")
ASK = (sys.executable, "-m", "pip", "install", "--disable-pip-version-check", *OPTIONS)
HASH = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Lock:
    """`hashes` of each pin, `name==version`; none of any pin when the lock is without."""

    pins: tuple[str, ...]
    hashes: Mapping[str, tuple[str, ...]]
    missing: tuple[str, ...] = ()

    @property
    def hashed(self) -> bool:
        return bool(self.pins) and all(pin in self.hashes for pin in self.pins)

    def text(self) -> str:
        lines = [*self._heading(), *(f"# not installed here: {name}" for name in self.missing)]
        return "\n".join([*lines, *map(self._line, self.pins)]) + "\n"

    def _line(self, pin: str) -> str:
        hashes = (f"--hash={found}" for found in sorted(self.hashes.get(pin, ())))
        return " \\\n    ".join([pin, *hashes])

    def _heading(self) -> list[str]:
        python = ".".join(platform.python_version_tuple()[:2])
        heading = [f"# Exact versions, for Python {python} on {sysconfig.get_platform()}."]
        if self.hashed:
            return [*heading, f"#   pip install --no-deps --require-hashes -r {FILE}"]
        return [
            *heading,
            "# Without hashes: an installer cannot tell another file of the same name and version from this one.",
            "# `nb2prod package --lock hashed` asks the package index for them.",
            f"#   pip install --no-deps -r {FILE}",
        ]


def lock(closure: Closure, way: str = PINS) -> Lock:
    """The lock of these distributions. Raises StoreError when hashes are wanted and not to be had."""
    if way == PINS:
        return Lock(closure.pins, {}, closure.missing)
    known = _of_index(closure.pins) if way == HASHED else _of_file(Path(way), closure.pins)
    return Lock(closure.pins, known, closure.missing)


def write(lock: Lock, path: Path) -> None:
    write_text(path, lock.text())


def refuse_way(way: str) -> None:
    """Raises UsageError for a way that is none, before anything is run."""
    if way not in (PINS, HASHED) and not Path(way).is_file():
        raise UsageError(
            f"--lock is {PINS}, {HASHED} or a file, and there is no file {way}", fix=f"give {PINS}, {HASHED} or a lock"
        )


# -- of a file ------------------------------------------------------------------------------------------------------


def _of_file(path: Path, pins: Iterable[str]) -> dict[str, tuple[str, ...]]:
    stated = read(path)
    for pin in pins:
        name, _, version = pin.partition("==")
        known, hashes = stated.get(name, ("", ()))
        if known != version or not hashes:
            said = f"has {name}=={known}" if known else f"does not name {name}"
            raise StoreError(
                f"the lock {said if known != version else f'has no hash of {pin}'}, and {pin} is installed here",
                where=str(path),
                fix="install what the lock says, or lock anew what is installed",
            )
    return {pin: stated[pin.partition("==")[0]][1] for pin in pins}


def read(path: Path) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Version and hashes by name, of a lock as pip reads it. Raises StoreError for what is no lock."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise StoreError(f"the lock cannot be read: {error}", where=str(path)) from error
    stated = {}
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        words = line.partition(" #")[0].strip()
        if not words or words.startswith(("#", "-")):
            continue
        found = _pinned(words.partition(" --hash")[0])
        if found is None:
            raise StoreError(f"this is no lock: {words[:60]!r} is no exact version", where=str(path))
        stated[found[0]] = (found[1], tuple(sorted(HASH.findall(words))))
    return stated


def _pinned(text: str) -> tuple[str, str] | None:
    """(name, version) of `name==version ; marker`; None for any other requirement."""
    try:
        wanted = Requirement(text.strip())
    except InvalidRequirement:
        return None
    exact = [part.version for part in wanted.specifier if part.operator in ("==", "===")]
    return (str(canonicalize_name(wanted.name)), exact[0]) if len(exact) == 1 and "*" not in exact[0] else None


# -- of the package index -------------------------------------------------------------------------------------------


def _of_index(pins: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    cache = _cache()
    known = {pin: kept for pin in pins if (kept := _cached(cache, pin))}
    unknown = [pin for pin in pins if pin not in known]
    for pin, hashes in (_asked(unknown) if unknown else {}).items():
        known[pin] = hashes
        write_text(cache / pin, "\n".join(hashes) + "\n")
    lacking = [pin for pin in pins if pin not in known]
    if lacking:
        raise StoreError(
            f"pip found no hash of {lacking[0]}", fix="package with --lock pins, or with a lock of your own"
        )
    return known


def _cache() -> Path:
    """Where this user's hashes are kept: of the wheels for this Python on this platform."""
    import platformdirs

    version = "".join(platform.python_version_tuple()[:2])
    kind = f"{sys.implementation.name}{version}-{sysconfig.get_platform()}"
    return platformdirs.user_cache_path("nb2prod") / "wheel-hashes" / kind


def _cached(cache: Path, pin: str) -> tuple[str, ...]:
    try:
        return tuple(sorted(HASH.findall((cache / pin).read_text(encoding="utf-8"))))
    except (OSError, ValueError):
        return ()


def _asked(pins: list[str]) -> dict[str, tuple[str, ...]]:
    """What pip would install for these pins. It downloads no wheel where the index says the hash beside it, and builds
    nothing.
    """
    with tempfile.TemporaryDirectory(prefix="nb2prod-lock-") as scratch:
        report = Path(scratch) / "report.json"
        wanted = write_text(Path(scratch) / "wanted.txt", "\n".join(pins) + "\n")
        done = subprocess.run(
            [*ASK, "--report", str(report), "-r", str(wanted)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or not report.is_file():
            raise StoreError(
                f"pip cannot say the hashes of the lock: {_reason(done.stderr)}",
                fix="package with --lock pins, or with --lock FILE and a lock that has the hashes",
            )
        return dict(map(_reported, json.loads(report.read_text(encoding="utf-8"))["install"]))


def _reported(item: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    hashes = item["download_info"].get("archive_info", {}).get("hashes", {})
    pin = f"{canonicalize_name(item['metadata']['name'])}=={item['metadata']['version']}"
    return pin, tuple(f"sha256:{value}" for kind, value in hashes.items() if kind == "sha256")


def _reason(said: str) -> str:
    errors = [line.removeprefix("ERROR: ") for line in said.splitlines() if line.startswith("ERROR: ")]
    return (errors or said.strip().splitlines() or ["it ended without a word"])[-1][:300]
