"""Boosting by XGBoost and LightGBM, read from the trees that the libraries write down, and answered as they do.

XGBoost reads numbers in single precision, compares them with `<`, and adds and squeezes in single precision; the base
score is first in the sum. LightGBM does all of it in double precision, but takes numbers within 1e-35 for 0, and what
is missing for 0 where training saw nothing missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from nb2prod.stages.translating import trees
from nb2prod.stages.translating.blocks import Block, side_by_side, where
from nb2prod.stages.translating.ensembles import Answer, highest, labelled
from nb2prod.stages.translating.features import TOO_LARGE, Value, place_of
from nb2prod.stages.translating.graph import Untranslatable
from nb2prod.stages.translating.histograms import BETWEEN, looked_up
from nb2prod.stages.translating.linear import two
from nb2prod.stages.translating.tables import Table
from nb2prod.stages.translating.trees import Tree

_SINGLE = np.float32
_LARGEST = 88.7  # XGBoost's own limit of an exponent
_NEARLY_ZERO = float(_SINGLE(1e-35))  # LightGBM's

# ---- XGBoost ---------------------------------------------------------------------------------------------------------


def xgboost(model: Any, value: Value) -> Answer:
    """XGBClassifier and XGBRegressor."""
    if not (isinstance(model.missing, float) and np.isnan(model.missing)):
        raise Untranslatable(f"XGBoost that takes {model.missing!r} for missing")
    objective, margin = _margin_of(model.get_booster(), _rounds(model), _singles(value))
    if not hasattr(model, "classes_"):
        return Answer(_of(_XGBOOST_AMOUNTS, objective, "XGBoost")(margin))
    shares = _of(_XGBOOST_SHARES, objective, "XGBoost")(margin)
    place = where(shares.columns([1]) > 0.5, 1, 0) if margin.width == 1 else highest(shares)
    return Answer(labelled(model.classes_, place), shares)


def xgboost_booster(model: Any, value: Value) -> Answer:
    """A Booster: amounts, the probability of the second of two classes, or of each of more. It answers by all rounds,
    and its matrix refuses infinite numbers.
    """
    block = _singles(value)
    axis = block.graph.constant(np.array([1], dtype="int64"))
    largest = where(block.isna(), 0.0, abs(block)).made("ReduceMax", axis, width=1, keepdims=1)
    block.graph.require((largest < np.inf).name, TOO_LARGE)
    objective, margin = _margin_of(model, None, block)
    shares = _XGBOOST_SHARES.get(objective)
    return Answer(_alone(shares(margin), margin) if shares else _of(_XGBOOST_AMOUNTS, objective, "XGBoost")(margin))


def _alone(shares: Block, scores: Block) -> Block:
    return shares.columns([1]) if scores.width == 1 else shares


def _margin_of(booster: Any, rounds: int | None, block: Block) -> tuple[str, Block]:
    """The objective and the raw scores."""
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    block.graph.is_single_itself = True
    objective = learner["objective"]["name"]
    return objective, _margin(learner, objective, rounds, block)


def _of(rules: Mapping[str, Callable[[Block], Block]], objective: str, library: str) -> Callable[[Block], Block]:
    if objective not in rules:
        raise Untranslatable(f"{library} with the objective {objective}")
    return rules[objective]


def _rounds(model: Any) -> int | None:
    """How many it answers with: those until the best, where training watched for it."""
    try:
        return int(model.best_iteration) + 1
    except AttributeError:
        return None


def _singles(value: Value) -> Block:
    """Each column in single precision, rounded once."""
    blocks = [value[name] for name in value.columns] if isinstance(value, Table) else [value]
    return side_by_side([block.to("float32") for block in blocks])


def _margin(learner: Any, objective: str, rounds: int | None, block: Block) -> Block:
    booster = learner["gradient_booster"]
    if booster["name"] != "gbtree":
        raise Untranslatable(f"XGBoost's {booster['name']}")
    model = booster["model"]
    count = len(model["trees"]) if rounds is None else model["iteration_indptr"][rounds]
    turns = np.asarray(model["tree_info"][:count])
    targets = int(turns.max(initial=0)) + 1
    if not count or (turns != np.arange(count) % targets).any():
        raise Untranslatable("XGBoost with no trees, or several for a class and round")
    start = np.broadcast_to(_base(learner, objective), targets)
    return trees.in_turns([_xgboost_tree(one) for one in model["trees"][:count]], block, start)


def _base(learner: Any, objective: str) -> Any:
    """Where the sums begin: the base score as a margin."""
    known = json.loads(learner["learner_model_param"]["base_score"])
    score = np.atleast_1d(np.asarray(known, dtype=_SINGLE))
    if objective in ("binary:logistic", "reg:logistic"):
        return -np.log((_SINGLE(1) / score - _SINGLE(1)).astype("float64")).astype(_SINGLE)
    return np.log(score.astype("float64")).astype(_SINGLE) if objective in _EXPONENTIAL else score


def _xgboost_tree(tree: Any) -> Tree:
    if any(tree["split_type"]) or tree["tree_param"]["size_leaf_vector"] not in ("0", "1"):
        raise Untranslatable("XGBoost with categorical features, or trees of several targets")
    conditions = np.asarray(tree["split_conditions"], dtype=_SINGLE)
    return Tree(
        np.asarray(tree["split_indices"]),
        np.nextafter(conditions, _SINGLE(-np.inf)),  # of numbers in single precision, x < c is x <= the one before c
        np.asarray(tree["left_children"]),
        np.asarray(tree["right_children"]),
        np.asarray(tree["default_left"]),
        conditions[:, None],
    )


def _exponential(block: Block) -> Block:
    """As C's expf gives it, which is nearly always the one in double precision, rounded."""
    return block.to("float64").made("Exp").to("float32")


