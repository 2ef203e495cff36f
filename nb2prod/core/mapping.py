"""A map: one pipeline run once per row or group of a table. What goes in, what comes out, and who hears of it.

`Item` is one row or group, `ItemResult` what came of it: an item whose code fails is a result like any other. The
driver (`stages/map.py`) hands batches of items to workers and gives every batch of results, once, to its sinks: the
journal, the progress display, trackers, floors. Order: a result's model first goes into a shard (`storage/shards.py`:
`open_shards(directory) -> Shards`, `Shards.put(content: bytes) -> ModelReference`, `Shards.sync()`, `Shards.close()`),
then the result, with `kept` in place of `model`, reaches the journal, then the other sinks. A resumed map gives the
sinks the earlier results again as one first `hear` before the new ones, so that a sink that adds up needs no memory
of its own; `plan.resumed` is True then, for sinks that write elsewhere and must not write twice.

What a routed package is proved with: the worker gives the items of `sample_of(numbers)` a `proof` beside their model
(`kernel/map_proof.py: proof_of(…) -> bytes`: a few rows of the example and what this item's model said of them), and
the driver hands it on with `Shards.put_proof(number, content)`; it goes into no journal and to no sink.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from nb2prod.core.pipeline import Pipeline

if TYPE_CHECKING:
    from nb2prod.core.distribution import Judgement

ItemStatus = Literal["ok", "failed", "timeout", "lost", "test_failed"]
Isolation = Literal["fork", "shared", "function"]
Tracking = Literal["summary", "each", "none"]
STATUSES: tuple[ItemStatus, ...] = ("ok", "failed", "timeout", "lost", "test_failed")
ISOLATIONS: tuple[Isolation, ...] = ("fork", "shared", "function")


@dataclass(frozen=True, slots=True)
class Item:
    """One row or group: `number` is its position among all items, `key` what identifies it.

    `given` are the item's own parameters (the plan's fixed ones come on top). `rows` are positions in the table, in
    group mode.
    """

    number: int
    key: Mapping[str, Any]
    given: Mapping[str, Any]
    rows: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelReference:
    """Where an item's pickled model lies: `shard` is a file name below the run's `models` folder."""

    shard: str
    offset: int
    length: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ItemResult:
    """What came of an item.

    status: `ok` · `failed` the notebook's code failed · `timeout` · `lost` its process died · `test_failed` its code
    ran and a test of the notebook did not hold (its metrics and model are there). `model` is the pickled model
    (`kernel/pickling.py`) on the way from the worker to the driver; sinks see `kept` instead. `printed` is the end of
    what the item printed. `proof` is what its model can be proved with later, of a few items. `seconds` is the item's
    own time in its worker; `given` its own parameters.
    """

    number: int
    key: Mapping[str, Any]
    status: ItemStatus
    seconds: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    error: str = ""
    step: str | None = None
    cell: int | None = None
    line: int | None = None
    model: bytes | None = None
    printed: str = ""
    kept: ModelReference | None = None
    proof: bytes | None = None
    given: Mapping[str, Any] = field(default_factory=dict)


def sample_of(numbers: Sequence[int], count: int = 50) -> frozenset[int]:
    """The items that bring a proof: `count` of them, evenly over all, always the same ones."""
    last = len(numbers) - 1
    return frozenset(numbers) if last < count else frozenset(numbers[i * last // (count - 1)] for i in range(count))


@dataclass(frozen=True, slots=True)
class MapPlan:
    """A map about to run, decided before anything starts.

    `table` is the file's absolute path, `digest` the SHA-256 of its bytes, `code` that of the notebook's code cells
    with their tags: what a resumed map must find unchanged. `by` names the key columns and `rows` the parameter that
    takes a group's rows; both are empty when every row is an item. `given` are fixed parameters; `parameters` all of
    the pipeline's as a person may see them (secrets masked). `left_out` groups had fewer than `min_rows` rows.
    """

    run: str
    pipeline: Pipeline
    directory: str
    table: str
    digest: str
    code: str
    by: tuple[str, ...] = ()
    rows: str = ""
    given: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    only: str = ""
    limit: int | None = None
    min_rows: int = 1
    left_out: int = 0
    isolation: Isolation = "fork"
    executor: str = "processes"
    workers: int = 1
    timeout: float | None = None
    tests: bool = True
    track: Tracking = "summary"
    experiment: str = ""
    floors: tuple[str, ...] = ()
    resumed: bool = False
    proofs: frozenset[int] = frozenset()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, ...]:
        """The columns of the results that identify an item; an item per row is identified by its number alone."""
        return self.by


@dataclass(frozen=True, slots=True)
class MapSummary:
    """What a map came to. `before` items were done by the run that was resumed; `results` is the table's path.

    `worst` are the most frequent messages of failed items, with how many items said so. `stopped` says why a map
    ended before all items were done; it is empty when they were. `judged` are its floors, `tracked` says where MLflow
    was told of it.
    """

    run: str
    directory: str
    total: int
    counts: Mapping[str, int]
    seconds: float
    before: int = 0
    left_out: int = 0
    results: str = ""
    worst: tuple[tuple[str, int], ...] = ()
    stopped: str = ""
    judged: tuple[Judgement, ...] = ()
    tracked: Mapping[str, str] = field(default_factory=dict)

    @property
    def done(self) -> int:
        return sum(self.counts.values())

    @property
    def failed(self) -> int:
        return self.done - self.counts.get("ok", 0)


class MapSink(Protocol):
    """Who is told of a map. `hear` is called from one thread, each result once; sinks cannot change the map."""

    def begin(self, plan: MapPlan, total: int) -> None: ...

    def hear(self, results: Sequence[ItemResult]) -> None: ...

    def end(self, summary: MapSummary) -> None: ...
