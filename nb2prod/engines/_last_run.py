"""What the last run of each piece ran with, so that a person is told why it runs again.

    its code changed (cell 3) · parameter alpha changed · it failed the last time · first run

Only words depend on it: what is taken from the store, the entries decide. A piece that was given a secret leaves no
trace here, because a digest of something short says what it was.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nb2prod.core.pipeline import Plan
from nb2prod.engines import _facts, _secret_flow
from nb2prod.engines._looked import Looked
from nb2prod.engines._pieces import Piece
from nb2prod.engines._values import Version
from nb2prod.storage import codec, step_entries
from nb2prod.storage.step_entries import Entry
from nb2prod.storage.store import Store


@dataclass(frozen=True, slots=True)
class LastRuns:
    """The notes about the last run of each of a plan's pieces."""

    store: Store
    plan: Plan
    pieces: tuple[Piece, ...]

    def key_of(self, piece: Piece) -> str:
        key: str = self._read(piece).get("key", "")
        return key

    def remember(self, looked: Looked, never: str) -> None:
        """`never` says why nothing was kept. Raises StoreError."""
        if looked.given_secret:
            return
        known = {"facts": looked.facts, "never": never, "at": time.time(), "step": looked.piece.step, "key": looked.key}
        known["parameters"] = self._given()
        step_entries.write_last(self.store, self._label(looked.piece), known)

    def since(self, looked: Looked, wanted: Mapping[str, Version]) -> str:
        """What is not as it was the last time, or why nothing is left of that."""
        known = self._read(looked.piece)
        if not known:
            return "first run"
        changed = _facts.difference(looked.piece, looked.facts, known.get("facts", {}), self._said(wanted))
        return changed or known.get("never") or "nothing of its last run was kept"

    def but_for_parameters(self, looked: Looked) -> tuple[Entry, set[str]] | None:
        """What shared cells left the last time, and the parameters that are not as they were.

        None when that does not say enough: something else than parameters has changed.
        """
        known = self._read(looked.piece)
        entry = next(iter(step_entries.under(self.store, known.get("key", "none"))), None)
        if entry is None or looked.piece.step or "parameters" not in known:
            return None
        now, last = dict(looked.facts), dict(known["facts"])
        given = [n for n, cell in enumerate(looked.piece.cells) if cell.index is None]
        code = [state for n, state in enumerate(now.pop(_facts.CODE)) if n not in given]
        before = last.pop(_facts.CODE)
        if now != last or [state for state in before if state in code] != code or len(before) > len(code) + 1:
            return None
        values = self._given()
        return entry, {name for name in values if known["parameters"].get(name) != values[name]}

    def _read(self, piece: Piece) -> dict[str, Any]:
        return step_entries.read_last(self.store, self._label(piece))

    def _label(self, piece: Piece) -> str:
        same = [other for other in self.pieces[: piece.order] if other.step == piece.step]
        notebook = _facts.digest(str(self.plan.pipeline.notebook.path))[:16]
        return f"{notebook}/{_facts.digest(piece.step)[:16]}-{len(same)}"

    def _given(self) -> dict[str, str]:
        """The parameters by the digest of their values; no secret one."""
        secret = _secret_flow.secret_names(self.plan)
        values = {name: value for name, value in self.plan.parameters.items() if name not in secret}
        return {name: _facts.digest(codec.plain(value)) for name, value in values.items()}

    def _said(self, wanted: Mapping[str, Version]) -> dict[str, str]:
        """What a person calls each input."""
        return {name: self._said_of(name, version) for name, version in wanted.items()}

    def _said_of(self, name: str, version: Version) -> str:
        step = self.pieces[version.order].step
        if not step and any(parameter.name == name for parameter in self.plan.pipeline.parameters):
            return f"parameter {name}"
        if name in self.plan.pipeline.module.names:
            return f"{name}, which it uses,"
        return f"input {name} of step {step}" if step else f"input {name}"
