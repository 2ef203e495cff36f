"""What is told of each step, from its pieces: when the first of them begins, and what all took, printed and came to.

A step may be cut into several pieces, each in a process of its own, and some of them may be taken from the store. It
has begun when the first of them runs, and is skipped when none does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

from nb2prod.core.events import CellFinished, StepFinished, StepStarted
from nb2prod.core.pipeline import Step
from nb2prod.core.ports import Publish
from nb2prod.core.result import Failure, StepStatus
from nb2prod.engines._outputs import stdout_of

OWN_PROCESS = "every step runs, each in its own process"


class StepReports:
    """Of the steps of one run; pieces that run at the same time tell it under one `lock`."""

    def __init__(self, publish: Publish, lock: contextlib.AbstractContextManager[Any]) -> None:
        self._publish = publish
        self._lock = lock
        self._seconds: dict[str, float] = {}
        self._printed: dict[str, str] = {}
        self._reasons: dict[str, str] = {}
        self._ran: set[str] = set()  # steps of which something was not taken from the store

    def open(self, step: Step) -> None:
        """Its first piece comes, and may yet be taken from the store."""
        self._seconds[step.name], self._printed[step.name] = 0.0, ""

    def explain(self, step: str, reason: str) -> None:
        self._reasons[step] = reason

    def begun(self, step: Step, reason: str) -> None:
        """Something of it runs; `reason` says why nothing of an earlier run is taken."""
        with self._lock:
            if step.name in self._ran:
                return
            self._ran.add(step.name)
            self._publish(StepStarted(step=step.name, parameters=step.parameters, reason=reason))
            if reason:
                self._reasons.setdefault(step.name, reason)

    def cell_done(self, step: Step | None, index: int | None, seconds: float, cell: Any, *, taken: str = "") -> None:
        """`taken` says why the cell was taken from the store and did not run."""
        name = step.name if step is not None and index in step.cells else None
        if index is not None:
            self._publish(CellFinished(cell=index, seconds=seconds, step=name))
        if step is None or name is None:
            return
        self._seconds[name] += seconds
        self._printed[name] += stdout_of(cell)
        if index == step.cells[-1]:
            is_skipped = bool(taken) and name not in self._ran
            reason = taken if is_skipped else self._reasons.get(name, OWN_PROCESS)
            self._finished(name, "skipped" if is_skipped else "finished", self._printed[name], reason)

    def failed(self, step: Step | None, failure: Failure, cells: Iterable[Any]) -> None:
        """`cells` are those of the step, as far as they ran."""
        if step is not None and step.name in self._seconds:
            self._finished(step.name, "failed", "".join(map(stdout_of, cells)), failure.message)

    def _finished(self, name: str, status: StepStatus, printed: str, reason: str) -> None:
        seconds = self._seconds[name]
        self._publish(StepFinished(step=name, status=status, seconds=seconds, printed=printed, reason=reason))
