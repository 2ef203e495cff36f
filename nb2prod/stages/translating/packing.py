"""A translation's inputs: all numbers of a row in one tensor, all whole numbers in another, all texts in a third.

A call of ONNX Runtime costs by the tensor, not by the number, so that few wide ones are answered faster than one a
column. Whole numbers stay whole numbers on the way in: what a float cannot hold, the model may have been fitted on.

    floats     [rows, n]  float64   columns of the types double and float
    integers   [rows, n]  int64     long, integer and boolean
    texts      [rows, n]  string    string
    rows       [rows, n]            of a model that takes an array: all of it, in its own type
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nb2prod.serving.signature import Column, Signature
from nb2prod.stages.translating import categories
from nb2prod.stages.translating.blocks import Block, all_of, side_by_side
from nb2prod.stages.translating.features import Value
from nb2prod.stages.translating.graph import CODES, REAL, Graph, Untranslatable, value_info
from nb2prod.stages.translating.tables import Table

SCHEMA = "nb2prod/onnx/2"
ANSWER, INSIDE, ROWS = "answer", "inside", "rows"
_TENSORS = {"floats": "float64", "integers": "int64", "texts": "text"}
_PLACE = {
    "double": ("floats", "float64"),
    "float": ("floats", "float32"),
    "long": ("integers", "int64"),
    "integer": ("integers", "int32"),
    "boolean": ("integers", "bool"),
    "string": ("texts", "text"),
}


@dataclass(frozen=True, slots=True)
class Packed:
    """A translation: the bytes of `model.onnx`, and `settings`, which say how it is asked."""

    model: bytes
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the model is followed with, and how its columns lie in the tensors that it is given."""

    value: Value
    infos: list[Any]
    columns: dict[str, list[str]]


def inputs(graph: Graph, signature: Signature, recipes: Sequence[Mapping[str, Any]] = ()) -> Inputs:
    """Raises Untranslatable for a signature that has no such form. `recipes` say what columns become for the model."""
    if signature.form == "one tensor":
        return _array(graph, signature)
    if signature.form != "named columns":
        raise Untranslatable(f"the signature has {signature.form}")
    packed: dict[str, list[Column]] = {}
    for column in signature.columns:
        if column.kind.name not in _PLACE:
            raise Untranslatable(f"the column {column.name} is of the type {column.kind.name}")
        tensor = _PLACE[column.kind.name][0]
        if not column.required and tensor == "integers":
            raise Untranslatable(f"the column {column.name} may be missing, which ONNX has no {column.kind.name} for")
        packed.setdefault(tensor, []).append(column)
    blocks = {name: block for tensor, columns in packed.items() for name, block in _split(graph, tensor, columns)}
    table = categories.as_fitted(Table({column.name: blocks[column.name] for column in signature.columns}), recipes)
    infos = [value_info(tensor, _TENSORS[tensor], len(columns)) for tensor, columns in packed.items()]
    return Inputs(table, infos, {tensor: [c.name for c in columns] for tensor, columns in packed.items()})


def _split(graph: Graph, tensor: str, columns: Sequence[Column]) -> list[tuple[str, Block]]:
    whole = Block(graph, tensor, _TENSORS[tensor], len(columns))
    parts = [whole] if len(columns) == 1 else [whole.columns([place]) for place in range(len(columns))]
    return [(c.name, part.to(_PLACE[c.kind.name][1])) for c, part in zip(columns, parts, strict=True)]


def _array(graph: Graph, signature: Signature) -> Inputs:
    (tensor,) = signature.tensors
    dtype = np.dtype(tensor.dtype).name
    if len(tensor.shape) != 2 or tensor.shape[1] < 1 or dtype not in CODES or dtype in ("bool", "uint8"):
        raise Untranslatable(f"the model takes an array of {dtype} of the shape {tensor.shape}")
    info = value_info(ROWS, dtype, tensor.shape[1])
    return Inputs(Block(graph, ROWS, dtype, tensor.shape[1]), [info], {})


def packed(graph: Graph, given: Inputs, answer: Block, *, dtype: str, name: str) -> Packed:
    """The translation that answers this block, in the type of the model's own answer."""
    cast = answer.to(dtype)
    ends = [_renamed(cast, ANSWER)]
    outputs = [value_info(ANSWER, dtype, cast.width)]
    reasons = sorted(graph.bounds)
    if reasons:
        tests = side_by_side([_all_of(graph, graph.bounds[reason]) for reason in reasons])
        ends.append(_renamed(tests, INSIDE))
        outputs.append(value_info(INSIDE, "bool", len(reasons)))
    settings = {
        "schema": SCHEMA,
        "precision": "float32" if graph.is_single or graph.is_single_itself else REAL,
        "opset": graph.versions[""],
        "inputs": given.columns,
        "output": ANSWER,
        **({"inside": {"output": INSIDE, "reasons": reasons}} if reasons else {}),
    }
    return Packed(graph.model(given.infos, outputs, ends, name), settings)


def _all_of(graph: Graph, tests: Sequence[str]) -> Block:
    """[rows, 1]: whether all are true."""
    return all_of([Block(graph, name, "bool", 1) for name in tests])


def _renamed(block: Block, name: str) -> Any:
    from onnx import helper

    return helper.make_node("Identity", [block.name], [name])
