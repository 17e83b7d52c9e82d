"""What a dialect is, and how one is put behind HTTP.

A dialect is a list of :class:`Endpoint`: method, path, wire model and a synchronous handler. This
module turns them into routes that read the request within its limits, authenticate the caller, fill
the model and render whatever is raised in the dialect's own form; :func:`install_dialects` adds
them to the application together with the handlers for unknown paths, wrong verbs and crashes.
It knows no vendor.
"""

from __future__ import annotations

import inspect
import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from quire.clock import Clock
from quire.dialects.reading import read_body, read_form
from quire.errors import MethodNotAllowed, QuireError, RouteNotFound
from quire.identity.scopes import Level, require_scope
from quire.settings import Settings

if TYPE_CHECKING:
    from quire.compute.clusters import Clusters
    from quire.compute.uses import ClusterUses
    from quire.engine.artifacts import Artifacts
    from quire.engine.jobs import Jobs
    from quire.engine.results import Results
    from quire.engine.runs import Runs
    from quire.engine.sessions import Sessions
    from quire.identity.principals import Principal, Principals
    from quire.identity.tokens import Tokens
    from quire.notify.destinations import Destinations
    from quire.workspace.attachments import Attachments
    from quire.workspace.connections import Connections
    from quire.workspace.publications import Publications
    from quire.workspace.tree import Workspace

__all__ = [
    "Call",
    "CollapseSlashes",
    "Dialect",
    "Endpoint",
    "RouteHooks",
    "Services",
    "find_dialect",
    "install_dialects",
    "json_response",
    "make_openapi",
    "make_route",
    "openapi_route",
    "root_url",
]

_log = logging.getLogger(__name__)
_HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")


@dataclass(frozen=True)
class Services:
    """What a dialect may use of the server."""

    jobs: Jobs
    runs: Runs
    sessions: Sessions
    results: Results
    artifacts: Artifacts
    workspace: Workspace
    attachments: Attachments
    publications: Publications
    connections: Connections
    principals: Principals
    tokens: Tokens
    destinations: Destinations
    clusters: Clusters
    cluster_uses: ClusterUses
    settings: Settings
    clock: Clock


@dataclass(frozen=True)
class Call:
    """One authenticated request, as a handler sees it."""

    request: Request
    principal: Principal
    root: str  # absolute URL of the server as the client knows it, without a slash at the end


@dataclass(frozen=True)
class Endpoint:
    """One operation of a dialect."""

    method: str
    path: str
    summary: str
    model: type[BaseModel]
    # Model instance in; JSON, a Response or, when there is something to wait for, an awaitable of
    # either out. The handler runs in a thread; what it lets wait does not hold one.
    handler: Callable[[Call, Any], Any]
    accepts_form: bool = False  # multipart bodies too
    body_limit: int | None = None  # bytes; None: the server's own limit
    scope: Level | None = Level.USER  # what a token must cover; None: the handler looks itself


@dataclass(frozen=True)
class Dialect:
    """A vendor's API on this server."""

    name: str
    prefixes: tuple[str, ...]  # paths it answers for, unknown ones below them included
    routes: tuple[Route, ...]
    render_error: Callable[[Exception, Request], Response]
    openapi: Callable[[], Mapping[str, Any]]  # takes long: made when somebody asks for it

    def claims(self, path: str) -> bool:
        """Whether errors on this path take this dialect's form."""
        return any(path == each or path.startswith(each + "/") for each in self.prefixes)


@dataclass(frozen=True)
class RouteHooks:
    """What is particular to a dialect in answering a request."""

    authenticate: Callable[[Request], Principal]
    read: Callable[[Endpoint, Request, bytes, Mapping[str, Any] | None], BaseModel]
    render: Callable[[Any], Response]
    render_error: Callable[[Exception, Request], Response]


def make_route(endpoint: Endpoint, hooks: RouteHooks, settings: Settings) -> Route:
    """A route that answers ``endpoint``.

    The body is read on the event loop, where is waited too; everything else happens in a thread,
    since services block.
    Errors raised on purpose are rendered here; others go to the application's handler.
    """
    limit = endpoint.body_limit if endpoint.body_limit is not None else settings.max_body_bytes

    def answer(request: Request, body: bytes, form: Mapping[str, Any] | None) -> Any:
        principal = hooks.authenticate(request)
        if endpoint.scope is not None:
            require_scope(principal, endpoint.scope)
        fields = hooks.read(endpoint, request, body, form)
        call = Call(request, principal, root_url(request, settings))
        return render(endpoint.handler(call, fields))

    def render(result: Any) -> Any:
        ready = isinstance(result, Response) or inspect.isawaitable(result)
        return result if ready else hooks.render(result)

    async def respond(request: Request) -> Response:
        try:
            if limit > settings.max_body_bytes:  # nobody unknown sends as much as that
                await run_in_threadpool(hooks.authenticate, request)
            body = await read_body(request, limit)
            form: Mapping[str, Any] | None = None
            if endpoint.accepts_form and _is_multipart(request):
                form = await read_form(request, body)
            result = await run_in_threadpool(answer, request, body, form)
            while inspect.isawaitable(result):
                result = await run_in_threadpool(render, await result)
            assert isinstance(result, Response)
            return result
        except QuireError as error:
            return hooks.render_error(error, request)

    return Route(endpoint.path, respond, methods=[endpoint.method], name=endpoint.summary)


