"""The graph of steps on a canvas of characters: boxes, the names that links carry, and lines that lead round boxes.

Between two rows lies a channel, in which each line runs on a track of its own from where it leaves to where it
arrives. Two lines never share a column in a channel: that is why the ends of lines are shifted where they would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nb2prod.drawing.canvas import Canvas, Style
from nb2prod.drawing.layout import Layout, Link, Spot, positions
from nb2prod.drawing.words import columns_of, cut, printable

Line = Sequence[tuple[str, Style]]
GAP = 2


def drawn(layout: Layout, boxes: Mapping[str, Sequence[Line]], width: int, *, names: int) -> Canvas | None:
    """The graph, or None when it is wider than `width`. `names`: the most columns that a link's names may take."""
    graph = _Graph(layout, boxes, names)
    graph.place()
    if graph.right > width:
        return None
    return graph.draw()


class _Graph:
    def __init__(self, layout: Layout, boxes: Mapping[str, Sequence[Line]], names: int) -> None:
        self.layout = layout
        self.boxes = boxes
        self.labels = [_label(link, names) for link in layout.links]
        self.above = {spot: layout.above(spot) for row in layout.rows for spot in row}
        self.below = {spot: layout.below(spot) for row in layout.rows for spot in row}
        self.left: dict[Spot, int] = {}  # of a box: its left side; of anything else: the column of its line
        self.ports: dict[tuple[Spot, Spot], tuple[int, int]] = {}  # (upper, lower): the columns where a line is
        self.leaving: dict[tuple[Spot, Spot], int] = {}
        self.right = 0

    # -- where things go --------------------------------------------------------------------------------------------

    def place(self) -> None:
        x = positions(self.layout, self._extent, GAP)
        for row in self.layout.rows:
            taken = {self.leaving[upper, spot]: spot for spot in row for upper in self.above[spot]}
            reach = -GAP
            for spot in row:
                before, behind = self._extent(spot)
                left = max(round(x[spot] - before), reach + GAP)
                left = self._place_box(spot, left, taken) if spot.step else self._place_line(spot, left, taken)
                reach = left + int(before + behind)
                self.right = max(self.right, reach)
            for spot in row:
                self._leave(spot, x)

    def _extent(self, spot: Spot) -> tuple[float, float]:
        """A box reaches to both sides of its middle, the names of a link stand to the right of its line."""
        if spot.step:
            width = self._box_width(spot.step)
            return (width // 2, width - width // 2)
        widest = max((columns_of(line) for line in self.labels[spot.link]), default=0) if spot.label else 0
        return (0, widest + 2 if widest else 1)

    def _box_width(self, step: str) -> int:
        inner = max(sum(columns_of(text) for text, _ in line) for line in self.boxes[step])
        ends = max(len(self.above[s]) for s in self.above if s.step == step)
        starts = max(len(self.below[s]) for s in self.below if s.step == step)
        return max(inner + 4, 2 * max(ends, starts) + 5)

    def _place_line(self, spot: Spot, left: int, taken: Mapping[int, Spot]) -> int:
        """As straight below its upper end as the space allows, and in no other line's column."""
        for upper in self.above[spot]:
            start = self.leaving[upper, spot]
            if left < start <= left + 2:
                left = start
            while left in taken and taken[left] is not spot:
                left += 1
            self.ports[upper, spot] = (start, left)
        self.left[spot] = left
        return left

    def _place_box(self, spot: Spot, left: int, taken: Mapping[int, Spot]) -> int:
        """The box, and where lines arrive at its top: straight from above where that is possible."""
        self.left[spot] = left
        arriving = sorted(self.above[spot], key=lambda upper: self.leaving[upper, spot])
        column = left + 1
        inside = left + self._box_width(spot.step) - 3
        for position, upper in enumerate(arriving):
            start = self.leaving[upper, spot]
            rest = 2 * (len(arriving) - position - 1)
            column = max(column + 1, min(start, inside - rest))
            while column in taken and column != start:
                column += 1
            self.ports[upper, spot] = (start, column)
            column += 1
        return left

    def _leave(self, spot: Spot, x: Mapping[Spot, float]) -> None:
        """The columns where lines leave downwards, near to where they go."""
        if not spot.step:
            self.leaving |= {(spot, lower): self.left[spot] for lower in self.below[spot]}
            return
        inside = self.left[spot] + self._box_width(spot.step) - 3
        leaving = sorted(self.below[spot], key=lambda lower: self.layout.rows[lower.row].index(lower))
        column = self.left[spot]
        for position, lower in enumerate(leaving):
            rest = 2 * (len(leaving) - position - 1)
            column = max(column + 2, min(round(x[lower]), inside - rest))
            self.leaving[spot, lower] = column

    # -- drawing ----------------------------------------------------------------------------------------------------

    def draw(self) -> Canvas:
        canvas = Canvas()
        top = 0
        for number, row in enumerate(self.layout.rows):
            height = max((self._height(spot) for spot in row), default=0)
            for spot in row:
                self._draw(canvas, spot, top, height)
            top += height
            if number + 1 < len(self.layout.rows):
                top += self._channel(canvas, self.layout.rows[number + 1], top)
        return canvas

    def _height(self, spot: Spot) -> int:
        return len(self.boxes[spot.step]) + 2 if spot.step else len(self.labels[spot.link]) if spot.label else 0

    def _draw(self, canvas: Canvas, spot: Spot, top: int, height: int) -> None:
        left = self.left[spot]
        if not spot.step:
            canvas.down(left, top - 1, top + height)
            for offset, text in enumerate(self.labels[spot.link] if spot.label else ()):
                canvas.write(top + offset, left + 2, text, "faint" if self.layout.links[spot.link].after else "name")
            return
        right, bottom = left + self._box_width(spot.step) - 1, top + self._height(spot) - 1
        canvas.across(top, left, right)
        canvas.across(bottom, left, right)
        canvas.down(left, top, bottom)
        canvas.down(right, top, bottom)
        for offset, line in enumerate(self.boxes[spot.step], start=1):
            column = left + 2
            for text, style in line:
                column = canvas.write(top + offset, column, text, style)
        for lower in self.below[spot]:
            canvas.down(self.leaving[spot, lower], bottom, top + height)

    def _channel(self, canvas: Canvas, row: Sequence[Spot], top: int) -> int:
        """Draw the lines that lead to a row; returns how many rows of characters they take."""
        lines = sorted(((*self.ports[upper, spot], upper, spot) for spot in row for upper in self.above[spot]),
                       key=lambda line: line[:2])  # fmt: skip
        tracks = _tracks([(start, end) for start, end, _, _ in lines])
        height = max((track + 1 for track in tracks), default=0) + (1 if any(spot.step for spot in row) else 0)
        for (start, end, upper, spot), track in zip(lines, tracks, strict=True):
            turn = top + max(track, 0)
            back = self._link(upper, spot).back
            points_down = bool(spot.step) and not back
            canvas.down(start, top - 1, turn)
            canvas.across(turn, start, end)
            canvas.down(end, turn, top + height - (1 if points_down else 0))
            if points_down:
                canvas.write(top + height - 1, end, "▼", "line")
            if upper.step and back:
                canvas.write(top, start, "▲", "line")
        return height

    def _link(self, upper: Spot, lower: Spot) -> Link:
        return self.layout.links[max(upper.link, lower.link)]


def _tracks(lines: Sequence[tuple[int, int]]) -> list[int]:
    """The track of each line (from column, to column); -1 for one that goes straight down.

    A line that leaves in a column where another arrives must turn before the other does.
    """
    tracks = [-1 if start == end else -2 for start, end in lines]
    track = 0
    while -2 in tracks:
        waiting = [i for i, found in enumerate(tracks) if found == -2]
        free = [i for i in waiting if not any(lines[j][0] == lines[i][1] for j in waiting if j != i)] or waiting
        here: list[int] = []
        # lines to the right in the order from the right, lines to the left from the left: they cross least
        for i in sorted(free, key=lambda i: (lines[i][0] < lines[i][1], -lines[i][0] if lines[i][0] < lines[i][1]
                                             else lines[i][0])):  # fmt: skip
            if all(max(lines[i]) < min(lines[j]) or min(lines[i]) > max(lines[j]) for j in here):
                here.append(i)
                tracks[i] = track
        track += 1
    return tracks


def _label(link: Link, columns: int) -> list[str]:
    """The names of a link in lines of at most `columns`."""
    if link.after:
        return ["after"]
    lines: list[str] = []
    for position, name in enumerate(link.names):
        word = cut(printable(name), columns - 1) + ("," if position + 1 < len(link.names) else "")
        if lines and columns_of(lines[-1]) + 1 + columns_of(word) <= columns:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return [*lines, "(cycle)"] if link.back else lines
