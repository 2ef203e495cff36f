"""Boosting is translated to the last bit: at every threshold and beside it, for every category and none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("skl2onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

from nb2prod.serving.scorer import Outside
from tests.stages.translating.tried import tried

PORTS = ["EWR", "JFK", "LGA"]


def flights(seed: int, count: int = 600) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    delay = draw.normal(0, 30, count)
    return pd.DataFrame(
        {
            "origin": draw.choice(PORTS, count),
            "carrier": draw.integers(0, 40, count).astype("float64"),
            "minute": draw.integers(0, 1440, count),
            "delay": np.where(draw.random(count) < 0.1, np.nan, delay),
            "rain": np.where(draw.random(count) < 0.5, 0.0, draw.lognormal(0, 1, count)),
        }
    )


KNOWN = flights(0)
LATE = np.asarray(KNOWN["delay"].fillna(7) + KNOWN["carrier"] % 5 * 9 + (KNOWN["origin"] == "JFK") * 20)
CODED = make_column_transformer(
    (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan), ["origin"]), remainder="passthrough"
)


def near(thresholds: Any, seed: int, count: int = 600) -> Any:
    """These numbers, and the floats beside them."""
    draw = np.random.default_rng(seed)
    picked = draw.choice(np.unique(thresholds), count)
    return np.nextafter(picked, draw.choice([-np.inf, np.inf], count)) * (s := draw.random(count) < 0.6) + picked * ~s


def odd_flights(thresholds: Any) -> pd.DataFrame:
    """Rows that no example has: unknown and missing categories, and numbers at the thresholds."""
    asked = flights(1).astype({"origin": object})
    asked.loc[::7, "origin"] = "???"
    asked.loc[::11, "origin"] = None
    asked.loc[::5, "carrier"] = [[-1.0, 40.0, 254.0, 255.0, 256.0, 1e9, 1.5, -0.0, np.nan][n % 9] for n in range(120)]
    usable = np.asarray(thresholds)[np.isfinite(thresholds)]
    for column, seed in (("delay", 2), ("rain", 3)):
        asked.loc[100:, column] = near(usable, seed)[100:]
    asked.loc[3::50, "delay"] = np.nan
    return asked


@pytest.mark.parametrize("target", [LATE, LATE // 30 % 3], ids=["minutes", "three classes"])
def test_histogram_boosting_with_categories_is_the_models_to_the_last_bit(target: Any, tmp_path: Path) -> None:
    kind = HistGradientBoostingRegressor if target is LATE else HistGradientBoostingClassifier
    model = make_pipeline(CODED, kind(max_iter=6, categorical_features=[0, 1])).fit(KNOWN, target)
    nodes = np.concatenate([one.nodes for stage in model[-1]._predictors for one in stage])
    assert nodes["is_categorical"].sum() > 20
    found = tried(tmp_path, model, KNOWN, method="predict" if target is LATE else "predict_proba")
    assert found.translation.kept, found.translation.reason
    asked = odd_flights(nodes["num_threshold"][(nodes["is_leaf"] == 0) & (nodes["is_categorical"] == 0)])
    if target is LATE:
        assert (found.scorer.predict_table(asked) == model.predict(asked)).all()
    else:  # the exponential is another one
        np.testing.assert_allclose(found.scorer.predict_table(asked), model.predict_proba(asked), rtol=1e-13)


def test_text_and_missing_values_may_be_categories_themselves(tmp_path: Path) -> None:
    """Of a table the booster makes codes itself, without a step before it."""
    known = KNOWN.assign(origin=KNOWN["origin"].where(KNOWN["minute"] % 9 > 0))
    model = HistGradientBoostingRegressor(max_iter=10, categorical_features=["origin", "carrier"])
    table = known.drop(columns=["minute", "delay", "rain"])
    found = tried(tmp_path, model.fit(table, LATE), table)
    assert found.translation.kept, found.translation.reason
    asked = odd_flights([1.0])[table.columns]
    assert (found.scorer.predict_table(asked) == model.predict(asked)).all()


def test_an_infinite_number_is_no_category(tmp_path: Path) -> None:
    table = KNOWN[["carrier", "delay"]]
    model = HistGradientBoostingRegressor(max_iter=2, categorical_features=[0]).fit(table, LATE)
    found = tried(tmp_path, model, table)
    asked = pd.DataFrame({"carrier": [1.0, np.inf], "delay": [np.inf, 0.0]})
    with pytest.raises(ValueError, match="infinity"):
        model.predict(asked)
    with pytest.raises(Outside) as caught:
        found.scorer.predict_table(asked)
    assert caught.value.inside.tolist() == [True, False]


def test_gradient_boosting_adds_from_where_it_starts(tmp_path: Path) -> None:
    table = KNOWN[["carrier", "minute", "rain"]]
    model = GradientBoostingRegressor(n_estimators=40, max_depth=2).fit(table, LATE)
    found = tried(tmp_path, model, table)
    asked = flights(4)[table.columns]
    assert (found.scorer.predict_table(asked) == model.predict(asked)).all()


# ---- other libraries -------------------------------------------------------------------------------------------------

NUMBERS = KNOWN[["carrier", "minute", "delay", "rain"]]


def xgboost(kind: str, **settings: Any) -> Any:
    return getattr(pytest.importorskip("xgboost"), kind)(n_estimators=8, n_jobs=1, **settings)


def lightgbm(kind: str, **settings: Any) -> Any:
    return getattr(pytest.importorskip("lightgbm"), kind)(n_estimators=8, n_jobs=1, verbose=-1, **settings)


BOOSTERS = {
    "xgboost amounts": lambda: xgboost("XGBRegressor"),
    "xgboost counts": lambda: xgboost("XGBRegressor", objective="count:poisson"),
    "xgboost two classes": lambda: xgboost("XGBClassifier", base_score=0.3),
    "xgboost three classes": lambda: xgboost("XGBClassifier"),
    "lightgbm amounts": lambda: lightgbm("LGBMRegressor"),
    "lightgbm counts": lambda: lightgbm("LGBMRegressor", objective="poisson", zero_as_missing=True),
    "lightgbm two classes": lambda: lightgbm("LGBMClassifier", use_missing=False),
    "lightgbm three classes": lambda: lightgbm("LGBMClassifier", zero_as_missing=True),
}
TARGETS = {"amounts": LATE, "counts": np.abs(LATE).round(), "two": (LATE > 20).astype(int), "three": LATE // 30 % 3}


def splits(model: Any) -> list[float]:
    if type(model).__module__.startswith("xgboost"):
        trees = json.loads(bytes(model.get_booster().save_raw("json")))["learner"]["gradient_booster"]["model"]["trees"]
        pairs = [zip(tree["split_conditions"], tree["left_children"], strict=True) for tree in trees]
        return [float(np.float32(value)) for pair in pairs for value, left in pair if left >= 0]
    table = model.booster_.trees_to_dataframe()
    return [float(value) for value in table["threshold"].dropna()]


STEPS = [*((name, False) for name in BOOSTERS), ("xgboost amounts", True), ("lightgbm three classes", True)]


@pytest.mark.parametrize(("name", "last"), STEPS)
def test_other_libraries_boosting_takes_their_branches(name: str, last: bool, tmp_path: Path) -> None:
    booster = BOOSTERS[name]()
    model = make_pipeline(make_column_transformer((StandardScaler(), ["minute"]), remainder="passthrough"), booster)
    model = (model if last else booster).fit(NUMBERS, TARGETS[name.split()[1]])
    asked = odd_flights(splits(booster))[NUMBERS.columns]
    tiny = [0.0, -0.0, 1e-35, -1e-35, 1.1e-35, 5e-324, 1e-40, 3e38, 1e39, -1e308]
    asked.loc[:9, "rain"] = asked.loc[10:19, "delay"] = tiny
    method = "predict_proba" if hasattr(booster, "classes_") else "predict"
    found = tried(tmp_path, model, NUMBERS, method=method)
    assert found.translation.kept, found.translation.reason
    given, expected = found.scorer.predict_table(asked), getattr(model, method)(asked)
    if name.endswith("amounts"):
        assert (given == expected).all()
    ulps = 4 * np.finfo(expected.dtype).eps
    np.testing.assert_allclose(given, expected, rtol=ulps if "xgboost" in name else 1e-12, atol=1e-30)
    if method == "predict_proba":
        assert (given.argmax(axis=1) == expected.argmax(axis=1)).all()


def lone(library: str, target: Any, objective: str) -> Any:
    """What the library's own `train` gives."""
    if library == "xgboost":
        xgb = pytest.importorskip("xgboost")
        return xgb.train({"objective": objective, "nthread": 1}, xgb.DMatrix(NUMBERS, target), 6)
    lgb = pytest.importorskip("lightgbm")
    settings = {"objective": objective, "num_threads": 1, "verbose": -1}
    return lgb.train(settings, lgb.Dataset(NUMBERS, target), 6)


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_a_booster_alone_answers_the_probability_of_the_second_class(library: str, tmp_path: Path) -> None:
    model = lone(library, LATE > 20, "binary:logistic" if library == "xgboost" else "binary")
    found = tried(tmp_path, model, NUMBERS)
    assert found.translation.kept, found.translation.reason
    asked = flights(5)[NUMBERS.columns]
    expected = model.predict(asked) if library == "lightgbm" else model.predict(matrix(asked))
    given = found.scorer.predict_table(asked)
    assert given.shape == (len(asked),)
    np.testing.assert_allclose(given, expected, rtol=4 * np.finfo(expected.dtype).eps)
    infinite = asked.assign(rain=np.inf)
    if library == "lightgbm":
        assert np.isfinite(found.scorer.predict_table(infinite)).all()
    else:
        with pytest.raises(ValueError, match="inf"):
            model.predict(matrix(infinite))
        with pytest.raises(Outside):
            found.scorer.predict_table(infinite)


