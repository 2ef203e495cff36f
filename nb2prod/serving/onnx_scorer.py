"""A model's ONNX translation, answered by ONNX Runtime: neither MLflow nor pandas nor scikit-learn is imported.

    onnx/model.onnx       inputs shaped [rows, columns], or one input for a whole array
    onnx/serving.json     {"schema": "nb2prod/onnx/2", "inputs": {INPUT: [COLUMN, …]}, "output": NAME,
                           "inside": {"output": NAME, "reasons": [TEXT, …]}}

`output` is what the model's predict gives. `inside`, when it is there, has for each reason whether the row is within
what the translation answers as the model does; a row that is not is answered by the model, where it is there, or
refused. Without `inputs` every input is the column that it is named as.

It is taken when the package's own proof says so: `parity.json` has the path `onnx`, and its verdict is `equal` or
`tolerant`. Translations differ from their models more often than one thinks, so without a proof there is no ONNX.
"""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy

from .errors import FieldProblem, Refusal, ServingError
from .package_folder import PackageFolder
from .rows import NAME_LENGTH, Rows, Validator, tensor_array
from .scorer import Outside as Outside
from .scorer import Scorer, affordable
from .signature import Signature

MODEL = "onnx/model.onnx"
SETTINGS = "onnx/serving.json"
PARITY = "parity.json"
_FILES = {MODEL, SETTINGS, PARITY}
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(bool)": "bool",
    "tensor(string)": "object",  # text of any length
}
MISSING = "\x00missing"  # how a translation reads missing text, which ONNX has no word for
_KINDS = ("boolean", "integer", "long", "float", "double", "string")
_HELD = {"boolean": "bool", "float": "float32"}
_TRIED = 20
_CHUNK = 4096  # rows in one run: what lies between input and output stays small


def is_translated(folder: Path, known: PackageFolder) -> bool:
    """Whether this checked folder has a proved translation."""
    return known.checksums is not None and known.checksums.keys() >= _FILES and _is_proved(folder / PARITY)


def why_not(folder: Path, known: PackageFolder) -> str:
    """Why the model in this checked folder is not answered by its translation; empty when it is."""
    if not (known.checksums or {}).keys() >= _FILES:
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
        c.kind.name in _KINDS and (c.required or c.kind.name in ("float", "double", "string"))
        for c in signature.columns
    )


