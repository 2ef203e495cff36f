"""What the model says to rows that were checked: a port, filled by the model itself and by its proved translation.

Where the package's certificate says that both give equal answers, the faster one is asked.

The rows have the signature's types already, which is all that MLflow's own check before `predict` would see to. A
scikit-learn model is therefore asked directly, once that was seen to give what `mlflow.pyfunc` gives.
"""

from __future__ import annotations

import importlib.util
import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from nb2prod.core.errors import MissingExtra, NotProved, UsageError
from nb2prod.core.scored import Runtime
from nb2prod.serving.package_folder import PackageFolder
from nb2prod.serving.signature import Column, Tensor
from nb2prod.stages.scoring import forests
from nb2prod.stages.scoring.typed import type_of

TRIED = 200  # rows with which the direct way is compared
RACED, TIMES = 4096, 2  # rows with which it is found out which of two is faster, and how often they are tried
WORTH_LOADING = 3.0  # seconds of work from which on the model is loaded to see whether it is faster
QUICK = 2e-6  # seconds for a row that the model's own way through pandas would take as well
CLEARLY = 0.85  # of the translation's time, since the model shares Python's one lock, and the translation has none
PREDICTION = "prediction"
NO_MODEL = "there is no model for this key"


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a row has no answer. Nothing of it quotes the data."""

    column: str
    reason: str


class CannotAnswer(Exception):
    """The model raised. The message is the model's own, and may quote the data; `rows` are those it refuses, if it says
    which.
    """

    def __init__(self, message: str, rows: Mapping[int, Refused] = MappingProxyType({})) -> None:
        super().__init__(message)
        self.rows = rows


class Model(Protocol):
    """`predict` takes rows in the signature's types, and returns what the model answers. Raises CannotAnswer.

    `at_once` is how many blocks of rows it may be asked about at the same time.
    """

    at_once: int

    @property
    def runtime(self) -> Runtime: ...

    def predict(self, rows: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Ahead:
    """What is to be scored: about how many rows, and the first of them, in the signature's types."""

    count: int
    rows: Any


def load(folder: Path, known: PackageFolder, runtime: Runtime, ahead: Ahead | None = None) -> Model:
    """What was asked for; of its own accord the model, or where the translation is proved equal, the faster of both."""
    installed = all(importlib.util.find_spec(library) is not None for library in ("onnxruntime", "pydantic"))
    if runtime == "onnx" and not installed:
        raise MissingExtra("onnxruntime, or pydantic", "onnx,serve", purpose="--runtime onnx")
    if runtime == "model" or not installed:
        return Itself(folder)
    from nb2prod.serving import onnx_scorer

    reason = onnx_scorer.why_not(folder, known)
    if runtime == "onnx" and reason:
        raise UsageError(reason, where=str(known.path), fix="score with --runtime model")
    if runtime == "auto" and (reason or not _is_equal(folder)):
        return Itself(folder)
    translation = Translation(folder, known)
    return translation if runtime == "onnx" or ahead is None else _faster(translation, folder, ahead)


def _is_equal(folder: Path) -> bool:
    """Whether the package's own proof found the translation's answers equal, and not only close."""
    paths = json.loads((folder / "parity.json").read_bytes())["paths"]
    return any(path["path"] == "onnx" and path["verdict"] == "equal" for path in paths)


class Itself:
    """Any MLflow model."""

    runtime: Runtime = "model"

    def __init__(self, folder: Path) -> None:
        import mlflow.pyfunc

        self._model = mlflow.pyfunc.load_model(str(folder))
        self._direct, self._tried = _direct(self._model)
        # scikit-learn's predict changes nothing; what another model does nobody knows
        self.at_once = _cores() if self._direct is not None else 1
        self._compared = False
        self._comparing = threading.Lock()

    def predict(self, rows: Any) -> Any:
        frame = rows.to_pandas(ignore_metadata=True)
        try:
            direct = self._compared_with(frame.head(self._tried))
            return self._model.predict(frame) if direct is None else direct(frame)
        except Exception as error:
            raise CannotAnswer(_first_line(error), _refused(error)) from error

    def _compared_with(self, frame: Any) -> Any:
        """The direct way, when MLflow's check of such a frame changes nothing: what is predicted is the same."""
        from nb2prod.storage import digests

        with self._comparing:
            if self._direct is not None and not self._compared:
                if digests.digest(self._model.predict(frame.copy())) != digests.digest(self._direct(frame)):
                    self._direct = None
                self._compared = True
            return self._direct


def _direct(model: Any) -> tuple[Any, int]:
    """The `predict` of the scikit-learn estimator within, None for other models; and with how many rows to try it."""
    flavor = model.metadata.flavors["python_function"]
    if flavor.get("loader_module") != "mlflow.sklearn":
        return None, 0
    estimator, method = model.get_raw_model(), flavor.get("predict_fn", "predict")
    sorting = forests.sorting(estimator, method)
    return (sorting, forests.LEAST_ROWS) if sorting else (getattr(estimator, method, None), TRIED)


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _first_line(error: BaseException) -> str:
    first = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _refused(error: Any) -> dict[int, Refused]:
    """The rows that the package's own code names when it refuses some; none for another error."""
    unknown = getattr(error, "unknown_rows", None)
    if unknown is not None:
        return dict.fromkeys(unknown, Refused(", ".join(error.unknown_columns), NO_MODEL))
    rows = getattr(error, "refused_rows", ())
    return dict.fromkeys(rows, Refused(error.refused_column, error.refused_reason)) if rows else {}


