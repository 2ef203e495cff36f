"""Equality: what the notebook in one kernel and its steps, each on its own, have in common, boundary by boundary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from nb2prod.core.finding import Finding
from nb2prod.core.pipeline import EdgeKind
from nb2prod.core.result import Failure, Result

Compared = Literal["equal", "tolerant", "different", "uncompared"]
EqualityStatus = Literal["equal", "tolerant", "different", "refused", "failed"]
BoundaryKind = Literal["value", "random", "predictions", "metric", "test", "printed", "failure"]
CauseKind = Literal["seed", "clock", "outside", "alias", "on the way", "hidden state", "order", "unknown"]
ISOLATED_STEPS = "isolated steps"


@dataclass(frozen=True, slots=True)
class Difference:
    """What comparing two values found: the notebook's own first, that of isolated steps second.

    `text` says where inside the value and what stands there on both sides. `absolute`, `relative` and `ulps` (steps of
    the floating point format) are the largest of all numbers in it, `count` of `items` are not the same. `tolerance` is
    said when it was needed, `uncompared` lists parts that nobody can compare, with the reason.
    """

    verdict: Compared
    text: str = ""
    absolute: float = 0.0
    relative: float = 0.0
    ulps: float = 0.0
    count: int = 0
    items: int = 0
    tolerance: str = ""
    uncompared: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cause:
    """What probably lies behind a difference, where, and what to do about it.

    kind: `seed` and `clock` (the notebook itself never gives the same twice) · `outside` files, network, programs ·
    `alias` changed through another name · `on the way` it arrived otherwise than it left · `hidden state` a cell that
    isolated steps leave out, or state that no name shows · `order` a later step is felt by an earlier one.
    """

    kind: CauseKind
    message: str
    fix: str = ""
    cell: int | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Boundary:
    """One thing at the end of a step (empty: of cells that are no step): a value, what was printed, a metric, a test.

    `cell` and `line` say where the step last gives the name a value, changes it, or reads it.
    """

    step: str
    name: str
    kind: BoundaryKind
    difference: Difference
    cell: int | None = None
    line: int | None = None
    cause: Cause | None = None

    @property
    def verdict(self) -> Compared:
        return self.difference.verdict


@dataclass(frozen=True, slots=True)
class ProvenEdge:
    """An edge of the pipeline and what the comparison says of it: `verdict` is `different` where it does not hold."""

    step: str
    name: str
    source: str
    kind: EdgeKind
    verdict: Compared
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Equality:
    """The proof, or what stands against it. `boundaries` are in the notebook's order.

    status: `equal` · `tolerant` equal but for the last digits of floats · `different` · `refused` there are no isolated
    steps to compare (`findings`, or a `failure` of kind `isolation`) · `failed` the notebook's own code failed.
    `other` says what was compared with the notebook in its kernel.
    """

    notebook: str
    status: EqualityStatus
    steps: tuple[str, ...] = ()
    boundaries: tuple[Boundary, ...] = ()
    edges: tuple[ProvenEdge, ...] = ()
    findings: tuple[Finding, ...] = ()
    failure: Failure | None = None
    seconds: Mapping[str, float] = field(default_factory=dict, compare=False)
    other: str = ISOLATED_STEPS

    @property
    def first(self) -> Boundary | None:
        """Where the two part: the first difference in the notebook's order."""
        return next((boundary for boundary in self.boundaries if boundary.verdict == "different"), None)

    def of(self, verdict: Compared) -> tuple[Boundary, ...]:
        return tuple(boundary for boundary in self.boundaries if boundary.verdict == verdict)

    @property
    def exit_code(self) -> int:
        """0 equal or tolerant · 3 refused · 5 different · that of a run when the notebook's own code failed."""
        if self.status == "failed" and self.failure is not None:
            return Result("", "failed", "", "", "", "", 0.0, failure=self.failure).exit_code
        return {"different": 5, "refused": 3}.get(self.status, 0)
