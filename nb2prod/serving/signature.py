"""A model's signature as plain values, read from `MLmodel` without MLflow and without the model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .errors import ServingError

SCALARS = ("boolean", "integer", "long", "float", "double", "string", "binary", "datetime")
INTEGERS = {"integer": 32, "long": 64}
_PARTS = ("inputs", "params", "outputs")


@dataclass(frozen=True, slots=True)
class Kind:
    """A type: one of SCALARS, `any`, or `array` and `map` (of `item`) and `object` (of `properties`)."""

    name: str
    item: Kind | None = None
    properties: tuple[Column, ...] = ()


@dataclass(frozen=True, slots=True)
class Column:
    """`name` is empty when the signature has none; columns then go by position."""

    name: str
    kind: Kind
    required: bool = True


@dataclass(frozen=True, slots=True)
class Tensor:
    """`shape` begins with the rows, -1 for any number of them."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """`shape` is None for a scalar, else the parameter is a list."""

    name: str
    kind: Kind
    many: bool = False


@dataclass(frozen=True, slots=True)
class Signature:
    """Either `columns` or `tensors`, never both; `outputs` are what the model answers, empty when it is not said."""

    columns: tuple[Column, ...] = ()
    tensors: tuple[Tensor, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    outputs: tuple[Column | Tensor, ...] = ()

    @property
    def form(self) -> Literal["named columns", "columns by position", "named tensors", "one tensor"]:
        if self.tensors:
            return "named tensors" if self.tensors[0].name else "one tensor"
        return "named columns" if self.columns[0].name else "columns by position"


def read_signature(model: Mapping[str, Any], *, where: str) -> Signature | None:
    """The signature in a parsed `MLmodel`, None when it has none. Raises ServingError for one it cannot read."""
    stored = model.get("signature") or {}
    if not stored.get("inputs"):
        return None
    try:
        inputs, params, outputs = (json.loads(stored.get(part) or "[]") or [] for part in _PARTS)
        signature = _signature(inputs, params, outputs)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ServingError("the signature cannot be read", where=where, exit_code=7) from error
    names = [column.name for column in signature.columns] + [tensor.name for tensor in signature.tensors]
    if len(names) > 1 and len(set(names)) < len(names) and any(names):
        raise ServingError("two columns of the signature have one name", where=where, exit_code=7)
    return signature


def _signature(
    inputs: list[Mapping[str, Any]], params: list[Mapping[str, Any]], outputs: list[Mapping[str, Any]]
) -> Signature:
    if not inputs:
        raise ValueError("a signature without inputs")
    parameters = tuple(Parameter(p["name"], _kind(p), p.get("shape") is not None) for p in params)
    answered = tuple(_tensor(o) if o["type"] == "tensor" else _column(str(o.get("name") or ""), o) for o in outputs)
    if inputs[0]["type"] == "tensor":
        return Signature(tensors=tuple(map(_tensor, inputs)), parameters=parameters, outputs=answered)
    columns = tuple(_column(str(c.get("name") or ""), c) for c in inputs)
    return Signature(columns=columns, parameters=parameters, outputs=answered)


def _tensor(stored: Mapping[str, Any]) -> Tensor:
    spec = stored["tensor-spec"]
    return Tensor(stored.get("name") or "", spec["dtype"], tuple(spec["shape"]))


def _column(name: str, stored: Mapping[str, Any]) -> Column:
    return Column(name, _kind(stored), stored.get("required", True))


def _kind(stored: Mapping[str, Any]) -> Kind:
    name = stored["type"]
    if name == "array":
        return Kind(name, item=_kind(stored["items"]))
    if name == "map":
        return Kind(name, item=_kind(stored["values"]))
    if name == "object":
        return Kind(name, properties=tuple(_column(key, value) for key, value in stored["properties"].items()))
    if name not in (*SCALARS, "any"):
        raise ValueError(f"unknown type {name}")
    return Kind(name)
