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
    if isinstance(error, errors.QuotaExceeded):
        return 400, error.message  # time alone will not lift it
    if isinstance(error, errors.QuireError):
        return error.http_status, error.message
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
