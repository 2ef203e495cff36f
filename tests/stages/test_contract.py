"""What a contract says of columns: the notebook's words, what the example had, and rules where the model has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from nb2prod.core.model_package import FormatChoice
from nb2prod.core.notebook import Cell, Notebook
from nb2prod.core.result import Artifact
from nb2prod.serving.contract import Facts, read_contract
from nb2prod.stages import contract
from nb2prod.stages.model_folder import Kept, Written
from nb2prod.stages.signature import Described
from nb2prod.storage.artifacts import Stored

DRAW = np.random.default_rng(0)
PEOPLE = pd.DataFrame(
    {
        "id": np.arange(1000, 1120),
        "age": DRAW.integers(18, 22, 120),
        "income": DRAW.lognormal(10, 1, 120),
        "city": [*["Rome", "Oslo"] * 59, "Köln", "Köln"],
        "name": [f"person {number}" for number in range(120)],
        "grade": DRAW.integers(1, 4, 120),
    }
)


def columns_of(model: Any, example: pd.DataFrame, notebook: Notebook | None = None) -> dict[str, dict[str, Any]]:
    answer = model.predict(example)
    kept = Kept(model, Artifact("model", "model", "", "", "", {}), example, answer, None)
    described = Described(example, infer_signature(example, answer))
    return contract.columns(kept, Written(described, FormatChoice("skops", ""), (), Stored(Path(), "")), notebook)


def fitted(encoder: Any, *before: Any) -> Any:
    columns = make_column_transformer((encoder, ["city", "grade"]), remainder="drop")
    return make_pipeline(*before, columns, LogisticRegression()).fit(PEOPLE, PEOPLE["age"] > 19)


def test_what_the_example_had_is_told_without_anything_about_one_person() -> None:
    found = columns_of(fitted(OneHotEncoder(handle_unknown="ignore")), PEOPLE)
    assert found["id"] == found["name"] == {"nullable": False}
    assert found["city"] == {"values": ["Oslo", "Rome"], "nullable": False}, "two rows are too few for Köln"
    assert found["age"] == {"minimum": 18, "maximum": 21, "nullable": False}
    low, high = PEOPLE["income"].min(), PEOPLE["income"].max()
    assert found["income"]["minimum"] < low
    assert high < found["income"]["maximum"]
    assert {float(f"{bound:.1e}") for bound in (found["income"]["minimum"], found["income"]["maximum"])} == {
        found["income"]["minimum"],
        found["income"]["maximum"],
    }


@pytest.mark.parametrize(
    "before", [(), (FunctionTransformer(lambda d: d.assign(more=1)),)], ids=["alone", "after a function"]
)
def test_values_are_a_rule_where_the_model_fails_for_another(before: tuple[Any, ...]) -> None:
    found = columns_of(fitted(OneHotEncoder(), *before), PEOPLE)
    assert found["city"] == {"values": ["Köln", "Oslo", "Rome"], "enforced": True, "nullable": False}
    assert found["grade"] == {"values": [1, 2, 3], "enforced": True, "nullable": False}
    assert "enforced" not in columns_of(fitted(OneHotEncoder(handle_unknown="ignore"), *before), PEOPLE)["city"]


def test_a_rule_has_the_models_values_also_those_that_the_example_has_not() -> None:
    model = fitted(OneHotEncoder())
    assert columns_of(model, PEOPLE.head(3))["city"]["values"] == ["Köln", "Oslo", "Rome"]


def test_descriptions_are_the_notebooks_own_words() -> None:
    prose = """Of each person:

- `age`, `income`: in full years, and in
  crowns a year
- `city`: where they *live*; `grade`: at **school**
* **`name`** — as it was given

| column | meaning |
| --- | --- |
| `id` | a number of the register |

Here `age` is what matters: it decides.
"""
    notebook = Notebook(Path("x.ipynb"), (Cell(0, "code", "# `city`: no prose"), Cell(1, "markdown", prose)))
    assert contract.described(notebook, list(PEOPLE.columns)) == {
        "age": "in full years, and in crowns a year",
        "income": "in full years, and in crowns a year",
        "city": "where they live",
        "grade": "at school",
        "name": "as it was given",
        "id": "a number of the register",
    }


def test_the_service_reads_what_is_written(tmp_path: Path) -> None:
    example = PEOPLE[["city", "grade", "income"]].assign(income=PEOPLE["income"].where(PEOPLE["grade"] > 1))
    model = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["city"]), remainder="drop"), LogisticRegression()
    ).fit(example, example["grade"] > 1)
    answer = model.predict(example)
    kept = Kept(model, Artifact("model", "model", "", "", "", {}), example, answer, None)
    written = Written(
        Described(example, infer_signature(example, answer)), FormatChoice("skops", ""), (), Stored(Path(), "")
    )
    contract.write(tmp_path, kept, written)
    content = (tmp_path / "contract.json").read_bytes()
    assert json.loads(content)["columns"]["income"]["nullable"] is True
    known = read_contract(content, where="contract.json")
    assert known.of("city") == Facts(values=("Köln", "Oslo", "Rome"), enforced=True)
    assert known.of("grade") == Facts(minimum=1, maximum=3)
