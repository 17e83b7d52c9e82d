"""The dialect put together: its endpoints, and how their requests are read and answered."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from quire.dialects.base import (
    Dialect,
    Endpoint,
    RouteHooks,
    Services,
    json_response,
    make_openapi,
    make_route,
    openapi_route,
)
from quire.dialects.datalore import credentials
from quire.dialects.datalore.errors import JSON_TYPE, render_error
from quire.dialects.datalore.routes import (
    cells,
    files,
    kernel,
    notebooks,
    reports,
    runs,
    workspaces,
)
from quire.dialects.reading import read_json_object, read_query, validate
from quire.errors import UnsupportedMediaType

if TYPE_CHECKING:
    from quire.identity.principals import Principal

__all__ = ["datalore_dialect"]

_PREFIXES = (
    "/api/run/v1",
    "/api/computation/v1",
    "/api/notebook/v1",
    "/api/workspaces/v1",
    "/api/user_public/v1",
    "/api/user_management/v1",
    "/api/environments/v1",
    "/api/datasources/v1",
    "/notebook",
)
_OPENAPI_PATH = "/api/run/v1/openapi.json"


def datalore_dialect(services: Services) -> Dialect:
    """The Datalore dialect over these services."""
    settings = services.settings
    endpoints: tuple[Endpoint, ...] = (
        *runs.endpoints(services),
        *workspaces.endpoints(services),
        *notebooks.endpoints(services),
        *cells.endpoints(services),
        *kernel.endpoints(services),
        *files.endpoints(services),
        *reports.endpoints(services),
    )

    @cache
    def openapi() -> dict[str, Any]:
        return make_openapi("Quire: Datalore dialect", "v1", endpoints, schemes=("bearer",))

    def authenticate(request: Request) -> Principal:
        return credentials.authenticate(request, services.tokens)

    def read(
        endpoint: Endpoint, request: Request, body: bytes, form: Mapping[str, Any] | None
    ) -> BaseModel:
        return validate(endpoint.model, _fields(request, body, form))

    def render(content: Any) -> Response:
        return json_response(content, headers={"Content-Type": JSON_TYPE})

    hooks = RouteHooks(authenticate, read, render, render_error)
    return Dialect(
        name="datalore",
        prefixes=_PREFIXES,
        routes=(
            openapi_route(_OPENAPI_PATH, openapi, render, settings),  # before a run of that id
            *(make_route(endpoint, hooks, settings) for endpoint in endpoints),
        ),
        render_error=render_error,
        openapi=openapi,
    )


def _fields(request: Request, body: bytes, form: Mapping[str, Any] | None) -> dict[str, Any]:
    """The fields of a request: of its query, its body and its path."""
    query = read_query(request)
    if form is not None:
        return {**query, **form, **request.path_params}
    return {**query, **_json_fields(request, body), **request.path_params}


def _json_fields(request: Request, body: bytes) -> dict[str, Any]:
    """A JSON body; one without a content type is taken when it can be read (contract 1)."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and given and given != "application/json" and not given.endswith("+json"):
        raise UnsupportedMediaType(f"The body has to be application/json, not {given[:100]}.")
    return read_json_object(body)
