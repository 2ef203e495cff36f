"""Counting and logging come a moment after the answer, and lose nothing."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httpx
import pytest

from nb2prod.serving.metrics import Metrics
from nb2prod.serving.tally import Tally


def _metrics() -> Metrics:
    return Metrics(name="m", version="1", digest="d")


def _counted(metrics: Metrics) -> str:
    lines = metrics.text().decode().splitlines()
    return next((line for line in lines if line.startswith("nb2prod_requests_total")), "none")


def test_what_waits_is_written_soon_in_order_with_the_moments_at_which_it_happened(
    caplog: pytest.LogCaptureFixture,
) -> None:
    metrics = _metrics()

    def written() -> list[logging.LogRecord]:  # other services of this process may write too
        return [record for record in caplog.records if "request=tally" in record.getMessage()]

    async def three() -> list[int]:
        tally = Tally(metrics)
        for number in range(3):
            tally.add("POST", "/predict", 200, 0.00125, f"tally{number}")
        at_once = len(written())
        while len(written()) < 3:
            await asyncio.sleep(0.001)
        return [at_once, len(written())]

    with caplog.at_level(logging.INFO, "nb2prod.serving"):
        assert asyncio.run(three()) == [0, 3]
    assert [record.getMessage() for record in written()] == [
        f"POST /predict 200 1.25 ms request=tally{number}" for number in range(3)
    ]
    moments = [record.created for record in written()]
    assert moments == sorted(moments)
    assert _counted(metrics) == 'nb2prod_requests_total{route="/predict",status="200"} 3.0'


def test_many_do_not_wait_for_the_moment() -> None:
    metrics = _metrics()

    async def many() -> None:
        tally = Tally(metrics)
        for number in range(40):
            tally.add("POST", "/predict", 200, 0.001, f"r{number}")
        assert _counted(metrics).endswith(" 32.0")
        tally.write()

    asyncio.run(many())
    assert _counted(metrics).endswith(" 40.0")


def test_the_metrics_have_every_request_that_was_answered_before_them(client: httpx.Client, customer: Any) -> None:
    def answered() -> float:
        lines = client.get("/metrics").text.splitlines()
        start = 'nb2prod_requests_total{route="/predict",status="200"}'
        return next((float(line.split()[-1]) for line in lines if line.startswith(start)), 0.0)

    before = answered()
    for count in range(1, 4):
        client.post("/predict", json={"rows": [customer]})
        assert answered() == before + count


def test_ids_of_requests_are_all_different(client: httpx.Client) -> None:
    ids = [client.get("/livez").headers["x-request-id"] for _ in range(20)]
    assert (len(set(ids)), {len(one) for one in ids}) == (20, {32})
