"""An ONNX graph while it grows: operators and constants in the order in which they came, each under a new name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

OPSET = 21
ML_OPSET = 3
TREES_OPSET = 5  # of ai.onnx.ml, the first with trees in double precision
IR_VERSION = 10
REAL = "float64"  # what estimators compute with
CODES = {
    "float64": TensorProto.DOUBLE,
    "float32": TensorProto.FLOAT,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
    "uint8": TensorProto.UINT8,
    "bool": TensorProto.BOOL,
    "text": TensorProto.STRING,
}


_OUTPUTS = {"TopK": 2}


class Untranslatable(Exception):
    """Why a model, or a part of it, has no translation."""


class Graph:
    """`may_be_single` allows a last estimator that computes in single precision; `is_single` says that there is one.

    `is_single_itself` says that the model itself answers in single precision.
    `is_taken_over` says that the last estimator is not by a rule of ours, and `takes_infinite` that it takes infinite
    numbers, so that steps before it are what refuses them.
    """

    def __init__(self, *, may_be_single: bool = False) -> None:
        self.may_be_single = may_be_single
        self.is_single = False
        self.is_single_itself = False
        self.is_taken_over = False
        self.takes_infinite = False
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.versions = {"": OPSET}
        self.bounds: dict[str, list[str]] = {}
        self._known: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def add(self, op: str, *inputs: str, domain: str = "", version: int = 1, **attributes: Any) -> str:
        """The name of the operator's (first) output. `version` is the one that its domain needs for it."""
        name = f"t{len(self.nodes)}"
        others = [f"{name}_{number}" for number in range(1, _OUTPUTS.get(op, 1))]
        self.nodes.append(helper.make_node(op, list(inputs), [name, *others], name=name, domain=domain, **attributes))
        if domain:
            self.versions[domain] = max(version, self.versions.get(domain, 0))
        return name

    def constant(self, values: Any) -> str:
        array = np.asarray(values)
        array = array.astype(object) if array.dtype.kind in "UT" else array
        key = (
            str(array.dtype),
            array.shape,
            repr(array.tolist()).encode() if array.dtype == object else array.tobytes(),
        )
        if key not in self._known:
            self._known[key] = f"c{len(self.constants)}"
            self.constants.append(numpy_helper.from_array(array, self._known[key]))
        return self._known[key]

    def reals(self, values: Any) -> str:
        return self.constant(np.asarray(values, dtype=REAL))

    def require(self, test: str, reason: str) -> None:
        """Rows of which this tensor, true or false for each, is not true are outside of what the graph answers."""
        known = self.bounds.setdefault(reason, [])
        if test not in known:
            known.append(test)

    def model(self, inputs: Sequence[Any], outputs: Sequence[Any], ends: Sequence[Any], name: str) -> bytes:
        """A model of what the outputs need, as bytes that are the same for the same graph; `ends` make the outputs."""
        nodes = _needed([*self.nodes, *ends], {output.name for output in outputs})
        used = {name for node in nodes for name in node.input}
        constants = [constant for constant in self.constants if constant.name in used]
        graph = helper.make_graph(nodes, name, list(inputs), list(outputs), initializer=constants)
        imports = [helper.make_opsetid(domain, version) for domain, version in sorted(self.versions.items())]
        made = helper.make_model(graph, opset_imports=imports, producer_name="nb2prod", ir_version=IR_VERSION)
        return bytes(made.SerializeToString(deterministic=True))


def _needed(nodes: Sequence[Any], wanted: set[str]) -> list[Any]:
    """The nodes that the wanted tensors come from, in order."""
    found = []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            found.append(node)
            wanted |= set(node.input)
    return found[::-1]


def value_info(name: str, dtype: str, width: int | None) -> Any:
    shape = [None] if width is None else [None, width]
    return helper.make_tensor_value_info(name, CODES[dtype], shape)
