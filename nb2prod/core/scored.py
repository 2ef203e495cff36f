"""What scoring a table came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

OnBadRows = Literal["refuse", "reject"]
Runtime = Literal["auto", "onnx", "model"]


@dataclass(frozen=True, slots=True)
class Advance:
    """How far it is; `share` is of all files' bytes, roughly."""

    rows: int
    rejected: int
    share: float


@dataclass(frozen=True, slots=True)
class Scored:
    """`rows` were read, `rejected` of them are not in the output but, with reasons, in `rejected_to`.

    `reasons` counts "column: reason"; a row may have several. `resumed` are rows that an earlier, stopped call had
    done. `runtime` is what answered: `onnx`, the proved translation, or `model`.
    """

    package: str
    version: str
    digest: str
    runtime: str
    inputs: tuple[str, ...]
    output: str
    rows: int
    rejected: int
    rejected_to: str = ""
    reasons: Mapping[str, int] = field(default_factory=dict)
    resumed: int = 0
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """3 when rows were rejected, which is a finding about the data; else 0."""
        return 3 if self.rejected else 0
