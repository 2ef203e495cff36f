"""The time that a whole run may take. When it is over, whatever runs is ended at once, and the failure says why.

    limit = TimeLimit(plan.time_limit, end_what_runs)
    with limit:
        …                      whoever finds that its process is gone asks `limit.is_over`

A clock of its own ends the processes: also when nobody waits for a cell, but for a value to be kept, or for the next
try. Limits of cells and steps are kept where these are waited for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from nb2prod.core.result import Failure


class TimeLimit:
    """`seconds` from when it is entered until it is left; None: as long as it takes. `end` ends what runs."""

    def __init__(self, seconds: float | None, end: Callable[[], object]) -> None:
        self.is_over = False
        self._seconds = seconds
        self._end = end
        self._clock = threading.Timer(seconds, self._over) if seconds is not None else None

    def __enter__(self) -> TimeLimit:
        if self._clock is not None:
            self._clock.daemon = True
            self._clock.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock.join()  # it must not end what comes after the run

    def _over(self) -> None:
        self.is_over = True
        self._end()

    def failure(self, step: str | None = None, cell: int | None = None) -> Failure:
        """What the run came to, with what was running."""
        return Failure("timeout", f"the run did not end in time (limit {self._seconds:g} s)", step, cell)
