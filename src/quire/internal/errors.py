"""The form errors take on internal routes: ``{"error": code, "message": text}``."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from quire.errors import QuireError

__all__ = ["render_error"]


def render_error(error: Exception) -> Response:
    """An error as an answer; what was not raised on purpose becomes a plain 500."""
    if isinstance(error, QuireError):
        content = {"error": error.code, "message": error.message}
        return JSONResponse(content, error.http_status)
    return JSONResponse({"error": "internal_error", "message": "The server failed."}, 500)