def json_response(
    content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON answer. Half surrogate pairs, which UTF-8 cannot carry, go out as escapes."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(
        text.encode("utf-8", "backslashreplace"),
        status_code=status,
        headers=dict(headers or {}),
        media_type="application/json",
    )


def root_url(request: Request, settings: Settings) -> str:
    """The server's root as the client reached it, or the public one; without a slash at its end."""
    if settings.public_url:
        return settings.public_url.rstrip("/")
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        server = request.scope.get("server") or (settings.host, settings.port)
        host = f"{server[0]}:{server[1]}" if server[1] else str(server[0])
    return f"{request.scope.get('scheme', 'http')}://{host}{request.scope.get('root_path', '')}"


def find_dialect(dialects: Sequence[Dialect], path: str) -> Dialect | None:
    """The dialect that answers for ``path``."""
    return next((each for each in dialects if each.claims(path)), None)


def install_dialects(
    app: Starlette,
    dialects: Sequence[Dialect],
    *,
    render_other: Callable[[Exception, Request], Response],
) -> None:
    """Add the dialects' routes to ``app``, and one handler each for unknown paths, wrong verbs and
    crashes; ``render_other`` renders errors on paths that no dialect claims."""
    app.router.redirect_slashes = False
    for dialect in dialects:
        app.router.routes.extend(dialect.routes)

    def render(error: Exception, request: Request) -> Response:
        dialect = find_dialect(dialects, request.url.path)
        return (dialect.render_error if dialect else render_other)(error, request)

    async def on_http_exception(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        path = request.scope["path"]
        if error.status_code == 404 and error.detail == "Not Found":
            return render(RouteNotFound(request.method, path), request)
        if error.status_code == 405:
            allowed = (error.headers or {}).get("Allow", "")
            names = [each.strip() for each in allowed.split(",") if each.strip()]
            return render(MethodNotAllowed(request.method, path, names), request)
        return render(error, request)

    async def on_error(request: Request, error: Exception) -> Response:
        if not isinstance(error, QuireError):
            _log.error("a request failed: %s %s", request.method, request.scope["path"])
        return render(error, request)

    app.add_exception_handler(HTTPException, on_http_exception)
    app.add_exception_handler(QuireError, on_error)
    app.add_exception_handler(Exception, on_error)
    prefixes = [prefix for dialect in dialects for prefix in dialect.prefixes]
    app.add_middleware(CollapseSlashes, prefixes=prefixes)


class CollapseSlashes:
    """Routes ``/api//2.0/x`` as ``/api/2.0/x``: some clients build such paths."""

    def __init__(self, app: ASGIApp, prefixes: Sequence[str]) -> None:
        self._app = app
        self._prefixes = tuple(prefixes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and "//" in scope["path"]:
            path = re.sub("/{2,}", "/", scope["path"])
            if path.startswith(self._prefixes):
                scope = {**scope, "path": path}
        await self._app(scope, receive, send)


def make_openapi(
    title: str,
    version: str,
    endpoints: Sequence[Endpoint],
    *,
    schemes: Sequence[str] = ("bearer", "basic"),
) -> dict[str, Any]:
    """The OpenAPI document of these endpoints, made from their wire models.

    ``schemes``: the schemes of HTTP authentication that the dialect takes.
    """
    template = "#/components/schemas/{model}"
    models = list(dict.fromkeys(endpoint.model for endpoint in endpoints))
    schemas, definitions = models_json_schema(
        [(model, "validation") for model in models], ref_template=template
    )
    components = definitions.get("$defs", {})
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        schema = schemas[endpoint.model, "validation"]
        operation: dict[str, Any] = {
            "summary": endpoint.summary,
            "operationId": re.sub("[^A-Za-z0-9]+", "_", endpoint.method.lower() + endpoint.path),
            "responses": {
                "200": {"description": "Done.", "content": {"application/json": {}}},
                "default": {"description": "Refused.", "content": {"application/json": {}}},
            },
        }
        in_path = set(re.findall(r"{(\w+)(?::\w+)?}", endpoint.path))
        resolved = components.get(schema["$ref"].rsplit("/", 1)[-1], {}) if "$ref" in schema else {}
        properties = resolved.get("properties", {})
        required = set(resolved.get("required", ()))
        parameters = [
            {
                "name": name,
                "in": "path" if name in in_path else "query",
                "required": name in in_path or name in required,
                "schema": properties.get(name, {"type": "string"}),
            }
            for name in [*in_path, *(each for each in properties if each not in in_path)]
            if name in in_path or endpoint.method in {"GET", "DELETE"}
        ]
        if parameters:
            operation["parameters"] = parameters
        if endpoint.method not in {"GET", "DELETE"}:
            operation["requestBody"] = {"content": {"application/json": {"schema": schema}}}
        path = re.sub(r"{(\w+):\w+}", r"{\1}", endpoint.path)
        paths.setdefault(path, {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {name: {"type": "http", "scheme": name} for name in schemes},
        },
        "security": [{name: []} for name in schemes],
    }


def openapi_route(
    path: str,
    make: Callable[[], Mapping[str, Any]],
    render: Callable[[Any], Response],
    settings: Settings,
) -> Route:
    """Answers a dialect's document, made when first asked for, with this server's address in it."""

    async def describe(request: Request) -> Response:
        document = await run_in_threadpool(make)
        return render({**document, "servers": [{"url": root_url(request, settings)}]})

    return Route(path, describe, methods=["GET"])


def _is_multipart(request: Request) -> bool:
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")