class Translation:
    """The model's ONNX translation; rows outside of what it answers are answered by the model itself."""

    runtime: Runtime = "onnx"

    def __init__(self, folder: Path, known: PackageFolder) -> None:
        from nb2prod.serving.onnx_scorer import OnnxScorer

        self.at_once = _cores()
        self._folder = folder
        self._scorer = OnnxScorer(folder, known)
        self._itself: Itself | None = None
        self._loading = threading.Lock()

    def predict(self, rows: Any) -> Any:
        from nb2prod.serving.scorer import Outside

        try:
            arrays = {name: _as_array(rows.column(name).combine_chunks()) for name in rows.column_names}
            return self._scorer.predict_columns(arrays, rows.num_rows)
        except Outside as outside:
            return outside.completed(self._model().predict(rows.take(outside.places)))
        except Exception as error:
            raise CannotAnswer(_first_line(error)) from error

    def _model(self) -> Itself:
        with self._loading:
            self._itself = self._itself or Itself(self._folder)
        return self._itself


def _as_array(values: Any) -> Any:
    """A column for the translation, which takes texts as Python's: each different one is made once, not row by row."""
    import numpy
    from pyarrow import types

    from nb2prod.serving.onnx_scorer import MISSING

    if not types.is_string(values.type):
        return values.to_numpy(zero_copy_only=False)
    encoded = values.dictionary_encode()
    texts = numpy.array([*encoded.dictionary.to_pylist(), MISSING], dtype=object)
    return texts[encoded.indices.fill_null(len(texts) - 1).to_numpy(zero_copy_only=False)]


# -- which of the two -------------------------------------------------------------------------------------------------


def _faster(translation: Translation, folder: Path, ahead: Ahead) -> Model:
    """The translation or the model, whose answers are proved equal: a linear model's translation is many times faster,
    a forest's is not.

    To load the model takes seconds, so that it is only asked when the translation is in for more of them. Should the
    two answer otherwise after all, the model is taken.
    """
    rows = ahead.rows
    if not rows.num_rows:
        return translation
    try:
        one, found = _timed(translation, rows)
        if one < QUICK or one * ahead.count < WORTH_LOADING:
            return translation
        itself = Itself(folder)
        if itself.at_once < translation.at_once:
            return translation
        other, expected = _timed(itself, rows)
    except CannotAnswer:  # which rows it raises for is told when they are scored
        return translation
    same = as_columns(found, rows.num_rows) == as_columns(expected, rows.num_rows)
    return translation if same and other >= one * CLEARLY else itself


def _timed(model: Model, rows: Any) -> tuple[float, Any]:
    """Seconds of all cores for one row among many, and the answers. What a call costs whatever it asks is left out."""
    few = rows.slice(0, rows.num_rows // 8)
    model.predict(few)
    taken: dict[int, list[float]] = {few.num_rows: [], rows.num_rows: []}
    for asked in (few, rows) * TIMES:
        began = time.process_time()
        answer = model.predict(asked)
        taken[asked.num_rows].append(time.process_time() - began)
    more = max(1, rows.num_rows - few.num_rows)
    return max(0.0, min(taken[rows.num_rows]) - min(taken[few.num_rows])) / more, answer


# -- answers as columns -----------------------------------------------------------------------------------------------


def as_columns(answer: Any, rows: int) -> dict[str, Any]:
    """Arrow columns of what a model answered: `prediction`, or the names that a frame of answers has.

    Raises NotProved when there is not one answer a row.
    """
    import numpy

    if hasattr(answer, "columns"):
        named = {str(name): answer[name] for name in answer.columns}
    elif (array := numpy.asarray(answer)).ndim == 2 and array.shape[1] != 1:
        named = {f"{PREDICTION}_{place}": array[:, place] for place in range(array.shape[1])}
    else:
        named = {PREDICTION: answer if hasattr(answer, "dtype") and answer.ndim == 1 else array.reshape(len(array))}
    made = {name: _arrow(values) for name, values in named.items()}
    for values in made.values():
        if len(values) != rows:
            raise NotProved(f"the model gives {len(values)} answers for {rows} rows", fix="verify the package")
    return made


def _arrow(values: Any) -> Any:
    import numpy
    import pyarrow
    from pyarrow import types

    # a frame's missing text is no text; a NaN that a model computed stays the NaN that it is
    plain = values.to_numpy() if hasattr(values, "to_numpy") and values.dtype.kind in "fiub" else values
    is_array = isinstance(plain, numpy.ndarray)
    if is_array and plain.dtype.kind == "U":
        plain = plain.astype(object)
    made = pyarrow.array(plain, from_pandas=not (is_array and plain.dtype.kind == "f"))
    if isinstance(made, pyarrow.ChunkedArray):
        made = made.combine_chunks()
    return made.cast(pyarrow.string()) if types.is_large_string(made.type) else made


def no_answers(outputs: Sequence[Column | Tensor]) -> dict[str, Any]:
    """The columns of no rows at all, as far as the signature says what the model answers."""
    import numpy
    import pyarrow

    found: dict[str, Any] = {}
    for output in outputs:
        if isinstance(output, Column):
            found[output.name or PREDICTION] = type_of(output.kind.name) or pyarrow.string()
        else:
            kind = numpy.dtype(output.dtype)
            arrow = pyarrow.string() if kind.kind in "OUS" else pyarrow.from_numpy_dtype(kind)
            width = output.shape[1] if len(output.shape) == 2 else 1
            found |= {PREDICTION if width == 1 else f"{PREDICTION}_{place}": arrow for place in range(max(1, width))}
    return {name: pyarrow.array([], kind) for name, kind in (found or {PREDICTION: pyarrow.null()}).items()}
