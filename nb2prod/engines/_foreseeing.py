"""What a run would take from the store, and why the rest would run. Nothing runs.

A piece that would run leaves nobody knows what, so of those after it only this is known: it would be taken after all,
if what runs before it leaves the same. Shared cells of which only parameters changed are looked through: all else they
leave as they left it.
"""

from __future__ import annotations

from nb2prod.core.events import ArtifactKept
from nb2prod.core.result import Foreseen
from nb2prod.engines._cache import SAME, Cache
from nb2prod.engines._looked import Looked
from nb2prod.engines._pieces import Piece
from nb2prod.engines._run_state import NOWHERE, RunState
from nb2prod.storage import journal


class Foreseeing:
    """One run, gone through without processes."""

    def __init__(self, state: RunState, cache: Cache) -> None:
        self._state = state
        self._cache = cache
        self._supposed: set[str] = set()  # parameters that are not as they were

    def steps(self) -> tuple[Foreseen, ...]:
        """Of each step whether it would be taken, or why not."""
        runs: dict[str, str] = {}
        for piece in self._state.pieces:
            reason = self._reason(piece)
            if reason:
                runs.setdefault(piece.step, reason)
        known = {piece.step for piece in self._state.pieces}
        names = [step.name for step in self._state.plan.pipeline.steps if step.name in known]
        return tuple(Foreseen(name, name not in runs, runs.get(name, SAME)) for name in names)

    def _reason(self, piece: Piece) -> str:
        """Why the piece would run; empty when it would be taken."""
        unsure = self._unsure_before(piece)
        wanted = self._state.wanted(piece)
        states = self._state.values.ambient_for(piece.order)
        looked = self._cache.look(piece, self._state.begin(piece, wanted, []), wanted, states, False)
        if looked.never or (unsure is not None and looked.reason.startswith(("its code", "first run"))):
            return looked.reason
        if unsure is not None:
            who = f"step {unsure.step}" if unsure.step else f"cell {unsure.indexes[0] if unsure.indexes else 0}"
            return f"{who} would run before it; taken after all, if that leaves the same"
        given = sorted(self._supposed & wanted.keys())
        if given:
            return f"parameter {given[0]} changed"
        if looked.entry is None:
            return self._suppose(piece, looked) or looked.reason
        self._take(piece, looked)
        return ""

    def _unsure_before(self, piece: Piece) -> Piece | None:
        """The first piece that it waits for and of which nobody knows what it leaves."""
        after = self._state.upstream(piece) if piece.step else set(range(piece.order))
        return next((self._state.pieces[order] for order in sorted(after) if order not in self._state.done), None)

    def _take(self, piece: Piece, looked: Looked) -> None:
        report, events, _ = self._cache.foreseen(looked)
        self._state.kept += [journal.encode(event) for event in events if isinstance(event, ArtifactKept)]
        self._state.record(piece, report, NOWHERE)

    def _suppose(self, piece: Piece, looked: Looked) -> str:
        """Why shared cells run of which only parameters changed; empty when more has."""
        found = self._cache.supposed(looked)
        if found is None:
            return ""
        report, changed = found
        self._state.record(piece, report, NOWHERE)
        self._supposed |= changed
        return f"parameter {', '.join(sorted(changed))} changed"
