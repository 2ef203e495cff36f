"""What was answered is counted and logged a moment later, many requests at a time.

One request alone would wait for its counters and its line about a sixth of the time that a small model takes, because
each time the code for them has to come back into the processor's caches. Errors are not kept back: `gate.logged`
writes them at once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import NamedTuple

from .metrics import Metrics

log = logging.getLogger("nb2prod.serving")
_SECONDS = 0.01  # how long a line may be kept back
_MOST = 16  # lines, so that writing them keeps no request waiting


class _Answered(NamedTuple):
    moment: float
    method: str
    route: str
    status: int
    seconds: float
    request_id: str


class Tally:
    """Requests that were answered, on their way to metrics and log."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._waiting: list[_Answered] = []

    def add(self, method: str, route: str, status: int, seconds: float, request_id: str) -> None:
        now = time.time()
        self._waiting.append(_Answered(now, method, route, status, seconds, request_id))
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_later(_SECONDS, self.write)
        elif len(self._waiting) >= _MOST or now - self._waiting[0].moment > _SECONDS:
            self.write()

    def write(self) -> None:
        """Count and log all that waits. Whoever reads the metrics, or ends the service, calls it first."""
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            self._metrics.request(one.route, one.status, one.seconds)
            _log(one)


def _log(one: _Answered) -> None:
    """One line, and for the JSON log its parts."""
    if not log.isEnabledFor(logging.INFO):
        return
    parts = {
        "method": one.method,
        "route": one.route,
        "status": one.status,
        "milliseconds": round(1000 * one.seconds, 2),
        "request": one.request_id,
    }
    # what `log.info` does, but for looking through the frames for the line that called it, which takes as long again
    said = "%s %s %s %.2f ms request=%s"
    record = log.makeRecord(log.name, logging.INFO, "", 0, said, tuple(parts.values()), None, extra={"parts": parts})
    record.created, record.msecs = one.moment, one.moment % 1 * 1000 // 1
    log.handle(record)
