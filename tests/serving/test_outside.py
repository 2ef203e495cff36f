"""Rows that a translation does not answer as the model does: the model itself answers them, or they are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("skl2onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

from nb2prod.serving.app import create_app
from nb2prod.serving.loading import load_translation

REVIEWS = ["a good film", "a bad film", "schöner Film, good", "not bad", "good good film", "bad"] * 4


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory, package_of: Callable[..., str]) -> tuple[Path, Any]:
    """A package with a translation of words in ASCII, and its model."""
    import mlflow.sklearn
    import pandas
    from mlflow.models import infer_signature
    from sklearn.compose import make_column_transformer
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    from nb2prod.core.model_package import FormatChoice
    from nb2prod.core.result import Artifact
    from nb2prod.stages.model_folder import Kept, Written
    from nb2prod.stages.signature import Described
    from nb2prod.stages.translate import translate
    from nb2prod.storage.artifacts import Stored

    table = pandas.DataFrame({"text": REVIEWS})
    model = make_pipeline(make_column_transformer((TfidfVectorizer(), "text")), LogisticRegression())
    model.fit(table, table["text"].str.contains("good").map({True: "likes", False: "dislikes"}))
    example = table[table["text"].str.isascii()]
    answer, folder = model.predict(example), tmp_path_factory.mktemp("models") / "reviews"
    signature = infer_signature(example, answer)
    mlflow.sklearn.save_model(
        model,
        folder,
        signature=signature,
        input_example=example.head(3),
        pip_requirements=["mlflow-skinny", "scikit-learn"],
        serialization_format="cloudpickle",
    )
    kept = Kept(model, Artifact("model", "model", "", "", "", {}), example, answer, None)
    written = Written(Described(example, signature), FormatChoice("cloudpickle", ""), (), Stored(folder, ""))
    assert translate(folder, kept, written).kept
    (folder / "parity.json").write_text(json.dumps({"paths": [{"path": "onnx", "verdict": "equal"}]}))
    package_of(folder, name="reviews", version="1")
    return folder, model


@pytest.mark.parametrize("count", [1, 500], ids=["few rows", "many rows"])
def test_the_model_itself_answers_the_rows_outside(
    reviews: tuple[Path, Any], serving: Callable[[Any], Any], count: int
) -> None:
    folder, model = reviews
    rows = [{"text": text} for text in ("good", "schön, bad", "bad", "good, très good")] * count
    with serving(create_app(folder)) as client:
        answer = client.post("/predict", json={"rows": rows})
        about = client.get("/").json()
    import pandas

    assert about["runtime"] == "onnx"
    assert answer.json()["predictions"] == model.predict(pandas.DataFrame(rows)).tolist()


def test_without_the_model_they_are_refused_by_row_and_reason(
    reviews: tuple[Path, Any], serving: Callable[[Any], Any]
) -> None:
    folder, _ = reviews
    with serving(create_app(folder, loader=load_translation)) as client:
        good = client.post("/predict", json={"rows": [{"text": "good"}]})
        refused = client.post("/predict", json={"rows": [{"text": "good"}, {"text": "schön"}]})
        spoken = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["schön"]}
        inferred = client.post("/v2/models/reviews/infer", json={"inputs": [spoken]})
    assert good.json()["predictions"] == ["likes"]
    assert refused.status_code == 422
    assert refused.json()["error"]["fields"] == [
        {"row": 1, "field": "(the row)", "reason": "text with letters beyond ASCII"}
    ]
    assert (inferred.status_code, "beyond ASCII" in inferred.json()["error"]) == (422, True)
    assert "schön" not in refused.text + inferred.text


def test_a_number_too_large_for_the_model_itself_is_refused_and_no_failure(
    tmp_path: Path, serving: Callable[[Any], Any]
) -> None:
    """A forest reads numbers in single precision; its refusal of 1e39 is told as such, as its translation does."""
    import mlflow.sklearn
    import pandas
    from mlflow.models import infer_signature
    from sklearn.ensemble import RandomForestClassifier

    table = pandas.DataFrame({"x": [0.5, 1.5, 2.5, 3.5] * 5})
    model = RandomForestClassifier(3, random_state=0).fit(table, table["x"] > 2)
    mlflow.sklearn.save_model(
        model,
        tmp_path / "forest",
        signature=infer_signature(table, model.predict(table)),
        input_example=table.head(2),
        pip_requirements=["mlflow-skinny", "scikit-learn"],
        serialization_format="cloudpickle",
    )
    with serving(create_app(tmp_path / "forest")) as client:
        answers = [client.post("/predict", json={"rows": [{"x": x}]}) for x in (1.0, 1e39, 3.0)]
    assert [answer.status_code for answer in answers] == [200, 422, 200]
    (problem,) = answers[1].json()["error"]["fields"]
    assert problem["reason"] == "a number that is too large for the model, or missing"
