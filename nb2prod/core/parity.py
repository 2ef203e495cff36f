"""Parity: how the answers of a package, by every path to them, compare with the notebook's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Verdict = Literal["equal", "tolerant", "different", "stochastic"]
# a letter a row: what one path made of it, beside what the notebook's object made of it
EQUAL, CLOSE, DIFFERENT, REFUSED, RAISES = "=", "~", "x", "r", "e"
MARKS: Mapping[str, str] = {
    EQUAL: "the same answer",
    CLOSE: "the same within the tolerance",
    DIFFERENT: "another outcome",
    REFUSED: "refused by schema",
    RAISES: "raises, as in the notebook",
}
FRESH = "fresh process"
ISOLATED = "isolated pipeline"
CLEAN = "clean environment"
ONNX = "onnx"
PREDICT, INVOCATIONS, V2 = "service predict", "service invocations", "service v2"
SERVICE = (PREDICT, INVOCATIONS, V2)
BATCH = "batch scoring"
PROJECT = "exported project"
PATHS = (FRESH, ISOLATED, CLEAN, ONNX, *SERVICE, BATCH, PROJECT)


@dataclass(frozen=True, slots=True)
class RowFound:
    """A row that a path did not answer as the notebook's object: `what` names it (`row 17`, `income: missing`)."""

    row: int
    what: str
    mark: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class PathParity:
    """One path (`fresh process`, `service predict`) compared with the notebook's own object.

    `rows` are real ones, `exact` those with the very same answer, `boundary` the rows made from the schema and `alike`
    those of them with the very same outcome, be it an error. Of both, `refused` are those that the path's schema does
    not take and `raised` those that raise on both sides. `difference`, `relative` and `ulps` are the largest between
    two answers that are numbers, 0 when all are equal; `flips` counts other answers that differ. `marks` has a letter
    for each row of the probe set. `inputs`, `outputs` and `environment` are digests; `versions` is the environment.
    """

    path: str
    rows: int
    exact: int
    difference: float
    flips: int
    verdict: Verdict
    relative: float = 0.0
    ulps: int = 0
    tolerance: float = 0.0
    boundary: int = 0
    alike: int = 0
    refused: int = 0
    raised: int = 0
    marks: str = ""
    found: tuple[RowFound, ...] = ()
    inputs: str = ""
    outputs: str = ""
    environment: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def holds(self) -> bool:
        return self.verdict in ("equal", "tolerant")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A path that was not tried, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Parity:
    """The proof: `input_digest` and `output_digest` cover the example and the notebook's predictions, `probe` the
    probe set with the notebook's outcomes; empty when there is none.
    """

    verdict: Verdict
    input_digest: str
    output_digest: str
    paths: tuple[PathParity, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    probe: str = ""
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()

    def path(self, name: str) -> PathParity | None:
        return next((path for path in self.paths if path.path == name), None)


def brief(parity: Parity) -> Parity:
    """Without the rows that are told one by one."""
    return dataclasses.replace(parity, paths=tuple(dataclasses.replace(path, found=()) for path in parity.paths))
