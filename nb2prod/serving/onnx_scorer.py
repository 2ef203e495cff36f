"""A model's ONNX translation, answered by ONNX Runtime: neither MLflow nor pandas nor scikit-learn is imported.

    onnx/model.onnx       one input a column, named as the column and shaped [rows, 1]; or one input for a whole array
    onnx/serving.json     {"schema": "nb2prod/onnx/1", "output": NAME}: which output is what the model's predict gives

It is taken when the package's own proof says so: `parity.json` has the path `onnx`, and its verdict is `equal` or
`tolerant`. Translations differ from their models more often than one thinks, so without a proof there is no ONNX.
"""

from __future__ import annotations

import importlib.util
import json
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy

from .errors import FieldProblem, Refusal, ServingError
from .package_folder import PackageFolder
from .rows import NAME_LENGTH, Rows, Validator, tensor_array
from .scorer import affordable
from .signature import Signature

MODEL = "onnx/model.onnx"
SETTINGS = "onnx/serving.json"
PARITY = "parity.json"
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(bool)": "bool",
    "tensor(string)": "object",  # text of any length
}
_KINDS = ("boolean", "integer", "long", "float", "double", "string")
_TRIED = 20


def why_not(folder: Path, known: PackageFolder) -> str:
    """Why the model in this checked folder is not answered by its translation; empty when it is."""
    checksums = known.checksums or {}
    if not {MODEL, SETTINGS, PARITY} <= checksums.keys():
        return "the package has no proved ONNX translation"
    if not _is_proved(folder / PARITY):
        return f"{PARITY} does not prove the ONNX translation"
    if known.signature is None or known.signature.parameters:
        return "an ONNX translation takes no params, and needs a signature"
    if not _is_translatable(known.signature):
        return "the signature has columns that ONNX has no missing value or no type for"
    if importlib.util.find_spec("onnxruntime") is None:
        return "onnxruntime is not installed (pip install 'nb2prod[onnx]')"
    return ""


def _is_proved(path: Path) -> bool:
    try:
        paths = json.loads(path.read_bytes())["paths"]
        return any(one["path"] == "onnx" and one["verdict"] in ("equal", "tolerant") for one in paths)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _is_translatable(signature: Signature) -> bool:
    if signature.form == "one tensor":
        return numpy.dtype(signature.tensors[0].dtype).kind in "fiub"
    named = signature.form == "named columns"
    return named and all(
        c.kind.name in _KINDS and (c.required or c.kind.name in ("float", "double")) for c in signature.columns
    )


class OnnxScorer:
    """Predictions of the translation, in the form of the model's own."""

    runtime = "onnx"
    together = False  # a row takes microseconds: there is nothing to gain

    def __init__(self, folder: Path, known: PackageFolder) -> None:
        import onnxruntime

        assert known.signature is not None  # `why_not` has seen to it
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # requests run beside each other already
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(folder / MODEL), options, providers=["CPUExecutionProvider"])
        self._signature = known.signature
        self._inputs = {one.name: _DTYPES[one.type] for one in self._session.get_inputs()}
        self._output = json.loads((folder / SETTINGS).read_bytes())["output"]
        self._check(known)
        self.small = affordable(self._seconds(known))

    def predict(self, rows: Rows, *, fill: bool, parameters: Mapping[str, Any] | None = None) -> Any:
        answer = self._session.run((self._output,), self._feeds(rows))[0]
        is_column = answer.ndim == 2 and answer.shape[1] == 1 and not self._answers_columns
        return answer[:, 0] if is_column else answer

    def predict_unchecked(self, data: Any) -> Any:
        raise ServingError("an ONNX translation is only served with a signature", exit_code=7)

    def _feeds(self, rows: Rows) -> dict[str, Any]:
        if self._signature.form == "one tensor":
            ((name, dtype),) = self._inputs.items()
            values = tensor_array(rows, self._signature.tensors[0])
            return {name: _single(values, "(the rows)") if dtype == "float32" else values.astype(dtype)}
        return {name: _column(rows, name, dtype) for name, dtype in self._inputs.items()}

    @property
    def _answers_columns(self) -> bool:
        """Whether the model itself answers [rows, 1]: every regressor's translation does, and most answer [rows]."""
        (output, *_) = self._signature.outputs or (None,)
        return getattr(output, "shape", ()) not in ((), (-1,))

    def _check(self, known: PackageFolder) -> None:
        """Raise ServingError unless the translation has the columns and the output that it is asked for."""
        columns = {column.name for column in self._signature.columns}
        outputs = {one.name for one in self._session.get_outputs()}
        fits = self._inputs.keys() <= columns if columns else len(self._inputs) == 1
        if not fits or self._output not in outputs:
            raise ServingError(f"{MODEL} does not fit the signature", where=str(known.path), exit_code=7)

    def _seconds(self, known: PackageFolder) -> float:
        """How long one row takes, tried with the example; also warms the model up."""
        try:
            rows = Validator(self._signature).rows(known.example)[:1]
        except Refusal:
            rows = []
        if not rows:
            return 0.0
        taken = []
        for _ in range(_TRIED):
            began = time.perf_counter()
            self.predict(rows, fill=True)
            taken.append(time.perf_counter() - began)
        return statistics.median(taken)


def _column(rows: Rows, name: str, dtype: str) -> Any:
    values = [row.get(name) for row in rows]
    made = _single(values, name) if dtype == "float32" else numpy.array(values, dtype=dtype)
    return made.reshape(len(rows), 1)


def _single(values: Any, name: str) -> Any:
    """Numbers, all of them finite, in half the bits. Raises Refusal for one that becomes infinite."""
    with numpy.errstate(over="ignore"):
        made = numpy.array(values, dtype="float32")
    if numpy.isinf(made).any():
        problem = FieldProblem(name[:NAME_LENGTH], "too large for the model's translation")
        raise Refusal(422, "the rows do not fit the model's translation", (problem,))
    return made
