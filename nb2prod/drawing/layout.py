"""Where a drawing's parts go: steps in layers from top to bottom, links between them as chains through the layers.

    row 0   [load]
    row 1     df              the names that a link carries have a place of their own, so that nothing overlaps
    row 2   [split]
    row 3     X_train   X_test
    row 4   [train]     :     a bend: here the link to `evaluate` passes by `train`
    row 5     model     X_test
    row 6   [evaluate]

Three classic steps, each deterministic: layers by the longest path, the order within a row by barycentres, positions
by least squares. A link that closes a cycle is turned round for the layout and marked `back`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from nb2prod.core.pipeline import Pipeline, Step

SWEEPS = 12
ABREAST = 3  # steps in a row that have no link at all
STRAIGHT = 8.0  # how much more a link's line pulls than the boxes at its ends


@dataclass(frozen=True, slots=True)
class Link:
    """What one step hands to another: the names, or nothing but an order (`after`)."""

    source: str
    target: str
    names: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    back: bool = False

    @property
    def after(self) -> bool:
        return not self.names


@dataclass(frozen=True, slots=True)
class Spot:
    """One place in a row: a step's box, the names of a link, or a bend of it (`step` and `label` both say no)."""

    row: int
    step: str = ""
    link: int = -1
    label: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """`chains` has for each link the spots that it passes, from the upper step to the lower one."""

    rows: tuple[tuple[Spot, ...], ...]
    links: tuple[Link, ...]
    chains: tuple[tuple[Spot, ...], ...]

    def above(self, spot: Spot) -> tuple[Spot, ...]:
        return tuple(a for chain in self.chains for a, b in pairwise(chain) if b == spot)

    def below(self, spot: Spot) -> tuple[Spot, ...]:
        return tuple(b for chain in self.chains for a, b in pairwise(chain) if a == spot)


def laid_out(pipeline: Pipeline) -> Layout:
    """Rows of steps and of names, in an order with few crossings."""
    layers, links = _layers(pipeline.steps, _links(pipeline.steps))
    chains = tuple(_chain(layers, link, number) for number, link in enumerate(links))
    rows: list[list[Spot]] = [[] for _ in range(2 * max(layers.values(), default=-1) + 1)]
    for step in pipeline.steps:
        rows[2 * layers[step.name]].append(Spot(2 * layers[step.name], step=step.name))
    for chain in chains:
        for spot in chain[1:-1]:
            rows[spot.row].append(spot)
    return Layout(_ordered(rows, chains), links, chains)


# -- layers ---------------------------------------------------------------------------------------------------------


def _links(steps: Sequence[Step]) -> list[Link]:
    known = {step.name for step in steps}
    found: list[Link] = []
    for step in steps:
        for source in step.upstream:
            if source not in known or source == step.name:
                continue
            edges = [edge for edge in step.edges if edge.source == source]
            reasons = tuple(f"{edge.version}: {edge.kind}, {edge.reason}" for edge in edges)
            found.append(Link(source, step.name, tuple(dict.fromkeys(edge.name for edge in edges)), reasons))
    return found


