"""How each transformer changes columns, as scikit-learn computes it: one rule a class, and pipelines of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.utils import get_tags

from nb2prod.serving.onnx_scorer import MISSING
from nb2prod.stages.translating import others, tables, text
from nb2prod.stages.translating.blocks import Block, side_by_side, where
from nb2prod.stages.translating.graph import REAL, Untranslatable
from nb2prod.stages.translating.tables import Table

Value = Table | Block
UNKNOWN = "a category that the model does not know"
TOO_LARGE = "a number that is too large for the model, or missing"
INFINITE = "an infinite number in the place of a category"


def transformed(estimator: Any, value: Value) -> Value:
    """What the fitted transformer makes of a table or of numbers. Raises Untranslatable."""
    rule = RULES.get(type(estimator).__name__)
    is_known = rule is not None and type(estimator).__module__.startswith("sklearn.")
    if value.graph.takes_infinite and type(estimator).__name__ not in _TAKING_ALL:
        require_finite(estimator, numbers(value))
    return rule(estimator, value) if rule is not None and is_known else others.transformed(estimator, numbers(value))


def require_finite(estimator: Any, block: Block) -> None:
    """Leave rows outside that the estimator refuses: with infinite numbers, and most estimators with missing ones.

    0 · x is 0 for a finite x, and not a number else.
    """
    if block.dtype == "text":
        return
    if get_tags(estimator).input_tags.allow_nan:
        block = where(block.isna(), 0.0, block)
    total = (block * 0.0).made("ReduceSum", _axis(block, 1), width=1, keepdims=1)
    block.graph.require((total == 0.0).name, TOO_LARGE)


def numbers(value: Value) -> Block:
    """The columns as an estimator gets them: one array."""
    block = value.block() if isinstance(value, Table) else value
    return block if block.dtype == "text" else block.real


# ---- compositions ----------------------------------------------------------------------------------------------------


def through(steps: Sequence[tuple[str, Any]], value: Value) -> Value:
    for _, step in steps:
        if step not in (None, "passthrough"):
            value = transformed(step, value)
    return value


def _pipeline(estimator: Any, value: Value) -> Value:
    return through(estimator.steps, value)


def _columns(estimator: Any, value: Value) -> Value:
    """ColumnTransformer: each transformer on its columns, the results side by side."""
    made = []
    for name, step, wanted in estimator.transformers_:
        chosen = chosen_of(value, wanted)
        if chosen is None or (isinstance(step, str) and step == "drop"):
            continue
        found = chosen if isinstance(step, str) else transformed(step, chosen)
        weight = (estimator.transformer_weights or {}).get(name)
        block = numbers(found)
        made.append(block if weight is None else block * float(weight))
    if any(block.dtype == "text" for block in made):
        raise Untranslatable("a ColumnTransformer passes text on")
    return side_by_side(made)


def chosen_of(value: Value, wanted: Any) -> Value | None:
    names = value.columns if isinstance(value, Table) else list(range(value.width))
    if isinstance(wanted, slice) and isinstance(wanted.start or wanted.stop, str):
        first = names.index(wanted.start) if wanted.start is not None else 0
        last = names.index(wanted.stop) + 1 if wanted.stop is not None else len(names)
        wanted = names[first : last : wanted.step or 1]
    elif isinstance(wanted, slice):
        wanted = names[wanted]
    elif isinstance(wanted, str | int | np.integer):
        wanted = [wanted]
    elif len(wanted) == len(names) and all(isinstance(one, bool | np.bool_) for one in wanted):
        wanted = [name for name, is_in in zip(names, wanted, strict=True) if is_in]
    if not len(wanted):
        return None
    return value.chosen(list(wanted)) if isinstance(value, Table) else value.columns(list(wanted))


def _union(estimator: Any, value: Value) -> Value:
    parts = [numbers(transformed(step, value)) for _, step in estimator.transformer_list if step != "drop"]
    if estimator.transformer_weights:
        raise Untranslatable("a FeatureUnion with weights")
    return side_by_side(parts)


def _function(estimator: Any, value: Value) -> Value:
    if estimator.func is None:
        return value
    given = numbers(value) if estimator.validate or isinstance(estimator.func, np.ufunc) else value
    return tables.followed(estimator.func, given, estimator.kw_args or {})


# ---- numbers ---------------------------------------------------------------------------------------------------------


def _standard(estimator: Any, value: Value) -> Value:
    block = numbers(value)
    if estimator.with_mean:
        block = block - _row(block, estimator.mean_)
    return block / _row(block, estimator.scale_) if estimator.with_std else block


def _robust(estimator: Any, value: Value) -> Value:
    block = numbers(value)
    if estimator.with_centering:
        block = block - _row(block, estimator.center_)
    return block / _row(block, estimator.scale_) if estimator.with_scaling else block


def _min_max(estimator: Any, value: Value) -> Value:
    block = numbers(value)
    found = block * _row(block, estimator.scale_) + _row(block, estimator.min_)
    return found.clip(*map(float, estimator.feature_range)) if estimator.clip else found


def _max_abs(estimator: Any, value: Value) -> Value:
    block = numbers(value)
    return block / _row(block, estimator.scale_)


def _binary(estimator: Any, value: Value) -> Value:
    return (numbers(value) > float(estimator.threshold)).real


def _row(block: Block, values: Any) -> Block:
    return Block(block.graph, block.graph.reals(np.reshape(values, (1, -1))), REAL, block.width)


def _imputed(estimator: Any, value: Value) -> Value:
    if estimator.add_indicator:
        raise Untranslatable("a SimpleImputer that adds an indicator")
    block = numbers(value)
    if block.dtype == "text":
        return _imputed_text(estimator, value)
    if not (isinstance(estimator.missing_values, float) and np.isnan(estimator.missing_values)):
        raise Untranslatable(f"a SimpleImputer of {estimator.missing_values!r}")
    statistics = np.asarray(estimator.statistics_, dtype="float64")
    if np.isnan(statistics).any():
        raise Untranslatable("a SimpleImputer of a column that had no value at all")
    return where(block.isna(), _row(block, statistics), block)


def _imputed_text(estimator: Any, value: Value) -> Value:
    if estimator.missing_values is not None and not _is_missing(estimator.missing_values):
        raise Untranslatable(f"a SimpleImputer of {estimator.missing_values!r}")
    blocks = _each(value)
    names = value.columns if isinstance(value, Table) else range(len(blocks))
    filled = (block.fillna(str(fill)) for block, fill in zip(blocks, estimator.statistics_, strict=True))
    return Table(dict(zip(names, filled, strict=True)))


def _selected(estimator: Any, value: Value) -> Value:
    places = [int(place) for place in np.flatnonzero(estimator.get_support())]
    return numbers(value).columns(places)


# ---- categories ------------------------------------------------------------------------------------------------------


def _one_hot(estimator: Any, value: Value) -> Value:
    if getattr(estimator, "_infrequent_enabled", False) and any(
        found is not None for found in estimator.infrequent_categories_
    ):
        raise Untranslatable("a OneHotEncoder that gathers rare categories")
    made = []
    for column, (block, categories) in enumerate(_with_categories(estimator, value)):
        if estimator.handle_unknown == "error":
            _require_known(block, categories)
        dropped = None if estimator.drop_idx_ is None else estimator.drop_idx_[column]
        kept = [place for place in range(len(categories)) if place != dropped]
        if kept:
            made.append(_some(_is_each(block, categories), kept).real)
    return side_by_side(made)


def _some(block: Block, places: list[int]) -> Block:
    return block if len(places) == block.width else block.columns(places)


def _require_known(block: Block, categories: Sequence[Any]) -> None:
    is_any = _is_each(block, categories).to("int32").made("ReduceMax", _axis(block, 1), width=1, keepdims=1)
    block.graph.require(is_any.to("bool").name, UNKNOWN)


def _require_finite(block: Block) -> None:
    """Encoders refuse infinite numbers, whatever they do with unknown ones."""
    if block.dtype.startswith("float"):
        block.graph.require(block.made("IsInf", dtype="bool").made("Not").name, INFINITE)


def _ordinal(estimator: Any, value: Value) -> Value:
    if getattr(estimator, "_infrequent_enabled", False) and any(
        found is not None for found in estimator.infrequent_categories_
    ):
        raise Untranslatable("an OrdinalEncoder that gathers rare categories")
    made = []
    for block, categories in _with_categories(estimator, value):
        ranks = [float(rank) for rank in range(len(categories))]
        if any(_is_missing(category) for category in categories):
            ranks[-1] = float(estimator.encoded_missing_value)
        unknown = np.nan if estimator.unknown_value is None else float(estimator.unknown_value)
        place = place_of(block, categories)
        if estimator.handle_unknown == "error":
            block.graph.require((place < len(categories)).name, UNKNOWN)
        table = block.graph.reals([*ranks, unknown])
        made.append(Block(block.graph, block.graph.add("Gather", table, place.name, axis=0), REAL, 1))
    return side_by_side(made)


def coded(encoder: Any, value: Value) -> list[tuple[Block, int]]:
    """Each column as the places of its categories, and how many there are: the place of what is missing or unknown."""
    found = []
    for block, categories in _with_categories(encoder, value):
        known = [category for category in categories if not _is_missing(category)]
        found.append((place_of(block, known), len(known)))
    return found


def place_of(block: Block, categories: Sequence[Any]) -> Block:
    """[rows, 1]: which of the categories the value is; their number for none of them."""
    count = len(categories)
    if block.dtype == "text":
        return _place_of_text(block, categories)
    if block.dtype.startswith("float") and list(categories) == list(range(count)):
        is_one = (block >= 0.0) & (block <= float(count - 1)) & (block == block.made("Floor"))
        return where(is_one, block, float(count)).to("int64")
    is_each = _is_each(block, categories).to("int32")
    is_any = is_each.made("ReduceMax", _axis(block, 1), width=1, keepdims=1).to("bool")
    return where(is_any, is_each.made("ArgMax", dtype="int64", width=1, axis=1, keepdims=1), count)


def _place_of_text(block: Block, categories: Sequence[Any]) -> Block:
    """Text is looked up, which takes as long for a thousand categories as for two."""
    keys = _texts(categories)
    places = {"keys_strings": keys, "values_int64s": list(range(len(keys))), "default_int64": len(keys)}
    return Block(
        block.graph, block.graph.add("LabelEncoder", block.name, domain="ai.onnx.ml", version=3, **places), "int64", 1
    )


def _texts(categories: Sequence[Any]) -> list[str]:
    missing = [_is_missing(category) for category in categories]
    if not all(isinstance(one, str) or lacks for one, lacks in zip(categories, missing, strict=True)):
        raise Untranslatable("an encoder of text that learnt something else")
    return [MISSING if lacks else str(one) for one, lacks in zip(categories, missing, strict=True)]


def _axis(block: Block, axis: int) -> str:
    return block.graph.constant(np.array([axis], dtype="int64"))


def _with_categories(estimator: Any, value: Value) -> list[tuple[Block, list[Any]]]:
    blocks = _each(value)
    for block in blocks:
        _require_finite(block)
    return [(block, list(found)) for block, found in zip(blocks, estimator.categories_, strict=True)]


def _each(value: Value) -> list[Block]:
    """The columns, each by itself."""
    if isinstance(value, Table):
        return [value[name] for name in value.columns]
    return [value.columns([place]) for place in range(value.width)]


def _is_each(block: Block, categories: Sequence[Any]) -> Block:
    """[rows, categories]: whether the value is this one."""
    if block.dtype == "text":
        known = Block(
            block.graph, block.graph.constant(np.array([_texts(categories)], dtype=object)), "text", len(categories)
        )
        return block.made("Equal", known.name, dtype="bool", width=len(categories))
    if any(isinstance(category, str) for category in categories):
        raise Untranslatable("an encoder of numbers that learnt text")
    missing = [_is_missing(category) for category in categories]
    values = np.array([[np.nan if lacks else category for category, lacks in zip(categories, missing, strict=True)]])
    is_whole = values.dtype.kind in "iub" and not block.dtype.startswith("float")
    real = block.to("int64" if is_whole else "float64")  # beyond 2^53 whole numbers are no floats
    found = real.made("Equal", block.graph.constant(values.astype(real.dtype)), dtype="bool", width=len(categories))
    if not any(missing):
        return found
    mask = Block(block.graph, block.graph.constant(np.array([missing])), "bool", len(categories))
    return found | (real.made("IsNaN", dtype="bool") & mask)


def _is_missing(category: Any) -> bool:
    return category is None or (isinstance(category, float) and category != category)


def _polynomial(estimator: Any, value: Value) -> Value:
    """Products of columns, as many factors as the degree; where there are fewer, 1."""
    block = numbers(value)
    rows = np.asarray(estimator.powers_).tolist()
    factors = [[place for place, power in enumerate(row) for _ in range(power)] for row in rows]
    with_one = side_by_side([block, block.columns([0]) * 0.0 + 1.0])
    found = with_one.columns([row[0] if row else block.width for row in factors])
    for number in range(1, max(map(len, factors))):
        found = found * with_one.columns([row[number] if number < len(row) else block.width for row in factors])
    return found


# what looks at no value itself, or at one column after the other
_TAKING_ALL = (
    "Pipeline",
    "ColumnTransformer",
    "FeatureUnion",
    "FunctionTransformer",
    "OneHotEncoder",
    "OrdinalEncoder",
)
RULES: dict[str, Callable[[Any, Value], Value]] = {
    "Pipeline": _pipeline,
    "ColumnTransformer": _columns,
    "FeatureUnion": _union,
    "FunctionTransformer": _function,
    "StandardScaler": _standard,
    "RobustScaler": _robust,
    "MinMaxScaler": _min_max,
    "MaxAbsScaler": _max_abs,
    "Binarizer": _binary,
    "SimpleImputer": _imputed,
    "OneHotEncoder": _one_hot,
    "OrdinalEncoder": _ordinal,
    "PolynomialFeatures": _polynomial,
    "SelectKBest": _selected,
    "SelectPercentile": _selected,
    "SelectFromModel": _selected,
    "VarianceThreshold": _selected,
    "CountVectorizer": lambda estimator, value: text.counted(estimator, numbers(value)),
    "TfidfTransformer": lambda estimator, value: text.weighted(estimator, numbers(value)),
    "TfidfVectorizer": lambda estimator, value: text.weighted(
        estimator._tfidf, text.counted(estimator, numbers(value))
    ),
}
