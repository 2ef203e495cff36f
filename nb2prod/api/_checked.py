"""That a notebook was checked before, and nothing stood against it: then a run with a store need not check again.

The record's name says what was checked, and with what: the notebook's own digest, and every place from which a check
may come (ours, and the folders of the import path, which change when something is installed).
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from nb2prod.core.pipeline import Plan
from nb2prod.storage.store import Store, open_store


def checked_before(plan: Plan, *, allow_shell: bool, isolated: bool) -> bool:
    """`isolated`: findings that speak of isolated steps count too."""
    store = _store(plan)
    return store is not None and store.read(_name(plan, allow_shell, isolated)) is not None


def note_checked(plan: Plan, *, allow_shell: bool, isolated: bool) -> None:
    store = _store(plan)
    if store is not None:
        store.write(_name(plan, allow_shell, isolated), b"{}")


def _store(plan: Plan) -> Store | None:
    """The store that the run uses, for what steps have left or for resume points."""
    points = plan.options.get("checkpoints", {}).get("store", "")
    where = str(plan.options["store"] if plan.options.get("cache") else points)
    return open_store(where) if where else None


def _name(plan: Plan, allow_shell: bool, isolated: bool) -> str:
    ours = Path(__file__).parents[1]
    places = [
        *sys.path,
        *(str(path) for folder in ("checks", "language", "stages", "core") for path in _files(ours / folder)),
    ]
    with_what = [plan.pipeline.notebook.digest, str(plan.pipeline.notebook.path), allow_shell, isolated]
    with_what += list(map(_time, places))
    return f"cache/checked/{hashlib.sha256(json.dumps(with_what).encode()).hexdigest()}"


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.py"))


def _time(place: str) -> int:
    try:
        return Path(place).stat().st_mtime_ns if place.endswith(("packages", ".py")) else 0
    except OSError:
        return -1
