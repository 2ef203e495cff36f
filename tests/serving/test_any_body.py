"""Whatever a body is, the answer is predictions or a refusal: never an error of the service, never a value in it."""

from __future__ import annotations

import json
from typing import Any

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROUTES = ("/predict", "/invocations", "/v2/models/customers/infer")
SECRET = "4711-secret"
NAMES = ("age", "income (k$)", "city", "member", "score")
WORDS = ("rows", "inputs", "instances", "dataframe_split", "dataframe_records", "columns", "data", "index", "params")
WORDS += ("name", "shape", "datatype", "outputs", "id", *NAMES)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just(SECRET),
    st.sampled_from(["INT64", "FP64", "BYTES", *NAMES]), st.sampled_from([2**63, -(2**70), 1e308, -0.0]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5),
    max_leaves=20,
)
ROWS = st.fixed_dictionaries(dict.fromkeys(NAMES, SCALARS))
BODIES = st.one_of(
    VALUES,
    ROWS.map(lambda row: {"rows": [row]}),
    ROWS.map(lambda row: {"dataframe_split": {"columns": list(row), "data": [list(row.values())]}}),
    st.lists(
        st.fixed_dictionaries({"name": st.sampled_from(NAMES), "shape": VALUES, "datatype": SCALARS, "data": VALUES}),
        max_size=6,
    ).map(lambda inputs: {"inputs": inputs}),
)


# the same bodies each time; `benchmarks/serving_faults.py` sends others, thousands of them
def wrong_with(client: httpx.Client, route: str, body: bytes, kind: str) -> list[str]:
    """What is wrong with the answer: an error of the service, or a refusal that has a value or a trace."""
    answer = client.post(route, content=body, headers={"content-type": kind})
    if answer.status_code >= 500:
        return [f"{answer.status_code}: {answer.text}"]
    return [] if answer.status_code == 200 else [word for word in (SECRET, "Traceback") if word in answer.text]


def test_the_values_of_a_csv_without_a_header_are_not_repeated(client: httpx.Client) -> None:
    answer = client.post("/invocations", content=f"30,{SECRET}\n".encode(), headers={"content-type": "text/csv"})
    assert (answer.status_code, SECRET in answer.text) == (422, False)
    assert [field["field"] for field in answer.json()["error"]["fields"]] == ["(column 1)", "(column 2)"]


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(body=BODIES, route=st.sampled_from(ROUTES))
def test_any_json_gets_an_honest_answer(client: httpx.Client, body: Any, route: str) -> None:
    assert wrong_with(client, route, json.dumps(body).encode(), "application/json") == []


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(body=BODIES, route=st.sampled_from(ROUTES), cut=st.integers(0, 400), put=st.binary(max_size=6), data=st.data())
def test_any_bytes_get_an_honest_answer(
    client: httpx.Client, body: Any, route: str, cut: int, put: bytes, data: st.DataObject
) -> None:
    """A body that was JSON, with some of its bytes replaced."""
    raw = json.dumps(body).encode()
    place = min(cut, len(raw))
    kind = data.draw(st.sampled_from(["application/json", "text/csv", "text/plain", ""]))
    assert wrong_with(client, route, raw[:place] + put + raw[place + len(put) :], kind) == []
