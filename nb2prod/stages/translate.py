"""A package's model as an ONNX graph, kept only when it answers as the model does.

    onnx/model.onnx      the graph
    onnx/serving.json    which columns lie in which of its inputs, and what its outputs are

The service then needs neither MLflow nor pandas nor scikit-learn. A translation in double precision is tried first,
because scikit-learn computes so; one in single precision after it. Each is asked about every row of the example by the
code that serves it, and is kept when no label is another and numbers are within `TOLERANCES`. What a translation cannot
answer as the model does (an unknown category that the model refuses, a number too large for its trees, and in single
precision every row outside of the numbers of the example or close to the border between two labels) it says itself, in
an output of its own: those rows are answered by the model, or refused.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nb2prod.core.parity import ONNX, Parity
from nb2prod.stages import columns
from nb2prod.stages.model_folder import Kept, Written
from nb2prod.storage.files import write_bytes, write_text

if TYPE_CHECKING:
    from nb2prod.serving.package_folder import PackageFolder
    from nb2prod.stages.translating.packing import Packed

FOLDER = "onnx"
# relative; the absolute one, for numbers near 0, is a millionth of it, of the largest answer
TOLERANCES = {"float64": 1e-9, "float32": 1e-5}
# what columns may become for the model: categories, and text in which None is missing
_FOLLOWED = ("category", "object")
_NEEDED = {"onnx": "onnx", "onnxruntime": "onnxruntime", "skl2onnx": "skl2onnx"}


@dataclass(frozen=True, slots=True)
class Translation:
    """Whether the package has a translation; `precision` and `opset` of it, or the `reason` why there is none."""

    kept: bool
    precision: str = ""
    reason: str = ""
    opset: int = 0


def translate(folder: Path, kept: Kept, written: Written) -> Translation:
    """Write `onnx/` into the package's folder, which has its model already; or say why there is none."""
    reason = hindrance(kept, written)
    if reason:
        return Translation(False, reason=reason)
    from nb2prod.stages.translating.graph import OPSET, Untranslatable

    reasons: list[str] = []
    for may_be_single in (False, True):
        try:
            precision, difference = _tried(folder, kept, written, may_be_single=may_be_single)
        except Untranslatable as error:
            reasons.append(str(error))
            continue
        if not difference:
            return Translation(True, precision, opset=OPSET)
        reasons.append(f"in {precision} {difference}")
        break
    drop(folder)
    return Translation(False, reason=reasons[-1])


def drop(folder: Path) -> None:
    """Take a translation out of a package's folder again."""
    shutil.rmtree(folder / FOLDER, ignore_errors=True)


def proved(folder: Path, translation: Translation, parity: Parity) -> tuple[Translation, bool]:
    """The translation once its path is judged, and whether it was taken out because it is not proved."""
    path = parity.path(ONNX)
    if not translation.kept or (path is not None and path.holds):
        return translation, False
    reasons = [one.reason for one in parity.left_out if one.path == ONNX]
    drop(folder)
    return Translation(False, reason=reasons[0] if reasons else "it is not proved"), True


