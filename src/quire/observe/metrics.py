"""The numbers Prometheus collects, in a registry of this server's own.

Owns every metric's name and meaning; ``docs/operations.md`` lists them, and a test keeps the two
together. Who changes something calls the method that says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
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

__all__ = ["CONTENT_TYPE", "Metrics", "MetricsMiddleware"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_RUN_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400)
_LATENCY_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300)
_REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
# One name for every unknown path: a scan would make series without end.
_UNKNOWN_ROUTE = "(none)"


class Metrics:
    """The metrics of one server."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._states = _StateCollector()
        self.registry.register(self._states)
        Gauge(
            "quire_build_info",
            "Always 1; the version is in the label.",
            ["version"],
            registry=self.registry,
        ).labels(__version__).set(1)
        self._moves = Counter(
            "quire_attempt_moves_total",
            "Attempts that entered a state.",
            ["state"],
            registry=self.registry,
        )
        self._ended = Counter(
            "quire_runs_ended_total",
            "Runs that ended for good, by outcome and cause.",
            ["outcome", "cause"],
            registry=self.registry,
        )
        self._duration = Histogram(
            "quire_run_duration_seconds",
            "From the first cell's start to the end of the last attempt, by outcome.",
            ["outcome"],
            buckets=_RUN_SECONDS,
            registry=self.registry,
        )
        self._dispatch = Histogram(
            "quire_dispatch_latency_seconds",
            "From the moment an attempt could start until a runner had it.",
            buckets=_LATENCY_SECONDS,
            registry=self.registry,
        )
        self._deliveries = Counter(
            "quire_deliveries_total",
            "Notifications tried, by kind of target and result (delivered, failed, given_up).",
            ["target", "result"],
            registry=self.registry,
        )
        self._requests = Counter(
            "quire_http_requests_total",
            "HTTP requests answered.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._request_seconds = Histogram(
            "quire_http_request_duration_seconds",
            "From a request's arrival until its answer was sent.",
            ["method", "route"],
            buckets=_REQUEST_SECONDS,
            registry=self.registry,
        )

    def watch_states(self, count: Callable[[], Mapping[str, int]]) -> None:
        """Ask ``count`` at each collection how many active attempts are in each state."""
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

    def names(self) -> list[str]:
        """The metrics of Quire itself, as they are collected."""
        families = [family for family in self.registry.collect() if family.name[:6] == "quire_"]
        return sorted(
            f"{family.name}_total" if family.type == "counter" else family.name
            for family in families
        )


class _StateCollector(Collector):
    """Active attempts by state, counted when they are asked for."""

    def __init__(self) -> None:
        self.count: Callable[[], Mapping[str, int]] = dict

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "quire_attempts_active",
            "Attempts that are not over, by state; queued is the length of the queue.",
            labels=["state"],
        )
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
