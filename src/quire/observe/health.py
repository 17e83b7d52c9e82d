"""Whether the server can do its work: what ``GET /healthz`` answers.

Owns the collection of checks, not the checks; whoever builds the server names them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from quire import __version__
from quire.errors import QuireError
from quire.observe.metrics import CONTENT_TYPE, Metrics

__all__ = ["Health", "HealthReport", "observe_routes"]

Check = Callable[[], None]
"""Returns when all is well; raises QuireError with a sentence when not."""


@dataclass(frozen=True)
class HealthReport:
    """What the checks found: a name to ``ok`` or to what is wrong."""

    ready: bool
    checks: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        return {
            "status": "ok" if self.ready else "unavailable",
            "version": __version__,
            "checks": dict(self.checks),
        }


class Health:
    """The checks of one server."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = dict(checks)

    def report(self) -> HealthReport:
        """Run every check."""
        found: dict[str, str] = {}
        for name, check in self._checks.items():
            try:
                check()
            except (QuireError, OSError) as error:
                found[name] = str(error) or type(error).__name__
            else:
                found[name] = "ok"
        return HealthReport(all(text == "ok" for text in found.values()), found)


def observe_routes(health: Health, metrics: Metrics) -> list[Route]:
    """``GET /healthz`` (200 or 503) and ``GET /metrics``. Neither asks who is calling."""

    # Plain functions, so that Starlette runs them in a thread: checks and counts ask the database.
    def get_health(_: object) -> Response:
        report = health.report()
        return JSONResponse(
            report.to_json(),
            status_code=200 if report.ready else 503,
            headers={"Cache-Control": "no-store"},
        )

    def get_metrics(_: object) -> Response:
        return Response(metrics.render(), headers={"Content-Type": CONTENT_TYPE})

    return [
        Route("/healthz", get_health, methods=["GET"]),
        Route("/metrics", get_metrics, methods=["GET"]),
    ]