def _logistic(margin: Block) -> Block:
    return two(1.0 / (_exponential(np.minimum(-margin, _LARGEST)) + 1.0))


def _softmax(margin: Block) -> Block:
    axis = margin.graph.constant(np.array([1], dtype="int64"))
    each = _exponential(margin - margin.made("ReduceMax", axis, width=1, keepdims=1))
    return each / each.to("float64").made("ReduceSum", axis, width=1, keepdims=1).to("float32")


def _as_it_is(block: Block) -> Block:
    return block


_EXPONENTIAL = ("count:poisson", "reg:gamma", "reg:tweedie")
_XGBOOST_SHARES = {"binary:logistic": _logistic, "multi:softprob": _softmax}
_XGBOOST_AMOUNTS = {
    **dict.fromkeys(("reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror"), _as_it_is),
    **dict.fromkeys(_EXPONENTIAL, _exponential),
}

# ---- LightGBM --------------------------------------------------------------------------------------------------------


def lightgbm(model: Any, value: Value) -> Answer:
    """LGBMClassifier and LGBMRegressor."""
    known = model.booster_.dump_model()
    raw, shares = _scores(known, value)
    if not hasattr(model, "classes_"):
        return Answer(_amounts(known, raw))
    if shares is None:
        raise Untranslatable(f"LightGBM's classes with the objective {_objective(known)}")
    return Answer(labelled(model.classes_, highest(shares)), shares)


def lightgbm_booster(model: Any, value: Value) -> Answer:
    """A Booster: amounts, the probability of the second of two classes, or of each of more."""
    known = model.dump_model()
    raw, shares = _scores(known, value)
    return Answer(_amounts(known, raw) if shares is None else _alone(shares, raw))


def _scores(known: Any, value: Value) -> tuple[Block, Block | None]:
    """The raw scores, and what they make of classes."""
    kind, *settings = _objective(known).split(" ")
    if known["average_output"] or any(":" not in one for one in settings):
        raise Untranslatable("LightGBM with averages, or a target that it transforms")
    raw = _raw(known, _as_codes(value, known.get("pandas_categorical") or []))
    if kind == "binary":
        slope = float(dict(one.split(":") for one in settings)["sigmoid"])
        return raw, two(1.0 / ((raw * -slope).made("Exp") + 1.0))
    return raw, raw.made("Softmax", axis=1) if kind == "multiclass" else None


def _objective(known: Any) -> str:
    """With its settings; a function of the notebook's has no name."""
    return str(known.get("objective", "custom"))


def _amounts(known: Any, raw: Block) -> Block:
    return _of(_LIGHTGBM_AMOUNTS, _objective(known).split(" ")[0], "LightGBM")(raw)


def _as_codes(value: Value, categories: Sequence[Sequence[Any]]) -> Block:
    """The columns as numbers: of categories their place in training, and no number for others."""
    blocks = [value[name] for name in value.columns] if isinstance(value, Table) else [value]
    known = iter(categories)
    if sum(bool(block.categories) for block in blocks) != len(categories):
        raise Untranslatable("LightGBM with other columns of categories than it gets")
    return side_by_side([_code(block, next(known)) if block.categories else block.real for block in blocks])


def _code(block: Block, categories: Sequence[Any]) -> Block:
    place = place_of(block, list(categories))
    return where(place < len(categories), place.real, np.nan)


