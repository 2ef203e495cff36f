"""What a bad request, a bad model or too many of either do: an honest status, no data, no stack trace."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from nb2prod.serving.app import create_app
from nb2prod.serving.limits import Limits
from nb2prod.serving.package_folder import PackageFolder

JSON = {"content-type": "application/json"}
SCORING = ("/predict", "/invocations")
Serving = Callable[[Any], Any]


def _do(*words: str) -> dict[str, Any]:
    return {"rows": [{"do": word} for word in words]}


def _eventually(condition: Callable[[], bool]) -> bool:
    for _ in range(2000):
        if condition():
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("route", SCORING)
@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000 + b"]" * 100_000,
        b'{"rows": ' + b"[" * 100_000,
        b'{"rows": [{"age": ' + b"9" * 5000 + b"}]}",
        b'{"rows": [], "rows": []}',
        b'{"rows": [{"city": "\xff"}]}',
        b'{"rows": [{"city": "\\ud800"}]}',
        b"\x00",
        b"",
    ],
    ids=["deep", "deep and open", "5,000 digits", "duplicate key", "not UTF-8", "half a character", "binary", "empty"],
)
def test_a_body_that_is_no_strict_json_gets_400(client: httpx.Client, route: str, body: bytes) -> None:
    answer = client.post(route, content=body, headers=JSON)
    assert (answer.status_code, answer.json()["error"]["fields"]) == (400, [])


@pytest.mark.parametrize("route", SCORING)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/plain"},
        {"content-type": "application/jsonx"},
        {"content-type": "application/json; charset=latin-1"},
        {"content-type": ";"},
        {**JSON, "content-encoding": "gzip"},
        {**JSON, "content-encoding": "br"},
    ],
    ids=str,
)
def test_a_body_of_another_kind_gets_415(client: httpx.Client, route: str, headers: dict[str, str]) -> None:
    assert client.post(route, content=gzip.compress(b'{"rows": []}' * 100), headers=headers).status_code == 415


@pytest.mark.parametrize("route", SCORING)
def test_a_body_over_the_limit_gets_413_with_and_without_a_length(client: httpx.Client, route: str) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(50):
            yield b" " * 1_000_000

    assert client.post(route, content=b" " * 50_000_000, headers=JSON).status_code == 413
    assert client.post(route, content=chunks(), headers=JSON).status_code == 413
    assert client.post(route, content=b" " * 1_000_000, headers=JSON).status_code == 400


def test_a_body_that_waits_for_a_go_ahead_is_refused_before_it_is_sent(client: httpx.Client) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port or 0)) as raw:
        head = "POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        raw.sendall(f"{head}content-length: 50000000\r\nexpect: 100-continue\r\n\r\n".encode())
        assert raw.recv(12) == b"HTTP/1.1 413"


def test_a_body_that_does_not_arrive_gets_408(customer_model: Path, serving: Serving) -> None:
    with serving(create_app(customer_model, limits=Limits(body_seconds=0.2))) as client:
        with socket.create_connection((client.base_url.host, client.base_url.port)) as raw:
            head = "POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            raw.sendall(f'{head}content-length: 100\r\n\r\n{{"rows"'.encode())
            assert raw.recv(12) == b"HTTP/1.1 408"
        assert client.get("/livez").status_code == 200


@pytest.mark.parametrize(
    ("method", "route", "status"),
    [("GET", "/nothing", 404), ("GET", "/predict", 405), ("POST", "/livez", 405), ("POST", "/predict/", 404)],
)
def test_other_routes_and_methods_are_refused_in_the_same_form(
    client: httpx.Client, method: str, route: str, status: int
) -> None:
    answer = client.request(method, route)
    assert (answer.status_code, answer.json()["error"]["status"]) == (status, status)
    assert {"x-model-digest", "x-request-id"} <= set(answer.headers)


def test_a_request_keeps_its_own_id_when_that_is_harmless(client: httpx.Client) -> None:
    assert client.get("/livez", headers={"x-request-id": "my-1"}).headers["x-request-id"] == "my-1"
    assert client.get("/livez", headers={"x-request-id": "a b;<c>"}).headers["x-request-id"] != "a b;<c>"


@pytest.mark.parametrize("word", ["raise", "exit"])
def test_a_model_that_raises_gets_500_with_an_id_that_the_log_has_and_no_data(
    obedient: httpx.Client, caplog: pytest.LogCaptureFixture, word: str
) -> None:
    with caplog.at_level(logging.DEBUG, "nb2prod.serving"):
        for route, body in (("/predict", _do(word)), ("/invocations", {"inputs": [word]})):
            answer = obedient.post(route, json=body)
            error_id = answer.json()["error"]["reason"].split()[-1]
            assert (answer.status_code, f"error={error_id}" in caplog.text) == (500, True)
            assert not {"4711", "Traceback", "Error"} & set(answer.text.split())
    assert "4711" not in caplog.text
    assert obedient.post("/predict", json=_do("a")).json()["predictions"] == ["a"]


def test_an_infinite_prediction_is_an_error_because_json_has_no_word_for_it(obedient: httpx.Client) -> None:
    assert obedient.post("/predict", json=_do("inf")).status_code == 500
    assert obedient.post("/predict", json=_do("nan")).json()["predictions"] == [None]


def test_no_line_of_the_log_has_a_value_of_a_request(obedient: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        obedient.post("/predict?key=4711", json=_do("4711"))
        obedient.post("/predict", json={"rows": [{"do": 4711}]})
        obedient.post("/invocations", json={"dataframe_records": [{"do": "4711", "x4711": 1}]})
        obedient.get("/4711")
        obedient.request("4711", "/livez")
        obedient.get("/metrics")  # before it answers, what waits to be logged is
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("nb2prod"))
    assert "/predict 200" in ours
    assert "4711" not in ours


def test_metrics_count_requests_rows_and_failures(obedient_model: Path, serving: Serving) -> None:
    with serving(create_app(obedient_model)) as client:
        for body in (_do("a", "b"), _do("c"), {"rows": 1}, _do("raise")):
            client.post("/predict", json=body)
        client.get("/one")
        client.get("/two")
        lines = client.get("/metrics").text.splitlines()
    found = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    expected = {
        'nb2prod_requests_total{route="/predict",status="200"}': "2.0",
        'nb2prod_requests_total{route="/predict",status="422"}': "1.0",
        'nb2prod_requests_total{route="/predict",status="500"}': "1.0",
        'nb2prod_requests_total{route="other",status="404"}': "2.0",
        'nb2prod_request_seconds_count{route="/predict"}': "4.0",
        "nb2prod_rows_total": "3.0",
        "nb2prod_prediction_errors_total": "1.0",
        "nb2prod_ready": "1.0",
    }
    assert {name: found.get(name) for name in expected} == expected


def test_the_service_is_alive_while_a_prediction_runs(obedient: httpx.Client, tmp_path: Path) -> None:
    go = tmp_path / "go"
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(obedient.post, "/predict", json=_do(f"wait for {go}"))
        assert _eventually(lambda: "nb2prod_predicting 1.0" in obedient.get("/metrics").text)
        assert (obedient.get("/livez").status_code, obedient.get("/readyz").status_code) == (200, 200)
        assert not running.done()
        go.touch()
        assert running.result().status_code == 200


def test_a_prediction_that_hangs_gets_504_and_its_slot_comes_back(
    obedient_model: Path, serving: Serving, tmp_path: Path
) -> None:
    go, limits = tmp_path / "go", Limits(seconds=0.3, concurrency=1, waiting=1, stuck=2)
    with serving(create_app(obedient_model, limits=limits)) as client:
        assert client.post("/predict", json=_do(f"wait for {go}")).status_code == 504
        assert client.post("/predict", json=_do("a")).json()["predictions"] == ["a"]
        assert client.post("/predict", json=_do(f"wait for {go}")).status_code == 504
        # as many hang as may: nothing but a restart helps, and the probes say so
        statuses = [client.get("/livez"), client.get("/readyz"), client.post("/predict", json=_do("a"))]
        assert [answer.status_code for answer in statuses] == [503, 503, 503]
        go.touch()
        assert _eventually(lambda: client.get("/readyz").status_code == 200)
        assert client.post("/predict", json=_do("a")).json()["predictions"] == ["a"]


def test_more_than_can_run_and_wait_get_503_and_are_told_to_come_back(
    obedient_model: Path, serving: Serving, tmp_path: Path
) -> None:
    go, limits = tmp_path / "go", Limits(concurrency=1, waiting=1)
    with serving(create_app(obedient_model, limits=limits)) as client, ThreadPoolExecutor(2) as pool:
        two = [pool.submit(client.post, "/predict", json=_do(f"wait for {go}")) for _ in range(2)]
        assert _eventually(lambda: "nb2prod_predicting 2.0" in client.get("/metrics").text)
        third = client.post("/predict", json=_do("a"))
        assert (third.status_code, third.headers["retry-after"]) == (503, "1")
        go.touch()
        assert [one.result().status_code for one in two] == [200, 200]
        assert client.post("/predict", json=_do("a")).status_code == 200


def test_requests_before_the_model_is_loaded_get_503(customer_model: Path, customer: dict[str, Any]) -> None:
    from starlette.testclient import TestClient

    from nb2prod.serving.scorer import MlflowScorer

    go = threading.Event()

    def loader(folder: Path, known: PackageFolder) -> MlflowScorer:
        go.wait()
        return MlflowScorer(folder, known)

    with TestClient(create_app(customer_model, loader=loader)) as client:
        answer = client.post("/predict", json={"rows": [customer]})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert (client.get("/livez").status_code, client.get("/readyz").status_code) == (200, 503)
        go.set()
        assert _eventually(lambda: client.get("/readyz").status_code == 200)
        assert client.post("/predict", json={"rows": [customer]}).status_code == 200


def test_a_package_is_loaded_from_a_checked_copy_that_goes_away(customer_model: Path, serving: Serving) -> None:
    loaded: list[Path] = []

    def loader(folder: Path, known: PackageFolder) -> Any:
        loaded.append(folder)
        return None

    with serving(create_app(customer_model, loader=loader)):
        assert loaded[0] != customer_model
        assert (loaded[0] / "MLmodel").read_bytes() == (customer_model / "MLmodel").read_bytes()
    assert _eventually(lambda: not loaded[0].exists())


def test_with_a_token_scoring_requires_it(customer_model: Path, serving: Serving, customer: dict[str, Any]) -> None:
    body = {"rows": [customer]}
    with serving(create_app(customer_model, token="sesame-ö")) as client:
        for given in ("", "Bearer", "Bearer wrong", "Basic sesame-ö", "Bearer sesame-ö, Bearer x"):
            answer = client.post("/predict", json=body, headers=[(b"authorization", given.encode("latin-1"))])
            assert (given, answer.status_code, answer.headers["www-authenticate"]) == (given, 401, "Bearer")
            assert client.post("/invocations", json={"inputs": []}).status_code == 401
        right = [(b"authorization", "Bearer sesame-ö".encode("latin-1"))]
        assert client.post("/predict", json=body, headers=right).status_code == 200
        assert client.get("/readyz").status_code == 200
        assert json.dumps(client.get("/openapi.json").json()["paths"]["/predict"]).count("bearer") == 1
