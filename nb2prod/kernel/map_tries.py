"""How a step of an item runs: tried again after an error when it is tagged `retries:`, and within its `timeout:`.

A cell that is to be tried again finds the values that it may change as they were before (`hold`). The seconds that a
step may take are kept by whoever waits for the item, since code that hangs cannot be trusted to stop itself: before a
cell of such a step begins, and when it has ended, the process that runs the item says so (`Patience.heard`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from nb2prod.kernel import hold
from nb2prod.kernel.map_cells import Namespace
from nb2prod.kernel.map_job import Job, JobCell
from nb2prod.kernel.probe import LONGEST_WAIT

LIMIT = b"limit "  # a pickle never begins like this
Say = Callable[[bytes], object]


class NotTried(Exception):
    """What the cell uses cannot be put back; `error` is what it failed with."""

    def __init__(self, error: BaseException, why: str) -> None:
        super().__init__(why)
        self.error = error


@dataclass(slots=True)
class Tries:
    """How the cells of one item run; `say` reaches whoever waits for it."""

    job: Job
    say: Say
    spent: dict[str, float] = field(default_factory=dict)

    def run(self, cell: JobCell, namespace: Namespace, call: Callable[[], None]) -> None:
        """Call it, after an error again as often as the step's tags say. Raises what the last try raised."""
        held = hold.Held(namespace, cell.names, self.job.known) if cell.retries else None
        for attempt in range(cell.retries + 1):
            try:
                self._within(cell, call)
            except Exception as error:
                if held is None or attempt == cell.retries or not hold.is_declared(type(error), cell.retry_on):
                    raise
                if held.kept is not None:
                    why = f"not tried again: `{held.kept.path}` is {held.kept.reason}, as it was it is gone"
                    raise NotTried(error, why) from error
                held.put_back()
                time.sleep(min(LONGEST_WAIT, self.job.backoff * 2**attempt))
            else:
                return

    def _within(self, cell: JobCell, call: Callable[[], None]) -> None:
        if cell.timeout is None:
            call()
            return
        spent = self.spent.get(cell.step, 0.0)
        began = time.monotonic()
        self.say(_message(cell, cell.timeout - spent))
        try:
            call()
        finally:
            self.spent[cell.step] = spent + time.monotonic() - began
            self.say(LIMIT + b"null")


def _message(cell: JobCell, left: float) -> bytes:
    told = {"left": max(0.0, left), "limit": cell.timeout, "step": cell.step, "cell": cell.index}
    return LIMIT + json.dumps(told).encode()


@dataclass(frozen=True, slots=True)
class Late:
    """An item that has taken too long: its own limit, or that of a step."""

    limit: float
    step: str | None = None
    cell: int | None = None

    @property
    def why(self) -> str:
        return f"{'step ' + self.step if self.step else 'it'} took longer than {self.limit:g} s"


class Patience:
    """How long to wait for an item whose process says when a step with a limit begins and ends."""

    def __init__(self, limit: float | None) -> None:
        self._ends: list[tuple[float, Late]] = [] if limit is None else [(time.monotonic() + limit, Late(limit))]
        self._of_item = len(self._ends)

    def heard(self, content: bytes) -> bool:
        """Whether this was about a limit, and not the item's result."""
        if not content.startswith(LIMIT):
            return False
        told = json.loads(content.removeprefix(LIMIT))
        del self._ends[self._of_item :]
        if told is not None:
            self._ends.append((time.monotonic() + told["left"], Late(told["limit"], told["step"], told["cell"])))
        return True

    @property
    def left(self) -> float | None:
        """Seconds; None: as long as it takes."""
        return max(0.0, min(end for end, _ in self._ends) - time.monotonic()) if self._ends else None

    @property
    def late(self) -> Late:
        """What has come to its end when nothing was left."""
        return min(self._ends, key=lambda one: one[0])[1]
