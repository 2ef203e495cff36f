"""An answer's head and body go out together, and whatever HTTP allows besides still works."""

from __future__ import annotations

import json
import socket
from typing import Any

import httpx
import pytest

from nb2prod.serving.connections import Joined

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class Written:
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.parts.append(data)

    def close(self) -> None:
        self.parts.append(b"(closed)")

    def is_closing(self) -> bool:
        return self.parts[-1:] == [b"(closed)"]


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ([HEAD, b"ok"], [HEAD + b"ok"]),
        ([HEAD, b"ok", HEAD, b"no"], [HEAD + b"ok", HEAD + b"no"]),
        ([b"HTTP/1.1 100 Continue\r\n\r\n", HEAD, b"ok"], [b"HTTP/1.1 100 Continue\r\n\r\n", HEAD + b"ok"]),
        ([HEAD, b"x" * 100_000], [HEAD, b"x" * 100_000]),
        ([HEAD, HEAD], [HEAD + HEAD]),  # a body that looks like a head
    ],
)
def test_a_head_waits_for_its_body_and_nothing_else_waits(written: list[bytes], sent: list[bytes]) -> None:
    transport = Written()
    joined = Joined(transport)
    for part in written:
        joined.write(part)
    assert transport.parts == sent


def test_a_head_without_a_body_goes_out_before_the_end() -> None:
    transport = Written()
    joined = Joined(transport)
    joined.write(HEAD)
    joined.close()
    assert (transport.parts, joined.is_closing()) == ([HEAD, b"(closed)"], True)


def _answers(client: httpx.Client, sent: bytes, count: int) -> list[tuple[bytes, Any]]:
    """Status line and body of as many answers to what is sent on one connection."""
    found = []
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=10) as raw:
        raw.sendall(sent)
        read = raw.makefile("rb")
        for _ in range(count):
            status, length = read.readline().strip(), 0
            while line := read.readline().strip().lower():
                if line.startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            found.append((status, read.read(0 if sent.startswith(b"HEAD") else length)))
    return found


def _request(row: dict[str, Any], *more: str) -> tuple[bytes, bytes]:
    body = json.dumps({"rows": [row]}).encode()
    lines = ["POST /predict HTTP/1.1", "host: x", "content-type: application/json", f"content-length: {len(body)}"]
    return "\r\n".join((*lines, *more, "", "")).encode(), body


def test_requests_that_come_in_one_packet_are_answered_in_their_order(client: httpx.Client, customer: Any) -> None:
    rows = [{**customer, "age": age} for age in (20, 60, 90)]
    expected = [client.post("/predict", json={"rows": [row]}).json()["predictions"] for row in rows]
    found = _answers(client, b"".join(b"".join(_request(row)) for row in rows), 3)
    assert [json.loads(body)["predictions"] for _, body in found] == expected


def test_head_is_answered_without_a_body_and_the_connection_stays(client: httpx.Client) -> None:
    request = b"HEAD /livez HTTP/1.1\r\nhost: x\r\n\r\n"
    assert _answers(client, request * 2, 2) == [(b"HTTP/1.1 200 OK", b"")] * 2


def test_a_sender_that_asks_first_gets_its_go_ahead(client: httpx.Client, customer: Any) -> None:
    head, body = _request(customer, "expect: 100-continue")
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=10) as raw:
        raw.sendall(head)
        assert raw.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        raw.sendall(body)
        assert raw.recv(15) == b"HTTP/1.1 200 OK"
