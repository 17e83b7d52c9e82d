"""Where runners deliver their events: see :mod:`quire.runner.protocol`."""

from __future__ import annotations

import json
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from quire.engine.reports import Reports
from quire.errors import InvalidCredential, InvalidValue, MalformedRequest, QuireError, TooLarge
from quire.identity.run_tokens import RunTokens, RunTokenUse
from quire.internal.errors import render_error

__all__ = ["report_routes"]

_LARGEST_REPORT = 128 * 1024 * 1024


def report_routes(reports: Reports, run_tokens: RunTokens) -> list[Route]:
    """The route ``POST /internal/v1/attempts/{attempt_id}/events``."""

    def take(attempt_id: int, authorization: str, body: bytes) -> dict[str, Any]:
        scheme, _, text = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise InvalidCredential()
        token = run_tokens.read(text, RunTokenUse.REPORT)
        if token.attempt_id != attempt_id:
            raise InvalidCredential()
        return reports.apply(token.run_id, token.attempt_id, _events(body)).to_json()

    async def receive(request: Request) -> Response:
        try:
            body = await _body(request)
            answer = await run_in_threadpool(
                take,
                request.path_params["attempt_id"],
                request.headers.get("authorization", ""),
                body,
            )
        except QuireError as error:
            return render_error(error)
        return JSONResponse(answer)

    return [Route("/internal/v1/attempts/{attempt_id:int}/events", receive, methods=["POST"])]


async def _body(request: Request) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > _LARGEST_REPORT:
            raise TooLarge("The report", _LARGEST_REPORT)
        parts.append(part)
    return b"".join(parts)


def _events(body: bytes) -> list[dict[str, Any]]:
    try:
        value = json.loads(body)
    except ValueError as error:
        raise MalformedRequest() from error
    events = value.get("events") if isinstance(value, dict) else None
    if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
        raise InvalidValue("events", "it must be a list of objects.")
    return events
