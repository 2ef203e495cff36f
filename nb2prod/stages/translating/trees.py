"""Trees, forests and boosting, answered as scikit-learn does: to the last bit where its order of adding is kept.

Its trees narrow the features to single precision and compare them with thresholds in double precision; a translation
in single precision throughout, or in double precision throughout, takes other branches for some rows. The operator
`TreeEnsemble` finds the leaf of every tree; what the leaves say is looked up in a table in double precision, and added
in the order of the trees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from onnx import numpy_helper

from nb2prod.stages.translating.blocks import Block, where
from nb2prod.stages.translating.graph import TREES_OPSET, Graph, Untranslatable
from nb2prod.stages.translating.linear import two

_AT_MOST = 0  # BRANCH_LEQ


@dataclass(frozen=True, slots=True)
class Tree:
    """Nodes by place: `left` and `right` children (-1 at leaves), `values` [nodes, targets] of the leaves."""

    features: Any
    thresholds: Any
    left: Any
    right: Any
    missing_left: Any
    values: Any


def of_tree(estimator: Any) -> Tree:
    """A fitted tree of sklearn.tree."""
    tree = estimator.tree_
    if tree.value.shape[1] != 1:
        raise Untranslatable("a tree with several outputs")
    missing = getattr(tree, "missing_go_to_left", np.zeros(tree.node_count))
    return Tree(tree.feature, tree.threshold, tree.children_left, tree.children_right, missing, tree.value[:, 0, :])


def each(trees: Sequence[Tree], block: Block) -> Block:
    """[rows, trees, targets], flat in the graph: what each tree says. `block.width` of it counts the targets."""
    graph = block.graph
    table = np.concatenate([tree.values[tree.left < 0] for tree in trees])
    leaves = _leaves(graph, trees, block)
    name = graph.add("Gather", graph.constant(table), leaves, axis=0)
    return Block(graph, name, table.dtype.name, table.shape[1])


def added(values: Block) -> Block:
    """[rows, targets] of [rows, trees, targets], added tree after tree as scikit-learn adds them."""
    graph = values.graph
    running = graph.add("CumSum", values.name, graph.constant(np.array(1, dtype="int64")))
    last = graph.add("Gather", running, graph.constant(np.array(-1, dtype="int64")), axis=1)
    return Block(graph, last, values.dtype, values.width)


def _leaves(graph: Graph, trees: Sequence[Tree], block: Block) -> str:
    """For every tree the place of the leaf in the table of all leaves: int64 [rows, trees]."""
    numbers, attributes = block.to("float64").name, _attributes(trees)
    found = graph.add("TreeEnsemble", numbers, domain="ai.onnx.ml", version=TREES_OPSET, **attributes)
    return graph.add("Cast", found, to=7)


def _attributes(trees: Sequence[Tree]) -> dict[str, Any]:
    parts: dict[str, list[Any]] = {name: [] for name in _PARTS}
    inner = leaf = 0
    for number, tree in enumerate(trees):
        inner, leaf = _added_tree(parts, tree, number, inner, leaf)
    joined = {name: np.concatenate(found) for name, found in parts.items()}
    weights = numpy_helper.from_array(np.arange(leaf, dtype="float64"))
    lists = {name: joined[name].astype("int64").tolist() for name in _PARTS if name not in _TENSORS}
    return {
        **lists,
        "nodes_splits": numpy_helper.from_array(joined["nodes_splits"].astype("float64")),
        "nodes_modes": numpy_helper.from_array(joined["nodes_modes"].astype("uint8")),
        "leaf_weights": weights,
        "n_targets": len(trees),
        "aggregate_function": 1,
        "post_transform": 0,
    }


_TENSORS = ("nodes_splits", "nodes_modes")
_PARTS = (
    "tree_roots", "nodes_featureids", "nodes_splits", "nodes_modes", "nodes_truenodeids", "nodes_falsenodeids",
    "nodes_trueleafs", "nodes_falseleafs", "nodes_missing_value_tracks_true", "leaf_targetids",
)  # fmt: skip


def _added_tree(parts: dict[str, list[Any]], tree: Tree, number: int, inner: int, leaf: int) -> tuple[int, int]:
    """Add one tree's nodes; how many inner nodes and leaves there are then."""
    is_leaf = np.asarray(tree.left) < 0
    leaves = int(is_leaf.sum())
    if leaves == len(is_leaf):  # nothing but a leaf: both branches of a node of no meaning lead to it
        branches = (np.zeros(1), np.zeros(1), np.zeros(1), np.full(1, leaf), np.full(1, leaf), np.ones(1), np.ones(1))
        features, splits, missing, true, false, true_leaf, false_leaf = branches
    else:
        places = np.where(is_leaf, leaf + np.cumsum(is_leaf) - 1, inner + np.cumsum(~is_leaf) - 1)
        left, right = np.asarray(tree.left)[~is_leaf], np.asarray(tree.right)[~is_leaf]
        features, splits = np.asarray(tree.features)[~is_leaf], np.asarray(tree.thresholds)[~is_leaf]
        missing = np.asarray(tree.missing_left)[~is_leaf]
        true, false, true_leaf, false_leaf = places[left], places[right], is_leaf[left], is_leaf[right]
    found = {
        "tree_roots": np.full(1, inner),
        "nodes_featureids": features,
        "nodes_splits": splits,
        "nodes_modes": np.full(len(features), _AT_MOST),
        "nodes_truenodeids": true,
        "nodes_falsenodeids": false,
        "nodes_trueleafs": true_leaf,
        "nodes_falseleafs": false_leaf,
        "nodes_missing_value_tracks_true": missing,
        "leaf_targetids": np.full(leaves, number),
    }
    for name, values in found.items():
        parts[name].append(values)
    return inner + len(features), leaf + leaves


