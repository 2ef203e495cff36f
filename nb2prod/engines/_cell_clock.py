"""The seconds that the cells of a step take, and may take."""

from __future__ import annotations

import time


class CellClock:
    """Runs while a cell does. `of_cell` limits each cell, `of_step` all of them together and goes before."""

    def __init__(self, of_cell: float | None, of_step: float | None) -> None:
        self._of_cell, self._of_step, self._spent = of_cell, of_step, 0.0
        self.begin()

    @property
    def limit(self) -> float:
        return self._of_step or self._of_cell or 0.0

    def begin(self) -> None:
        self._began = time.monotonic()

    def took(self, seconds: float) -> None:
        """It was over before we heard of it."""
        self._began = time.monotonic() - seconds

    def end(self) -> float:
        seconds = time.monotonic() - self._began
        self._spent += seconds
        return seconds

    def wait(self, seconds: float) -> None:
        """What was tried took its time; the wait for the next try takes none."""
        self._spent += time.monotonic() - self._began
        self._began = time.monotonic() + seconds

    def left(self) -> float | None:
        limit = self._of_cell if self._of_step is None else self._of_step - self._spent
        return None if limit is None else limit - (time.monotonic() - self._began)
