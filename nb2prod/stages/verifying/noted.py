"""What the runs of a verification have noted, found again: which values at which places, and where those come from.

A run notes the digest of each name at the end of each piece, under the position in the executed notebook. Two runs are
put side by side in `Pair`s; the place of a pair is the line that gave the name its value.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nb2prod.core.equality import Boundary
from nb2prod.core.pipeline import Pipeline, Step
from nb2prod.core.result import Result
from nb2prod.kernel import boundary as notes
from nb2prod.kernel.ambient import WHAT

ISOLATED, LINEAR, ISOLATED_AGAIN, LINEAR_AGAIN = "isolated", "linear", "isolated-again", "linear-again"


@dataclass(frozen=True, slots=True)
class Pair:
    """One name at one place, noted by two runs; a digest is None where the name is not bound."""

    position: int
    step: str
    name: str
    one: str | None
    other: str | None
    blanks: bool
    handed: bool  # whether a step was given it or hands it on

    @property
    def asks(self) -> bool:
        """Whether somebody has to look: equal digests are equal values, unless parts of them are blank."""
        return self.one is not None and self.other is not None and (self.one != self.other or self.blanks)


@dataclass(frozen=True, slots=True)
class Noted:
    """The notes in `folder`; `cells` are the author's numbers of the positions in the executed notebook."""

    pipeline: Pipeline
    folder: str
    cells: Mapping[int, int]

    def pairs(self, mine: str, whole: str) -> Iterator[Pair]:
        """The linear run's digest first."""
        for position in notes.positions(self.folder, mine):
            here, there = notes.read(self.folder, mine, position), notes.read(self.folder, whole, position)
            for name, noted in here["names"].items() if there else ():
                other = there["names"].get(name)
                blanks = bool(noted and noted["blanks"]) or bool(other and other["blanks"])
                handed = name in here["handed"] or name in WHAT
                yield Pair(position, here["step"], name, _digest(other), _digest(noted), blanks, handed)

    def piece(self, pair: Pair) -> list[int]:
        """The cells whose end the pair was noted at: those of its step, or of no step, since the piece before."""
        before = [position for position in notes.positions(self.folder, ISOLATED) if position < pair.position]
        start = before[-1] if before else -1
        inside = [cell for position, cell in sorted(self.cells.items()) if start < position <= pair.position]
        return [cell for cell in inside if self._step_of(cell) == pair.step] or inside

    def _step_of(self, cell: int) -> str:
        role = self.pipeline.roles[cell]
        return role.name if role is not None and role.kind == "step" else ""

    def place(self, pair: Pair) -> tuple[int | None, int | None]:
        """Where the cells last give the name a value or change it; else where they read it."""
        cells = self.piece(pair)
        bound = [(b.cell, b.line) for b in self.pipeline.bindings if b.name == pair.name and b.cell in cells]
        used = [(r.cell, r.line) for r in self.pipeline.reads if r.name == pair.name and r.cell in cells]
        return max(bound, default=None) or min(used, default=None) or ((cells[0], None) if cells else (None, None))

    def end_of(self, step: Step) -> int:
        """The position where the step was last noted, its tests included."""
        positions = notes.positions(self.folder, ISOLATED)
        noted = [p for p in positions if notes.read(self.folder, ISOLATED, p)["step"] == step.name]
        return max([*noted, *(position for position, cell in self.cells.items() if cell == step.cells[-1])], default=0)

    def position_of(self, boundary: Boundary) -> int:
        """The position where the boundary was noted."""
        for position in notes.positions(self.folder, ISOLATED):
            record = notes.read(self.folder, ISOLATED, position)
            inside = boundary.cell is None or self.cells.get(position, -1) >= boundary.cell
            if record["step"] == boundary.step and boundary.name in record["names"] and inside:
                return position
        return next((self.end_of(step) for step in self.pipeline.steps if step.name == boundary.step), -1)

    def history(self, first: Boundary, since: int) -> tuple[tuple[int, ...], bool]:
        """After which cells the name was another in the notebook, and whether isolated steps have an older one."""
        end = self.position_of(first)
        noted = [p for p in notes.positions(self.folder, LINEAR_AGAIN) if p <= end]
        found = [self._digest_at(LINEAR_AGAIN, position, first.name) for position in noted]
        changed = [
            self.cells[position]
            for position, before, now in zip(noted[1:], found, found[1:], strict=False)
            if position > since and before not in (None, now) and position in self.cells
        ]
        mine = self._digest_at(ISOLATED, end, first.name)
        return tuple(changed), mine is not None and mine in found[:-1]

    def _digest_at(self, run: str, position: int, name: str) -> str | None:
        return _digest(notes.read(self.folder, run, position).get("names", {}).get(name))


def _digest(noted: Mapping[str, Any] | None) -> str | None:
    return noted["digest"] if noted else None


def cells_of(result: Result) -> list[dict[str, Any]]:
    """The cells of the executed notebook."""
    return list(json.loads(Path(result.notebook).read_text(encoding="utf-8"))["cells"])


def positions_of(result: Result) -> dict[int, int]:
    """Position in the executed notebook to number in the author's; injected parameters have none."""
    numbers = [cell["metadata"].get("nb2prod", {}).get("cell") for cell in cells_of(result)]
    return {position: number for position, number in enumerate(numbers) if number is not None}


def printed_by_cell(result: Result) -> dict[int, str]:
    """What each cell wrote to stdout, by its number."""
    found = {}
    for cell in cells_of(result):
        number = cell["metadata"].get("nb2prod", {}).get("cell")
        texts = [o["text"] for o in cell.get("outputs", ()) if o["output_type"] == "stream" and o["name"] == "stdout"]
        found[number] = "".join("".join(text) for text in texts)
    return found
