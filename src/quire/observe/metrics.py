"""The numbers Prometheus collects, in a registry of this server's own.

Owns every metric's name and meaning; ``docs/operations.md`` lists them, and a test keeps the two
together. Who changes something calls the method that says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from quire import __version__

if TYPE_CHECKING:
    from quire.engine.models import Attempt

__all__ = ["CONTENT_TYPE", "Description", "Metrics", "MetricsMiddleware"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_RUN_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400)
_LATENCY_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300)
_REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
# One name for every unknown path: a scan would make series without end.
_UNKNOWN_ROUTE = "(none)"


@dataclass(frozen=True)
class Description:
    """What documentation says of a metric."""

    name: str
    kind: str
    meaning: str
    labels: tuple[str, ...]


class Metrics:
    """The metrics of one server."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._descriptions: list[Description] = []
        self._states = _StateCollector()
        self._describe(_StateCollector.NAME, "gauge", _StateCollector.MEANING, ["state"])
        self.registry.register(self._states)
        build = self._gauge("quire_build_info", "Always 1; the label tells.", ["version"])
        build.labels(__version__).set(1)
        self._moves = self._counter(
            "quire_attempt_moves_total", "Attempts that entered a state.", ["state"]
        )
        self._ended = self._counter(
            "quire_runs_ended_total",
            "Runs that ended for good; a skipped one has its state as outcome.",
            ["outcome", "cause"],
        )
        self._duration = self._histogram(
            "quire_run_duration_seconds",
            "From the start of a run's last attempt to its end.",
            _RUN_SECONDS,
            ["outcome"],
        )
        self._dispatch = self._histogram(
            "quire_dispatch_latency_seconds",
            "From the moment an attempt could start until a runner had it.",
            _LATENCY_SECONDS,
        )
        self._deliveries = self._counter(
            "quire_deliveries_total",
            "Notifications tried; result is delivered, failed or given_up.",
            ["target", "result"],
        )
        self._requests = self._counter(
            "quire_http_requests_total", "HTTP requests answered.", ["method", "route", "status"]
        )
        self._request_seconds = self._histogram(
            "quire_http_request_duration_seconds",
            "From a request's arrival until its answer was sent.",
            _REQUEST_SECONDS,
            ["method", "route"],
        )

    def watch_states(self, count: Callable[[], Mapping[str, int]]) -> None:
        """Ask ``count`` at each collection how many active runs are in each state."""
        self._states.count = count

    def attempt_moved(self, attempt: Attempt) -> None:
        """An attempt entered the state it shows."""
        self._moves.labels(attempt.state.value).inc()

    def dispatched(self, attempt: Attempt) -> None:
        """An attempt was handed to a runner."""
        if attempt.claimed_at is not None:
            ready_at = max(attempt.created_at, attempt.not_before or attempt.created_at)
            waited = (attempt.claimed_at - ready_at).total_seconds()
            self._dispatch.observe(max(0.0, waited))

    def run_ended(self, attempt: Attempt) -> None:
        """A run ended with this attempt; none follows."""
        outcome = attempt.outcome.value if attempt.outcome is not None else attempt.state.value
        cause = attempt.cause.value if attempt.cause is not None else ""
        self._ended.labels(outcome, cause).inc()
        if attempt.started_at is not None and attempt.ended_at is not None:
            lasted = (attempt.ended_at - attempt.started_at).total_seconds()
            self._duration.labels(outcome).observe(max(0.0, lasted))

    def delivery_tried(self, target: str, result: str) -> None:
        """A notification was sent, or was not."""
        self._deliveries.labels(target, result).inc()

    def request_answered(self, method: str, route: str, status: int, seconds: float) -> None:
        self._requests.labels(method, route, str(status)).inc()
        self._request_seconds.labels(method, route).observe(seconds)

    def render(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self.registry)

    def describe(self) -> list[Description]:
        """What each of Quire's own metrics means, as documentation shows it."""
        return list(self._descriptions)

    def _describe(self, name: str, kind: str, meaning: str, labels: Sequence[str] = ()) -> None:
        self._descriptions.append(Description(name, kind, meaning, tuple(labels)))

    def _gauge(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Gauge:
        self._describe(name, "gauge", meaning, labels)
        return Gauge(name, meaning, labels, registry=self.registry)

    def _counter(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Counter:
        self._describe(name, "counter", meaning, labels)
        return Counter(name, meaning, labels, registry=self.registry)

    def _histogram(
        self, name: str, meaning: str, buckets: Sequence[float], labels: Sequence[str] = ()
    ) -> Histogram:
        self._describe(name, "histogram", meaning, labels)
        return Histogram(name, meaning, labels, buckets=buckets, registry=self.registry)


class _StateCollector(Collector):
    """Active runs by state, counted when they are asked for."""

    NAME = "quire_runs_active"
    MEANING = "Runs that are not over; queued is the length of the queue."

    def __init__(self) -> None:
        self.count: Callable[[], Mapping[str, int]] = dict

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily(self.NAME, self.MEANING, labels=["state"])
        for state, number in self.count().items():
            family.add_metric([state], number)
        return [family]


class MetricsMiddleware:
    """Counts and times requests under the route that answered them."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            route = getattr(scope.get("route"), "path", _UNKNOWN_ROUTE)
            method = scope["method"] if scope["method"] in _METHODS else "OTHER"
            self._metrics.request_answered(method, route, status, time.perf_counter() - began)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
