"""Looking into the cache of isolated steps, and keeping it small."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nb2prod.core.result import Foreseen
    from nb2prod.storage.step_entries import Entry, Pruned


def cached(store: Path | str) -> tuple[tuple[Entry, int, float], ...]:
    """(what was kept of a step, how often it was taken, when it was last used), the last used first."""
    from nb2prod.storage import step_entries
    from nb2prod.storage.store import open_store

    opened = open_store(store)
    used = step_entries.uses(opened)
    rows = [(entry, *used.get(entry.name, (0, entry.made))) for entry in step_entries.every(opened)]
    return tuple(sorted(rows, key=lambda row: -row[2]))


def explain_cache(
    notebook: Path | str,
    parameters: Mapping[str, Any] | None = None,
    *,
    store: Path | str,
    texts: Mapping[str, str] | None = None,
    kernel: str | None = None,
) -> tuple[Foreseen, ...]:
    """Of each step whether a run would take it from the store, or why it would run. Nothing runs or is written."""
    from nb2prod.api._pipelines import load_pipeline
    from nb2prod.api.running import cache_in
    from nb2prod.engines.steps import foresee
    from nb2prod.stages.plan import plan as make_plan

    pipeline = load_pipeline(notebook)
    return foresee(
        make_plan(pipeline, parameters or {}, texts=texts, engine="steps", kernel=kernel, options=cache_in(store))
    )


def prune_cache(
    store: Path | str, *, older_days: float | None = None, to: str | None = None, everything: bool = False
) -> Pruned:
    """Remove what was not used for so many days, then what was longest unused, down to a size (`500M`), or all.

    Without any of these the store is brought down to its limit.
    """
    from nb2prod.storage import step_entries
    from nb2prod.storage.store import open_store

    older = None if older_days is None else older_days * 86400
    size = step_entries.size_of(to, "--to") if to else None
    if older is None and size is None and not everything:
        size = step_entries.limit()
    return step_entries.prune(open_store(store), older=older, to=size, everything=everything)
