"""The form errors take on internal routes: ``{"error": code, "message": text}``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from quire.errors import QuireError

__all__ = ["Handler", "render_error", "rendering_errors"]

Handler = Callable[[Request], Awaitable[Response]]


def render_error(error: Exception) -> Response:
    """An error as an answer; what was not raised on purpose becomes a plain 500."""
    if isinstance(error, QuireError):
        content = {"error": error.code, "message": error.message}
        return JSONResponse(content, error.http_status)
    return JSONResponse({"error": "internal_error", "message": "The server failed."}, 500)


def rendering_errors(handler: Handler) -> Handler:
    """A handler whose errors, if raised on purpose, are answers."""

    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except QuireError as error:
            return render_error(error)

    return handle
