"""What the cache of isolated steps keeps in the content store: entries, and what is known of each step's last run.

    cache/entries/KEY/ID      what a piece of a step left when it ran; KEY says with what, ID what it met while it ran
    cache/last/NOTEBOOK/STEP  with what the step ran last, so that it can be said what has changed since
    cache/uses                how often each entry was taken, and when last
    cache/under-way/RUN       a run that may still need what it was given

An entry names all content that it needs by digest, so that what no record names can be removed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from nb2prod.core.errors import StoreError, UsageError
from nb2prod.storage import codec, points
from nb2prod.storage.owner import is_gone
from nb2prod.storage.store import LocalStore, Store

FORMAT = 3
ENTRIES, LAST, USES, UNDER_WAY = "cache/entries/", "cache/last/", "cache/uses", "cache/under-way/"
LIMIT_VARIABLE = "NB2PROD_STORE_LIMIT"
LIMIT = 10_000_000_000
GRACE = 3600.0  # seconds that content may lie in the store before a record names it
DIGESTS = re.compile(rb"[0-9a-f]{64}")
UNITS = {"": 1, "K": 1_000, "M": 1_000_000, "G": 1_000_000_000, "T": 1_000_000_000_000}


@dataclass(frozen=True, slots=True)
class Parcel:
    """A parcel of values, or of ambient state, in the store."""

    names: tuple[str, ...]
    digest: str
    identity: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """What a piece of a step left, and what must be as it was for that to be what it would leave now.

    `streams` are the random streams that it drew from, by the digest of where they stood. `files`, `folders` and
    `modules` go by path, `variables` by name, `libraries` by distribution; each with its state and how to see quickly
    that it is the same. `contents` are the sizes of all that it needs by digest; `shown` holds its events and outputs.
    """

    key: str
    id: str
    step: str
    notebook: str
    made: float
    seconds: float
    size: int
    shown: str
    cells: tuple[int, ...] = ()
    parcels: tuple[Parcel, ...] = ()
    ambient: tuple[Parcel, ...] = ()
    gone: tuple[str, ...] = ()
    same: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    tops: tuple[str, ...] = ()
    streams: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Any] = field(default_factory=dict)
    folders: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    libraries: Mapping[str, Any] = field(default_factory=dict)
    modules: Mapping[str, Any] = field(default_factory=dict)
    artifacts: Mapping[str, str] = field(default_factory=dict)
    contents: Mapping[str, int] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def name(self) -> str:
        return f"{ENTRIES}{self.key}/{self.id}"


def save(store: Store, entry: Entry) -> None:
    store.write(entry.name, json.dumps(codec.plain(entry), ensure_ascii=False).encode())


def load(store: Store, name: str) -> Entry | None:
    """The entry of that name; None when it is gone, damaged, or of another format."""
    record = store.read(name)
    if record is None:
        return None
    with contextlib.suppress(ValueError, TypeError, KeyError):
        content = json.loads(record)
        if content["format"] == FORMAT:
            return _built(content)
    return None


def _built(content: Mapping[str, Any]) -> Entry:
    made = dict(content)
    for name in ("parcels", "ambient"):
        made[name] = tuple(
            Parcel(tuple(one["names"]), one["digest"], one["identity"], tuple(one["needs"])) for one in made[name]
        )
    for name in ("cells", "gone", "same", "left_out", "tops"):
        made[name] = tuple(made[name])
    return Entry(**made)


def under(store: Store, key: str) -> list[Entry]:
    """The entries of a key, the newest first."""
    found = [load(store, name) for name in store.names(f"{ENTRIES}{key}/")]
    return sorted((entry for entry in found if entry is not None), key=lambda entry: -entry.made)


def every(store: Store) -> Iterator[Entry]:
    for name in store.names(ENTRIES):
        entry = load(store, name)
        if entry is not None:
            yield entry


# -- what was last ---------------------------------------------------------------------------------------------------


def read_last(store: Store, name: str) -> dict[str, Any]:
    """What is known of a step's last run; empty when nothing is."""
    record = store.read(LAST + name)
    with contextlib.suppress(ValueError):
        found = json.loads(record or b"{}")
        return found if isinstance(found, dict) else {}
    return {}


def write_last(store: Store, name: str, known: Mapping[str, Any]) -> None:
    store.write(LAST + name, json.dumps(known, ensure_ascii=False).encode())


# -- uses ------------------------------------------------------------------------------------------------------------


def uses(store: Store) -> dict[str, tuple[int, float]]:
    """How often an entry was taken, and when last, by its name."""
    record = store.read(USES)
    with contextlib.suppress(ValueError, TypeError, KeyError):
        return {name: (int(hits), float(at)) for name, (hits, at) in json.loads(record or b"{}").items()}
    return {}


