"""Boosted models beside their ONNX translations, on rows that the translations were not compared with when made.

python benchmarks/translations.py [--rows 20000]    writes results/translations.json

Numbers lie at the models' own thresholds and at the next float on both sides, in double and in single precision, or are
missing, zero, next to zero or huge; categories are known, unknown and missing. For every model: how many answers are
the model's to the last bit, by how much the others differ, how many labels are others, and how long one row takes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from tests.stages.translating.tried import tried  # noqa: E402

FITTED, ODD = 4000, [0.0, -0.0, 1e-35, -1e-35, 1.1e-35, 5e-324, 1e-40, 3e38, 1e39, -1e308, np.nan]
CITIES = ["Bonn", "Lima", "Oslo", "Rome", "Wien"]


def rows(seed: int, count: int) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    amount = draw.normal(0, 1e3, count)
    return pd.DataFrame(
        {
            "city": draw.choice(CITIES, count),
            "shop": draw.integers(0, 120, count).astype("float64"),
            "amount": np.where(draw.random(count) < 0.1, np.nan, amount),
            "rate": np.where(draw.random(count) < 0.3, 0.0, draw.lognormal(0, 2, count)),
        }
    )


def targets(table: pd.DataFrame) -> dict[str, Any]:
    level = table["amount"].fillna(50) / 500 + table["shop"] % 7 + 2 * table["city"].isin(["Lima", "Wien"])
    return {
        "amounts": level + table["rate"].clip(0, 9),
        "two": (level > 4).astype(int),
        "three": (level % 3).astype(int),
    }


def hard(model: Any, count: int, columns: list[str]) -> pd.DataFrame:
    """Rows at and beside the model's thresholds."""
    draw = np.random.default_rng(1)
    table, at = rows(2, count), np.array(sorted(set(thresholds(model))))
    for column in ("amount", "rate"):
        picked = draw.choice(at[np.isfinite(at)], count)
        single = picked.astype("float32")
        beside = [
            picked,
            np.nextafter(picked, np.inf),
            np.nextafter(picked, -np.inf),
            np.nextafter(single, np.float32(np.inf)).astype("float64"),
            np.nextafter(single, np.float32(-np.inf)).astype("float64"),
            draw.choice(ODD, count),
            table[column].to_numpy(),
        ]
        table[column] = np.choose(draw.integers(0, len(beside), count), beside)
    table["shop"] = np.where(
        draw.random(count) < 0.1, draw.choice([-1, 119.5, 120, 300, 1e9, np.nan], count), table["shop"]
    )
    table["city"] = table["city"].astype(object).where(draw.random(count) > 0.05, draw.choice([None, "??"], count))
    return table[columns]


def thresholds(model: Any) -> Iterator[float]:
    kind = type(model).__module__.partition(".")[0]
    if kind == "sklearn":
        for nodes in (one.nodes for stage in model._predictors for one in stage):
            yield from nodes["num_threshold"][(nodes["is_leaf"] == 0) & (nodes["is_categorical"] == 0)].tolist()
    elif kind == "xgboost":
        for tree in model.get_booster().trees_to_dataframe()["Split"].dropna():
            yield float(np.float32(tree))
    else:
        split = model.booster_.trees_to_dataframe()
        yield from split.loc[split["decision_type"] == "<=", "threshold"].astype("float64")


def models() -> Iterator[tuple[str, Any, list[str], str]]:
    """A name, a model, the columns that it takes, and which target it learns."""
    import lightgbm
    import xgboost
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    every, numeric = ["city", "shop", "amount", "rate"], ["shop", "amount", "rate"]
    coded: dict[str, Any] = {"categorical_features": ["city", "shop"], "max_iter": 100}
    yield "histogram boosting", HistGradientBoostingRegressor(**coded), every, "amounts"
    yield "histogram boosting", HistGradientBoostingClassifier(**coded), every, "two"
    yield "histogram boosting", HistGradientBoostingClassifier(**coded), every, "three"
    fast: dict[str, Any] = {"n_estimators": 100, "n_jobs": 1}
    yield "XGBoost", xgboost.XGBRegressor(**fast), numeric, "amounts"
    yield "XGBoost, Poisson", xgboost.XGBRegressor(objective="count:poisson", **fast), numeric, "two"
    yield "XGBoost", xgboost.XGBClassifier(**fast), numeric, "two"
    yield "XGBoost", xgboost.XGBClassifier(**fast), numeric, "three"
    for name, more in (("LightGBM", {}), ("LightGBM, 0 is missing", {"zero_as_missing": True})):
        quiet: dict[str, Any] = {"verbose": -1, **fast, **more}
        yield name, lightgbm.LGBMRegressor(**quiet), numeric, "amounts"
        yield name, lightgbm.LGBMClassifier(**quiet), numeric, "two"
        yield name, lightgbm.LGBMClassifier(**quiet), numeric, "three"


def compared(name: str, model: Any, columns: list[str], target: str, count: int, folder: Path) -> dict[str, Any]:
    known = rows(0, FITTED)
    model.fit(known[columns], targets(known)[target])
    method = "predict" if target == "amounts" or "Poisson" in name else "predict_proba"
    found = tried(folder, model, known[columns], method=method)
    if not found.translation.kept:
        return {"model": name, "target": target, "kept": False, "reason": found.translation.reason}
    scorer, asked = found.scorer, hard(model, count, columns)
    given, expected = scorer.predict_table(asked), getattr(model, method)(asked)
    one, first = asked.head(1), known[columns].head(1).to_dict("records")
    return {
        "model": name,
        "target": target,
        "kept": True,
        "rows": count,
        "exact": int((given == expected).reshape(count, -1).all(axis=1).sum()),
        "relative": float(np.max(np.abs(given - expected) / np.abs(expected), initial=0.0)),
        "flips": int((given.argmax(axis=1) != expected.argmax(axis=1)).sum()) if given.ndim == 2 else 0,
        "one_row_us": {
            "translation": median_us(lambda: scorer.predict(first, fill=True), 1000),
            "model": median_us(lambda: getattr(model, method)(one), 50),
        },
    }


def median_us(call: Callable[[], Any], times: int) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return round(float(np.median(taken)) * 1e6, 1)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=20_000)
    count = options.parse_args().rows
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, model, columns, target in models():
            with tempfile.TemporaryDirectory() as folder:
                found.append(compared(name, model, columns, target, count, Path(folder)))
            print(json.dumps(found[-1]), flush=True)
    (HERE / "results" / "translations.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
