"""What Prometheus reads: requests by route and status, their time, rows, and predictions that failed."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """A registry of its own for every app, so that two apps in one process do not add up."""

    def __init__(self, *, name: str, version: str, digest: str) -> None:
        self._registry = CollectorRegistry()
        kept = self._registry
        self._requests = Counter("nb2prod_requests", "Requests answered", ("route", "status"), registry=kept)
        self._seconds = Histogram(
            "nb2prod_request_seconds", "Time to answer", ("route",), buckets=_SECONDS, registry=kept
        )
        self.rows = Counter("nb2prod_rows", "Rows predicted", registry=kept)
        self.prediction_errors = Counter("nb2prod_prediction_errors", "Predictions that failed", registry=kept)
        self.predicting = Gauge("nb2prod_predicting", "Scoring requests that run or wait", registry=kept)
        self.lost = Gauge("nb2prod_predictions_lost", "Predictions that ran over and have not come back", registry=kept)
        self.ready = Gauge("nb2prod_ready", "1 when the service takes requests", registry=kept)
        self._counters: dict[tuple[str, int], Any] = {}  # what `labels` looks up takes longer than counting
        self._timers: dict[str, Any] = {}
        model = Gauge("nb2prod_model", "The model that is served", ("name", "version", "digest"), registry=kept)
        model.labels(name, version, digest).set(1)

    def request(self, route: str, status: int, seconds: float) -> None:
        counter = self._counters.get((route, status))
        if counter is None:
            counter = self._counters[route, status] = self._requests.labels(route, str(status))
        timer = self._timers.get(route)
        if timer is None:
            timer = self._timers[route] = self._seconds.labels(route)
        counter.inc()
        timer.observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self._registry)
