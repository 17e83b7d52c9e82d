"""Where runners deliver their events: see :mod:`quire.runner.protocol`."""

from __future__ import annotations

import json
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from quire.dialects.reading import read_body
from quire.engine.reports import Reports
from quire.errors import InvalidValue, MalformedRequest
from quire.identity.run_tokens import RunTokens, RunTokenUse
from quire.internal.authentication import read_run_token
from quire.internal.errors import rendering_errors

__all__ = ["report_routes"]

_LARGEST_REPORT = 128 * 1024 * 1024


def report_routes(reports: Reports, run_tokens: RunTokens) -> list[Route]:
    """The route ``POST /internal/v1/attempts/{attempt_id}/events``."""

    def take(request: Request, body: bytes) -> dict[str, Any]:
        token = read_run_token(request, run_tokens, RunTokenUse.REPORT)
        return reports.apply(token.run_id, token.attempt_id, _events(body)).to_json()

    async def receive(request: Request) -> Response:
        body = await read_body(request, _LARGEST_REPORT)
        return JSONResponse(await run_in_threadpool(take, request, body))

    path = "/internal/v1/attempts/{attempt_id:int}/events"
    return [Route(path, rendering_errors(receive), methods=["POST"])]


def _events(body: bytes) -> list[dict[str, Any]]:
    try:
        value = json.loads(body)
    except ValueError as error:
        raise MalformedRequest() from error
    events = value.get("events") if isinstance(value, dict) else None
    if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
        raise InvalidValue("events", "it must be a list of objects.")
    return events
