"""How the endpoints of any dialect are put behind HTTP."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.testclient import TestClient

from quire.dialects.base import Endpoint, RouteHooks, json_response, make_route
from quire.errors import InvalidValue, MissingCredential
from quire.identity.models import Principal, PrincipalKind, Role
from quire.ids import PrincipalId
from quire.settings import Settings


class _Nothing(BaseModel):
    """No fields."""


def _client(handler: Any, **options: Any) -> TestClient:
    """A server of one endpoint, for callers that send any credential."""

    def authenticate(request: Request) -> Principal:
        if "authorization" not in request.headers:
            raise MissingCredential
        return Principal(PrincipalId(1), PrincipalKind.USER, "ann", Role.MEMBER)

    def render_error(error: Exception, _: Request) -> Response:
        return PlainTextResponse(type(error).__name__, status_code=400)

    hooks = RouteHooks(authenticate, lambda *_: _Nothing(), json_response, render_error)
    endpoint = Endpoint("POST", "/x", "Do it", _Nothing, handler, **options)
    app = Starlette(routes=[make_route(endpoint, hooks, Settings(max_body_bytes=10))])
    return TestClient(app)


def _post(client: TestClient, **options: Any) -> Response:
    answer: Any = client.post("/x", headers={"Authorization": "Bearer x"}, **options)
    return answer


def test_a_handler_may_let_its_caller_wait_without_holding_a_thread() -> None:
    threads: list[int] = []

    def handler(*_: Any) -> Any:
        threads.append(threading.get_ident())

        async def later() -> dict[str, bool]:
            threads.append(threading.get_ident())
            assert asyncio.get_running_loop().is_running()
            return {"waited": True}

        return later()

    answer: Any = _post(_client(handler))
    assert (answer.status_code, answer.json()) == (200, {"waited": True})
    assert threads[0] != threads[1]


def test_what_is_waited_for_may_be_an_answer_or_fail() -> None:
    async def ready() -> Response:
        return Response(status_code=204)

    async def failed() -> Response:
        raise InvalidValue("x", "is wrong.")

    assert _post(_client(lambda *_: ready())).status_code == 204
    answer: Any = _post(_client(lambda *_: failed()))
    assert (answer.status_code, answer.text) == (400, "InvalidValue")


def test_nobody_unknown_sends_more_than_usual() -> None:
    client = _client(lambda *_: {}, body_limit=1000)
    assert _post(client, content=b"x" * 1000).status_code == 200
    answer: Any = client.post("/x", content=b"x" * 1001)
    assert answer.text == "MissingCredential"  # and not that the body is too large
