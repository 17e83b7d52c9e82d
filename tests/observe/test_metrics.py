from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from quire.engine.models import Attempt
from quire.engine.states import Cause, State
from quire.observe.metrics import Metrics, MetricsMiddleware
from tests.engine import records

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def make_attempt(**changes: object) -> Attempt:
    """One that waited three seconds, was set up in one and ran for six."""
    times = {
        "created_at": START,
        "claimed_at": START + timedelta(seconds=3),
        "started_at": START + timedelta(seconds=4),
        "finished_at": START + timedelta(seconds=10),
        "ended_at": START + timedelta(seconds=11),
    }
    return records.make_attempt(**{**times, **changes})


def test_an_ended_run_counts_by_outcome_and_takes_its_time() -> None:
    metrics = Metrics()
    metrics.run_ended(make_attempt())
    value = metrics.registry.get_sample_value
    labels = {"outcome": "success", "cause": "completed"}
    assert value("quire_runs_ended_total", labels) == 1
    assert value("quire_run_duration_seconds_sum", {"outcome": "success"}) == 7


def test_a_skipped_run_counts_under_its_state_and_has_no_duration() -> None:
    metrics = Metrics()
    metrics.run_ended(
        make_attempt(state=State.SKIPPED, outcome=None, cause=Cause.OVERLAP, started_at=None)
    )
    value = metrics.registry.get_sample_value
    assert value("quire_runs_ended_total", {"outcome": "skipped", "cause": "overlap"}) == 1
    assert value("quire_run_duration_seconds_count", {"outcome": "skipped"}) is None


@pytest.mark.parametrize(
    ("not_before", "waited"),
    [
        (None, 3),
        (START + timedelta(seconds=2), 1),  # a retry waits by rule; that time is not latency
        (START + timedelta(seconds=9), 0),  # clocks of two servers may differ a little
    ],
)
def test_dispatch_latency_counts_from_when_it_could_start(
    not_before: datetime | None, waited: float
) -> None:
    metrics = Metrics()
    metrics.dispatched(make_attempt(not_before=not_before))
    assert metrics.registry.get_sample_value("quire_dispatch_latency_seconds_sum") == waited


def test_active_states_are_counted_when_asked() -> None:
    metrics = Metrics()
    counts = {"queued": 2, "running": 1}
    metrics.watch_states(lambda: counts)
    counts["queued"] = 5
    assert b'quire_runs_active{state="queued"} 5.0' in metrics.render()
    assert b'quire_runs_active{state="running"} 1.0' in metrics.render()


def test_requests_count_under_their_route() -> None:
    metrics = Metrics()
    app = Starlette(routes=[Route("/things/{name}", lambda _: PlainTextResponse("yes"))])
    client = TestClient(MetricsMiddleware(app, metrics))
    client.get("/things/one")
    client.get("/things/two")
    client.get("/nothing/here")
    value = metrics.registry.get_sample_value
    found = {"method": "GET", "route": "/things/{name}", "status": "200"}
    missed = {"method": "GET", "route": "(none)", "status": "404"}
    assert value("quire_http_requests_total", found) == 2
    assert value("quire_http_requests_total", missed) == 1


def test_each_metric_of_ours_is_described() -> None:
    metrics = Metrics()
    collected = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in metrics.registry.collect()
        if family.name.startswith("quire_")
    }
    assert {each.name for each in metrics.describe()} == collected
