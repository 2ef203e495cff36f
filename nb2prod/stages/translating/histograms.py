"""Histogram boosting as scikit-learn answers it, also with categorical features, to the last bit.

Its trees compare numbers in double precision. Categories are first made codes, by an encoder that the model fitted for
itself; a split on categories sends a set of codes to the left, the other known ones to the right, and what is missing
or unknown where missing values go. So that the trees in the graph compare with thresholds only, each different set is a
column of its own: 0 for its codes, 1 for the others, and no number for what is missing or unknown. The columns of a
feature are one table, of which its code chooses the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nb2prod.stages.translating import trees
from nb2prod.stages.translating.blocks import Block, side_by_side
from nb2prod.stages.translating.features import Value, chosen_of, coded, numbers
from nb2prod.stages.translating.trees import Tree

BETWEEN = 0.5  # what a column says of codes that go left, and of those that go right


def scores(estimator: Any, value: Value) -> Block:
    """The raw scores: [rows, targets], one of two classes and of a regressor."""
    predictors = [one for stage in estimator._predictors for one in stage]
    if estimator._preprocessor is None:
        block, made = numbers(value), [_tree(one.nodes) for one in predictors]
    else:
        block, made = _with_categories(estimator, predictors, value)
    return trees.in_turns(made, block, np.reshape(estimator._baseline_prediction, -1))


def _tree(nodes: Any, features: Any = None, thresholds: Any = None) -> Tree:
    is_leaf = nodes["is_leaf"].astype(bool)
    return Tree(
        nodes["feature_idx"] if features is None else features,
        nodes["num_threshold"] if thresholds is None else thresholds,
        np.where(is_leaf, -1, nodes["left"].astype("int64")),
        np.where(is_leaf, -1, nodes["right"].astype("int64")),
        nodes["missing_go_to_left"],
        nodes["value"][:, None],
    )


def _with_categories(estimator: Any, predictors: Sequence[Any], value: Value) -> tuple[Block, list[Tree]]:
    """What the trees read, a column for each set of categories and then the numbers, and the trees that read it."""
    (_, encoder, is_encoded), (_, _, is_number), *_ = estimator._preprocessor.transformers_
    encoded, numeric = chosen_of(value, is_encoded), chosen_of(value, is_number)
    assert encoded is not None  # without categories there is no encoder
    codes = coded(encoder, encoded)
    sets = [_sets(predictors, feature) for feature in range(len(codes))]
    starts = np.cumsum([0, *map(len, sets)])
    columns = [looked_up(place, _table(list(s), count)) for (place, count), s in zip(codes, sets, strict=True) if s]
    given = [*columns, *([] if numeric is None else [numbers(numeric)])] or [codes[0][0].real]  # no tree asks anything
    return side_by_side(given), [_rewritten(one, sets, starts) for one in predictors]


def _sets(predictors: Sequence[Any], feature: int) -> dict[bytes, int]:
    """The different sets of codes that splits on this feature send to the left, each with its number."""
    found: dict[bytes, int] = {}
    for one in predictors:
        is_split = one.nodes["is_categorical"].astype(bool) & (one.nodes["feature_idx"] == feature)
        for place in one.nodes["bitset_idx"][is_split]:
            found.setdefault(_left(one, place), len(found))
    return found


def _left(predictor: Any, place: int) -> bytes:
    """32 bytes with a bit for each code, set for those that go left."""
    return bytes(predictor.raw_left_cat_bitsets[place].astype("<u4").tobytes())


def _table(sets: Sequence[bytes], count: int) -> Any:
    """[codes + 1, sets]: 0 where the set has the code, 1 where not; the last row is of what is missing or unknown."""
    bits = np.frombuffer(b"".join(sets), dtype="uint8").reshape(-1, 32)
    is_left = np.unpackbits(bits, axis=1, bitorder="little")[:, :count].T
    return np.concatenate([1.0 - is_left, np.full((1, len(bits)), np.nan)])


def looked_up(place: Block, table: Any) -> Block:
    """For each row the row of the table at this place."""
    graph = place.graph
    flat = graph.add("Reshape", place.name, graph.constant(np.array([-1], dtype="int64")))
    return Block(graph, graph.add("Gather", graph.reals(table), flat, axis=0), "float64", table.shape[1])


def _rewritten(predictor: Any, sets: Sequence[dict[bytes, int]], starts: Any) -> Tree:
    """The tree with its splits on categories as thresholds of columns. It numbers those features before the others."""
    nodes = predictor.nodes
    features = nodes["feature_idx"].astype("int64") - len(sets) + starts[-1]
    thresholds = nodes["num_threshold"].copy()
    for place in np.flatnonzero(nodes["is_categorical"]):
        feature = nodes["feature_idx"][place]
        features[place] = starts[feature] + sets[feature][_left(predictor, nodes["bitset_idx"][place])]
        thresholds[place] = BETWEEN
    return _tree(nodes, features, thresholds)
