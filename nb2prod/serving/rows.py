"""Rows of a request, validated against the signature and against what the package's contract says of its columns.

Validation is strict, field by field: no number in quotes, no true for 1, no NaN, no null where the signature requires
a value, no column that the signature does not know. What is valid goes to a scorer, which makes of it what its model
takes (`tables`, `onnx_scorer`). No library of data frames is needed here.
"""

from __future__ import annotations

import base64
import datetime
import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, NotRequired, TypeAlias

import numpy
import pydantic
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, WithJsonSchema
from typing_extensions import TypedDict

from .contract import NOTHING_KNOWN, Contract, Facts
from .errors import FieldProblem, Refusal
from .signature import INTEGERS, Column, Kind, Parameter, Signature, Tensor

Rows: TypeAlias = list[Any]
_CHUNK = 1000  # rows validated at a time: all problems of one chunk are listed, and no more are collected
_LISTED = 100
NAME_LENGTH = 200  # of a column's name in an answer
_DATETIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?)?")
_REASONS = {
    "missing": "required, but not there",
    "extra_forbidden": "the model's signature has no such field",
    "float_type": "not a number",
    "finite_number": "not a finite number",
    "int_type": "not an integer",
    "bool_type": "not true or false",
    "string_type": "not text",
    "dict_type": "not an object",
    "list_type": "not a list",
    "tuple_type": "not a list",
    "too_long": "too many items",
    "too_short": "too few items",
    "greater_than_equal": "too small for its type",
    "less_than_equal": "too large for its type",
}


# ---- types -----------------------------------------------------------------------------------------------------------


def row_type(signature: Signature, contract: Contract = NOTHING_KNOWN) -> Any:
    """The type of one row, from which both validation and the OpenAPI schema come."""
    match signature.form:
        case "named columns":
            fields = ((c.name, _known(c, contract.of(c.name)), c.required) for c in signature.columns)
            return _record("Row", fields)
        case "columns by position":
            types: Any = tuple(_column_type(column) for column in signature.columns)
            return Annotated[tuple[types], Field(strict=False)]
        case "named tensors":
            return _record("Row", ((t.name, _tensor_type(t), True) for t in signature.tensors))
        case _:
            return _tensor_type(signature.tensors[0])


def parameters_type(parameters: Sequence[Parameter]) -> Any:
    types = ((p.name, list[_type(p.kind)] if p.many else _type(p.kind), False) for p in parameters)  # type: ignore[misc]
    return _record("Params", types)


def _record(name: str, fields: Iterable[tuple[str, Any, bool]]) -> Any:
    record = TypedDict(name, {f: kind if required else NotRequired[kind] for f, kind, required in fields})  # type: ignore[misc]
    record.__pydantic_config__ = ConfigDict(extra="forbid", strict=True)  # type: ignore[attr-defined]
    return record


def _column_type(column: Column) -> Any:
    return _type(column.kind) | None if may_be_null(column) else _type(column.kind)


def may_be_null(column: Column) -> bool:
    """An optional column may, but for integers: MLflow has no missing integer, and refuses the whole table."""
    return not column.required and column.kind.name not in INTEGERS


def _known(column: Column, facts: Facts) -> Any:
    """A column's type, with what the contract says of it: its rules hold, what was seen is only told."""
    kind, described = _column_type(column), facts.schema(nullable=may_be_null(column))
    rules = [AfterValidator(facts.check)] if facts.enforced else []
    return Annotated[kind, *rules, Field(json_schema_extra=described)] if described else kind


def _type(kind: Kind) -> Any:
    if kind.name in INTEGERS:
        return _integer_type(INTEGERS[kind.name])
    match kind.name:
        case "array":
            return list[_type(_of(kind))]  # type: ignore[misc]
        case "map":
            return dict[str, _type(_of(kind))]  # type: ignore[misc]
        case "object":
            return _record("Object", ((p.name, _column_type(p), p.required) for p in kind.properties))
    return _SCALARS[kind.name]


def _of(kind: Kind) -> Kind:
    assert kind.item is not None  # `signature` makes every array and map with one
    return kind.item


def _integer_type(bits: int, *, signed: bool = True) -> Any:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return Annotated[int, Field(strict=True, ge=low, le=high)]


def _float_type(largest: float) -> Any:
    return Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-largest, le=largest)]


def _tensor_type(tensor: Tensor) -> Any:
    """What one row of a tensor is: a value, or lists of lists of the shape that the signature fixes."""
    dtype = numpy.dtype(tensor.dtype)
    item: Any
    match dtype.kind:
        case "f":
            item = _float_type(float(numpy.finfo(dtype).max))
        case "i" | "u":
            item = _integer_type(8 * dtype.itemsize, signed=dtype.kind == "i")
        case "b":
            item = _SCALARS["boolean"]
        case "U":
            item = _SCALARS["string"]
        case _:
            item = Any
    for size in reversed(tensor.shape[1:]):
        bounds = Field(strict=True) if size < 0 else Field(strict=True, min_length=size, max_length=size)
        item = Annotated[list[item], bounds]
    return item


