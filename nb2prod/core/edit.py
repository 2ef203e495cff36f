"""An edit: one place of a notebook that a fix changes, as a value that nothing has applied yet."""

from __future__ import annotations

from dataclasses import dataclass

from nb2prod.core.finding import Finding


@dataclass(frozen=True, slots=True)
class Edit:
    """In a cell's source, the text from `start` to `end` becomes `text`.

    Places are (line from 1, character from 0), as the cell is written, a magic of ours on its first line included.
    """

    cell: int
    start: tuple[int, int]
    end: tuple[int, int]
    text: str


@dataclass(frozen=True, slots=True)
class Retag:
    """A cell's tag `old` becomes `new`."""

    cell: int
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Fix:
    """The edits that correct one finding, all of them or none."""

    finding: Finding
    edits: tuple[Edit | Retag, ...]
