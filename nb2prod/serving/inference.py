"""The Open Inference Protocol, version 2: columns as tensors, in their own types, with the protocol's own errors.

Every column of the signature is an input of shape [rows] or [rows, 1], row-major, flat or nested. A tensor's datatype
is the column's, or a narrower one that it holds exactly (INT32 for INT64, FP32 or INT32 for FP64). Text, dates and
base64 travel as BYTES, which JSON spells as text. An optional column may have null where a value is missing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from . import answers, strict_json
from .errors import FieldProblem, Refusal
from .rows import NAME_LENGTH, Rows, Validator
from .scoring import Question, check_size, encoded, has_untyped
from .service import Service
from .signature import Signature, Tensor

_TYPES = {
    "boolean": "BOOL",
    "integer": "INT32",
    "long": "INT64",
    "float": "FP32",
    "double": "FP64",
    "string": "BYTES",
    "datetime": "BYTES",
    "binary": "BYTES",
}
_NARROWER = {
    "FP64": {"FP32", "FP16", "INT8", "INT16", "INT32", "UINT8", "UINT16", "UINT32"},
    "FP32": {"FP16", "INT8", "INT16", "UINT8", "UINT16"},
    "INT64": {"INT8", "INT16", "INT32", "UINT8", "UINT16", "UINT32"},
    "INT32": {"INT8", "INT16", "UINT8", "UINT16"},
}
_SPELLED = {"float16": "FP16", "float32": "FP32", "float64": "FP64", "bool": "BOOL"}
_REQUEST = {"id", "parameters", "inputs", "outputs"}
_INPUT = {"name", "shape", "datatype", "parameters", "data"}
OUTPUT = "predictions"


@dataclass(frozen=True, slots=True)
class _Wish:
    """`id` is echoed; `outputs` are the names asked for, empty for all."""

    id: str | None
    outputs: tuple[str, ...]


def refused(refusal: Refusal) -> bytes:
    """The protocol's error: one text, here the reason with the fields and theirs, never a value."""
    places = (f"{p.field}{'' if p.row is None else f' (row {p.row})'}: {p.reason}" for p in refusal.fields)
    return json.dumps({"error": "; ".join((refusal.reason, *places))}).encode()


def metadata(service: Service) -> dict[str, Any]:
    """What `/v2/models/NAME` answers."""
    folder, signature = service.folder, service.folder.signature
    inputs = [{"name": name, "datatype": kind, "shape": shape} for name, kind, shape in inputs_of(signature)]
    outputs = _outputs_of(signature)
    versions = [folder.version] if folder.version else []
    return {"name": folder.name, "versions": versions, "platform": "mlflow", "inputs": inputs, "outputs": outputs}


def inputs_of(signature: Signature | None) -> list[tuple[str, str, list[int]]]:
    """Name, datatype and shape of every input, none for a signature whose types the protocol does not have."""
    if signature is None or signature.form == "columns by position":
        return []
    if signature.columns:
        typed = all(column.kind.name in _TYPES for column in signature.columns)
        return [(c.name, _TYPES[c.kind.name], [-1]) for c in signature.columns] if typed else []
    return [(t.name or "inputs", _datatype(t.dtype), list(t.shape)) for t in signature.tensors]


def _outputs_of(signature: Signature | None) -> list[dict[str, Any]]:
    found = []
    for output in signature.outputs if signature else ():
        if isinstance(output, Tensor):
            kind, shape = _datatype(output.dtype), list(output.shape)
        else:
            kind, shape = _TYPES.get(output.kind.name, "BYTES"), [-1]
        found.append({"name": output.name or OUTPUT, "datatype": kind, "shape": shape})
    return found


def _datatype(dtype: str) -> str:
    if dtype in _SPELLED:
        return _SPELLED[dtype]
    return dtype.upper() if dtype.startswith(("int", "uint")) else "BYTES"


