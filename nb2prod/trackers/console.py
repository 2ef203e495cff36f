"""Tells the person at the terminal: a live display there, plain lines in CI and in files. Always on stderr.

On a terminal each step has a row (waiting, running, finished, failed, skipped), with its time, its tests and what it
measured, above a bar that counts cells. Elsewhere there is one line for each event that matters, with the seconds since
the start. Both end in the same summary: what failed and where, where the run is kept, and how to look at it in MLflow.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Protocol

from nb2prod.core.events import Event, RunStarted
from nb2prod.core.pipeline import Plan
from nb2prod.core.ports import Publish
from nb2prod.trackers._console_lines import PlainLines
from nb2prod.trackers._console_live import LiveDisplay
from nb2prod.trackers._console_seen import Seen


def open(plan: Plan, publish: Publish) -> ConsoleTracker:
    terminal = sys.stderr.isatty() and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"
    seen = Seen(notebook=plan.pipeline.notebook.path.name)
    return ConsoleTracker(seen, LiveDisplay(seen) if terminal else PlainLines(seen, sys.stderr))


class ConsoleTracker:
    """Keeps what is to be shown, and has it shown after each event."""

    def __init__(self, seen: Seen, display: _Display) -> None:
        self._seen = seen
        self._display = display
        self._begun = False

    def hear(self, event: Event) -> None:
        self._begun = self._begun or isinstance(event, RunStarted)
        if self._begun:
            self._seen.note(event)
            self._display.show(event)

    def environment(self, step: str) -> Mapping[str, str]:
        return {}

    def close(self) -> None:
        self._display.close()


class _Display(Protocol):
    def show(self, event: Event) -> None: ...

    def close(self) -> None: ...
