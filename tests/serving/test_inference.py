"""`/v2`: the Open Inference Protocol, whose tensors are the signature's columns in their own types."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

INFER = "/v2/models/customers/infer"
TYPES = {"age": "INT64", "income (k$)": "FP64", "city": "BYTES", "member": "BOOL", "score": "FP64"}


def _tensors(rows: list[dict[str, Any]], **changed: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows as the protocol has them, with `changed` parts of a tensor by its column."""
    return [
        {"name": name, "shape": [len(rows)], "datatype": kind, "data": [row.get(name) for row in rows]}
        | changed.get(name, {})
        for name, kind in TYPES.items()
    ]


def _refused(client: httpx.Client, body: Any) -> str:
    answer = client.post(INFER, json=body)
    assert (answer.status_code, list(answer.json())) == (400, ["error"]), answer.text
    return str(answer.json()["error"])


def test_the_model_tells_its_tensors(client: httpx.Client) -> None:
    told = client.get("/v2/models/customers").json()
    assert (told["name"], told["versions"]) == ("customers", ["3"])
    assert {one["name"]: one["datatype"] for one in told["inputs"]} == TYPES
    assert told["outputs"] == [{"name": "predictions", "datatype": "FP64", "shape": [-1, 2]}]


def test_columns_get_the_predictions_that_rows_get(client: httpx.Client, customer: dict[str, Any]) -> None:
    rows = [customer, {**customer, "age": 61, "city": "Köln", "score": None}]
    expected = client.post("/predict", json={"rows": rows}).json()["predictions"]
    answer = client.post(INFER, json={"id": "mine", "inputs": _tensors(rows)}).json()
    (output,) = answer.pop("outputs")
    assert answer == {"model_name": "customers", "model_version": "3", "id": "mine"}
    flat = [number for pair in expected for number in pair]
    assert output == {"name": "predictions", "shape": [2, 2], "datatype": "FP64", "data": flat}


def test_a_column_may_be_nested_narrower_or_left_out_when_it_is_optional(
    client: httpx.Client, customer: dict[str, Any]
) -> None:
    plain = client.post(INFER, json={"inputs": _tensors([customer])}).json()
    nested = {"shape": [1, 1], "datatype": "INT32", "data": [[customer["age"]]]}
    assert client.post(INFER, json={"inputs": _tensors([customer], age=nested)}).json() == plain
    without = {name: value for name, value in customer.items() if name != "score"}
    missing = [tensor for tensor in _tensors([customer]) if tensor["name"] != "score"]
    answer = client.post(INFER, json={"inputs": missing}).json()["outputs"][0]["data"]
    assert answer == client.post("/predict", json={"rows": [without]}).json()["predictions"][0]


def test_what_does_not_fit_gets_400_and_the_protocols_error(client: httpx.Client, customer: dict[str, Any]) -> None:
    def with_age(**change: Any) -> dict[str, Any]:
        return {"inputs": _tensors([customer], age=change)}

    assert "its datatype must be INT64" in _refused(client, with_age(datatype="FP64"))
    assert "its datatype must be INT64" in _refused(client, with_age(datatype={}))
    assert "age: data and shape have different sizes" in _refused(client, with_age(shape=[2]))
    assert "its shape must be [-1]" in _refused(client, with_age(shape=[1, 2]))
    assert "age (row 0): not an integer" in _refused(client, with_age(data=["4711"]))
    assert "4711" not in _refused(client, with_age(data=["4711"]))
    assert "no such input" in _refused(client, with_age(name="agee"))
    assert "there twice" in _refused(client, with_age(name="score", datatype="FP64"))
    assert "different numbers of rows" in _refused(client, with_age(shape=[2], data=[1, 2]))
    assert "age: required" in _refused(client, {"inputs": _tensors([customer])[1:]})
    assert "no such output" in _refused(client, {"inputs": _tensors([customer]), "outputs": [{"name": "x"}]})


@pytest.mark.parametrize("body", [[], {}, {"inputs": {}}, {"inputs": [1]}, {"inputs": [{"name": "age"}]}, {"rows": []}])
def test_a_body_that_is_not_of_the_protocol_gets_400(client: httpx.Client, body: Any) -> None:
    answer = client.post(INFER, json=body)
    assert (answer.status_code, list(answer.json())) == (400, ["error"])


def test_no_rows_get_no_outputs(client: httpx.Client) -> None:
    answer = client.post(INFER, json={"inputs": _tensors([])})
    assert (answer.status_code, answer.json()["outputs"]) == (200, [])


def test_health_and_readiness_are_told_in_the_protocols_words(client: httpx.Client) -> None:
    asked = (
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/customers/ready",
        "/v2/models/customers/versions/3/ready",
    )
    answers = [client.get(path) for path in asked]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200]
    assert [answer.json().popitem() for answer in answers] == [("live", True), *[("ready", True)] * 3]


def test_another_model_or_version_is_not_there(client: httpx.Client) -> None:
    for path in ("/v2/models/other", "/v2/models/customers/versions/4", "/v2/models/other/ready"):
        answer = client.get(path)
        assert (path, answer.status_code, list(answer.json())) == (path, 404, ["error"])


def test_text_that_a_model_answers_is_bytes(obedient: httpx.Client) -> None:
    tensor = {"name": "do", "shape": [2], "datatype": "BYTES", "data": ["a", "Köln"]}
    answer = obedient.post("/v2/models/obedient/infer", json={"inputs": [tensor]}).json()
    expected = {"name": "predictions", "shape": [2], "datatype": "BYTES", "data": ["a", "Köln"]}
    assert answer["outputs"] == [expected]
