"""The service as a process: where it listens, how it ends, and what it says when it cannot begin."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from nb2prod.serving.errors import ServingError
from nb2prod.serving.server import serve


@contextmanager
def _process(*arguments: str, **options: Any) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The service in a process of its own, and where it says that it serves."""
    command = [sys.executable, "-m", options.pop("module", "nb2prod.serving"), *arguments, "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options)
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if found := re.search(r"serving (.+) at (http://[^\s\"]+)", line):
                yield process, found[2]
                break
        else:
            raise AssertionError("the service ended before it served")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)


def test_a_process_serves_until_sigterm_which_finishes_what_is_running(obedient_model: Path, tmp_path: Path) -> None:
    """After the signal it calls itself not ready while it still answers, and ends with 0."""
    go = tmp_path / "go"
    answers: list[int] = []
    with _process(str(obedient_model), "--drain", "1.5") as (process, url):
        assert url.startswith("http://127.0.0.1:")
        with httpx.Client(base_url=url, timeout=30) as client:
            body = {"rows": [{"do": f"wait for {go}"}]}
            running = threading.Thread(
                target=lambda: answers.append(httpx.post(f"{url}/predict", json=body, timeout=30).status_code)
            )
            running.start()
            while "nb2prod_predicting 1.0" not in client.get("/metrics").text:
                pass
            process.send_signal(signal.SIGTERM)
            while (ready := client.get("/readyz")).status_code == 200:
                pass
            assert (ready.status_code, ready.headers["connection"]) == (503, "close")
            assert client.post("/predict", json={"rows": [{"do": "a"}]}).json()["predictions"] == ["a"]
        _wait_until_closed(url)
        assert answers == []
        go.touch()
        running.join(20)
        assert answers == [200]
        assert process.wait(20) == 0


def _wait_until_closed(url: str) -> None:
    while True:
        try:
            httpx.get(f"{url}/livez")
        except httpx.TransportError:
            return


def test_none_fails_under_load_when_the_process_is_asked_to_end(customer_model: Path, customer: Any) -> None:
    """Clients that stop, as a load balancer does, once the service calls itself not ready."""
    statuses: list[int] = []

    def load(url: str) -> None:
        with httpx.Client(base_url=url, timeout=30) as client:
            while client.get("/readyz").status_code == 200:
                statuses.append(client.post("/predict", json={"rows": [customer]}).status_code)

    with _process(str(customer_model), "--drain", "0.5") as (process, url):
        clients = [threading.Thread(target=load, args=(url,)) for _ in range(4)]
        for one in clients:
            one.start()
        while len(statuses) < 20:
            pass
        process.send_signal(signal.SIGTERM)
        for one in clients:
            one.join(30)
        assert process.wait(20) == 0
    assert set(statuses) == {200}


def test_a_copy_of_the_service_under_another_name_needs_nothing_of_nb2prod(
    customer_model: Path, tmp_path: Path, customer: Any
) -> None:
    import nb2prod.serving

    shutil.copytree(Path(nb2prod.serving.__file__).parent, tmp_path / "carried")
    hook = "import sys; sys.modules['nb2prod'] = None"  # every import of nb2prod now fails
    (tmp_path / "sitecustomize.py").write_text(hook)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with _process(str(customer_model), module="carried", env=environment, cwd=tmp_path) as (_, url):
        assert httpx.post(f"{url}/predict", json={"rows": [customer]}).status_code == 200


def test_the_log_is_json_where_no_person_reads_it(obedient_model: Path) -> None:
    with _process(str(obedient_model)) as (process, url):
        httpx.get(f"{url}/livez", headers={"x-request-id": "mine"})
        assert process.stderr is not None
        line = json.loads(process.stderr.readline())
    line.pop("time"), line.pop("milliseconds"), line.pop("message")
    assert line == {"level": "info", "method": "GET", "route": "/livez", "status": 200, "request": "mine"}


def _send_until_refused(url: str, begin: bytes, more: bytes) -> int:
    """How many bytes of an endless head the service takes before it ends the connection."""
    with socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1]))) as raw:
        sent = raw.send(begin)
        with contextlib.suppress(ConnectionError):
            while sent < 100_000_000:
                raw.sendall(more)
                sent += len(more)
    return sent


def test_a_request_with_an_endless_head_is_ended(obedient_model: Path) -> None:
    """Also one whose single header never ends."""
    with _process(str(obedient_model)) as (_, url):
        for begin, more in ((b"GET / HTTP/1.1\r\na: ", b"x" * 1000), (b"GET / HTTP/1.1\r\n", b"a: b\r\n" * 100)):
            assert _send_until_refused(url, begin, more) < 50_000_000  # the rest is in the sockets' own buffers
        assert httpx.get(f"{url}/livez").status_code == 200


def test_a_taken_port_is_a_clear_error(customer_model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServingError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use") as caught:
            serve(customer_model, port=port)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.7", "example.com"])
def test_a_host_that_others_reach_needs_a_token(
    customer_model: Path, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NB2PROD_TOKEN", raising=False)
    with pytest.raises(ServingError, match="there is no token"):
        serve(customer_model, host=host, port=0)


def test_the_token_comes_from_the_environment(customer_model: Path, customer: Any) -> None:
    environment = {**os.environ, "NB2PROD_TOKEN": "sesame"}
    with _process(str(customer_model), "--host", "0.0.0.0", env=environment) as (_, url):
        url = url.replace("0.0.0.0", "127.0.0.1")
        body = {"rows": [customer]}
        assert httpx.post(f"{url}/predict", json=body).status_code == 401
        authorization = {"authorization": "Bearer sesame"}
        assert httpx.post(f"{url}/predict", json=body, headers=authorization).status_code == 200


def _run(*arguments: str, **options: Any) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "nb2prod.serving", *arguments], capture_output=True, text=True, timeout=60, **options
    )
    return done.returncode, done.stderr


def test_a_damaged_package_ends_with_7_and_says_what_is_wrong(customer_model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(customer_model, tmp_path / "copy")
    (folder / "requirements.txt").write_text("evil\n")
    code, said = _run(str(folder), "--port", "0")
    assert (code, "requirements.txt is not what its checksum says" in said, "Traceback" in said) == (7, True, False)


def test_another_package_than_the_one_asked_for_is_refused_before_it_is_loaded(
    customer_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from nb2prod.serving.__main__ import main

    loaded = set(sys.modules)
    asked = [str(customer_model), "--port", "0", "--digest", "0" * 64]
    assert (main(asked), "not the one asked for" in capsys.readouterr().err) == (7, True)
    assert not any(name.startswith("mlflow") for name in set(sys.modules) - loaded)


def test_a_model_that_does_not_load_ends_with_7(
    customer_model: Path, tmp_path: Path, package_of: Callable[..., str]
) -> None:
    folder = shutil.copytree(customer_model, tmp_path / "copy")
    (folder / "model.skops").write_bytes(b"not a model")
    package_of(folder)
    with pytest.raises(ServingError, match="the model cannot be loaded") as caught:
        serve(folder, port=0)
    assert caught.value.exit_code == 7


@pytest.mark.parametrize("library", ["pydantic", "uvicorn", "prometheus_client"])
def test_a_missing_library_names_the_extra(customer_model: Path, tmp_path: Path, library: str) -> None:
    hook = f"""
import importlib.util

find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == {library!r} else find(name, *rest)
"""
    (tmp_path / "sitecustomize.py").write_text(hook)
    code, said = _run(str(customer_model), env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert (code, "pip install 'nb2prod[serve]'" in said) == (2, True)
