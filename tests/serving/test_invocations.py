"""`POST /invocations`: MLflow's protocol, with the answers of MLflow's own server."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

CSV = {"content-type": "text/csv"}


def _spellings(frame: Any) -> dict[str, dict[str, Any]]:
    """One table in every form of the protocol. Values come from `to_dict`, because `to_json` changes floats."""
    frame = frame.astype(object).where(frame.notna(), None)
    split = frame.to_dict("split")
    return {
        "split": {"dataframe_split": {"columns": split["columns"], "data": split["data"]}},
        "split with index": {"dataframe_split": split},
        "records": {"dataframe_records": frame.to_dict("records")},
        "inputs by row": {"inputs": frame.to_dict("records")},
        "inputs by column": {"inputs": frame.to_dict("list")},
        "instances": {"instances": frame.to_dict("records")},
    }


@contextmanager
def _mlflow_server(folder: Path) -> Iterator[httpx.Client]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(folder), "-p", str(port)]
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))  # MLflow looks for uvicorn there
    process = subprocess.Popen(
        [*command, "--env-manager", "local"],
        start_new_session=True,
        env={**os.environ, "PATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            _wait_for(client, process)
            yield client
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def _wait_for(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    for _ in range(1200):
        try:
            if client.get("/ping").status_code == 200:
                return
        except httpx.TransportError:
            assert process.poll() is None
        time.sleep(0.1)
    raise AssertionError("MLflow's server does not answer")


def test_every_spelling_gets_the_answer_of_mlflows_own_server(
    client: httpx.Client, customer_model: Path, customers: Any
) -> None:
    whole = customers.dropna().head(20)  # MLflow's server fails on a null in `inputs` and `instances`
    csv = whole[whole["city"] != "NA"].to_csv(index=False)
    with _mlflow_server(customer_model) as mlflow:
        for frame, names in ((whole, None), (customers.head(20), ("split", "records"))):
            for name, body in _spellings(frame).items():
                if names is None or name in names:
                    ours, theirs = client.post("/invocations", json=body), mlflow.post("/invocations", json=body)
                    assert (name, theirs.status_code) == (name, 200)
                    assert (name, ours.json()) == (name, theirs.json())
        ours, theirs = (server.post("/invocations", content=csv, headers=CSV) for server in (client, mlflow))
        # pandas reads a CSV's floats to the last bit or so, the service exactly
        for mine, other in zip(ours.json()["predictions"], theirs.json()["predictions"], strict=True):
            assert mine == pytest.approx(other, rel=1e-12)


def test_every_spelling_gets_the_models_own_answer_also_with_missing_values(
    client: httpx.Client, customer_model: Path, customers: Any
) -> None:
    import mlflow.pyfunc

    frame = customers.head(30)
    expected = {"predictions": mlflow.pyfunc.load_model(str(customer_model)).predict(frame).tolist()}
    for name, body in _spellings(frame).items():
        assert (name, client.post("/invocations", json=body).json()) == (name, expected)
    answer = client.post("/invocations", content=frame.to_csv(index=False), headers=CSV)
    assert answer.json() == expected


def test_text_that_looks_like_a_missing_value_stays_text_in_a_csv(obedient: httpx.Client) -> None:
    answer = obedient.post("/invocations", content='do\nNA\nnull\n"a,b"\nnan \n007\n', headers=CSV)
    assert answer.json() == {"predictions": ["NA", "null", "a,b", "nan ", "007"]}


def test_floats_come_back_exactly_and_nan_as_null(obedient: httpx.Client) -> None:
    answer = obedient.post("/invocations", json={"inputs": ["third", "nan", "Köln"]})
    assert answer.json() == {"predictions": [1 / 3, None, "Köln"]}


def test_params_reach_the_model_and_wrong_ones_are_refused(obedient: httpx.Client) -> None:
    body: dict[str, Any] = {"dataframe_records": [{"do": "a"}]}
    answer = obedient.post("/invocations", json={**body, "params": {"suffix": "!"}})
    assert answer.json() == {"predictions": ["a!"]}
    for params, reason in (({"sufix": "!"}, "no such field"), ({"suffix": 7}, "not text")):
        refused = obedient.post("/invocations", json={**body, "params": params})
        assert refused.status_code == 422
        assert reason in refused.json()["error"]["fields"][0]["reason"]


ROW = {"age": 30, "income (k$)": 10.5, "city": "Rome", "member": True}
SPLIT = {"columns": list(ROW), "data": [list(ROW.values())]}
REFUSED: list[tuple[Any, int]] = [
    ([], 400),
    ({}, 400),
    ({"rows": [ROW]}, 400),
    ({"dataframe_records": [ROW], "inputs": [ROW]}, 400),
    ({"dataframe_records": [ROW], "more": 1}, 400),
    ({"dataframe_records": ROW}, 400),
    ({"dataframe_split": [ROW]}, 400),
    ({"dataframe_split": {**SPLIT, "more": 1}}, 400),
    ({"dataframe_split": {**SPLIT, "data": [1]}}, 400),
    ({"dataframe_split": {"data": SPLIT["data"]}}, 422),
    ({"dataframe_split": {**SPLIT, "columns": ["age", "age", "city", "member"]}}, 422),
    ({"dataframe_split": {**SPLIT, "data": [[30, 10.5]]}}, 422),
    ({"dataframe_split": {"columns": ["agee"], "data": []}}, 422),
    ({"instances": SPLIT["data"]}, 422),
    ({"inputs": {"age": [1, 2], "city": ["a"]}}, 422),
    ({"inputs": {**{name: [value] for name, value in ROW.items()}, "more": [1]}}, 422),
    *(({"dataframe_records": [{**ROW, **wrong}]}, 422) for wrong in ({"age": "30"}, {"age": True}, {"city": None})),
    *(({"dataframe_records": [{**ROW, **wrong}]}, 422) for wrong in ({"more": 1}, {"member": 0}, {"age": 1.5})),
]


@pytest.mark.parametrize(("body", "status"), REFUSED, ids=range(len(REFUSED)))
def test_what_does_not_fit_protocol_or_signature_is_refused(client: httpx.Client, body: Any, status: int) -> None:
    assert client.post("/invocations", json=body).status_code == status


@pytest.mark.parametrize(
    "body", [{"dataframe_records": []}, {"inputs": []}, {"dataframe_split": {**SPLIT, "data": []}}]
)
def test_no_rows_get_no_predictions(client: httpx.Client, body: Any) -> None:
    answer = client.post("/invocations", json=body)
    assert (answer.status_code, answer.json()) == (200, {"predictions": []})


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("age,income (k$),city,member,score\n30,10.5,Rome,true,\n", 200),
        ("age,income (k$),city,member\n30,10.5,Rome,true\n", 422),
        ("age,income (k$),city,member\n", 200),
        ("age,income (k$),city,member\n30,ten,Rome,true\n", 422),
        ("age,income (k$),city,member\n30,nan,Rome,true\n", 422),
        ("age,income (k$),city,member\n30,1e400,Rome,true\n", 422),
        ("age,income (k$),city,member\n30.0,1,Rome,true\n", 422),
        ("age,income (k$),city,member\n30,1,,true\n", 422),
        ("age,income (k$),city,member\n30,1,Rome\n", 422),
        ("age,age,city,member\n30,1,Rome,true\n", 422),
        (",age,income (k$),city,member\n0,30,1,Rome,true\n", 422),
        ("age\n", 422),
        ("", 400),
        ('age,"city\n', 400),
    ],
)
def test_a_csv_is_read_by_the_signature_or_refused(client: httpx.Client, text: str, status: int) -> None:
    assert client.post("/invocations", content=text, headers=CSV).status_code == status


def test_a_csv_answers_what_the_same_rows_as_json_do(client: httpx.Client) -> None:
    rows = [{**ROW, "income (k$)": 0.1 + 0.2, "city": "Köln"}, {**ROW, "score": 1e-300}]
    lines = ["age,income (k$),city,member,score", "30,0.30000000000000004,Köln,True,", "30,10.5,Rome,TRUE,1e-300"]
    as_csv = client.post("/invocations", content="\ufeff" + "\r\n".join(lines), headers=CSV).json()
    assert as_csv == client.post("/invocations", json={"dataframe_records": rows}).json()