def hindrance(kept: Kept, written: Written) -> str:
    """What keeps the model from being translated at all, looked at without any library of ONNX; empty for nothing."""
    missing = [name for module, name in _NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        return f"{', '.join(missing)} is not installed (pip install 'nb2prod[onnx]')"
    asking = kept.asked.asking
    if asking.function:
        return f"the function {asking.function} of the notebook answers, and not a model alone"
    if asking.methods not in (("predict",), ("predict_proba",)):
        return f"the answer of {' and '.join(asking.methods)} has no translation"
    others = [str(recipe["column"]) for recipe in written.described.restored if recipe["as"] not in _FOLLOWED]
    if others:
        return f"the model needs columns that ONNX has no type for: {', '.join(others)}"
    return ""


def _tried(folder: Path, kept: Kept, written: Written, *, may_be_single: bool) -> tuple[str, str]:
    """Write a translation; its precision, and how it differs from the model, empty when it does not."""
    from nb2prod.serving.package_folder import open_folder
    from nb2prod.stages.translating import follow, packing
    from nb2prod.stages.translating.graph import Graph, Untranslatable

    known = open_folder(folder)
    if known.signature is None:
        raise Untranslatable("the package has no signature")
    graph = Graph(may_be_single=may_be_single)
    given = packing.inputs(graph, known.signature, written.described.restored)
    answer = follow.answer(kept.model, given.value)
    is_probable = kept.asked.asking.methods == ("predict_proba",)
    wanted = answer.probabilities if is_probable else answer.prediction
    if wanted is None:
        what = "probabilities" if is_probable else "labels"
        raise Untranslatable(f"the {what} of a {type(kept.model).__name__} have no translation that can be proved")
    if graph.is_single:
        follow.bound(graph, given.value, written.described.example)
    example, name = written.described.example, kept.artifact.name
    if graph.is_taken_over and not is_probable and answer.probabilities is not None:
        # labels alone would hide that it computes otherwise: they differ only where it matters, in few rows
        shares = packing.packed(graph, given, answer.probabilities, dtype="float64", name=name)
        asked = columns.restored(example, written.described.restored)
        difference = _difference(folder, known, shares, example, kept.model.predict_proba(asked))
        if difference:
            return str(shares.settings["precision"]), f"its probabilities: {difference}"
    made = packing.packed(graph, given, wanted, dtype=_dtype(kept.predictions), name=name)
    return str(made.settings["precision"]), _difference(folder, known, made, example, kept.predictions)


def _dtype(predictions: Any) -> str:
    from nb2prod.stages.translating.graph import CODES, Untranslatable

    if hasattr(predictions, "columns") or np.asarray(predictions).ndim > 2:
        raise Untranslatable("the model answers tables")
    dtype = np.asarray(predictions).dtype
    name = "text" if dtype.kind in "OUT" else dtype.name
    if name not in CODES:
        raise Untranslatable(f"the model answers {name}")
    return name


def _difference(folder: Path, known: PackageFolder, made: Packed, example: Any, expected: Any) -> str:
    """Write the translation; how its answers to the example differ from these, empty when they do not."""
    from nb2prod.serving.onnx_scorer import OnnxScorer, quiet_runtime

    quiet_runtime()
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, InvalidGraph, NotImplemented

    from nb2prod.serving.scorer import Outside

    drop(folder)
    write_bytes(folder / FOLDER / "model.onnx", made.model)
    write_text(folder / FOLDER / "serving.json", json.dumps(made.settings, ensure_ascii=False, indent=2) + "\n")
    try:
        given = OnnxScorer(folder, known).predict_table(example)
    except Outside as outside:
        count, rows = len(outside.places), len(outside.inside)
        return f"{count} of {rows} rows of the example are outside of what it answers ({outside.why})"
    except (Fail, InvalidArgument, InvalidGraph, NotImplemented) as error:
        return f"ONNX Runtime does not run it: {str(error).splitlines()[0][:200]}"
    return compared(np.asarray(expected), np.asarray(given), TOLERANCES[made.settings["precision"]])


def compared(expected: Any, given: Any, tolerance: float) -> str:
    """How answers differ; empty when every label is the same and every number within the tolerance."""
    if expected.shape != given.shape:
        return f"it answers the shape {given.shape} instead of {expected.shape}"
    if expected.dtype.kind not in "fc":
        flips = int((expected != given).reshape(len(expected), -1).any(axis=1).sum())
        return f"{flips} of {len(expected)} labels flip" if flips else ""
    near = tolerance * 1e-6 * float(np.nanmax(np.abs(expected), initial=0.0))
    is_close = np.isclose(given, expected, rtol=tolerance, atol=near, equal_nan=True).reshape(len(expected), -1)
    bad = int((~is_close.all(axis=1)).sum())
    if not bad:
        return ""
    with np.errstate(divide="ignore", invalid="ignore"):
        worst = float(np.nanmax(np.abs(given - expected) / np.abs(expected)))
    return f"{bad} of {len(expected)} answers differ by up to {worst:.1g} of themselves"
