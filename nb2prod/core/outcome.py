"""What became of one row that a model was asked about: an answer, an error, or no answer because the row was refused.

An answer is a flat tuple of plain values, however the model wraps it: `(0.25,)` of an array or a series, `("yes", 0.9)`
of a frame with two columns. That makes the answers of a notebook, a file of JSON and a service one kind of thing.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

OutcomeKind = Literal["answer", "raises", "refused"]
_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@dataclass(frozen=True, slots=True)
class Outcome:
    """`reason` is the type of the exception that was raised, or why the row was refused."""

    kind: OutcomeKind
    values: tuple[Any, ...] = ()
    reason: str = ""

    def __str__(self) -> str:
        if self.kind == "answer":
            return ", ".join(str(value) for value in self.values)
        return f"raises {self.reason}" if self.kind == "raises" else f"refused: {self.reason}"


def as_json(outcome: Outcome) -> dict[str, Any]:
    """`{"answer": […]}`, `{"raises": TYPE}` or `{"refused": WHY}`, in JSON that every reader takes."""
    if outcome.kind == "answer":
        return {"answer": [_spelled(value) for value in outcome.values]}
    return {outcome.kind: outcome.reason}


def from_json(content: Mapping[str, Any]) -> Outcome:
    """Raises ValueError for what `as_json` did not make."""
    match dict(content):
        case {"answer": list(values)}:
            return Outcome("answer", tuple(_unspelled(value) for value in values))
        case {"raises": str(reason)}:
            return Outcome("raises", reason=reason)
        case {"refused": str(reason)}:
            return Outcome("refused", reason=reason)
    raise ValueError("this is no outcome of a row")


def digest_of(outcomes: Iterable[Outcome]) -> str:
    """SHA-256 over what became of each row. Which exception a row raises, and how it is refused, is no part of it."""
    told = [as_json(one) if one.kind == "answer" else {one.kind: ""} for one in outcomes]
    return hashlib.sha256(json.dumps(told, ensure_ascii=True, allow_nan=False).encode()).hexdigest()


def _spelled(value: Any) -> Any:
    """JSON has no NaN and no infinity; which of two texts is a number must not be guessed."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": next(word for word, known in _WORDS.items() if repr(known) == repr(value))}
    return value


def _unspelled(value: Any) -> Any:
    return _WORDS[value["float"]] if isinstance(value, dict) else value
