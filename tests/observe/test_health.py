from __future__ import annotations

from starlette.applications import Starlette
from starlette.testclient import TestClient

from quire import __version__
from quire.errors import Unavailable
from quire.observe.health import Health, observe_routes
from quire.observe.metrics import Metrics


def make_client(health: Health) -> TestClient:
    return TestClient(Starlette(routes=list(observe_routes(health, Metrics()))))


def test_a_server_is_ready_when_every_check_passes() -> None:
    answer = make_client(Health({"database": lambda: None})).get("/healthz")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "version": __version__,
        "checks": {"database": "ok"},
    }


def test_a_failed_check_makes_it_unavailable_and_says_why() -> None:
    def fail() -> None:
        raise Unavailable("The database does not answer.")

    answer = make_client(Health({"database": fail, "blobs": lambda: None})).get("/healthz")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {"database": "The database does not answer.", "blobs": "ok"}


def test_metrics_are_in_the_text_format() -> None:
    answer = make_client(Health({})).get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert f'quire_build_info{{version="{__version__}"}} 1.0' in answer.text
