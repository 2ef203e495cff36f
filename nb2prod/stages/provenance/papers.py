"""What provenance puts into a package, in two goes: `carry` before the proof, which runs the service and installs the
lock, and `write_papers` after it, when it is known whether the translation holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nb2prod.core.result import Dataset
from nb2prod.stages.provenance import licences, lock, sbom, service_folder
from nb2prod.stages.provenance.closure import Closure, Installed, Known, closure
from nb2prod.stages.provenance.lock import PINS, Lock


@dataclass(frozen=True, slots=True)
class Carried:
    """The locks that were written, by their path in the package, and why there is no service, if there is none."""

    locks: Mapping[str, tuple[Lock, tuple[Installed, ...]]]
    no_service: str = ""

    @property
    def hashed(self) -> bool:
        return all(lock.hashed for lock, _ in self.locks.values())

    def kept(self, folder: Path) -> dict[str, tuple[Lock, tuple[Installed, ...]]]:
        """The locks that are still there: a translation that does not hold goes with its own."""
        return {file: found for file, found in self.locks.items() if (folder / file).is_file()}

    def told(self, folder: Path) -> dict[str, Any]:
        """What `package.json` says of it."""
        files = {file: len(found.pins) for file, (found, _) in self.kept(folder).items()}
        said: dict[str, Any] = {"lock": {"hashed": self.hashed, "files": files}}
        return {**said, "no_service": self.no_service} if self.no_service else said


def carry(folder: Path, requirements: Iterable[str], way: str = PINS) -> Carried:
    """Write the locks and the service. `requirements` are the model's own pins, `way` is that of the lock.

    Without the service's libraries there is no service in the package: nothing could be said of their versions.
    """
    seen: Known = {}
    model, serving = closure(requirements, seen), closure(service_folder.SERVING, seen)
    if serving.missing:
        known = {service_folder.NATIVE_LOCK: model}
        absent = f"{', '.join(serving.missing)} not installed where it was made (pip install 'nb2prod[serve]')"
    else:
        known = {service_folder.NATIVE_LOCK: closure([*requirements, *service_folder.SERVING], seen)}
        absent = ""
        service_folder.write_service(folder)
        if service_folder.is_translated(folder):
            translated = closure([*service_folder.SERVING, *service_folder.ONNX], seen)
            known[service_folder.ONNX_LOCK] = translated
    return Carried({file: _locked(folder / file, found, way) for file, found in known.items()}, absent)


def _locked(path: Path, found: Closure, way: str) -> tuple[Lock, tuple[Installed, ...]]:
    made = lock.lock(found, way)
    lock.write(made, path)
    return made, found.found


def write_papers(folder: Path, manifest: Mapping[str, Any], carried: Carried, datasets: Iterable[Dataset] = ()) -> None:
    """Licences, the list of components, and the container's files."""
    locks = carried.kept(folder)
    libraries = {one.name: one for _, found in locks.values() for one in found}
    found = licences.licences(libraries[name] for name in sorted(libraries))
    licences.write(folder, found)
    sbom.write(folder, manifest, sbom.libraries(locks, found), datasets)
    if not carried.no_service:
        service_folder.write_container(folder, manifest, hashed=carried.hashed)