def matrix(table: pd.DataFrame) -> Any:
    return pytest.importorskip("xgboost").DMatrix(table)


@pytest.mark.parametrize("settings", [{}, {"use_missing": False}], ids=str)
def test_lightgbm_sends_categories_where_it_does(settings: dict[str, bool], tmp_path: Path) -> None:
    """Codes are cut off to whole numbers; those that are negative, too large or missing are in no set."""
    model = lightgbm("LGBMRegressor", min_data_per_group=5, cat_smooth=1, **settings)
    table = NUMBERS[["carrier", "delay"]]
    model.fit(table, LATE, categorical_feature=["carrier"])
    assert (model.booster_.trees_to_dataframe()["decision_type"] == "==").any()
    found = tried(tmp_path, model, table)
    assert found.translation.kept, found.translation.reason
    odd = [np.nan, -1.0, -0.5, -0.0, 0.5, 1.5, 39.9, 40.0, 5e3, 2.0**31, 2.0**32 + 5, 1e300, np.inf, -np.inf, 1e-40]
    asked = pd.concat([flights(6)[table.columns], pd.DataFrame({"carrier": odd, "delay": range(len(odd))})])
    assert (found.scorer.predict_table(asked) == model.predict(asked)).all()


CATEGORIES = KNOWN.assign(origin=KNOWN["origin"].where(KNOWN["minute"] % 9 > 0)).astype(
    {"origin": "category", "carrier": "category"}
)[["origin", "carrier", "delay"]]