class Inferred:
    """`/v2/models/NAME/infer`."""

    def __init__(self, service: Service, signature: Signature, validator: Validator) -> None:
        self._service = service
        self._signature = signature
        self._validator = validator
        self._inputs = {name: (kind, shape) for name, kind, shape in inputs_of(signature)}
        self._finite = has_untyped(signature)

    def read(self, body: bytes) -> Question:
        try:
            return self._read(body)
        except Refusal as refusal:
            if refusal.status != 422:
                raise
            # the protocol calls every request that it cannot take a bad one
            raise Refusal(400, refusal.reason, refusal.fields) from None

    def _read(self, body: bytes) -> Question:
        payload = strict_json.parse(body, depth=self._service.limits.json_depth, finite=self._finite)
        if not isinstance(payload, dict) or payload.keys() - _REQUEST or not isinstance(payload.get("inputs"), list):
            raise Refusal(400, "the body must be an object with inputs, and besides it only id, parameters and outputs")
        wish = _Wish(_id(payload.get("id")), _names(payload.get("outputs", [])))
        rows = self._rows(payload["inputs"])
        check_size(rows, self._service)
        return Question(self._validator.rows(rows), wish=wish)

    def _rows(self, inputs: Sequence[Any]) -> Rows:
        if not self._inputs:
            raise Refusal(400, "the signature has types that the protocol has not; use /predict")
        columns: dict[str, list[Any]] = {}
        for given in inputs:
            name, values = self._values(given)
            if name in columns:
                raise _wrong(name, "the input is there twice")
            columns[name] = values
        lengths = {len(values) for values in columns.values()}
        if len(lengths) > 1:
            raise Refusal(400, "the inputs have different numbers of rows")
        missing = [name for name in self._inputs if name not in columns and self._is_required(name)]
        if missing:
            raise Refusal(
                400, "an input is missing", tuple(FieldProblem(n, "required, but not there") for n in missing)
            )
        if not self._signature.columns and not self._signature.tensors[0].name:
            return columns["inputs"]
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def _is_required(self, name: str) -> bool:
        return all(column.required for column in self._signature.columns if column.name == name)

    def _values(self, given: Any) -> tuple[str, list[Any]]:
        """An input's name, and its value for every row."""
        if (
            not isinstance(given, dict)
            or given.keys() - _INPUT
            or not {"name", "shape", "datatype", "data"} <= given.keys()
        ):
            raise Refusal(400, "an input must be an object with name, shape, datatype and data")
        name, datatype = given["name"], given["datatype"]
        if not isinstance(name, str) or name not in self._inputs:
            raise _wrong(str(name), "the model has no such input")
        wanted, shape = self._inputs[name]
        if not isinstance(datatype, str) or datatype not in (wanted, *_NARROWER.get(wanted, ())):
            raise _wrong(name, f"its datatype must be {wanted}")
        sizes = _sizes(name, given["shape"], shape)
        flat = _flat(name, given["data"])
        if len(flat) != math.prod(sizes):
            raise _wrong(name, "data and shape have different sizes")
        return name, flat if len(shape) == 1 else _folded(flat, sizes)

    def write(self, question: Question, raw: Any) -> bytes:
        folder, wish = self._service.folder, question.wish
        head: dict[str, Any] = {"model_name": folder.name}
        head |= {"model_version": folder.version} if folder.version else {}
        head |= {"id": wish.id} if wish.id is not None else {}
        outputs = self._outputs(question, raw) if raw is not None else []
        return encoded(self._service, {**head, "outputs": outputs})

    def _outputs(self, question: Question, raw: Any) -> list[dict[str, Any]]:
        try:
            found = [_tensor(name, part) for name, part in _parts(raw)]
        except answers.CannotAnswer as error:
            raise self._service.failed(error) from None
        if any(output["shape"][:1] != [len(question.rows)] for output in found):
            raise self._service.failed(answers.CannotAnswer("not one prediction for each row"))
        wanted, there = question.wish.outputs, {output["name"] for output in found}
        unknown = tuple(FieldProblem(n[:NAME_LENGTH], "the model has no such output") for n in wanted if n not in there)
        if unknown:
            raise Refusal(400, "an output is not there", unknown)
        return [output for output in found if not wanted or output["name"] in wanted]


def _id(given: Any) -> str | None:
    if given is None or (isinstance(given, str) and len(given) <= NAME_LENGTH):
        return given
    raise Refusal(400, f"id must be text of at most {NAME_LENGTH} characters")


def _names(outputs: Any) -> tuple[str, ...]:
    if not isinstance(outputs, list) or not all(
        isinstance(o, dict) and isinstance(o.get("name"), str) for o in outputs
    ):
        raise Refusal(400, "outputs must be a list of objects with a name")
    return tuple(output["name"] for output in outputs)


def _sizes(name: str, given: Any, wanted: list[int]) -> list[int]:
    """The sizes in a request's shape, which a column may write as [rows] or [rows, 1]."""
    if not isinstance(given, list) or any(type(size) is not int or size < 0 for size in given):
        raise _wrong(name, "shape must be a list of sizes")
    if len(wanted) == 1 and len(given) == 2 and given[1] == 1:
        given = given[:1]
    fits = len(given) == len(wanted) and all(w in (-1, g) for g, w in zip(given, wanted, strict=True))
    if not fits:
        raise _wrong(name, f"its shape must be {wanted}")
    return list(given)


def _flat(name: str, data: Any) -> list[Any]:
    if not isinstance(data, list):
        raise _wrong(name, "data must be a list")
    while data and isinstance(data[0], list):
        if not all(isinstance(part, list) for part in data):
            raise _wrong(name, "data must be flat, or nested evenly")
        data = [value for part in data for value in part]
    return list(data)


def _folded(flat: list[Any], sizes: list[int]) -> list[Any]:
    """A flat list as nested ones of these sizes, the rows first."""
    for size in reversed(sizes[1:]):
        flat = [flat[start : start + size] for start in range(0, len(flat), size)] if size else [[]] * sizes[0]
    return flat


def _wrong(name: str, reason: str) -> Refusal:
    return Refusal(400, "an input does not fit the model", (FieldProblem(name[:NAME_LENGTH], reason),))


def _parts(raw: Any) -> list[tuple[str, Any]]:
    """The tensors of an answer: a table has one for each column, everything else is one."""
    if hasattr(raw, "columns"):
        return [(str(name), raw[name].to_numpy()) for name in raw.columns]
    return [(OUTPUT, raw.to_numpy() if hasattr(raw, "to_numpy") else raw)]


def _tensor(name: str, values: Any) -> dict[str, Any]:
    """An output. Raises CannotAnswer for what is no array of one type."""
    try:
        made = numpy.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise answers.CannotAnswer("not an array") from error
    datatype = _datatype(made.dtype.name)
    flat = made.ravel().tolist()
    if datatype == "BYTES":
        flat = [value if value is None else str(value) for value in flat]
    return {"name": name, "shape": list(made.shape), "datatype": datatype, "data": flat}
