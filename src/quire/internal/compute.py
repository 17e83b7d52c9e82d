"""Where runners and notebooks get their part of a cluster, and where runners give it back.

    POST   /internal/v1/attempts/{attempt_id}/compute   a runner asks before its run begins
    DELETE /internal/v1/attempts/{attempt_id}/compute   a runner gives back; again is no error
    POST   /internal/v1/runtime/spark                   a notebook asks when it first uses Spark

Runners show the token they report with, notebooks that of the runtime. The answer to POST has
``state`` *pending* (ask again in a moment), *ready* or *failed* with ``cause`` and ``message``; see
:meth:`quire.compute.uses.Answer.to_json`. DELETE answers 204, at the latest after some seconds,
when a cluster that was the attempt's own is down.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from quire.compute.uses import ClusterUses, UseState
from quire.engine.reports import AttemptGone
from quire.engine.run_compute import RunCompute
from quire.errors import InvalidCredential, NotFound
from quire.identity.principals import Principals
from quire.identity.run_tokens import RunToken, RunTokens, RunTokenUse
from quire.ids import AttemptId
from quire.internal.authentication import read_run_token
from quire.internal.errors import rendering_errors
from quire.store import runs as run_rows
from quire.store.database import Database
from quire.store.runs import RunView

__all__ = ["compute_routes"]

_RELEASE_SECONDS = 15.0
_HOLD_SECONDS = 2.0
_LOOK_SECONDS = 0.05


def compute_routes(
    compute: RunCompute,
    uses: ClusterUses,
    run_tokens: RunTokens,
    principals: Principals,
    database: Database,
) -> list[Route]:
    """The routes above."""

    def view_of(token: RunToken) -> RunView:
        with database.read() as connection:
            view = run_rows.get_view_of_any(connection, token.attempt_id)
        if view is None or view.run.id != token.run_id:
            raise AttemptGone(f"Attempt {token.attempt_id} does not exist.")
        return view

    def acquire(request: Request, use: RunTokenUse, *, spark: bool) -> dict[str, Any]:
        token = read_run_token(request, run_tokens, use)
        view = view_of(token)
        if not view.attempt.active:
            raise AttemptGone(f"Attempt {token.attempt_id} is {view.attempt.state}.")
        try:
            actor = principals.get(token.principal_id)
        except NotFound:
            raise InvalidCredential("The user of this run does not exist any more.") from None
        return compute.acquire(view, actor, spark=spark).to_json()

    def release(request: Request) -> AttemptId:
        token = read_run_token(request, run_tokens, RunTokenUse.REPORT)
        compute.release(view_of(token))
        return token.attempt_id

    async def ask(request: Request) -> Response:
        return JSONResponse(
            await run_in_threadpool(acquire, request, RunTokenUse.REPORT, spark=False)
        )

    async def ask_for_spark(request: Request) -> Response:
        # Held a little, so that a notebook need not ask too often.
        loop = asyncio.get_running_loop()
        until = loop.time() + _HOLD_SECONDS
        while True:
            answer = await run_in_threadpool(acquire, request, RunTokenUse.RUNTIME, spark=True)
            if answer["state"] != UseState.PENDING or loop.time() > until:
                return JSONResponse(answer)
            await asyncio.sleep(_LOOK_SECONDS)

    async def give_back(request: Request) -> Response:
        attempt_id = await run_in_threadpool(release, request)
        loop = asyncio.get_running_loop()
        until = loop.time() + _RELEASE_SECONDS
        while True:
            if await run_in_threadpool(uses.is_down, attempt_id) or loop.time() > until:
                return Response(status_code=204)
            await asyncio.sleep(_LOOK_SECONDS)

    one = "/internal/v1/attempts/{attempt_id:int}/compute"
    return [
        Route(one, rendering_errors(ask), methods=["POST"]),
        Route(one, rendering_errors(give_back), methods=["DELETE"]),
        Route("/internal/v1/runtime/spark", rendering_errors(ask_for_spark), methods=["POST"]),
    ]
