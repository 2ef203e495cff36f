"""One piece is heard: what its process says, from its first cell to its report, or to the failure that it ends with.

Outputs go to the executed notebook as they come, events to whoever listens; a cell that does not end in time ends the
process. A name that is not there, though an earlier cell has bound it, is no fault of the notebook's: its code did not
show that the piece reads it, and the failure says so.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nb2prod.core.ports import Publish
from nb2prod.core.result import Failure, FailureKind
from nb2prod.engines import _isolation
from nb2prod.engines._cell_clock import CellClock
from nb2prod.engines._executed import Executed
from nb2prod.engines._outputs import failure_of, mask
from nb2prod.engines._pieces import Piece
from nb2prod.engines._run_state import RunState
from nb2prod.engines._step_processes import TooLong
from nb2prod.engines._step_reports import StepReports
from nb2prod.engines._time_limit import TimeLimit
from nb2prod.kernel.step_work import Report, Work
from nb2prod.storage import journal

if TYPE_CHECKING:
    from nb2prod.engines._isolation import Process


@dataclasses.dataclass(frozen=True, slots=True)
class Audience:
    """Whom it concerns what the processes of a run say."""

    state: RunState
    executed: Executed
    reports: StepReports
    publish: Publish
    limit: TimeLimit
    secrets: tuple[str, ...]
    how_it_ended: Callable[[Any], str]


class Hearing:
    """Of one piece; `lines` are the events that it said."""

    def __init__(self, audience: Audience, piece: Piece) -> None:
        self.lines: list[str] = []
        self._audience = audience
        self._piece = piece
        self._step = audience.state.step_of(piece)
        self._cells = {cell.position: cell for cell in piece.cells}
        self._current = piece.cells[0]
        self._clock = CellClock(audience.state.plan.timeout, self._step.timeout if self._step is not None else None)

    def outcome(self, child: Process, work: Work) -> Report | Failure:
        """Hand the work over, and hear until the report or the failure."""
        try:
            for kind, *said in child.messages(work, self._clock.left):
                outcome = self._heard(kind, said)
                if outcome is not None:
                    return outcome
        except TooLong:
            child.kill()
            return self._failure("timeout", f"it did not end in time (limit {self._clock.limit:g} s)")
        except (EOFError, ConnectionError):
            if self._audience.limit.is_over:
                return self._audience.limit.failure(self._piece.step or None, self._current.index)
            return self._failure("kernel", f"the process died: {self._audience.how_it_ended(child)}")
        raise AssertionError("a process reports before it ends")

    def _heard(self, kind: str, said: list[Any]) -> Report | Failure | None:
        """One message; what it all came to, when it is the last."""
        if kind == "began":
            self._began(said[0])
        elif kind == "output":
            self._audience.executed.add(said[0], said[1])
        elif kind == "events":
            self._tell(said[0])
        elif kind == "again":
            self._audience.executed.empty(said[0])
            self._clock.wait(said[1])
        elif kind == "took":
            self._clock.took(said[0])
        elif kind == "ended":
            return self._ended(*said)
        elif kind == "refused":
            return self._failure("keep", mask(said[0], self._audience.secrets))
        elif kind == "lost":
            return self._failure("isolation", _isolation.lost(said[0]))
        else:
            return said[0]  # type: ignore[no-any-return]  # the report
        return None

    def _began(self, position: int) -> None:
        self._current = self._cells[position]
        self._clock.begin()
        self._audience.executed.begin(self._current)

    def _tell(self, lines: list[str]) -> None:
        self.lines += lines
        for line in lines:
            self._audience.publish(journal.decode(line))

    def _ended(self, position: int, has_failed: bool, note: str = "") -> Failure | None:
        seconds = self._clock.end()
        cell = self._audience.executed.cell(position)
        if has_failed:
            return self._failed(note)
        self._audience.reports.cell_done(self._step, self._current.index, seconds, cell)
        return None

    def _failed(self, note: str) -> Failure:
        """Of the cell under way; `note` is what its retries came to."""
        current, state, secrets = self._current, self._audience.state, self._audience.secrets
        role = state.plan.pipeline.roles[current.index] if current.index is not None else None
        shift = role.line_offset if role is not None and current.source.startswith("%%") else 0
        cell = self._audience.executed.cell(current.position)
        failure = failure_of(cell, self._piece.step or None, current.index, current.source, shift, secrets)
        if note:
            return dataclasses.replace(failure, message=f"{failure.message}; {mask(note, secrets)}")
        hidden = re.match(r"NameError: name '(\w+)' is not defined", failure.message)
        if hidden and self._was_bound(hidden[1]):
            message = _isolation.unseen_read(self._piece, hidden[1])
            return dataclasses.replace(failure, kind="isolation", message=message)
        return failure

    def _was_bound(self, name: str) -> bool:
        """Whether the notebook would know the name here."""
        state, order = self._audience.state, self._piece.order
        version = state.values.seen(name, order)
        is_gone = version is not None and version.is_gone
        return not is_gone and any(name in other.binds for other in state.pieces[:order])

    def _failure(self, kind: FailureKind, message: str) -> Failure:
        return Failure(kind, message, self._piece.step or None, self._current.index)
