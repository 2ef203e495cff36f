"""Estimators without a rule here: skl2onnx translates each alone, on one array of numbers, and its graph is taken in.

Some of ONNX's operators compute in single precision only. A transformer made of them is not taken: what comes after it
may compare, and a comparison turns the last bit into another answer. A last estimator made of them is taken when the
graph `may_be_single`; then the translation is bound to the numbers of the example and kept off the borders between
labels (`follow.bound`). Trees are never taken from skl2onnx: they read numbers otherwise than scikit-learn's do.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import Any

import numpy as np

from nb2prod.serving.onnx_scorer import quiet_runtime
from nb2prod.stages.translating.blocks import Block
from nb2prod.stages.translating.graph import CODES, ML_OPSET, OPSET, Graph, Untranslatable

_NAMES = {code: name for name, code in CODES.items()}
_FLOAT = CODES["float32"]
_EXACT = {"ArrayFeatureExtractor", "LabelEncoder"}  # of ai.onnx.ml, whose other operators compute in single precision
# a translation that takes seconds, and neighbours of which the order of computing decides when two are as far away
_NOT_TAKEN = ("QuantileTransformer", "KNeighbors", "RadiusNeighbors", "KNNImputer", "LocalOutlierFactor")


def transformed(estimator: Any, block: Block) -> Block:
    model = _converted(estimator, block, "float64")
    if _is_single(model):
        raise Untranslatable(f"ONNX has a {type(estimator).__name__} in single precision only")
    (made, *_) = _inlined(block.graph, model, block.to("float64"))
    return made.real if made.dtype != "text" else made


def answered(estimator: Any, block: Block) -> list[Block]:
    """Of a classifier label and probabilities (or scores), of a regressor its answer."""
    graph = block.graph
    try:
        model = _converted(estimator, block, "float64")
    except Untranslatable:
        if not graph.may_be_single:
            raise
        model = _converted(estimator, block, "float32")
    if _is_single(model):
        if not graph.may_be_single:
            raise Untranslatable(f"ONNX has a {type(estimator).__name__} in single precision only")
        graph.is_single = True
    graph.is_taken_over = True
    return _inlined(graph, model, block.to(_input_of(model)))


def _converted(estimator: Any, block: Block, real: str) -> Any:
    onnxruntime = quiet_runtime()  # first, because skl2onnx imports it too
    import skl2onnx
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    kind = type(estimator).__name__
    if not type(estimator).__module__.startswith("sklearn.") or kind.startswith(_NOT_TAKEN):
        raise Untranslatable(f"there is no rule for a {kind}")
    if block.dtype == "text":
        raise Untranslatable(f"there is no rule for a {kind} of text")
    numbers = DoubleTensorType if real == "float64" else FloatTensorType
    options = {"zipmap": False} if hasattr(estimator, "classes_") else None
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            types, versions = [("X", numbers([None, block.width]))], {"": OPSET, "ai.onnx.ml": ML_OPSET}
            model = skl2onnx.to_onnx(estimator, initial_types=types, options=options, target_opset=versions)
            onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    except Exception as error:  # its converters raise what they like for what they cannot do
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise Untranslatable(f"skl2onnx does not translate a {kind}: {first[:200]}") from error
    if model.functions or any(node.op_type.startswith("TreeEnsemble") for node in model.graph.node):
        raise Untranslatable(f"there is no rule for a {kind} with trees")
    return model


def _is_single(model: Any) -> bool:
    """Whether anything in it is computed in single precision."""
    if _input_of(model) == "float32" or any(constant.data_type == _FLOAT for constant in model.graph.initializer):
        return True
    return any(_narrows(node) for node in model.graph.node)


def _narrows(node: Any) -> bool:
    if node.op_type == "Cast":
        return any(attribute.i == _FLOAT for attribute in node.attribute if attribute.name == "to")
    return bool(node.domain) and node.op_type not in _EXACT


def _input_of(model: Any) -> str:
    return _NAMES[model.graph.input[0].type.tensor_type.elem_type]


def _inlined(graph: Graph, model: Any, block: Block) -> list[Block]:
    """The nodes of a translated estimator at the end of the graph, under names of their own."""
    from onnx import compose

    prefixed = compose.add_prefix(model, f"o{len(graph.nodes)}_")
    graph.constants += prefixed.graph.initializer
    renamed = {prefixed.graph.input[0].name: block.name}
    for node in prefixed.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    graph.nodes += prefixed.graph.node
    for one in prefixed.opset_import:
        graph.versions[one.domain] = max(one.version, graph.versions.get(one.domain, 0))
    return [_block(graph, output) for output in prefixed.graph.output]


def _block(graph: Graph, output: Any) -> Block:
    kind = output.type.tensor_type
    dtype = _NAMES.get(kind.elem_type)
    if dtype is None:
        raise Untranslatable("skl2onnx gives something other than numbers and text")
    sizes = [size.dim_value for size in kind.shape.dim]
    if len(sizes) < 2:
        flat = graph.add("Reshape", output.name, graph.constant(np.array([-1, 1], dtype="int64")))
        return Block(graph, flat, dtype, 1)
    return Block(graph, output.name, dtype, sizes[1])
