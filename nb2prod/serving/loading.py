"""Which of a package's two forms answers: the proved ONNX translation, or the model itself."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Literal

from .errors import ServingError
from .package_folder import PackageFolder
from .scorer import Loader, Scorer

log = logging.getLogger("nb2prod.serving")
Runtime = Literal["auto", "onnx", "mlflow"]


def load_fastest(folder: Path, known: PackageFolder) -> Scorer:
    """The translation where it is proved, else the model."""
    from . import onnx_scorer

    reason = onnx_scorer.why_not(folder, known)
    if not reason:
        can_load = importlib.util.find_spec("mlflow") is not None
        return onnx_scorer.OnnxScorer(folder, known, (lambda: load_model(folder, known)) if can_load else None)
    log.info("the model itself answers, through MLflow: %s", reason)
    return load_model(folder, known)


def load_translation(folder: Path, known: PackageFolder) -> Scorer:
    """The translation. Raises ServingError when it is not proved."""
    from . import onnx_scorer

    reason = onnx_scorer.why_not(folder, known)
    if reason:
        raise ServingError(reason, where=str(known.path), fix="serve with --runtime mlflow", exit_code=2)
    return onnx_scorer.OnnxScorer(folder, known)


def load_model(folder: Path, known: PackageFolder) -> Scorer:
    from .onnx_scorer import is_translated
    from .scorer import MlflowScorer

    return MlflowScorer(folder, known, translated=is_translated(folder, known))


LOADERS: dict[Runtime, Loader] = {"auto": load_fastest, "onnx": load_translation, "mlflow": load_model}
RUNTIMES: tuple[Runtime, ...] = ("auto", "onnx", "mlflow")