def _is_datetime(text: str) -> str:
    """ISO 8601 without a time zone, to the nanosecond, within what 64 bits of nanoseconds hold."""
    if not _DATETIME.fullmatch(text):
        raise ValueError("not a date or time as 2024-01-31T12:30:00, without time zone")
    if not 1678 <= datetime.datetime.fromisoformat(text[:26]).year <= 2261:
        raise ValueError("not between the years 1678 and 2261")
    return text


def _is_base64(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError("not base64") from error
    return text


_SCALARS: Mapping[str, Any] = {
    "boolean": Annotated[bool, Field(strict=True)],
    "float": _float_type(float(numpy.finfo("float32").max)),
    "double": Annotated[float, Field(strict=True, allow_inf_nan=False)],
    "string": Annotated[str, Field(strict=True)],
    "binary": Annotated[
        str,
        Field(strict=True),
        AfterValidator(_is_base64),
        WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
    ],
    "datetime": Annotated[
        str,
        Field(strict=True),
        AfterValidator(_is_datetime),
        WithJsonSchema({"type": "string", "description": "ISO 8601 without time zone, as 2024-01-31T12:30:00"}),
    ],
    "any": Any,
}


# ---- validation ------------------------------------------------------------------------------------------------------


class Validator:
    """Rows and parameters of one signature, checked; built once, used for every request."""

    def __init__(self, signature: Signature, contract: Contract = NOTHING_KNOWN) -> None:
        row = row_type(signature, contract)
        self.row: TypeAdapter[Any] = TypeAdapter(row)
        self._chunk: TypeAdapter[Rows] = TypeAdapter(list[row])  # type: ignore[valid-type]
        self._parameters: TypeAdapter[dict[str, Any]] = TypeAdapter(parameters_type(signature.parameters))
        self._path = _path_of(signature)

    def rows(self, rows: Sequence[Any]) -> Rows:
        """The rows as the signature has them. Raises Refusal (422) that lists fields and reasons, without values."""
        valid: Rows = []
        for start in range(0, len(rows), _CHUNK):
            try:
                valid += self._chunk.validate_python(rows[start : start + _CHUNK])
            except pydantic.ValidationError as error:
                problems = _problems(error, functools.partial(self._path, start))
                raise Refusal(422, "the rows do not fit the model's signature", problems) from None
        return valid

    def parameters(self, parameters: Any) -> dict[str, Any]:
        try:
            return dict(self._parameters.validate_python(parameters))
        except pydantic.ValidationError as error:
            problems = _problems(error, lambda place: (None, ".".join(map(str, place))))
            raise Refusal(422, "the params do not fit the model's signature", problems) from None


def _path_of(signature: Signature) -> Any:
    """How a place in a list of rows is told: the row's number and the field's name."""

    def path(start: int, place: tuple[int | str, ...]) -> tuple[int | None, str]:
        row, *rest = place
        return start + int(row), ".".join(str(part) for part in rest) or "(the row)"

    return path


def _problems(error: pydantic.ValidationError, path: Any) -> tuple[FieldProblem, ...]:
    found = error.errors(include_url=False, include_context=False)[:_LISTED]
    problems = []
    for problem in found:
        row, field = path(problem["loc"])
        problems.append(FieldProblem(field[:NAME_LENGTH], _reason(problem), row))
    return tuple(dict.fromkeys(problems))


def _reason(problem: Any) -> str:
    if problem["type"] not in ("missing", "extra_forbidden") and problem["input"] is None:
        return "null, but a value is required"
    if problem["type"] == "value_error":
        text = str(problem["msg"]).removeprefix("Value error, ")
        # a reason of our own is told; one of the standard library's might quote the value
        return text if text.startswith("not ") else "not a date or time"
    return _REASONS.get(problem["type"], "not of its type")


def tensor_array(values: list[Any], tensor: Tensor) -> Any:
    """The rows of one tensor as an array. Raises Refusal (422) for lists that do not make one."""
    # text of a fixed width (`<U5`) would be cut without a word; the signature's check of it comes later
    dtype = "str" if numpy.dtype(tensor.dtype).kind == "U" else tensor.dtype
    try:
        return numpy.array(values, dtype=dtype)
    except (ValueError, TypeError, OverflowError) as error:
        problem = FieldProblem(tensor.name or "(the rows)", "lists of different lengths, or not numbers")
        raise Refusal(422, "the rows do not fit the model's signature", (problem,)) from error
