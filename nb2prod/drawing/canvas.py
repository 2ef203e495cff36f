"""A canvas of characters: text in styles, and lines that know how they cross."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Literal

from nb2prod.drawing.words import columns_of

Style = Literal["plain", "strong", "name", "faint", "line"]
ANSI: dict[Style, str] = {"plain": "", "strong": "\x1b[1m", "name": "\x1b[36m", "faint": "\x1b[2m", "line": "\x1b[2m"}
UP, DOWN, LEFT, RIGHT = 1, 2, 4, 8
LINES = {
    UP: "│",
    DOWN: "│",
    LEFT: "─",
    RIGHT: "─",
    UP | DOWN: "│",
    LEFT | RIGHT: "─",
    DOWN | RIGHT: "╭",
    DOWN | LEFT: "╮",
    UP | RIGHT: "╰",
    UP | LEFT: "╯",
    UP | LEFT | RIGHT: "┴",
    DOWN | LEFT | RIGHT: "┬",
    UP | DOWN | LEFT: "┤",
    UP | DOWN | RIGHT: "├",
    UP | DOWN | LEFT | RIGHT: "┼",
}


class Canvas:
    """Grows to the right and downwards as it is written on."""

    def __init__(self) -> None:
        self.cells: dict[tuple[int, int], tuple[str, Style]] = {}
        self.strokes: dict[tuple[int, int], int] = {}
        self.height = 0
        self.width = 0

    def write(self, row: int, column: int, text: str, style: Style = "plain") -> int:
        """Write on one row; returns the column behind the text."""
        self.height = max(self.height, row + 1)
        for character in text:
            columns = columns_of(character)
            if columns == 0:
                self._join(row, column, character)
                continue
            self.cells[row, column] = (character, style)
            if columns == 2:
                self.cells[row, column + 1] = ("", style)
            column += columns
        self.width = max(self.width, column)
        return column

    def _join(self, row: int, column: int, mark: str) -> None:
        """A combining mark belongs to the character before it."""
        for before in (column - 1, column - 2):
            character, style = self.cells.get((row, before), ("", "plain"))
            if character:
                self.cells[row, before] = (unicodedata.normalize("NFC", character + mark), style)
                return

    def line(self, parts: Iterable[tuple[str, Style]]) -> None:
        """Write a new line below everything."""
        row, column = self.height, 0
        self.height += 1
        for text, style in parts:
            column = self.write(row, column, text, style)

    def stroke(self, row: int, column: int, directions: int) -> None:
        self.strokes[row, column] = self.strokes.get((row, column), 0) | directions
        self.height, self.width = max(self.height, row + 1), max(self.width, column + 1)

    def down(self, column: int, first: int, last: int) -> None:
        """A vertical line through the middle of the rows `first` to `last`."""
        for row in range(first, last + 1):
            self.stroke(row, column, (UP if row > first else 0) | (DOWN if row < last else 0))

    def across(self, row: int, first: int, last: int) -> None:
        for column in range(min(first, last), max(first, last) + 1):
            here = (LEFT if column > min(first, last) else 0) | (RIGHT if column < max(first, last) else 0)
            self.stroke(row, column, here)

    def below(self, other: Canvas) -> None:
        """Put another canvas below this one."""
        top = self.height
        self.cells |= {(row + top, column): cell for (row, column), cell in other.cells.items()}
        self.strokes |= {(row + top, column): cell for (row, column), cell in other.strokes.items()}
        self.height, self.width = top + other.height, max(self.width, other.width)

    def text(self, color: bool = False) -> str:
        return "\n".join(self._row(row, color) for row in range(self.height)) + "\n"

    def _row(self, row: int, color: bool) -> str:
        cells: Sequence[tuple[str, Style]] = [self._cell(row, column) for column in range(self.width)]
        text = "".join(character for character, _ in cells).rstrip()
        if not color:
            return text
        painted, last = "", "plain"
        for character, style in cells:
            if style != last and character != " ":
                painted += ("\x1b[0m" if ANSI[last] else "") + ANSI[style]  # type: ignore[index]
                last = style
            painted += character
        return painted.rstrip() + ("\x1b[0m" if ANSI[last] else "")  # type: ignore[index]

    def _cell(self, row: int, column: int) -> tuple[str, Style]:
        if (row, column) in self.cells:
            return self.cells[row, column]
        directions = self.strokes.get((row, column), 0)
        return (LINES[directions], "line") if directions else (" ", "plain")
