"""A model package: an MLflow model folder that carries its own proof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from nb2prod.core.parity import Parity as Parity
from nb2prod.core.parity import PathParity as PathParity
from nb2prod.core.parity import Verdict as Verdict

ModelFormat = Literal["skops", "cloudpickle", "xgboost", "lightgbm", "statsmodels", "json"]


@dataclass(frozen=True, slots=True)
class Asking:
    """How a model is asked for its answer: by one of its methods, by `predict` and `predict_proba` at once, or by a
    `function` of the notebook, which takes the model first unless `model_last`; then `methods` are empty.
    """

    methods: tuple[str, ...] = ("predict",)
    function: str = ""
    model_last: bool = False


@dataclass(frozen=True, slots=True)
class PartFormat:
    """How one object of a model of several is written, and why; `file` is empty when `model.json` holds its value."""

    name: str
    type: str
    file: str
    format: ModelFormat
    reason: str
    trusted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FormatChoice:
    """How the model is written, and why: `reason` is what the manifest and the card say.

    `trusted` are the types that a skops file may load beyond skops' own. Of a model of several objects `parts` says
    it for each, and `format` is the one that must be trusted most.
    """

    format: ModelFormat
    reason: str
    trusted: tuple[str, ...] = ()
    parts: tuple[PartFormat, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelPackage:
    """`digest` is the SHA-256 over the sorted checksums of its files; `onnx` says whether it has a translation (`kept`)
    in which `precision`, or the `reason` why it has none.
    """

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
    onnx: Mapping[str, Any] = field(default_factory=dict)
