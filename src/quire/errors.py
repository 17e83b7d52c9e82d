"""The errors Quire raises on purpose.

Engine code raises only these; each dialect turns them into its own HTTP form in its ``errors.py``.
``http_status`` is the usual one for each; a dialect whose vendor answers otherwise says so there.

    QuireError
    ├── InvalidRequest
    │   ├── MalformedRequest        the body or query cannot be read at all
    │   ├── MissingField            a required field is absent
    │   ├── InvalidValue            a field holds a value that is not allowed
    │   └── TooLarge                a field, a body or a file is over its limit
    ├── Unauthenticated
    │   ├── MissingCredential       nothing usable was sent
    │   ├── InvalidCredential       a token that is unknown or revoked
    │   └── ExpiredCredential       a token whose time is over
    ├── PermissionDenied            a known caller who may not do this
    ├── NotFound                    no such record (or none the caller may see)
    ├── RouteNotFound               no such path
    ├── MethodNotAllowed            the path exists, the verb does not
    ├── UnsupportedMediaType        a body of a kind this path does not take
    ├── Conflict
    │   ├── AlreadyExists           the name is taken
    │   ├── NotEmpty                a folder that still holds something
    │   └── InvalidState            the record is not in a state that allows this
    ├── LimitReached
    │   ├── QuotaExceeded           a standing limit, such as saved jobs
    │   └── RateLimited             a limit that time alone lifts
    ├── Unsupported                 something the vendor does and this server does not
    └── Unavailable                 cannot be done now: database away, blob store full, stopping
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "AlreadyExists",
    "Conflict",
    "ExpiredCredential",
    "InvalidCredential",
    "InvalidRequest",
    "InvalidState",
    "InvalidValue",
    "LimitReached",
    "MalformedRequest",
    "MethodNotAllowed",
    "MissingCredential",
    "MissingField",
    "NotEmpty",
    "NotFound",
    "PermissionDenied",
    "QuireError",
    "QuotaExceeded",
    "RateLimited",
    "RouteNotFound",
    "TooLarge",
    "Unauthenticated",
    "Unavailable",
    "Unsupported",
    "UnsupportedMediaType",
]


class QuireError(Exception):
    """Something Quire refuses or cannot do."""

    code = "error"
    http_status = 500

    def __init__(self, message: str | None = None) -> None:
        self.message = message if message is not None else (type(self).__doc__ or "").strip()
        super().__init__(self.message)


class InvalidRequest(QuireError):
    """The request cannot be accepted as it stands."""

    code = "invalid_request"
    http_status = 400

    def __init__(self, message: str | None = None, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class MalformedRequest(InvalidRequest):
    """The request body is not valid JSON."""

    code = "malformed_request"


class MissingField(InvalidRequest):
    """A required field is missing."""

    code = "missing_field"

    def __init__(self, field: str, *, instead: Sequence[str] = ()) -> None:
        others = f" (or one of: {', '.join(instead)})" if instead else ""
        super().__init__(f"Missing required field: {field}{others}", field=field)


class InvalidValue(InvalidRequest):
    """A field holds a value that is not allowed."""

    code = "invalid_value"

    def __init__(self, field: str, message: str, *, allowed: Sequence[str] | None = None) -> None:
        text = f"Invalid value for {field}: {message}"
        if allowed is not None:
            text += f" Allowed values: {', '.join(allowed)}."
        super().__init__(text, field=field)
        self.allowed = tuple(allowed) if allowed is not None else None


class TooLarge(InvalidRequest):
    """The value is over its size limit."""

    code = "too_large"
    http_status = 413

    def __init__(self, what: str, limit: int, *, field: str | None = None) -> None:
        super().__init__(f"{what} is larger than the limit of {limit} bytes.", field=field)
        self.limit = limit


class Unauthenticated(QuireError):
    """The caller is not known."""

    code = "unauthenticated"
    http_status = 401


class MissingCredential(Unauthenticated):
    """No credential was sent, or one of an unsupported kind."""

    code = "missing_credential"


class InvalidCredential(Unauthenticated):
    """The token is unknown or revoked."""

    code = "invalid_credential"


class ExpiredCredential(Unauthenticated):
    """The token has expired."""

    code = "expired_credential"


class PermissionDenied(QuireError):
    """The caller may not do this."""

    code = "permission_denied"
    http_status = 403


class NotFound(QuireError):
    """No such record."""

    code = "not_found"
    http_status = 404

    def __init__(self, kind: str, identifier: object, message: str | None = None) -> None:
        super().__init__(message or f"{kind.capitalize()} {identifier} does not exist.")
        self.kind = kind
        self.identifier = identifier


class RouteNotFound(QuireError):
    """No such path."""

    code = "route_not_found"
    http_status = 404

    def __init__(self, method: str, path: str) -> None:
        super().__init__(f"No API found for '{method} {path}'")
        self.method = method
        self.path = path


class MethodNotAllowed(QuireError):
    """The path does not answer this verb."""

    code = "method_not_allowed"
    http_status = 405

    def __init__(self, method: str, path: str, allowed: Sequence[str]) -> None:
        super().__init__(f"{path} does not answer {method}. Allowed: {', '.join(allowed)}.")
        self.method = method
        self.path = path
        self.allowed = tuple(allowed)


class UnsupportedMediaType(QuireError):
    """The body is of a kind this path does not take."""

    code = "unsupported_media_type"
    http_status = 415


class Conflict(QuireError):
    """The request conflicts with what is stored."""

    code = "conflict"
    http_status = 409


class AlreadyExists(Conflict):
    """The name is taken."""

    code = "already_exists"


class NotEmpty(Conflict):
    """The folder is not empty."""

    code = "not_empty"


class InvalidState(Conflict):
    """The record is not in a state that allows this."""

    code = "invalid_state"


class LimitReached(QuireError):
    """A limit of this server is reached."""

    code = "limit_reached"
    http_status = 429


class QuotaExceeded(LimitReached):
    """A standing limit is reached."""

    code = "quota_exceeded"


class RateLimited(LimitReached):
    """Too many requests; try again later."""

    code = "rate_limited"

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Unsupported(QuireError):
    """This server does not do that."""

    code = "unsupported"
    http_status = 400  # not 501: no input may look like a failure of the server

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class Unavailable(QuireError):
    """The server cannot do this at the moment."""

    code = "unavailable"
    http_status = 503

    def __init__(self, message: str | None = None, *, retry_after_seconds: int = 1) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
