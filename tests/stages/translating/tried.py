"""A fitted model's translation, made as packaging makes it, without the rest of a package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.models import Model

from nb2prod.core.model_package import Asking, FormatChoice
from nb2prod.core.result import Artifact
from nb2prod.serving.onnx_scorer import OnnxScorer
from nb2prod.serving.package_folder import open_folder
from nb2prod.stages import translate
from nb2prod.stages.model_folder import Kept, Written
from nb2prod.stages.signature import describe
from nb2prod.storage.artifacts import Stored
from nb2prod.storage.asking import Asked
from nb2prod.storage.codec import plain


@dataclass(frozen=True)
class Tried:
    folder: Path
    model: Any
    translation: translate.Translation

    @property
    def scorer(self) -> OnnxScorer:
        return OnnxScorer(self.folder, open_folder(self.folder))


def tried(folder: Path, model: Any, example: Any, *, method: str = "predict") -> Tried:
    """The fitted model's translation, made as packaging makes it."""
    asking = Asking((method,))
    asked = Asked(model, asking)
    answer = asked.predict(example)
    described = describe(example, answer, asked.predict)
    Model(flavors={"python_function": {"loader_module": "mlflow.sklearn"}}, signature=described.signature).save(
        folder / "MLmodel"
    )
    kept = Kept(model, Artifact("model", "model", "", "", "", {"asking": plain(asking)}), example, answer, None)
    written = Written(described, FormatChoice("skops", ""), (), Stored(folder, ""))
    return Tried(folder, model, translate.translate(folder, kept, written))
