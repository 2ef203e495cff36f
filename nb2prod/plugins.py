"""Finds a plug-in by its file's name in the folder of its kind, then by entry point, and fails loudly.

`nb2prod/engines/papermill.py` is the engine `papermill`. A package of yours adds one with an entry point in the group
`nb2prod.engines` (`nb2prod.checks`, …). Nothing is registered anywhere else.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Literal

from nb2prod.core.errors import PluginError

Kind = Literal["engines", "executors", "trackers", "checks", "targets"]
OFFERS: dict[Kind, tuple[str, ...]] = {
    "engines": ("run",),
    "executors": ("open",),
    "trackers": ("open",),
    "checks": ("check", "CODE", "SEVERITY"),
    "targets": ("export",),
}


def names(kind: Kind) -> tuple[str, ...]:
    """Every plug-in's name as the user types it (`no-seed` for the file `no_seed.py`), sorted."""
    return tuple(sorted({*_files(kind), *_entries(kind)}))


def find(kind: Kind, name: str) -> Any:
    """The plug-in's module. Raises PluginError when there is none of that name, or it lacks what its kind offers."""
    return _found(kind, name, _files(kind), _entries(kind))


def every(kind: Kind) -> tuple[tuple[str, Any], ...]:
    """(name, module) of every plug-in of a kind, sorted by name."""
    files, entries = _files(kind), _entries(kind)
    return tuple((name, _found(kind, name, files, entries)) for name in sorted({*files, *entries}))


def _found(kind: Kind, name: str, files: dict[str, str], entries: dict[str, Any]) -> Any:
    if name in files and name in entries:
        raise PluginError(
            f"two {kind} are named {name!r}: nb2prod's own and one of {entries[name].value}",
            fix="rename the entry point",
        )
    if name in files:
        found = importlib.import_module(files[name])
    elif name in entries:
        found = _loaded(kind, name, entries[name])
    else:
        raise _unknown(kind, name)
    missing = [offer for offer in OFFERS[kind] if not hasattr(found, offer)]
    if missing:
        raise PluginError(f"{found.__name__} is no plug-in of {kind}: it lacks {', '.join(missing)}")
    return found


def _files(kind: Kind) -> dict[str, str]:
    folder = importlib.import_module(f"nb2prod.{kind}")
    modules = (module.name for module in pkgutil.iter_modules(folder.__path__) if not module.name.startswith("_"))
    return {name.replace("_", "-"): f"nb2prod.{kind}.{name}" for name in modules}


def _entries(kind: Kind) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for entry in _installed().select(group=f"nb2prod.{kind}"):
        if entry.name in found and found[entry.name].value != entry.value:
            raise PluginError(f"two packages offer the {kind} plug-in {entry.name!r}", fix="uninstall one of them")
        found[entry.name] = entry
    return found


@cache
def _installed() -> Any:
    """Read once: with all packages of an environment it takes 30 ms."""
    return entry_points()


def _loaded(kind: Kind, name: str, entry: Any) -> Any:
    try:
        return entry.load()
    except Exception as error:
        raise PluginError(f"the {kind} plug-in {name!r} ({entry.value}) cannot be imported: {error}") from error


def _unknown(kind: Kind, name: str) -> PluginError:
    import difflib

    there = names(kind)
    near = difflib.get_close_matches(name, there, n=1)
    fix = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(there) or 'none yet'}"
    return PluginError(f"there is no {kind.removesuffix('s')} named {name!r}", fix=fix)