@pytest.mark.parametrize("library", ["scikit-learn", "lightgbm"])
def test_columns_of_categories_are_said_as_values_and_split_as_categories(library: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"min_data_per_group": 5, "cat_smooth": 1}
    model = (
        lightgbm("LGBMRegressor", **settings) if library == "lightgbm" else HistGradientBoostingRegressor(max_iter=8)
    )
    found = tried(tmp_path, model.fit(CATEGORIES, LATE), CATEGORIES)
    assert found.translation.kept, found.translation.reason
    told = flights(7).assign(origin=lambda f: f["origin"].where(f["minute"] % 5 > 0))[CATEGORIES.columns]
    assert (found.scorer.predict_table(told) == model.predict(told.astype(CATEGORIES.dtypes))).all()
    unknown = told.head(3).assign(origin=["JFK", "ORD", None], carrier=[1.0, 2.0, 77.5])
    if library == "scikit-learn":  # it takes values as they are, and what it does not know for missing
        assert (found.scorer.predict_table(unknown) == model.predict(unknown)).all()
        return
    with pytest.raises(Outside) as caught:
        found.scorer.predict_table(unknown)
    assert [(p.row, p.reason) for p in caught.value.fields] == [
        (1, "a category that the model does not know"),
        (2, "a category that the model does not know"),
    ]


def half_squares(true: Any, raw: Any) -> tuple[Any, Any]:
    return raw - true, np.ones_like(true)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda: xgboost("XGBRegressor", booster="dart"), "XGBoost's dart"),
        (lambda: xgboost("XGBRegressor", missing=0.0), "takes 0.0 for missing"),
        (lambda: xgboost("XGBRegressor", objective="reg:logistic"), "the objective reg:logistic"),
        (lambda: lightgbm("LGBMRegressor", linear_tree=True), "with linear trees"),
        (lambda: lightgbm("LGBMRegressor", objective=half_squares), "the objective custom"),
        (lambda: lightgbm("LGBMClassifier", objective=half_squares), "the objective custom"),
        (lambda: lightgbm("LGBMRegressor", objective="regression", reg_sqrt=True), "a target that it transforms"),
    ],
)
def test_of_other_boosting_the_reason_is_said(made: Any, reason: str, tmp_path: Path) -> None:
    model = made()
    is_yes_or_no = "logistic" in reason or hasattr(model, "predict_proba")
    target = (LATE > 20).astype(float) if is_yes_or_no else LATE
    found = tried(tmp_path, model.fit(NUMBERS, target), NUMBERS)
    assert reason in found.translation.reason
    assert not found.translation.kept


def test_steps_refuse_what_the_booster_would_take(tmp_path: Path) -> None:
    scaled = make_column_transformer((StandardScaler(), ["rain"]), remainder="passthrough")
    model = make_pipeline(scaled, HistGradientBoostingRegressor(max_iter=2)).fit(NUMBERS, LATE)
    found = tried(tmp_path, model, NUMBERS)
    asked = NUMBERS.head(4).reset_index(drop=True)
    asked.loc[1, "rain"], asked.loc[2, "rain"], asked.loc[3, "delay"] = np.inf, np.nan, np.inf
    with pytest.raises(ValueError, match="infinity"):
        model.predict(asked)
    with pytest.raises(Outside) as caught:
        found.scorer.predict_table(asked)
    assert caught.value.inside.tolist() == [True, False, True, True]
