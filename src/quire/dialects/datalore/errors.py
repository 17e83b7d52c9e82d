"""Quire's errors in the vendor's form: ``{"error": text}`` (contract 1)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from quire import errors
from quire.dialects.base import json_response
from quire.dialects.datalore.credentials import describe_challenge
from quire.identity.scopes import InsufficientScope

__all__ = ["JSON_TYPE", "KernelStateConflict", "invisible_is_forbidden", "render_error"]

JSON_TYPE = "application/json; charset=utf-8"
_FAILED = "The server failed to answer this request."

_BY_CLASS: tuple[tuple[type[errors.QuireError], int], ...] = (
    # The most particular class first.
    (errors.Unauthenticated, 401),
    (errors.UnsupportedMediaType, 415),
    (errors.InvalidRequest, 400),
    (errors.PermissionDenied, 403),
    (errors.NotFound, 404),
    (errors.RouteNotFound, 404),
    (errors.MethodNotAllowed, 405),
    (errors.Conflict, 409),
    (errors.RateLimited, 429),
    # 400 and not 501: no input may look like a failure of the server, which clients would repeat.
    (errors.QuotaExceeded, 400),
    (errors.LimitReached, 429),
    (errors.Unsupported, 400),
    (errors.Unavailable, 503),
)


class KernelStateConflict(errors.InvalidState):
    """The notebook's kernel is not in a state that allows this."""

    code = "kernel_state_conflict"

    def __init__(self, state: str, message: str) -> None:
        super().__init__(message)
        self.state = state


@contextmanager
def invisible_is_forbidden() -> Iterator[None]:
    """In the notebook API, unlike the run API, a notebook out of reach answers 403 (contract 9)."""
    try:
        yield
    except errors.NotFound as error:
        if error.kind in ("notebook", "path"):
            raise errors.PermissionDenied(error.message) from None
        raise


def render_error(error: Exception, _: Request) -> Response:
    """The answer to a failed request. Never tells the cause of an unforeseen failure."""
    status, text = _describe(error)
    content: dict[str, Any] = {"error": text}
    if isinstance(error, KernelStateConflict):
        content["state"] = error.state
    headers = {"Content-Type": JSON_TYPE, **_headers(error, status)}
    return json_response(content, status=status, headers=headers)


def _describe(error: Exception) -> tuple[int, str]:
    if isinstance(error, errors.TooLarge):
        return (413 if error.field is None else 400), error.message
    for kind, status in _BY_CLASS:
        if isinstance(error, kind):
            return status, error.message
    if isinstance(error, HTTPException) and error.status_code < 500:
        return error.status_code, str(error.detail)
    return 500, _FAILED


def _headers(error: Exception, status: int) -> dict[str, str]:
    if isinstance(error, errors.Unauthenticated | InsufficientScope):
        return {"WWW-Authenticate": describe_challenge(error)}
    if isinstance(error, errors.MethodNotAllowed):
        return {"Allow": ", ".join(error.allowed)}
    if isinstance(error, errors.RateLimited | errors.Unavailable):
        return {"Retry-After": str(max(1, int(error.retry_after_seconds)))}
    if status == 413:
        return {"Connection": "close"}  # the body may be unread
    return {"Retry-After": "1"} if status == 429 else {}