# ---- what the ensembles answer ---------------------------------------------------------------------------------------


def narrowed(block: Block) -> Block:
    """As scikit-learn's trees read numbers."""
    return block.to("float32")


def forest(estimator: Any, block: Block) -> Block:
    """The average over the trees: [rows, classes], or [rows, 1] of a regressor."""
    trees = [of_tree(one) for one in estimator.estimators_]
    return added(each(trees, narrowed(block))) / float(len(trees))


def single(estimator: Any, block: Block) -> Block:
    return added(each([of_tree(estimator)], narrowed(block)))


def boosted(estimator: Any, block: Block) -> Block:
    """The raw scores of gradient boosting: [rows, classes], or [rows, 1] of two classes and of a regressor."""
    start = _constant_start(estimator, estimator.estimators_.shape[1])
    trees = [of_tree(one) for one in estimator.estimators_.ravel()]
    return in_turns([_plus(tree, estimator.learning_rate) for tree in trees], narrowed(block), np.reshape(start, -1))


def in_turns(trees: Sequence[Tree], block: Block, start: Any) -> Block:
    """[rows, targets]: trees that take turns with the targets, added to each target's start as scikit-learn does it.

    A sum depends on its order: the start is first, so it is added to what the first trees say.
    """
    graph, targets = block.graph, len(start)
    begun = [_plus(tree, 1.0, add) for tree, add in zip(trees, start, strict=False)]
    values = each([*begun, *trees[targets:]], block)
    shape = graph.constant(np.array([-1, len(trees) // targets, targets], dtype="int64"))
    return added(Block(graph, graph.add("Reshape", values.name, shape), values.dtype, targets))


def _plus(tree: Tree, rate: float, start: float = 0.0) -> Tree:
    return replace(tree, values=start + rate * tree.values)


def _constant_start(estimator: Any, targets: int) -> Any:
    kind = type(estimator.init_).__name__
    if isinstance(estimator.init_, str):
        return np.zeros((1, targets))
    if not kind.startswith("Dummy"):
        raise Untranslatable(f"gradient boosting that starts from a {kind}")
    return np.asarray(estimator._raw_predict_init(np.zeros((1, estimator.n_features_in_), dtype="float32")))


def boosted_probabilities(raw: Block) -> Block:
    if raw.width == 1:
        return two(1.0 / ((-raw).made("Exp") + 1.0))  # closer to scikit-learn's than ONNX Runtime's Sigmoid
    return raw.made("Softmax", axis=1)


def at_least_zero(raw: Block) -> Block:
    """Which of two classes gradient boosting chooses."""
    return where(raw >= 0.0, 1, 0)
