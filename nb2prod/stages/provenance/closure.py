"""What is needed, with all that it needs in turn: the distributions as they are installed here."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name


@dataclass(frozen=True, slots=True)
class Installed:
    """A distribution as it is here. Its metadata is read once: that takes a millisecond each time."""

    name: str
    version: str
    metadata: importlib.metadata.PackageMetadata
    needs: tuple[Requirement, ...]
    distribution: importlib.metadata.Distribution

    @property
    def pin(self) -> str:
        return f"{self.name}=={self.version}"

    def needed(self, extras: Iterable[str]) -> list[Requirement]:
        """What it needs on this platform, with these of its extras; `""` is without one."""
        return [one for one in self.needs if one.marker is None or any(map(self._holds(one), extras))]

    @staticmethod
    def _holds(requirement: Requirement) -> Callable[[str], bool]:
        marker = requirement.marker
        return lambda extra: marker is None or marker.evaluate({"extra": extra})


@dataclass(frozen=True, slots=True)
class Closure:
    """`found` by name, sorted; `missing` are names that something needs and that are not installed."""

    found: tuple[Installed, ...]
    missing: tuple[str, ...] = ()

    @property
    def pins(self) -> tuple[str, ...]:
        return tuple(found.pin for found in self.found)


Known = dict[str, Installed]


def closure(requirements: Iterable[str], known: Known | None = None) -> Closure:
    """Everything that these requirements (`numpy==2.4`, `uvicorn`) lead to in this environment.

    `known` are distributions that were read already; others that are read are added.
    """
    known = {} if known is None else known
    found: dict[str, Installed] = {}
    missing: set[str] = set()
    seen: set[tuple[str, str]] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        wanted = waiting.pop()
        name = str(canonicalize_name(wanted.name))
        fresh = {extra for extra in ("", *wanted.extras) if (name, extra) not in seen}
        if name in missing or not fresh:
            continue
        seen |= {(name, extra) for extra in fresh}
        try:
            found[name] = known.get(name) or installed(importlib.metadata.distribution(name))
        except importlib.metadata.PackageNotFoundError:
            missing.add(name)
            continue
        known[name] = found[name]
        waiting += found[name].needed(fresh)
    return Closure(tuple(found[name] for name in sorted(found)), tuple(sorted(missing)))


def installed(distribution: importlib.metadata.Distribution) -> Installed:
    metadata = distribution.metadata
    (name,) = metadata.get_all("Name") or ("",)
    (version,) = metadata.get_all("Version") or ("",)
    needs = tuple(_readable(metadata.get_all("Requires-Dist") or ()))
    return Installed(str(canonicalize_name(name)), version, metadata, needs, distribution)


def _readable(texts: Iterable[str]) -> Iterable[Requirement]:
    for text in texts:
        try:
            yield Requirement(text)
        except InvalidRequirement:
            # old metadata that no installer of today reads either
            continue
