"""`POST /predict`: typed rows in, the model's own predictions out, and every refusal by its field without values."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

Fields = list[tuple[int | None, str, str]]


def _records(frame: Any) -> list[dict[str, Any]]:
    """A table's rows as a client has them: a missing value is None."""
    rows = frame.to_dict("records")
    return [{k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()} for row in rows]


def _refused(client: httpx.Client, body: Any, status: int = 422) -> Fields:
    content = body if isinstance(body, bytes | str) else json.dumps(body)
    answer = client.post("/predict", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    return [(f["row"], f["field"], f["reason"]) for f in answer.json()["error"]["fields"]]


def test_predictions_are_bit_for_bit_those_of_the_model(
    client: httpx.Client, customer_model: Path, customers: Any
) -> None:
    import mlflow.pyfunc

    expected = mlflow.pyfunc.load_model(str(customer_model)).predict(customers).tolist()
    answer = client.post("/predict", json={"rows": _records(customers)}).json()
    assert answer["predictions"] == expected


def test_a_row_gets_the_same_prediction_alone_as_among_others(client: httpx.Client, customers: Any) -> None:
    """Also when its missing value makes a whole column empty; but for the last bits, which linear algebra rounds."""
    rows = _records(customers.head(20))
    assert any(row["score"] is None for row in rows)
    together = client.post("/predict", json={"rows": rows}).json()["predictions"]
    alone = [client.post("/predict", json={"rows": [row]}).json()["predictions"][0] for row in rows]
    assert alone == [pytest.approx(prediction, rel=1e-9) for prediction in together]


def test_an_optional_column_may_be_left_out_which_is_as_null(client: httpx.Client, customer: dict[str, Any]) -> None:
    absent = {name: value for name, value in customer.items() if name != "score"}
    answer = client.post("/predict", json={"rows": [absent, {**absent, "score": None}]}).json()["predictions"]
    assert answer[0] == answer[1]
    alone = client.post("/predict", json={"rows": [absent]}).json()["predictions"]
    assert alone == client.post("/predict", json={"rows": [{**absent, "score": None}]}).json()["predictions"]


def test_an_answer_says_which_model_gave_it(
    client: httpx.Client, customer: dict[str, Any], customer_model: Path
) -> None:
    import hashlib

    digest = hashlib.sha256((customer_model / "checksums").read_bytes()).hexdigest()
    answer = client.post("/predict", json={"rows": [customer]})
    assert answer.json()["model"] == {"name": "customers", "version": "3", "digest": digest}
    assert answer.headers["x-model-digest"] == digest


def test_no_rows_get_no_predictions(client: httpx.Client) -> None:
    answer = client.post("/predict", json={"rows": []})
    assert (answer.status_code, answer.json()["predictions"]) == (200, [])


WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "a number in quotes": ({"age": "30"}, "age", "not an integer"),
    "a number in quotes for a float": ({"income (k$)": "10.5"}, "income (k$)", "not a number"),
    "true for an integer": ({"age": True}, "age", "not an integer"),
    "true for a float": ({"income (k$)": True}, "income (k$)", "not a number"),
    "a float for an integer": ({"age": 30.5}, "age", "not an integer"),
    "1 for true": ({"member": 1}, "member", "not true or false"),
    "a number for text": ({"city": 7}, "city", "not text"),
    "null": ({"city": None}, "city", "null, but a value is required"),
    "an unknown column": ({"agee": 30}, "agee", "the model's signature has no such field"),
    "more than 64 bits": ({"age": 2**63}, "age", "too large for its type"),
    "an integer that no float holds": ({"income (k$)": 10**399}, "income (k$)", "not a number"),
    "a list": ({"age": [30]}, "age", "not an integer"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_value_is_refused_by_its_row_and_field(
    client: httpx.Client, customer: dict[str, Any], wrong: str
) -> None:
    change, field, reason = WRONG[wrong]
    assert _refused(client, {"rows": [customer, {**customer, **change}]}) == [(1, field, reason)]


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_a_number_that_is_not_finite_is_refused_by_its_field(
    client: httpx.Client, customer: dict[str, Any], literal: str
) -> None:
    body = json.dumps({"rows": [{**customer, "score": 12345.5}]}).replace("12345.5", literal)
    assert _refused(client, body) == [(0, "score", "not a finite number")]


def test_all_that_is_wrong_is_listed_at_once_and_no_value_is(client: httpx.Client, customer: dict[str, Any]) -> None:
    secret = {**customer, "age": "4711-secret", "city": 4711, "other": "4711-secret"}
    answer = client.post("/predict", json={"rows": [secret, {}]})
    fields = {(f["row"], f["field"]) for f in answer.json()["error"]["fields"]}
    assert fields == {(0, "age"), (0, "city"), (0, "other"), *((1, c) for c in customer if c != "score")}
    assert "4711" not in answer.text


@pytest.mark.parametrize("body", [[], {}, {"rows": {}}, {"rows": [], "more": 1}, {"instances": []}, "7", "null"])
def test_a_body_that_is_not_rows_is_refused(client: httpx.Client, body: Any) -> None:
    assert _refused(client, body) == []


def test_a_row_that_is_no_object_is_refused(client: httpx.Client) -> None:
    assert _refused(client, {"rows": [[30]]}) == [(0, "(the row)", "not an object")]


def test_more_rows_than_the_limit_are_too_many(client: httpx.Client, customer: dict[str, Any]) -> None:
    assert client.post("/predict", json={"rows": [customer] * 1000}).status_code == 200
    assert _refused(client, {"rows": [customer] * 1001}, 413) == []


def test_the_openapi_document_has_the_rows_types_and_an_example_that_works(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    schemas = document["components"]["schemas"]
    row = schemas["Row"]
    kinds = {name: column.get("type") or column["anyOf"] for name, column in row["properties"].items()}
    assert kinds == {
        "age": "integer",
        "income (k$)": "number",
        "city": "string",
        "member": "boolean",
        "score": [{"type": "number"}, {"type": "null"}],
    }
    assert (row["required"], row["additionalProperties"]) == (["age", "income (k$)", "city", "member"], False)
    example = schemas["PredictRequest"]["examples"][0]
    assert len(client.post("/predict", json=example).json()["predictions"]) == len(example["rows"]) == 3


def test_dates_reach_the_model_to_the_nanosecond(tmp_path: Path, serving: Callable[[Any], Any]) -> None:
    import mlflow.pyfunc
    import mlflow.sklearn
    import pandas
    from mlflow.models import infer_signature
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    from nb2prod.serving.app import create_app

    texts = ["2024-01-31T12:30:00.123456789", "2024-01-31T12:30:00.123456788", "2024-02-29", "1999-12-31 23:59"]
    frame = pandas.DataFrame({"seen": pandas.to_datetime(texts, format="ISO8601").as_unit("ns")})
    model = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(frame, ["a", "b", "c", "d"])
    mlflow.sklearn.save_model(
        model,
        tmp_path / "dates",
        signature=infer_signature(frame, model.predict(frame)),
        input_example=frame,
        pip_requirements=["mlflow-skinny", "scikit-learn"],
        serialization_format="cloudpickle",
    )
    assert mlflow.pyfunc.load_model(str(tmp_path / "dates")).predict(frame).tolist() == ["a", "b", "c", "d"]
    with serving(create_app(tmp_path / "dates")) as client:
        answer = client.post("/predict", json={"rows": [{"seen": text} for text in texts]})
        assert answer.json()["predictions"] == ["a", "b", "c", "d"]
        wrong = ["2024-01-31T12:30:00Z", "2024-02-30", "31.1.2024", "1066-10-14", "20240131", 1706704200]
        fields = _refused(client, {"rows": [{"seen": text} for text in wrong]})
        assert [(row, field) for row, field, _ in fields] == [(row, "seen") for row in range(len(wrong))]
        assert client.post("/invocations", json={"inputs": texts}).json()["predictions"] == ["a", "b", "c", "d"]


def test_a_model_of_an_array_takes_rows_that_are_lists(tmp_path: Path, serving: Callable[[Any], Any]) -> None:
    import mlflow.sklearn
    import numpy
    from mlflow.models import infer_signature
    from sklearn.linear_model import LinearRegression

    from nb2prod.serving.app import create_app

    x = numpy.array([[1.0, 2.0], [3.0, 5.0], [4.0, 4.0]])
    model = LinearRegression().fit(x, [1 / 3, 2 / 3, 5 / 3])
    mlflow.sklearn.save_model(
        model, tmp_path / "m", signature=infer_signature(x, model.predict(x)), pip_requirements=["mlflow-skinny"]
    )
    expected = model.predict(x).tolist()
    with serving(create_app(tmp_path / "m")) as client:
        assert client.post("/predict", json={"rows": x.tolist()}).json()["predictions"] == expected
        for spelled in ("instances", "inputs"):
            assert client.post("/invocations", json={spelled: x.tolist()}).json()["predictions"] == expected
        split = {"columns": ["a", "b"], "data": x.tolist()}
        assert client.post("/invocations", json={"dataframe_split": split}).json()["predictions"] == expected
        too_long = (0, "(the row)", "too many items")
        assert _refused(client, {"rows": [[1, 2, 3], [1, "2"]]}) == [too_long, (1, "1", "not a number")]


def test_a_model_without_signature_has_no_predict_and_says_so(tmp_path: Path, serving: Callable[[Any], Any]) -> None:
    import mlflow.sklearn
    from sklearn.linear_model import LinearRegression

    from nb2prod.serving.app import create_app

    model = LinearRegression().fit([[1.0], [2.0]], [1.0, 3.0])
    mlflow.sklearn.save_model(model, tmp_path / "m", pip_requirements=["mlflow-skinny"])
    with serving(create_app(tmp_path / "m")) as client:
        assert client.post("/predict", json={"rows": [[1.0]]}).status_code == 404
        assert "/predict" not in client.get("/openapi.json").json()["paths"]
        assert client.post("/invocations", json={"inputs": [[1.0], [2.0]]}).json() == {
            "predictions": model.predict([[1.0], [2.0]]).tolist()
        }
        assert client.post("/invocations", json={"inputs": []}).json() == {"predictions": []}
        assert client.post("/invocations", content='{"inputs": [[NaN]]}', headers=JSON).status_code == 422


JSON = {"content-type": "application/json"}
