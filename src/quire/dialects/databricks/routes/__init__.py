"""The dialect put together: its endpoints, and how their requests are read and answered."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quire.dialects.base import (
    Dialect,
    Endpoint,
    RouteHooks,
    Services,
    json_response,
    make_openapi,
    make_route,
    openapi_route,
    root_url,
)
from quire.dialects.databricks import credentials
from quire.dialects.databricks.errors import render_error
from quire.dialects.databricks.routes import (
    clusters,
    destinations,
    identity,
    jobs,
    libraries,
    runs,
    workspace,
)
from quire.dialects.databricks.wire import drop_nulls
from quire.dialects.reading import read_json_object, read_query, validate

if TYPE_CHECKING:
    from quire.identity.principals import Principal

__all__ = ["databricks_dialect"]

_PREFIXES = ("/api/1.2", "/api/2.0", "/api/2.1", "/api/2.2", "/.well-known/databricks-config")
_IN_QUERY = frozenset({"GET", "HEAD", "DELETE"})


def databricks_dialect(services: Services) -> Dialect:
    """The Databricks dialect over these services."""
    settings = services.settings
    organisation = {"x-databricks-org-id": settings.workspace_id}
    endpoints = (
        *jobs.endpoints(services),
        *runs.endpoints(services),
        *clusters.endpoints(services),
        *libraries.endpoints(services),
        *workspace.endpoints(services),
        *destinations.endpoints(services),
        *identity.endpoints(services),
    )

    @cache
    def openapi() -> dict[str, Any]:
        return make_openapi("Quire: Databricks dialect", "2.0", endpoints)

    def authenticate(request: Request) -> Principal:
        return credentials.authenticate(request.headers, services.tokens)

    def read(
        endpoint: Endpoint, request: Request, body: bytes, form: Mapping[str, Any] | None
    ) -> BaseModel:
        return validate(endpoint.model, _fields(request, body, form))

    def render(content: Any) -> Response:
        return json_response(content, headers=organisation)

    def render_failure(error: Exception, request: Request) -> Response:
        return render_error(error, request, workspace_id=settings.workspace_id)

    async def discover(request: Request) -> Response:
        """Asked by the SDK before anything else, without a credential (contract 1.6)."""
        root = root_url(request, settings)
        return render({"oidc_endpoint": f"{root}/oidc", "workspace_id": settings.workspace_id})

    hooks = RouteHooks(authenticate, read, render, render_failure)
    return Dialect(
        name="databricks",
        prefixes=_PREFIXES,
        routes=(
            *(make_route(endpoint, hooks, settings) for endpoint in endpoints),
            Route("/.well-known/databricks-config", discover, methods=["GET"]),
            openapi_route("/api/2.0/openapi.json", openapi, render, settings),
        ),
        render_error=render_failure,
        openapi=openapi,
    )


def _fields(request: Request, body: bytes, form: Mapping[str, Any] | None) -> dict[str, Any]:
    """The fields of a request, wherever the client put them (contract 1.3).

    Bodies are JSON whatever their content type says. On GET a JSON body is merged under the query.
    """
    if form is not None:
        content = form.get("content")
        fields = {**form, "content": content.encode()} if isinstance(content, str) else {**form}
    else:
        fields = drop_nulls(read_json_object(body))
        if request.method in _IN_QUERY:
            query = {name: value for name, value in read_query(request).items() if value != ""}
            fields = {**fields, **query}
    return {**fields, **request.path_params}
