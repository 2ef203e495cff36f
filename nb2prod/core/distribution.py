"""What a map's results add up to: the distribution of every metric, the worst items, failures grouped by what they say.

Only items that are `ok` count for metrics. A value that is no finite number is not one of the values: it is counted
(`missing`), so that nobody takes a mean over nine items for one over ten.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from nb2prod.core.mapping import ItemResult, MapSummary

Operator = Literal[">=", "<=", ">", "<"]
SECONDS = "seconds"  # an item's own time, where no metric has that name
WORST = 10


@dataclass(frozen=True, slots=True)
class Distribution:
    """One metric over all `ok` items: `values` in ascending order, `missing` items without a finite value."""

    name: str
    values: tuple[float, ...] = field(repr=False)
    missing: int = 0

    def quantile(self, share: float) -> float:
        """Between two values linearly, as numpy does; NaN when there are none."""
        if not self.values:
            return math.nan
        place = share * (len(self.values) - 1)
        low = math.floor(place)
        lower, upper = self.values[low], self.values[min(low + 1, len(self.values) - 1)]
        # equal neighbours give themselves, to the last bit
        return lower if lower == upper else lower + (upper - lower) * (place - low)

    @property
    def mean(self) -> float:
        count = len(self.values)
        try:
            return math.fsum(self.values) / count if count else math.nan
        except OverflowError:  # the sum is too large for a float, the mean is not
            return math.fsum(value / count for value in self.values)

    @property
    def figures(self) -> dict[str, float]:
        """What a tracker is told of it."""
        return {
            "mean": self.mean,
            "min": self.quantile(0.0),
            "p05": self.quantile(0.05),
            "p50": self.quantile(0.5),
            "p95": self.quantile(0.95),
            "max": self.quantile(1.0),
        }


@dataclass(frozen=True, slots=True)
class Floor:
    """What must hold of all items together: `p05(r2) >= 0.1`, `share(failed) <= 0.01`.

    `statistic` is `p05`, `mean`, `min`, `max`, `share` or `count`; `of` a metric, or for `share` and `count` a status.
    """

    text: str
    statistic: str
    of: str
    operator: Operator
    bound: float

    def allows(self, value: float) -> bool:
        """Never for NaN, whatever the operator."""
        compared = {
            ">=": value >= self.bound,
            "<=": value <= self.bound,
            ">": value > self.bound,
            "<": value < self.bound,
        }
        return compared[self.operator]

    @property
    def of_items(self) -> bool:
        return self.statistic in ("share", "count")

    @property
    def low_is_bad(self) -> bool:
        return self.operator in (">=", ">")


@dataclass(frozen=True, slots=True)
class Judgement:
    """A floor and whether it holds: `value` over `items` items, and in words why not. `worst` are items to look at."""

    floor: Floor
    holds: bool
    value: float
    items: int
    missing: int = 0
    reason: str = ""
    worst: tuple[ItemResult, ...] = ()


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Items that failed in one way: `message` is what most of them said, `messages` the number of different texts."""

    status: str
    message: str
    count: int
    messages: int
    step: str | None
    cell: int | None
    line: int | None
    example: ItemResult


@dataclass(frozen=True, slots=True)
class Extreme:
    """The items at one end of a metric's distribution, and the floor because of which one looks there, if any."""

    metric: str
    lowest: bool
    items: tuple[ItemResult, ...]
    floor: str = ""


@dataclass(frozen=True, slots=True)
class MapReport:
    """All that a person should see of a map, added up from its results."""

    title: str
    summary: MapSummary
    distributions: tuple[Distribution, ...]
    extremes: tuple[Extreme, ...]
    failures: tuple[FailureGroup, ...]
    judgements: tuple[Judgement, ...] = ()


def report(
    title: str,
    summary: MapSummary,
    results: Sequence[ItemResult],
    judgements: Sequence[Judgement] = (),
    promised: Iterable[str] = (),
) -> MapReport:
    """`promised` are the metrics that the notebook tags."""
    found = distributions(results, promised)
    ends = tuple(end for one in found for end in _extremes(one.name, results, judgements))
    return MapReport(title, summary, found, ends, failure_groups(results), tuple(judgements))


def _extremes(name: str, results: Sequence[ItemResult], judgements: Sequence[Judgement]) -> list[Extreme]:
    floors = [j.floor for j in judgements if j.floor.of == name and not j.floor.of_items]
    if floors:
        ends = {floor.low_is_bad: floor.text for floor in floors}
        return [Extreme(name, low, worst(results, name, lowest=low), text) for low, text in ends.items()]
    return [Extreme(name, low, worst(results, name, lowest=low, count=WORST // 2)) for low in (True, False)]


def distributions(results: Iterable[ItemResult], promised: Iterable[str] = ()) -> tuple[Distribution, ...]:
    """Of every metric that an `ok` item has, or that is promised."""
    good = [result for result in results if result.status == "ok"]
    names = dict.fromkeys([*promised, *(name for result in good for name in result.metrics)])
    return tuple(distribution(name, good) for name in names)


def distribution(name: str, good: Sequence[ItemResult]) -> Distribution:
    """Of one metric over these items."""
    values = sorted(value for value in (value_of(result, name) for result in good) if math.isfinite(value))
    return Distribution(name, tuple(values), len(good) - len(values))


def value_of(result: ItemResult, name: str) -> float:
    """A metric of an item; NaN when it has none of that name."""
    if name in result.metrics:
        return result.metrics[name]
    return result.seconds if name == SECONDS else math.nan


def title(result: ItemResult) -> str:
    """An item as a person names it: by its key, else by its number."""
    return ", ".join(f"{name}={value}" for name, value in result.key.items()) or f"item {result.number}"


def headline(result: ItemResult) -> str:
    """The first line of what an item failed with."""
    return result.error.strip().partition("\n")[0]


def worst(results: Iterable[ItemResult], name: str, *, lowest: bool, count: int = WORST) -> tuple[ItemResult, ...]:
    """The `ok` items that have the lowest (or highest) values, the worst first; those without a value before all."""

    def badness(result: ItemResult) -> tuple[float, int]:
        value = value_of(result, name)
        return (-math.inf if not math.isfinite(value) else value if lowest else -value), result.number

    good = (result for result in results if result.status == "ok")
    return tuple(heapq.nsmallest(count, good, key=badness))


def failure_groups(results: Iterable[ItemResult]) -> tuple[FailureGroup, ...]:
    """Items that are not `ok`, by status, place and kind of error; the largest group first."""
    found: dict[tuple[object, ...], list[ItemResult]] = {}
    for result in results:
        if result.status != "ok":
            kind = headline(result).partition(":")[0]
            found.setdefault((result.status, result.step, result.cell, result.line, kind), []).append(result)
    groups = [_group(items) for items in found.values()]
    return tuple(sorted(groups, key=lambda group: (-group.count, group.example.number)))


def _group(items: Sequence[ItemResult]) -> FailureGroup:
    said = Counter(map(headline, items))
    message = said.most_common(1)[0][0]
    example = next(item for item in items if headline(item) == message)
    place = (example.step, example.cell, example.line)
    return FailureGroup(example.status, message, len(items), len(said), *place, example)