def _layers(steps: Sequence[Step], links: Sequence[Link]) -> tuple[dict[str, int], tuple[Link, ...]]:
    """The layer of each step; of a cycle, the step that comes first in the notebook is put first."""
    layers: dict[str, int] = {}
    linked = {name for link in links for name in (link.source, link.target)}
    waiting = [step.name for step in steps if step.name in linked]
    while waiting:
        ready = [name for name in waiting if all(link.source in layers for link in links if link.target == name)]
        name = ready[0] if ready else waiting[0]
        # a step whose reader stands already closes a cycle: it goes below, so that every link leads to another layer
        near = {link.source for link in links if link.target == name} | {k.target for k in links if k.source == name}
        before = [layers[other] for other in near if other in layers]
        layers[name] = max(before, default=-1) + 1
        waiting.remove(name)
    below = max(layers.values(), default=-1) + 1
    alone = [step.name for step in steps if step.name not in linked]
    layers |= {name: below + position // ABREAST for position, name in enumerate(alone)}
    turned = tuple(
        Link(link.source, link.target, link.names, link.reasons, back=layers[link.source] >= layers[link.target])
        for link in links
    )
    return layers, turned


def _chain(layers: Mapping[str, int], link: Link, number: int) -> tuple[Spot, ...]:
    upper, lower = (link.target, link.source) if link.back else (link.source, link.target)
    first, last = 2 * layers[upper], 2 * layers[lower]
    between = [Spot(row, link=number, label=row == first + 1) for row in range(first + 1, last)]
    return (Spot(first, step=upper), *between, Spot(last, step=lower))


# -- the order within a row -----------------------------------------------------------------------------------------


def _ordered(rows: list[list[Spot]], chains: Sequence[tuple[Spot, ...]]) -> tuple[tuple[Spot, ...], ...]:
    """Sweep down and up, each row sorted by where its neighbours are; keep the order with the fewest crossings."""
    pairs: list[list[tuple[Spot, Spot]]] = [[] for _ in rows]
    for chain in chains:
        for a, b in pairwise(chain):
            pairs[b.row].append((a, b))
    best, fewest = [list(row) for row in rows], _crossings(rows, pairs)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for number in range(1, len(rows)) if down else range(len(rows) - 2, -1, -1):
            fixed = rows[number - 1] if down else rows[number + 1]
            links = pairs[number] if down else [(b, a) for a, b in pairs[number + 1]]
            rows[number] = _by_neighbours(rows[number], fixed, links)
        crossings = _crossings(rows, pairs)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    return tuple(tuple(row) for row in best)


def _by_neighbours(row: list[Spot], fixed: Sequence[Spot], links: Sequence[tuple[Spot, Spot]]) -> list[Spot]:
    """`links` go from a spot of `fixed` to one of `row`; a spot without any keeps its place."""
    place = {spot: position for position, spot in enumerate(fixed)}
    found: dict[Spot, list[int]] = {}
    for near, spot in links:
        found.setdefault(spot, []).append(place[near])
    scale = max(1, len(fixed)) / max(1, len(row))

    def wanted(entry: tuple[int, Spot]) -> tuple[float, int]:
        position, spot = entry
        near = found.get(spot)
        return (sum(near) / len(near) if near else position * scale, position)

    return [spot for _, spot in sorted(enumerate(row), key=wanted)]


def _crossings(rows: Sequence[Sequence[Spot]], pairs: Sequence[Sequence[tuple[Spot, Spot]]]) -> int:
    place = {spot: position for row in rows for position, spot in enumerate(row)}
    count = 0
    for links in pairs:
        ends = sorted((place[a], place[b]) for a, b in links)
        count += sum(a[0] < b[0] and a[1] > b[1] for i, a in enumerate(ends) for b in ends[i + 1 :])
    return count


# -- positions ------------------------------------------------------------------------------------------------------


def positions(layout: Layout, extent: Callable[[Spot], tuple[float, float]], gap: float) -> dict[Spot, float]:
    """The x of every spot. `extent` is how far it reaches to the left and to the right of its x; `gap` the space."""
    above = {spot: layout.above(spot) for row in layout.rows for spot in row}
    below = {spot: layout.below(spot) for row in layout.rows for spot in row}
    x: dict[Spot, float] = {}
    for row in layout.rows:
        x |= _spread(row, dict.fromkeys(row, 0.0), extent, gap)
    for sweep in range(2 * SWEEPS):
        looks = (above, below) if sweep % 2 == 0 else (below, above)
        for row in layout.rows if sweep % 2 == 0 else reversed(layout.rows):
            near = {spot: looks[0][spot] if sweep < SWEEPS else (*above[spot], *below[spot]) for spot in row}
            wanted = {spot: _drawn_to(spot, near[spot] or looks[1][spot], x) for spot in row}
            x |= _spread(row, wanted, extent, gap)
    left = min((x[spot] - extent(spot)[0] for spot in x), default=0.0)
    return {spot: value - left for spot, value in x.items()}


def _drawn_to(spot: Spot, near: Sequence[Spot], x: Mapping[Spot, float]) -> float:
    """Where a spot would be best: at its neighbours' mean. A link is drawn to its own line more than to boxes."""
    weights = [1.0 if spot.step or other.step else STRAIGHT for other in near]
    return sum(w * x[other] for w, other in zip(weights, near, strict=True)) / sum(weights) if near else x[spot]


def _spread(
    row: Sequence[Spot], wanted: Mapping[Spot, float], extent: Callable[[Spot], tuple[float, float]], gap: float
) -> dict[Spot, float]:
    """The places nearest to those wanted (least squares) at which nothing in the row overlaps."""
    offsets: list[float] = []
    for position, spot in enumerate(row):
        before = offsets[-1] + extent(row[position - 1])[1] + gap + extent(spot)[0] if position else 0.0
        offsets.append(before)
    blocks: list[tuple[float, float, int]] = []  # (sum of weights times wishes, weights, spots) of what moves as one
    for spot, offset in zip(row, offsets, strict=True):
        weight = 1.0 if spot.step else 3.0  # a link likes to be straight
        block = (weight * (wanted[spot] - offset), weight, 1)
        while blocks and blocks[-1][0] / blocks[-1][1] >= block[0] / block[1]:
            before_block = blocks.pop()
            block = (before_block[0] + block[0], before_block[1] + block[1], before_block[2] + block[2])
        blocks.append(block)
    shifts = [total / weight for total, weight, count in blocks for _ in range(count)]
    return {spot: shift + offset for spot, shift, offset in zip(row, shifts, offsets, strict=True)}
