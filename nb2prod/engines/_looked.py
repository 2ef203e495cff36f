"""A piece that is about to run, with what, and what an earlier run of the same has left in the store, if anything."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from nb2prod.engines._facts import Facts
from nb2prod.engines._pieces import Piece
from nb2prod.storage.step_entries import Entry


@dataclass(frozen=True, slots=True)
class Looked:
    """A piece that is about to run, with what; `entry` is what it left the last time, or `reason` says why it runs.

    `never` says why what it leaves is not kept, whatever it does.
    """

    piece: Piece
    facts: Facts
    key: str
    entry: Entry | None
    reason: str
    never: str = ""
    tops: frozenset[str] = frozenset()
    streams: Mapping[str, str] = field(default_factory=dict)
    given_secret: bool = False
    began: int = field(default_factory=time.time_ns)
