"""The content store: whole or absent, once, by name, and never taken for something else."""

from __future__ import annotations

import hashlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nb2prod.core.errors import StoreError, UsageError
from nb2prod.storage import step_entries
from nb2prod.storage.owner import owner
from nb2prod.storage.step_entries import Entry
from nb2prod.storage.store import LocalStore, open_store


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def test_content_is_kept_once_under_its_digest(store: LocalStore) -> None:
    digest = store.put(b"abc")
    assert digest == hashlib.sha256(b"abc").hexdigest() == store.put(b"abc")
    assert (store.get(digest), store.has(digest)) == (b"abc", True)
    assert [(kept.digest, kept.size) for kept in store.contents()] == [(digest, 3)]


def test_nothing_is_made_by_looking(store: LocalStore) -> None:
    assert (store.has("0" * 64), store.read("a/b"), list(store.names(""))) == (False, None, [])
    assert not store.folder.exists()


def test_damaged_content_is_refused_and_can_be_kept_anew(store: LocalStore) -> None:
    digest = store.put(b"abc")
    store.place(digest).write_bytes(b"abd")
    with pytest.raises(StoreError, match="damaged"):
        store.get(digest)
    with pytest.raises(StoreError, match="is not there"):
        store.get(digest)
    assert store.get(store.put(b"abc")) == b"abc"


def test_a_file_is_adopted_without_being_copied(store: LocalStore, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    digest = hashlib.sha256(b"abc").hexdigest()
    store.adopt(path, digest)
    assert store.get(digest) == b"abc"
    assert store.place(digest).stat().st_ino == path.stat().st_ino


def test_the_last_record_of_a_name_wins_and_the_first_claim(store: LocalStore) -> None:
    store.write("runs/a/one.json", b"1")
    store.write("runs/a/one.json", b"2")
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda n: store.claim("runs/a/two", b"%d" % n), range(8)))
    assert (store.read("runs/a/one.json"), won.count(True)) == (b"2", 1)
    assert store.read("runs/a/two") == b"%d" % won.index(True)
    assert list(store.names("runs/a/t")) == ["runs/a/two"]
    store.remove("runs/a/two")
    assert list(store.names("runs/")) == ["runs/a/one.json"]


@pytest.mark.parametrize("name", ["", "/a", "a/", "../a", "a/../b", "a//b", ".a", "a\\b"])
def test_a_name_leads_nowhere_else(store: LocalStore, name: str) -> None:
    with pytest.raises(UsageError, match="no name of a record"):
        store.write(name, b"")


def test_a_store_in_a_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot write"):
        open_store(tmp_path / "file").put(b"x")


def kept(store: LocalStore, name: str, size: int, made: float) -> Entry:
    digest = store.put(name.encode() * size)
    entry = Entry(name * 8, name, name, "nb.ipynb", made, 1.0, size, digest, contents={digest: size})
    step_entries.save(store, entry)
    return entry


def test_an_entry_is_read_as_it_was_written(store: LocalStore) -> None:
    entry = kept(store, "a", 5, 1.0)
    assert step_entries.load(store, entry.name) == entry
    store.write(entry.name, b"{")
    assert step_entries.load(store, entry.name) is None


def test_pruning_takes_what_was_longest_unused_and_what_nobody_names(store: LocalStore) -> None:
    now = time.time()
    for name, age in (("a", 300), ("b", 200), ("c", 100)):
        kept(store, name, 1000, now - age)
        time.sleep(0.01)
    step_entries.note_uses(store, [f"cache/entries/{'a' * 8}/a"])
    time.sleep(0.05)
    pruned = step_entries.prune(store, to=2000)
    assert (pruned.entries, pruned.freed, pruned.left) == (1, 1000, 2000)
    assert sorted(entry.step for entry in step_entries.every(store)) == ["a", "c"]
    pruned = step_entries.prune(store, everything=True)
    assert (pruned.entries, pruned.left, list(step_entries.every(store))) == (2, 0, [])


def test_what_a_run_under_way_may_need_stays(store: LocalStore) -> None:
    old = kept(store, "a", 1000, time.time() - 300)
    lease = {"owner": owner(), "began": time.time() - 600}
    store.write(f"{step_entries.UNDER_WAY}run", json.dumps(lease).encode())
    assert step_entries.prune(store, everything=True).entries == 0
    assert step_entries.load(store, old.name) == old
    store.write(f"{step_entries.UNDER_WAY}run", json.dumps(lease | {"owner": f"{owner()[:-9]}1.00"}).encode())
    (store.incoming / "run").mkdir(parents=True)
    assert step_entries.prune(store, everything=True).entries == 1
    assert list(store.incoming.iterdir()) == []


@pytest.mark.parametrize(("text", "size"), [("500M", 500_000_000), ("1.5 GB", 1_500_000_000), ("12", 12), ("2k", 2000)])
def test_sizes_are_read(text: str, size: int) -> None:
    assert step_entries.size_of(text, "--to") == size


def test_a_size_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="is no size"):
        step_entries.size_of("much", "--to")
