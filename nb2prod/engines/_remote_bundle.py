"""What travels between the engine and a worker of a cluster: plain values that can be pickled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nb2prod.kernel.step_work import Work
from nb2prod.storage.store import Store

SMALL = 256 * 1024  # bytes: larger values go through the store


@dataclass(frozen=True, slots=True)
class Around:
    """What all pieces of a run have in common. `modules` and `plan` are texts by file, `digest` is the notebook's.

    `visit` tells this run from the same one when it goes on later. `store` is where large values rest, None: nowhere,
    because a secret might be in them. `mark` is a record there: who finds it reaches the store. `jobs`: what the cells
    ask joblib to do in parallel is done by the cluster.
    """

    run: str
    visit: str
    plan: str
    folder: str
    digest: str
    environment: Mapping[str, str]
    preload: tuple[str, ...] = ()
    modules: Mapping[str, bytes] = field(default_factory=dict)
    store: Store | None = None
    mark: str = ""
    jobs: bool = False
    forget: float = 600.0  # seconds without a word of the driver after which its run is over


@dataclass(frozen=True, slots=True)
class Bundle:
    """A piece on its way to a worker: the process `number`, its work, and the contents that it needs.

    `kept`: the process is there, with what an earlier piece left in it. `files` are what earlier steps kept, by their
    paths in the run's folder; `contents` are parcels by digest.
    """

    around: Around
    number: int
    work: Work
    of_cell: float | None
    of_step: float | None
    kept: bool = False
    files: Mapping[str, bytes] = field(default_factory=dict)
    contents: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a piece came to. `ended` says how, when it is not by a report: `late`, or what became of the process.

    `apart`: the worker does not see the folder of the notebook. `lacks` are parcels that the worker cannot get.
    """

    worker: str
    messages: tuple[tuple[Any, ...], ...] = ()
    ended: str = ""
    apart: bool = False
    files: Mapping[str, bytes] = field(default_factory=dict)
    contents: Mapping[str, bytes] = field(default_factory=dict)
    lacks: frozenset[str] = frozenset()
