"""The read-only pages: sign in, recent runs, one run with its notebook, log and download, reports.

Owns routes, headers and what the templates are given; decides nothing about runs. What a notebook's
author wrote is only ever served with a policy that gives it an origin of its own and no script.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from fastapi import APIRouter
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from quire.engine.runs import RunFilter
from quire.engine.states import State
from quire.errors import (
    MethodNotAllowed,
    NotFound,
    PermissionDenied,
    QuireError,
    RouteNotFound,
    Unauthenticated,
)
from quire.ids import AttemptId
from quire.render.page import render_html
from quire.web.content import NOTEBOOK_POLICY, PAGE_POLICY, PLAIN_POLICY, content
from quire.web.publications import PublicationPages
from quire.web.sessions import (
    check_same_origin,
    end_session,
    identify,
    is_secure,
    login_redirect,
    open_with,
    read_form,
    safe_next,
    start_session,
)

if TYPE_CHECKING:
    from quire.clock import Clock
    from quire.engine.results import Results
    from quire.engine.runs import Runs, RunView
    from quire.identity.principals import Principal
    from quire.identity.tokens import Tokens
    from quire.settings import Settings
    from quire.workspace.publications import Publications

__all__ = ["Pages", "WebServices"]

_log = logging.getLogger(__name__)

_PER_PAGE = 50
_STATIC = Path(__file__).parent / "static"
_STATIC_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_TITLES = {
    400: "Bad request",
    401: "Please sign in",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    413: "Too large",
    415: "Unsupported media type",
    429: "Too many requests",
    503: "Unavailable for the moment",
}


class WebServices(Protocol):
    """What the pages use of the server."""

    @property
    def runs(self) -> Runs: ...
    @property
    def results(self) -> Results: ...
    @property
    def publications(self) -> Publications: ...
    @property
    def tokens(self) -> Tokens: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def clock(self) -> Clock: ...


View = Callable[[Request, "Principal"], Response]


class Pages:
    """Answers browsers."""

    def __init__(
        self,
        services: WebServices,
        render: Callable[[dict[str, Any], str], str] = render_html,
    ) -> None:
        """``render`` makes an HTML page of a notebook and a title."""
        self._services = services
        self._render_notebook = render
        self._publications = PublicationPages(services)
        self._templates = Environment(
            loader=PackageLoader("quire.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(
            moment=_moment, duration=_duration, plain=_plain, words=_words, value=_value
        )

    def router(self) -> APIRouter:
        """Every page."""
        return APIRouter(
            routes=[
                Route("/", self._page(self._show_runs), methods=["GET"]),
                Route("/login", self._guarded(self._show_login), methods=["GET"]),
                Route("/login", self._guarded(self._sign_in), methods=["POST"]),
                Route("/logout", self._guarded(self._sign_out), methods=["POST"]),
                Route("/runs/{run_id}", self._page(self._show_run), methods=["GET"]),
                Route("/runs/{run_id}/status", self._page(self._tell_status), methods=["GET"]),
                Route("/runs/{run_id}/notebook", self._page(self._show_notebook), methods=["GET"]),
                Route(
                    "/runs/{run_id}/notebook.ipynb",
                    self._page(self._download_notebook),
                    methods=["GET"],
                ),
                Route("/runs/{run_id}/log", self._page(self._show_log), methods=["GET"]),
                Route("/report/{report_id}", self._page(self._publications.show), methods=["GET"]),
                Route(
                    "/report/{report_id}/notebook.ipynb",
                    self._page(self._publications.download),
                    methods=["GET"],
                ),
                Route("/static/{name}", self._guarded(self._send_static), methods=["GET"]),
            ]
        )

    def render_error(self, error: Exception, request: Request) -> Response:
        """An error as a page, or as JSON for a client that does not ask for HTML."""
        status, title = _status_of(error)
        if isinstance(error, QuireError):
            message = error.message
        elif isinstance(error, HTTPException):
            message = str(error.detail)
        else:
            message = "Something went wrong on the server; its log says what."
        headers = {}
        if isinstance(error, MethodNotAllowed):
            headers["Allow"] = ", ".join(error.allowed)
        if "text/html" not in request.headers.get("accept", ""):
            body = {"error": getattr(error, "code", "error"), "message": message}
            return JSONResponse(body, status_code=status, headers=headers)
        return self._render(
            "error.html", status_code=status, headers=headers, title=title, message=message
        )

    # -- pages

    def _show_runs(self, request: Request, actor: Principal) -> Response:
        offset = min(_whole_number(request.query_params.get("offset"), "offset"), 10_000_000)
        active = request.query_params.get("active") == "1"
        # All that executes is shown; of what is over, people's work in notebooks only if asked for.
        interactive = request.query_params.get("interactive") == "1"
        which = RunFilter(active_only=active, interactive=active or interactive)
        views, more = self._services.runs.list(actor, which, offset=offset, limit=_PER_PAGE)
        return self._render(
            "runs.html",
            actor=actor,
            views=views,
            active=active,
            shown="&active=1" if active else "&interactive=1" if interactive else "",
            newer=max(0, offset - _PER_PAGE) if offset else None,
            older=offset + _PER_PAGE if more else None,
            now=self._services.clock.now(),
        )

    def _show_run(self, request: Request, actor: Principal) -> Response:
        view = self._view(request, actor)
        run, attempt = view.run, view.attempt
        now = self._services.clock.now()
        return self._render(
            "run.html",
            actor=actor,
            run=run,
            attempt=attempt,
            parameters={**run.definition.task.parameters, **run.parameters},
            phases=_phases(view, now),
            now=now,
            stamp=_stamp(view),
        )

    def _tell_status(self, request: Request, actor: Principal) -> Response:
        view = self._view(request, actor)
        return JSONResponse(
            {"stamp": _stamp(view), "active": view.attempt.active},
            headers={"Cache-Control": "no-store"},
        )

    def _show_notebook(self, request: Request, actor: Principal) -> Response:
        view = self._view(request, actor)
        page = self._render_notebook(self._services.results.notebook(view), view.run.name)
        return content(page, "text/html; charset=utf-8", NOTEBOOK_POLICY)

    def _download_notebook(self, request: Request, actor: Principal) -> Response:
        view = self._view(request, actor)
        text = json.dumps(self._services.results.notebook(view), indent=1, ensure_ascii=False)
        name = view.run.definition.task.label.rpartition("/")[2] or "notebook"
        response = content(text, "application/x-ipynb+json", PLAIN_POLICY)
        response.headers["Content-Disposition"] = (
            f'attachment; filename="run-{view.attempt.id}.ipynb"; '
            f"filename*=UTF-8''{quote(f'{name}-{view.attempt.id}.ipynb', safe='')}"
        )
        return response

    def _show_log(self, request: Request, actor: Principal) -> Response:
        text = self._services.results.log(self._view(request, actor))
        return content(text, "text/plain; charset=utf-8", PLAIN_POLICY)

    # -- signing in and out

    async def _show_login(self, request: Request) -> Response:
        return self._render("login.html", next=safe_next(request.query_params.get("next")))

    async def _sign_in(self, request: Request) -> Response:
        settings = self._services.settings
        check_same_origin(request, settings.public_url)
        form = await read_form(request)
        target, token = safe_next(form.get("next")), form.get("token", "").strip()
        response = RedirectResponse(target, status_code=303)
        try:
            start_session(response, token, secure=is_secure(request, settings.public_url))
            await run_in_threadpool(open_with, token, self._services.tokens)
        except (Unauthenticated, PermissionDenied) as error:
            return self._render("login.html", status_code=401, next=target, problem=error.message)
        return response

    async def _sign_out(self, request: Request) -> Response:
        settings = self._services.settings
        check_same_origin(request, settings.public_url)
        response = RedirectResponse("/login", status_code=303)
        end_session(response, secure=is_secure(request, settings.public_url))
        return response

    async def _send_static(self, request: Request) -> Response:
        name = request.path_params["name"]
        path = _STATIC / name
        media_type = _STATIC_TYPES.get(path.suffix)
        if "/" in name or media_type is None or not path.is_file():
            raise RouteNotFound(request.method, request.scope["path"])
        headers = {"Cache-Control": "max-age=300", "X-Content-Type-Options": "nosniff"}
        return FileResponse(path, media_type=media_type, headers=headers)

    # -- what every route does

    def _page(self, show: View) -> Callable[[Request], Awaitable[Response]]:
        """A route for people who signed in; others are sent to do so."""

        def answer(request: Request) -> Response:
            return show(request, identify(request, self._services.tokens))

        async def respond(request: Request) -> Response:
            try:
                return await run_in_threadpool(answer, request)
            except Unauthenticated:
                return login_redirect(request)

        return self._guarded(respond)

    def _guarded(
        self, respond: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            try:
                return await respond(request)
            except QuireError as error:
                return self.render_error(error, request)

        return guarded

    def _view(self, request: Request, actor: Principal) -> RunView:
        number = _whole_number(request.path_params["run_id"], "run_id")
        return self._services.runs.get(actor, AttemptId(number))

    def _render(
        self,
        template: str,
        *,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        **values: Any,
    ) -> Response:
        text = self._templates.get_template(template).render({"actor": None, **values})
        response = content(text, "text/html; charset=utf-8", PAGE_POLICY)
        response.status_code = status_code
        response.headers.update(headers or {})
        return response


def _status_of(error: Exception) -> tuple[int, str]:
    if isinstance(error, QuireError):
        return error.http_status, _TITLES.get(error.http_status, "Server error")
    if isinstance(error, HTTPException):
        return error.status_code, "Request refused"
    _log.error("a page failed", exc_info=error)
    return 500, "Server error"


def _whole_number(text: str | None, what: str) -> int:
    if text is None:
        return 0
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise NotFound("page", text) if what == "offset" else NotFound("run", text)
    return int(text)


def _stamp(view: RunView) -> str:
    """Changes whenever the page would."""
    attempt = view.attempt
    return f"{attempt.state}-{attempt.applied_sequence}-{view.run.attempt_id}"


def _phases(view: RunView, now: datetime) -> list[dict[str, Any]]:
    """The times between the moments of an attempt, as parts of a bar 1000 units wide."""
    attempt = view.attempt
    end = attempt.ended_at or now
    moments = [
        ("waiting", attempt.created_at),
        ("starting", attempt.claimed_at),
        ("running", attempt.started_at),
        ("closing", attempt.finished_at),
    ]
    reached = [(name, at) for name, at in moments if at is not None]
    total = max((end - attempt.created_at).total_seconds(), 1e-6)
    phases = []
    for index, (name, began_at) in enumerate(reached):
        until = reached[index + 1][1] if index + 1 < len(reached) else end
        seconds = max((until - began_at).total_seconds(), 0.0)
        offset = max((began_at - attempt.created_at).total_seconds(), 0.0)
        phases.append(
            {
                "name": name,
                "seconds": seconds,
                "x": round(1000 * offset / total, 1),
                "width": round(1000 * seconds / total, 1),
            }
        )
    return phases


def _moment(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d} UTC"


def _duration(value: float | timedelta | None) -> str:
    if value is None:
        return ""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _plain(text: str | None) -> str:
    """Text without the colour codes of terminals."""
    return _ANSI.sub("", text or "")


def _words(state: State | str) -> str:
    return str(state).replace("_", " ")


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
