"""Every error of the server has the vendor's form (contract 1.7)."""

from __future__ import annotations

import json

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from quire import errors
from quire.dialects.databricks.errors import describe_error, render_error

SAMPLES: dict[type[errors.QuireError], tuple[errors.QuireError, int, str]] = {
    errors.QuireError: (errors.QuireError("x"), 500, "INTERNAL_ERROR"),
    errors.InvalidRequest: (errors.InvalidRequest("x"), 400, "INVALID_PARAMETER_VALUE"),
    errors.MalformedRequest: (errors.MalformedRequest(), 400, "MALFORMED_REQUEST"),
    errors.MissingField: (errors.MissingField("a"), 400, "INVALID_PARAMETER_VALUE"),
    errors.InvalidValue: (errors.InvalidValue("a", "bad"), 400, "INVALID_PARAMETER_VALUE"),
    errors.TooLarge: (errors.TooLarge("The request body", 10), 413, "MALFORMED_REQUEST"),
    errors.Unauthenticated: (errors.Unauthenticated(), 401, "401"),
    errors.MissingCredential: (errors.MissingCredential(), 401, "401"),
    errors.InvalidCredential: (errors.InvalidCredential(), 403, "403"),
    errors.ExpiredCredential: (errors.ExpiredCredential(), 403, "403"),
    errors.PermissionDenied: (errors.PermissionDenied(), 403, "PERMISSION_DENIED"),
    errors.NotFound: (errors.NotFound("notebook", "/a"), 404, "RESOURCE_DOES_NOT_EXIST"),
    errors.RouteNotFound: (errors.RouteNotFound("GET", "/x"), 404, "ENDPOINT_NOT_FOUND"),
    errors.MethodNotAllowed: (
        errors.MethodNotAllowed("PUT", "/x", ["GET"]),
        404,
        "ENDPOINT_NOT_FOUND",
    ),
    errors.UnsupportedMediaType: (errors.UnsupportedMediaType(), 415, "MALFORMED_REQUEST"),
    errors.Conflict: (errors.Conflict(), 409, "RESOURCE_CONFLICT"),
    errors.AlreadyExists: (errors.AlreadyExists(), 400, "RESOURCE_ALREADY_EXISTS"),
    errors.NotEmpty: (errors.NotEmpty(), 400, "DIRECTORY_NOT_EMPTY"),
    errors.InvalidState: (errors.InvalidState(), 400, "INVALID_STATE"),
    errors.LimitReached: (errors.LimitReached(), 429, "REQUEST_LIMIT_EXCEEDED"),
    errors.QuotaExceeded: (errors.QuotaExceeded(), 400, "QUOTA_EXCEEDED"),
    errors.RateLimited: (
        errors.RateLimited("slow", retry_after_seconds=7),
        429,
        "REQUEST_LIMIT_EXCEEDED",
    ),
    errors.Unsupported: (errors.Unsupported("no"), 400, "INVALID_PARAMETER_VALUE"),
    errors.Unavailable: (errors.Unavailable(), 503, "TEMPORARILY_UNAVAILABLE"),
}


ALL_ERRORS = [getattr(errors, name) for name in errors.__all__]


def request_to(path: str) -> Request:
    return Request({"type": "http", "method": "GET", "path": path, "headers": []})


def rendered(error: Exception, path: str = "/api/2.0/jobs/get") -> tuple[int, dict[str, object]]:
    response = render_error(error, request_to(path), workspace_id="77")
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-databricks-org-id"] == "77"
    return response.status_code, json.loads(bytes(response.body))


@pytest.mark.parametrize("kind", ALL_ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_has_a_form(kind: type[errors.QuireError]) -> None:
    error, status, code = SAMPLES[kind]
    form = describe_error(error)
    assert (form.status, form.code) == (status, code)
    assert form.message
    got, body = rendered(error)
    assert got == status
    assert body == {"error_code": code, "message": form.message}


@pytest.mark.parametrize("kind", ["job", "run"])
def test_missing_job_or_run_is_400_with_the_text_clients_look_for(kind: str) -> None:
    status, body = rendered(errors.NotFound(kind, 12))
    assert status == 400
    assert body == {
        "error_code": "INVALID_PARAMETER_VALUE",
        "message": f"{kind.capitalize()} 12 does not exist.",
    }


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.TooLarge("content", 5, field="content"), 400, "MAX_NOTEBOOK_SIZE_EXCEEDED"),
        (errors.TooLarge("name", 5, field="name"), 400, "INVALID_PARAMETER_VALUE"),
        (HTTPException(404), 404, "ENDPOINT_NOT_FOUND"),
        (HTTPException(405), 404, "ENDPOINT_NOT_FOUND"),
        (HTTPException(413), 413, "MALFORMED_REQUEST"),
        (HTTPException(415), 415, "MALFORMED_REQUEST"),
        (HTTPException(422), 400, "BAD_REQUEST"),
        (HTTPException(429), 429, "REQUEST_LIMIT_EXCEEDED"),
        (HTTPException(418), 418, "BAD_REQUEST"),
        (HTTPException(500), 500, "INTERNAL_ERROR"),
        (HTTPException(503), 503, "TEMPORARILY_UNAVAILABLE"),
        (RuntimeError("secret detail"), 500, "INTERNAL_ERROR"),
    ],
)
def test_other_errors(error: Exception, status: int, code: str) -> None:
    got, body = rendered(error)
    assert (got, body["error_code"]) == (status, code)
    assert "secret detail" not in str(body)


def test_retry_after_is_an_integer() -> None:
    form = describe_error(errors.RateLimited("slow", retry_after_seconds=7))
    assert form.headers["Retry-After"] == "7"
    assert describe_error(errors.Unavailable()).headers["Retry-After"] == "1"


def test_refused_body_ends_the_connection() -> None:
    assert describe_error(errors.TooLarge("body", 1)).headers["Connection"] == "close"


@pytest.mark.parametrize("kind", ALL_ERRORS, ids=lambda kind: kind.__name__)
def test_no_text_makes_the_sdk_repeat_the_call(kind: type[errors.QuireError]) -> None:
    text = describe_error(SAMPLES[kind][0]).message
    for phrase in ("Unexpected error", "Please try again later or try a faster operation"):
        assert phrase not in text


def test_scim_and_command_paths_have_their_own_shape() -> None:
    error = errors.NotFound("user", 3)
    assert rendered(error, "/api/2.0/preview/scim/v2/Users/3") == (
        404,
        {
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
            "detail": "User 3 does not exist.",
            "status": "404",
        },
    )
    assert rendered(error, "/api/1.2/contexts/status") == (404, {"error": "User 3 does not exist."})