def _raw(known: Any, block: Block) -> Block:
    """The raw scores. What trees read: the numbers, then the same with 0 as missing, then a column a set of codes."""
    if not known["tree_info"]:
        raise Untranslatable("LightGBM without trees")
    trees_of = [list(_nodes(one["tree_structure"])) for one in known["tree_info"]]
    seen = where((abs(block) > _NEARLY_ZERO) | block.isna(), block, 0.0)
    given = [seen]
    column: dict[tuple[int, str], int] = {}
    if any(node.get("missing_type") == "Zero" for nodes in trees_of for node in nodes):
        given.append(where(seen == 0.0, np.nan, seen))
    for feature, sets in _sets(trees_of).items():
        column |= {(feature, one): sum(part.width for part in given) + place for place, one in enumerate(sets)}
        given.append(_in_sets(block.columns([feature]), sets))
    made = [_lightgbm_tree(nodes, block.width, column) for nodes in trees_of]
    return trees.in_turns(made, side_by_side(given), np.zeros(known["num_tree_per_iteration"]))


def _sets(trees_of: Sequence[Sequence[Any]]) -> dict[int, list[str]]:
    """For each feature with categories the different sets of codes that go left, as LightGBM writes them: 0||3||5."""
    found: dict[int, dict[str, None]] = {}
    for node in (node for nodes in trees_of for node in nodes if node.get("decision_type") == "=="):
        found.setdefault(node["split_feature"], {})[node["threshold"]] = None
    return {feature: list(sets) for feature, sets in found.items()}


def _in_sets(code: Block, sets: Sequence[str]) -> Block:
    """[rows, sets]: 0 where the set has the code, 1 where not. A code is cut off to a whole number."""
    members = [[int(one) for one in each.split("||")] for each in sets]
    count = max(map(max, members)) + 1
    table = np.ones((count + 1, len(sets)))
    for place, each in enumerate(members):
        table[each, place] = 0.0
    return looked_up(where((code > -1.0) & (code < float(count)), code, float(count)).to("int64"), table)


def _lightgbm_tree(nodes: Sequence[Any], width: int, column: Mapping[tuple[int, str], int]) -> Tree:
    if any("leaf_coeff" in node or node.get("decision_type", "<=") not in ("<=", "==") for node in nodes):
        raise Untranslatable("LightGBM with linear trees")
    place = {id(node): number for number, node in enumerate(nodes)}
    asked = [_asked(node, width, column) for node in nodes]
    return Tree(
        np.array([feature for feature, _ in asked]),
        np.array([threshold for _, threshold in asked]),
        np.array([place[id(n["left_child"])] if "left_child" in n else -1 for n in nodes]),
        np.array([place[id(n["right_child"])] if "right_child" in n else -1 for n in nodes]),
        np.array([_sends_missing_left(n) for n in nodes]),
        np.array([[n.get("leaf_value", 0.0)] for n in nodes]),
    )


def _asked(node: Any, width: int, column: Mapping[tuple[int, str], int]) -> tuple[int, float]:
    """Which column a node asks, and up to which number it sends to the left."""
    if "split_feature" not in node:
        return 0, 0.0
    if node["decision_type"] == "==":
        return column[node["split_feature"], node["threshold"]], BETWEEN
    return node["split_feature"] + width * (node["missing_type"] == "Zero"), node["threshold"]


def _nodes(root: Any) -> Iterator[Any]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += [node[side] for side in ("right_child", "left_child") if side in node]


def _sends_missing_left(node: Any) -> bool:
    if "split_feature" not in node or node["decision_type"] == "==":  # a column of sets lacks nothing
        return False
    return bool(node["threshold"] >= 0.0 if node["missing_type"] == "None" else node["default_left"])


_LIGHTGBM_AMOUNTS: dict[str, Callable[[Block], Block]] = {
    **dict.fromkeys(("regression", "regression_l1", "huber", "fair", "quantile", "mape"), _as_it_is),
    **dict.fromkeys(("poisson", "gamma", "tweedie"), lambda block: block.made("Exp")),
}
RULES: dict[tuple[str, str], Callable[[Any, Value], Answer]] = {
    ("xgboost", "XGBClassifier"): xgboost,
    ("xgboost", "XGBRegressor"): xgboost,
    ("xgboost", "Booster"): xgboost_booster,
    ("lightgbm", "Booster"): lightgbm_booster,
    ("lightgbm", "LGBMClassifier"): lightgbm,
    ("lightgbm", "LGBMRegressor"): lightgbm,
}
