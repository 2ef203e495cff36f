"""A pipeline as one SVG file that stands alone: no script, no font, no picture from elsewhere.

Widths of texts are estimated on the safe side, as nobody knows which fonts a reader has; what is too long for its place
is cut with an ellipsis and can be read in full by pointing at it (`<title>`). Colours follow the reader's light or dark
setting, and what lies outside the boxes can be read on both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from nb2prod.core.finding import Finding
from nb2prod.core.pipeline import Pipeline
from nb2prod.core.result import Result
from nb2prod.drawing.layout import Layout, Link, Spot, laid_out, positions
from nb2prod.drawing.svg_boxes import Block, names_pill, parameters_card, step_box
from nb2prod.drawing.svg_text import escaped, number, text
from nb2prod.drawing.words import printable

STYLE = Path(__file__).with_name("svg.css")
MARGIN, GAP = 16.0, 24.0
CHANNEL, ARROW = 26.0, 8.0  # the height between two rows, of which the arrow's head takes a part
BEND = 14.0  # the width that a line takes where it passes by boxes


def as_svg(
    pipeline: Pipeline,
    *,
    findings: Sequence[Finding] = (),
    result: Result | None = None,
    verdicts: Mapping[tuple[str, str], str] | None = None,
    widest: float = math.inf,
) -> str:
    """The drawing. `findings` and `result` mark the steps, `verdicts` the links by (from, to), as `verify` found them.

    What is wider than `widest` has its parameters on top.
    """
    layout = laid_out(pipeline)
    boxes = {step.name: step_box(step, findings, result) for step in pipeline.steps}
    graph = _Graph(layout, boxes, [names_pill(link) for link in layout.links], verdicts or {})
    card, left, top = _card(pipeline, graph.width, widest)
    body = graph.drawn() if pipeline.steps else [text("no steps", "no steps: tag a cell step:NAME", "faint", 4, 16)]
    width = math.ceil(max(left + max(graph.width, 120.0), card.width + MARGIN) + MARGIN)
    height = math.ceil(max(top + graph.height, card.height + MARGIN, 24.0 + MARGIN) + MARGIN)
    about = escaped(f"Pipeline of {printable(pipeline.notebook.path.name)}")
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="nb2prod" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="img" aria-label="{about}" style="max-width: 100%; height: auto">',
            f"<title>{about}</title>",
            f"<style>\n{STYLE.read_text(encoding='utf-8')}</style>",
            *([card.at(MARGIN, MARGIN)] if card.parts else []),
            f'<g transform="translate({number(left)} {number(top)})">',
            *body,
            "</g>",
            "</svg>",
            "",
        ]
    )


def _card(pipeline: Pipeline, graph_width: float, widest: float) -> tuple[Block, float, float]:
    """The card of parameters, and where the graph begins: beside the card, or below it."""
    card = parameters_card(pipeline)
    if not card.parts:
        return card, MARGIN, MARGIN
    left = MARGIN + card.width + 1.5 * GAP
    if left + graph_width + MARGIN <= widest:
        return card, left, MARGIN
    if 2 * card.width + 2 * MARGIN <= widest:
        card = parameters_card(pipeline, columns=2)
    return card, MARGIN, MARGIN + card.height + GAP


class _Graph:
    """Boxes and links with their places. Lines are drawn first, so that names lie upon them."""

    def __init__(
        self,
        layout: Layout,
        boxes: Mapping[str, Block],
        pills: Sequence[Block],
        verdicts: Mapping[tuple[str, str], str],
    ) -> None:
        self.layout = layout
        self.verdicts = verdicts
        self.boxes = boxes
        self.pills = pills
        self.x = positions(layout, self._extent, GAP)
        self.width = max((self.x[spot] + self._extent(spot)[1] for spot in self.x), default=0.0)
        heights = [max((self._height(spot) for spot in row), default=0.0) for row in layout.rows]
        self.top = [sum(heights[:row]) + row * CHANNEL for row in range(len(heights))]
        self.bottom = [top + height for top, height in zip(self.top, heights, strict=True)]
        self.height = self.bottom[-1] if heights else 0.0
        self.ports = self._ports()

    def drawn(self) -> list[str]:
        spots = [spot for row in self.layout.rows for spot in row]
        lines = [self._line(link, chain) for link, chain in zip(self.layout.links, self.layout.chains, strict=True)]
        placed = [self._block(spot) for spot in spots if spot.step or spot.label]
        return [*lines, *placed]

    def _extent(self, spot: Spot) -> tuple[float, float]:
        width = self.boxes[spot.step].width if spot.step else self.pills[spot.link].width if spot.label else BEND
        return (width / 2, width / 2)

    def _height(self, spot: Spot) -> float:
        return self.boxes[spot.step].height if spot.step else self.pills[spot.link].height if spot.label else 0.0

    def _block(self, spot: Spot) -> str:
        block = self.boxes[spot.step] if spot.step else self.pills[spot.link]
        top = self.top[spot.row]
        # a box hangs from its row's top, names stand in their row's middle
        y = top if spot.step else (top + self.bottom[spot.row] - block.height) / 2
        return block.at(self.x[spot] - block.width / 2, y)

    def _ports(self) -> dict[tuple[Spot, Spot, bool], float]:
        """Where lines meet boxes: (box, the spot at the other end, whether at the top) to x, without crossings."""
        found: dict[tuple[Spot, Spot, bool], float] = {}
        for spot in (spot for row in self.layout.rows for spot in row if spot.step):
            for ends, top in ((self.layout.above(spot), True), (self.layout.below(spot), False)):
                ordered = sorted(ends, key=lambda end: self.x[end])
                half = self.boxes[spot.step].width / 2 - 16
                shifts = _apart([self.x[end] - self.x[spot] for end in ordered], half)
                found |= {(spot, end, top): self.x[spot] + shift for end, shift in zip(ordered, shifts, strict=True)}
        return found

    def _line(self, link: Link, chain: Sequence[Spot]) -> str:
        """Straight down beside boxes and names, curved in the channels between the rows."""
        upper, lower = chain[0], chain[-1]
        x, y = self.ports[upper, chain[1], False], self.top[upper.row] + self._height(upper)
        steps = [f"M{number(x)} {number(y)}V{number(self.bottom[upper.row])}"]
        tip = self.top[lower.row] - 1.5
        for spot in chain[1:]:
            end = self.ports[lower, chain[-2], True] if spot == lower else self.x[spot]
            start_y = self.bottom[spot.row - 1]
            end_y = tip - (0 if link.back else ARROW) if spot == lower else self.top[spot.row]
            middle = (start_y + end_y) / 2
            steps.append(
                f"C{number(x)} {number(middle)} {number(end)} {number(middle)} {number(end)} {number(end_y)}"
                if abs(x - end) > 0.05
                else f"V{number(end_y)}"
            )
            if spot != lower:
                steps.append(f"V{number(self.bottom[spot.row])}")
            x = end
        verdict = self.verdicts.get((link.source, link.target), "")
        style = " after" if link.after else " back" if link.back else f" {verdict}" if verdict else ""
        head = _head(self.ports[upper, chain[1], False], y + 1.5, -1) if link.back else _head(x, tip, 1)
        path = f'<path class="link{style}" d="{"".join(steps)}"/>'
        return f'{path}\n<path class="head{style}" d="{head}"/>'


def _apart(wanted: Sequence[float], half: float) -> list[float]:
    """Places within -half and half, near to those wanted (which ascend), with some space between them."""
    space = min(26.0, 2 * half / max(1, len(wanted) - 1))
    places: list[float] = []
    for wish in wanted:
        places.append(max(wish, places[-1] + space if places else -half))
    limit = half
    for position in range(len(places) - 1, -1, -1):
        places[position] = min(places[position], limit)
        limit = places[position] - space
    return places


def _head(x: float, y: float, direction: int) -> str:
    """An arrow's head with its tip at (x, y), pointing down (1) or up (-1)."""
    back = y - direction * (ARROW + 1)
    return f"M{number(x)} {number(y)}L{number(x - 5)} {number(back)}H{number(x + 5)}Z"
