"""The form errors take on internal routes: ``{"error": code, "message": text}``."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from quire.engine.reports import AttemptGone
from quire.errors import (
    Conflict,
    InvalidRequest,
    LimitReached,
    MethodNotAllowed,
    NotFound,
    PermissionDenied,
    QuireError,
    RouteNotFound,
    TooLarge,
    Unauthenticated,
    Unavailable,
    Unsupported,
    UnsupportedMediaType,
)

__all__ = ["render_error"]

_STATUS: tuple[tuple[type[QuireError], int], ...] = (
    (AttemptGone, 410),
    (TooLarge, 413),
    (InvalidRequest, 400),
    (Unauthenticated, 401),
    (PermissionDenied, 403),
    (NotFound, 404),
    (RouteNotFound, 404),
    (MethodNotAllowed, 405),
    (UnsupportedMediaType, 415),
    (Conflict, 409),
    (LimitReached, 429),
    (Unsupported, 400),
    (Unavailable, 503),
)


def render_error(error: Exception) -> Response:
    """An error as an answer; what was not raised on purpose becomes a plain 500."""
    for kind, status in _STATUS:
        if isinstance(error, kind):
            assert isinstance(error, QuireError)
            return JSONResponse({"error": error.code, "message": error.message}, status)
    return JSONResponse({"error": "internal_error", "message": "The server failed."}, 500)
