"""Quire's errors in the vendor's form (contract 1.7)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from quire import errors
from quire.dialects.base import json_response

__all__ = ["ErrorForm", "describe_error", "render_error"]

_SCIM = "/api/2.0/preview/scim/"
_COMMANDS = "/api/1.2/"


@dataclass(frozen=True)
class ErrorForm:
    """How an error looks on the wire."""

    status: int
    code: str
    message: str
    headers: dict[str, str] = field(default_factory=dict)


_BY_CLASS: tuple[tuple[type[errors.QuireError], int, str], ...] = (
    # The most particular class first.
    (errors.MalformedRequest, 400, "MALFORMED_REQUEST"),
    (errors.InvalidRequest, 400, "INVALID_PARAMETER_VALUE"),
    (errors.PermissionDenied, 403, "PERMISSION_DENIED"),
    (errors.NotFound, 404, "RESOURCE_DOES_NOT_EXIST"),
    (errors.UnsupportedMediaType, 415, "MALFORMED_REQUEST"),
    (errors.AlreadyExists, 400, "RESOURCE_ALREADY_EXISTS"),
    (errors.NotEmpty, 400, "DIRECTORY_NOT_EMPTY"),
    (errors.InvalidState, 400, "INVALID_STATE"),
    (errors.Conflict, 409, "RESOURCE_CONFLICT"),
    (errors.QuotaExceeded, 400, "QUOTA_EXCEEDED"),
    # 400 and not 501: the legacy client hides the text of a 403, and no input may look like a
    # failure of the server, which clients would repeat.
    (errors.Unsupported, 400, "INVALID_PARAMETER_VALUE"),
)

_BY_STATUS = {
    400: "BAD_REQUEST",
    401: "401",
    403: "PERMISSION_DENIED",
    404: "ENDPOINT_NOT_FOUND",
    405: "ENDPOINT_NOT_FOUND",
    409: "RESOURCE_CONFLICT",
    413: "MALFORMED_REQUEST",
    415: "MALFORMED_REQUEST",
    429: "REQUEST_LIMIT_EXCEEDED",
    503: "TEMPORARILY_UNAVAILABLE",
}


def describe_error(error: Exception) -> ErrorForm:
    """Status, code, text and headers of an error. Never tells the cause of an unforeseen one."""
    if isinstance(error, errors.Unauthenticated):
        return _describe_unauthenticated(error)
    if isinstance(error, errors.TooLarge):
        if error.field is None:  # the body as a whole; it may be unread, so the connection ends
            return ErrorForm(413, "MALFORMED_REQUEST", error.message, {"Connection": "close"})
        if error.field == "content":
            return ErrorForm(400, "MAX_NOTEBOOK_SIZE_EXCEEDED", error.message)
        return ErrorForm(400, "INVALID_PARAMETER_VALUE", error.message)
    if isinstance(error, errors.NotFound) and error.kind == "cluster":
        return ErrorForm(400, "INVALID_PARAMETER_VALUE", error.message)
    if isinstance(error, errors.NotFound) and error.kind in {"job", "run"}:
        # Jobs 2.0 and 2.1 answer 400 here, with a text the SDK looks for.
        return ErrorForm(
            400,
            "INVALID_PARAMETER_VALUE",
            f"{error.kind.capitalize()} {error.identifier} does not exist.",
        )
    if isinstance(error, errors.RouteNotFound | errors.MethodNotAllowed):
        text = f"No API found for '{error.method} {error.path}'"
        return ErrorForm(404, "ENDPOINT_NOT_FOUND", text)
    if isinstance(error, errors.LimitReached) and not isinstance(error, errors.QuotaExceeded):
        seconds = error.retry_after_seconds if isinstance(error, errors.RateLimited) else 1
        return ErrorForm(
            429, "REQUEST_LIMIT_EXCEEDED", error.message, {"Retry-After": str(max(1, int(seconds)))}
        )
    if isinstance(error, errors.Unavailable):
        return ErrorForm(
            503,
            "TEMPORARILY_UNAVAILABLE",
            error.message,
            {"Retry-After": str(max(1, int(error.retry_after_seconds)))},
        )
    for kind, status, code in _BY_CLASS:
        if isinstance(error, kind):
            return ErrorForm(status, code, error.message)
    if isinstance(error, HTTPException):
        return _describe_http(error)
    return ErrorForm(500, "INTERNAL_ERROR", "The server failed to answer this request.")


def render_error(error: Exception, request: Request, *, workspace_id: str) -> Response:
    """The answer to a failed request; its shape depends on the API the path belongs to."""
    form = describe_error(error)
    path = request.scope["path"]
    content: dict[str, Any]
    if path.startswith(_SCIM):
        content = {
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
            "detail": form.message,
            "status": str(form.status),
        }
    elif path.startswith(_COMMANDS):
        content = {"error": form.message}
    else:
        content = {"error_code": form.code, "message": form.message}
    return json_response(
        content,
        status=form.status,
        headers={"x-databricks-org-id": workspace_id, **form.headers},
    )


def _describe_unauthenticated(error: errors.Unauthenticated) -> ErrorForm:
    if isinstance(error, errors.InvalidCredential | errors.ExpiredCredential):
        return ErrorForm(403, "403", "Invalid access token.")
    return ErrorForm(
        401,
        "401",
        "Credential was not sent or was of an unsupported type for this API.",
        {"WWW-Authenticate": "Bearer"},
    )


def _describe_http(error: HTTPException) -> ErrorForm:
    if error.status_code >= 500 and error.status_code != 503:
        return ErrorForm(500, "INTERNAL_ERROR", "The server failed to answer this request.")
    status = 404 if error.status_code == 405 else error.status_code
    status = 400 if status == 422 else status
    headers = {"Retry-After": "1"} if status in (429, 503) else {}
    return ErrorForm(status, _BY_STATUS.get(status, "BAD_REQUEST"), str(error.detail), headers)
