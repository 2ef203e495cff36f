"""Where each name's value is at each point of a run in isolated steps: in a parcel, or in a process that keeps it.

Pieces are numbered in the notebook's order. What piece 5 sees of `df` is what the last piece before it, by number, has
made of it. When pieces run at the same time, a piece may find afterwards that it was given less than that: then
`outdated` says so, and the run is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from nb2prod.kernel.step_work import Packed, Report


@dataclass(frozen=True, slots=True)
class Version:
    """A name's value as piece `order` left it: in `packed`, or in process `host`; neither: the name was deleted.

    `same` when the piece has not changed it, only what shares an object with it.
    """

    order: int
    packed: Packed | None = None
    host: int | None = None
    same: bool = field(default=False, compare=False)

    @property
    def is_gone(self) -> bool:
        return self.packed is None and self.host is None


@dataclass(slots=True)
class Values:
    """All versions of all names, and of the ambient states."""

    versions: dict[str, list[Version]] = field(default_factory=dict)
    ambient: dict[str, list[Version]] = field(default_factory=dict)

    def record(self, order: int, report: Report, host: int) -> None:
        """What a piece left behind."""
        for packed in report.parcels:
            for name in packed.names:
                self._add(name, Version(order, packed, same=name in report.same))
        for name in report.hosted:
            self._add(name, Version(order, host=host, same=name in report.same))
        for name in report.gone:
            self._add(name, Version(order))
        for packed in report.ambient:
            for name in packed.names:
                self.ambient.setdefault(name, []).append(Version(order, packed))

    def _add(self, name: str, version: Version) -> None:
        self.versions.setdefault(name, []).append(version)

    def seen(self, name: str, order: int) -> Version | None:
        """The version that a piece of that number sees."""
        return _last(self.versions.get(name, ()), order)

    def changed(self, name: str, order: int) -> Version | None:
        """The last version before a piece of that number that differs from the one before it."""
        return _last([version for version in self.versions.get(name, ()) if not version.same], order)

    def left_by(self, order: int) -> frozenset[str]:
        """The names that a piece has left a version of."""
        return frozenset(name for name, found in self.versions.items() if any(one.order == order for one in found))

    def ambient_for(self, order: int) -> dict[str, Packed]:
        found = {name: _last(versions, order) for name, versions in self.ambient.items()}
        return {name: version.packed for name, version in found.items() if version is not None and version.packed}

    def wanted(self, names: Iterable[str], order: int) -> dict[str, Version]:
        """What `names` need: their own versions, what the functions among them read, and what shares an object."""
        found: dict[str, Version] = {}
        pending = list(names)
        while pending:
            name = pending.pop()
            version = self.seen(name, order)
            if name in found or version is None or version.is_gone:
                continue
            found[name] = version
            if version.packed is not None:
                pending += version.packed.needs
                pending += [other for other in version.packed.names if self.seen(other, order) == version]
        return found

    def followed(self, names: Iterable[str], order: int) -> dict[str, Version | None]:
        """What a piece sees of `names`, and of what the functions among them read; not of what only travels along.

        Of each the version that last differed from the one before it.
        """
        found: dict[str, Version | None] = {}
        pending = list(names)
        while pending:
            name = pending.pop()
            if name not in found:
                version = self.seen(name, order)
                found[name] = self.changed(name, order)
                pending += version.packed.needs if version is not None and version.packed is not None else ()
        return found

    def needed(self) -> frozenset[str]:
        """What functions at rest read: it has to be kept for when they are called."""
        packed = [version.packed for versions in self.versions.values() for version in versions if version.packed]
        return frozenset(need for one in packed for need in one.needs)


def _last(versions: Iterable[Version], order: int) -> Version | None:
    before = [version for version in versions if version.order < order]
    return max(before, key=lambda version: version.order, default=None)
