"""Resume points take room only as long as somebody may want them."""

from __future__ import annotations

from pathlib import Path

from nb2prod.storage import points, step_entries
from nb2prod.storage.points import Packed, Point
from nb2prod.storage.store import LocalStore


def store_with(folder: Path, *runs: str) -> LocalStore:
    """One point a run, each with content of its own, an hour apart."""
    store = LocalStore(folder)
    for number, run in enumerate(runs):
        digest = store.put(run.encode() * 100)
        points.written(store, points.name_of(run, 3), Point(3, 3600.0 * number, parcels=(Packed(("x",), digest),)))
    return store


def kept(store: LocalStore) -> list[str]:
    return [name.split("/")[1] for name in store.names(points.RUNS)]


def test_the_last_runs_of_a_notebook_keep_their_points_and_other_notebooks_theirs(tmp_path: Path) -> None:
    runs = [f"2026010{day}-120000-my-model-{day}{day}" for day in range(1, 6)]
    store = store_with(tmp_path, *runs, "20250101-120000-other-aa")
    assert points.forget_earlier(store, runs[-1])
    assert kept(store) == ["20250101-120000-other-aa", *runs[-points.KEPT_RUNS :]]
    assert not points.forget_earlier(store, runs[-1])


def test_pruning_to_a_size_removes_the_oldest_points_with_their_content(tmp_path: Path) -> None:
    store = store_with(tmp_path, *(f"20260101-12000{n}-nb-{n}{n}" for n in range(4)))
    size = sum(one.size for one in store.contents())
    pruned = step_entries.prune(store, to=size // 2)
    assert (pruned.points, pruned.left) == (2, size // 2)
    assert kept(store) == ["20260101-120002-nb-22", "20260101-120003-nb-33"]


def test_pruning_all_leaves_no_point(tmp_path: Path) -> None:
    store = store_with(tmp_path, "20260101-120000-nb-11", "20260101-120001-nb-22")
    pruned = step_entries.prune(store, everything=True)
    assert (pruned.points, kept(store), pruned.left) == (2, [], 0)
