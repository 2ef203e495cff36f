"""A forest that is asked about sorted rows answers as it does otherwise, to the last bit and in the rows' order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import ExtraTreesClassifier, GradientBoostingRegressor, RandomForestClassifier
from sklearn.ensemble import RandomForestRegressor as Regressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from nb2prod.stages.scoring import forests

RNG = np.random.default_rng(0)
ROWS = pd.DataFrame(RNG.normal(size=(forests.LEAST_ROWS + 100, 4)), columns=list("abcd")).assign(
    n=RNG.integers(0, 5, forests.LEAST_ROWS + 100)
)
Y = ROWS["a"] * ROWS["b"] + ROWS["n"]
TEXT = ROWS.assign(n=ROWS["n"].map(str))
ENCODED = make_column_transformer((OneHotEncoder(), ["n"]), remainder="passthrough")


@pytest.mark.parametrize(
    ("model", "rows", "method"),
    [
        (Regressor(20, n_jobs=2, max_depth=4, random_state=0).fit(ROWS, Y), ROWS, "predict"),
        (make_pipeline(ENCODED, Regressor(20, max_depth=4, random_state=0)).fit(TEXT, Y), TEXT, "predict"),
        (RandomForestClassifier(20, max_depth=4, random_state=0).fit(ROWS, Y > 2), ROWS, "predict_proba"),
        (ExtraTreesClassifier(20, max_depth=4, random_state=0).fit(ROWS.to_numpy(), Y > 2), ROWS.to_numpy(), "predict"),
    ],
)
def test_sorted_rows_are_answered_as_they_are(model: Any, rows: Any, method: str) -> None:
    ask = forests.sorting(model, method)
    assert ask is not None
    found, expected = ask(rows), getattr(model, method)(rows)
    assert found.tobytes() == expected.tobytes()
    assert found.dtype == expected.dtype


def test_rows_with_missing_values_are_sorted_too() -> None:
    rows = ROWS.mask(RNG.random(ROWS.shape) < 0.2)
    model = Regressor(20, max_depth=4, random_state=0).fit(rows, Y)
    ask = forests.sorting(model, "predict")
    assert ask is not None
    assert ask(rows).tolist() == model.predict(rows).tolist()


@pytest.mark.parametrize(
    "model",
    [
        GradientBoostingRegressor(n_estimators=20).fit(ROWS[:50], Y[:50]),
        Regressor(3).fit(ROWS[:50], Y[:50]),
        Regressor(20, max_depth=2).fit(ROWS[:50], np.stack([Y, Y], axis=1)[:50]),
    ],
)
def test_other_models_are_asked_as_they_are(model: Any) -> None:
    assert forests.sorting(model, "predict") is None
