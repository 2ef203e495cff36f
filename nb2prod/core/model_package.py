"""A model package: an MLflow model folder that carries its own proof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

ModelFormat = Literal["skops", "cloudpickle"]
Verdict = Literal["equal", "tolerant", "different", "stochastic"]


@dataclass(frozen=True, slots=True)
class FormatChoice:
    """How the model is written, and why: `reason` is what the manifest and the card say.

    `trusted` are the types that a skops file may load beyond skops' own.
    """

    format: ModelFormat
    reason: str
    trusted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PathParity:
    """One path (`fresh process`) compared with the notebook's own predictions on the example.

    `difference` is the largest absolute difference of numbers, 0.0 when all are equal; `flips` counts labels that
    differ.
    """

    path: str
    rows: int
    exact: int
    difference: float
    flips: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Parity:
    """The proof: `input_digest` and `output_digest` cover the example and the notebook's predictions."""

    verdict: Verdict
    input_digest: str
    output_digest: str
    paths: tuple[PathParity, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelPackage:
    """`digest` is the SHA-256 over the sorted checksums of its files."""

    name: str
    version: str
    directory: str
    digest: str
    format: FormatChoice
    parity: Parity
    run: str = ""
    notebook: str = ""
    notebook_digest: str = ""
    model_type: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    requirements: tuple[str, ...] = ()
    registered: str = ""