def note_uses(store: Store, names: Iterable[str]) -> None:
    """Entries were taken. Two runs that end at the same moment may count as one: it is only for looking."""
    found = uses(store)
    for name in names:
        found[name] = (found.get(name, (0, 0.0))[0] + 1, time.time())
    store.write(USES, json.dumps(found).encode())


# -- how much is kept ------------------------------------------------------------------------------------------------


def limit() -> int:
    """The bytes that a store may take: from NB2PROD_STORE_LIMIT (`500M`, `20G`), or 10 GB. Raises UsageError."""
    return size_of(os.environ[LIMIT_VARIABLE], LIMIT_VARIABLE) if os.environ.get(LIMIT_VARIABLE) else LIMIT


def size_of(text: str, where: str) -> int:
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)B?\s*", text.upper())
    if found is None:
        raise UsageError(f"{text!r} is no size", where=where, fix="write it as 500M or 10G")
    return int(float(found[1]) * UNITS[found[2]])


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many entries of the cache and resume points went, with how much content and how many bytes."""

    entries: int
    points: int
    contents: int
    freed: int
    left: int


def prune(store: Store, *, older: float | None = None, to: int | None = None, everything: bool = False) -> Pruned:
    """Remove what was of no use for `older` seconds, then what was longest of none until `to` bytes are left.

    That is entries of the cache and resume points.

    Then all content that no record names is removed, except what is so new that its record may still come. What a run
    under way may have been given stays, whatever is asked for.
    """
    if not isinstance(store, LocalStore):
        raise UsageError("only a store in a folder can be pruned", fix="let the bucket's own rules remove old objects")
    now = time.time()
    since = min(under_way(store), default=now)
    rows = sorted(_removable(store), key=lambda row: row.at)
    gone = {row.name for row in rows if row.at < since and (everything or (older is not None and now - row.at > older))}
    for name in gone:
        store.remove(name)
    freed, contents = _swept(store, since, now if everything else now - GRACE)
    if to is not None:
        left = sum(kept.size for kept in store.contents())
        for row in rows:
            if left <= to or row.at >= since:
                break
            if row.name not in gone:
                store.remove(row.name)
                gone.add(row.name)
                more, number = _swept(store, since, now - GRACE, also=row.contents)
                freed, contents, left = freed + more, contents + number, left - more
    _forget(store, gone, everything)
    store.sweep()
    entries = sum(name.startswith(ENTRIES) for name in gone)
    return Pruned(entries, len(gone) - entries, contents, freed, sum(kept.size for kept in store.contents()))


@dataclass(frozen=True, slots=True)
class _Row:
    """A record that may be removed: `at` is when it was last of use."""

    at: float
    name: str
    contents: tuple[str, ...]


def _removable(store: Store) -> Iterator[_Row]:
    """Entries of the cache, and resume points of runs."""
    used = uses(store)
    for entry in every(store):
        yield _Row(max(entry.made, used.get(entry.name, (0, 0.0))[1]), entry.name, tuple(entry.contents))
    for name in store.names(points.RUNS):
        if points.is_point(name):
            record = store.read(name) or b"{}"
            with contextlib.suppress(ValueError, TypeError, KeyError):
                at = float(json.loads(record)["at"])
                yield _Row(at, name, tuple(digest.decode() for digest in DIGESTS.findall(record)))


def _swept(store: LocalStore, since: float, before: float, also: Iterable[str] = ()) -> tuple[int, int]:
    """Remove content that no record names: what was put `before`, and what is named in `also`. Bytes and number."""
    named: set[str] = set()
    for name in store.names(""):
        named |= {digest.decode() for digest in DIGESTS.findall(store.read(name) or b"")}
    certain = set(also)
    freed = number = 0
    for kept in list(store.contents()):
        if kept.digest not in named and kept.used < since and (kept.used < before or kept.digest in certain):
            store.drop(kept.digest)
            freed, number = freed + kept.size, number + 1
    return freed, number


def _forget(store: Store, names: set[str], everything: bool) -> None:
    if names:
        store.write(USES, json.dumps({name: use for name, use in uses(store).items() if name not in names}).encode())
    if everything:
        for name in [*store.names(LAST), *store.names("cache/checked/")]:
            store.remove(name)


def under_way(store: LocalStore) -> Iterator[float]:
    """When the runs began that are not at their end; what killed ones left is removed."""
    for name in list(store.names(UNDER_WAY)):
        with contextlib.suppress(ValueError, TypeError, KeyError, StoreError):
            known = json.loads(store.read(name) or b"{}")
            if is_gone(known["owner"]):
                shutil.rmtree(store.incoming / name.removeprefix(UNDER_WAY), ignore_errors=True)
                store.remove(name)
            else:
                yield float(known["began"])