class OnnxScorer:
    """Predictions of the translation, in the form of the model's own. Raises Outside.

    `itself` loads the model, to answer the rows that the translation does not; None where it cannot be loaded.
    """

    runtime = "onnx"
    together = False  # a row takes microseconds: there is nothing to gain

    def __init__(self, folder: Path, known: PackageFolder, itself: Callable[[], Scorer] | None = None) -> None:
        onnxruntime = quiet_runtime()
        assert known.signature is not None  # `why_not` has seen to it
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # requests run beside each other already
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(folder / MODEL), options, providers=["CPUExecutionProvider"])
        self._signature = known.signature
        settings = json.loads((folder / SETTINGS).read_bytes())
        dtypes = {one.name: _DTYPES[one.type] for one in self._session.get_inputs()}
        columns = settings.get("inputs") or {name: [name] for name in dtypes}
        self._inputs = [(name, dtype, tuple(columns.get(name, ()))) for name, dtype in dtypes.items()]
        inside = settings.get("inside") or {}
        self._reasons = tuple(inside.get("reasons", ()))
        self._outputs = (settings["output"], *((inside["output"],) if inside else ()))
        self._itself = itself
        self._loading = threading.Lock()
        self._loaded: Scorer | None = None
        self._check(known)
        self.small = affordable(self._seconds(known))

    def predict(self, rows: Rows, *, fill: bool, parameters: Mapping[str, Any] | None = None) -> Any:
        if len(rows) <= _CHUNK:
            return self._answered(self._feeds(rows))
        return self._whole([self._run(self._feeds(rows[start : start + _CHUNK])) for start in _starts(len(rows))])

    def predict_table(self, table: Any) -> Any:
        """The answers to a whole DataFrame or array, as they are to its rows."""
        count = len(table)
        return self._whole([self._run(self._feeds_of_table(table[start : start + _CHUNK])) for start in _starts(count)])

    def predict_columns(self, columns: Mapping[str, Any], count: int) -> Any:
        """The answers to `count` rows, whose columns are arrays of the signature's types; missing text is MISSING."""
        return self._whole([self._run(self._feeds_of_columns(columns, start)) for start in _starts(count)])

    def predict_outside(self, rows: Rows, outside: Outside) -> Any:
        """All answers, those to rows outside by the model itself. Raises the refusal where there is none."""
        if self._itself is None:
            raise outside
        with self._loading:
            self._loaded = self._loaded or self._itself()
        left = [row for row, is_inside in zip(rows, outside.inside, strict=True) if not is_inside]
        return outside.completed(self._loaded.predict(left, fill=True))

    def predict_unchecked(self, data: Any) -> Any:
        raise ServingError("an ONNX translation is only served with a signature", exit_code=7)

    def _whole(self, parts: Sequence[tuple[Any, Any]]) -> Any:
        answers, insides = zip(*parts, strict=True)
        return self._told(numpy.concatenate(answers), numpy.concatenate(insides) if self._reasons else None)

    def _answered(self, feeds: Mapping[str, Any]) -> Any:
        return self._told(*self._run(feeds))

    def _run(self, feeds: Mapping[str, Any]) -> tuple[Any, Any]:
        found = self._session.run(self._outputs, feeds)
        return (found[0], found[1]) if self._reasons else (found[0], None)

    def _told(self, answer: Any, inside: Any) -> Any:
        is_column = answer.ndim == 2 and answer.shape[1] == 1 and not self._answers_columns
        answer = answer[:, 0] if is_column else answer
        if inside is not None and not inside.all():
            raise Outside(answer, inside, self._reasons)
        return answer

    def _feeds(self, rows: Rows) -> dict[str, Any]:
        if self._signature.form == "one tensor":
            return self._array_feed(tensor_array(rows, self._signature.tensors[0]))
        return {name: _packed(rows, columns, dtype) for name, dtype, columns in self._inputs}

    def _feeds_of_table(self, table: Any) -> dict[str, Any]:
        if self._signature.form == "one tensor":
            return self._array_feed(table)
        kinds = {column.name: column.kind.name for column in self._signature.columns}
        return {name: _stacked(table, columns, dtype, kinds) for name, dtype, columns in self._inputs}

    def _feeds_of_columns(self, columns: Mapping[str, Any], start: int) -> dict[str, Any]:
        rows = slice(start, start + _CHUNK)
        return {name: _beside([columns[one][rows] for one in names], dtype) for name, dtype, names in self._inputs}

    def _array_feed(self, values: Any) -> dict[str, Any]:
        ((name, dtype, _),) = self._inputs
        return {name: _single(values, "(the rows)") if dtype == "float32" else values.astype(dtype)}

    @property
    def _answers_columns(self) -> bool:
        """Whether the model itself answers [rows, 1]: every regressor's translation does, and most answer [rows]."""
        (output, *_) = self._signature.outputs or (None,)
        return getattr(output, "shape", ()) not in ((), (-1,))

    def _check(self, known: PackageFolder) -> None:
        """Raise ServingError unless the translation has the columns and the output that it is asked for."""
        known_columns = {column.name for column in self._signature.columns}
        outputs = {one.name for one in self._session.get_outputs()}
        asked = [column for _, _, columns in self._inputs for column in columns]
        fits = known_columns.issuperset(asked) if known_columns else len(self._inputs) == 1
        if not fits or not outputs.issuperset(self._outputs):
            raise ServingError(f"{MODEL} does not fit the signature", where=str(known.path), exit_code=7)

    def _seconds(self, known: PackageFolder) -> float:
        """How long one row takes, tried with the example; also warms the model up."""
        taken = []
        try:
            rows = Validator(self._signature).rows(known.example)[:1]
            for _ in range(_TRIED if rows else 0):
                began = time.perf_counter()
                self.predict(rows, fill=True)
                taken.append(time.perf_counter() - began)
        except Refusal:
            return 0.0
        return statistics.median(taken) if taken else 0.0


def quiet_runtime() -> Any:
    """ONNX Runtime, which from 1.29 on reports sessions to its maker over the network unless it is told not to."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read once, when it is imported
    import onnxruntime

    return onnxruntime


def _starts(count: int) -> range:
    return range(0, max(count, 1), _CHUNK)


def _packed(rows: Rows, columns: Sequence[str], dtype: str) -> Any:
    """[rows, columns] of the columns that lie in one input."""
    values = [[row.get(name) for name in columns] for row in rows]
    if dtype == "float32":
        return _single(values, columns[0])
    if dtype == "object":
        values = [[MISSING if value is None else value for value in row] for row in values]
    return numpy.array(values, dtype=dtype).reshape(len(rows), len(columns))


def _stacked(table: Any, columns: Sequence[str], dtype: str, kinds: Mapping[str, str]) -> Any:
    parts = [table[name] for name in columns]
    if dtype == "object":
        parts = [part.astype("object").where(part.notna(), MISSING) for part in parts]
    values = [p.to_numpy(dtype=_HELD.get(kinds[n], dtype)).astype(dtype) for n, p in zip(columns, parts, strict=True)]
    return numpy.stack(values, axis=1)


def _beside(parts: Sequence[Any], dtype: str) -> Any:
    made = numpy.empty((len(parts[0]), len(parts)), dtype)
    for place, part in enumerate(parts):
        made[:, place] = part
    return made


def _single(values: Any, name: str) -> Any:
    """Numbers, all of them finite, in half the bits. Raises Refusal for one that becomes infinite."""
    with numpy.errstate(over="ignore"):
        made = numpy.array(values, dtype="float32")
    if numpy.isinf(made).any():
        problem = FieldProblem(name[:NAME_LENGTH], "too large for the model's translation")
        raise Refusal(422, "the rows do not fit the model's translation", (problem,))
    return made
