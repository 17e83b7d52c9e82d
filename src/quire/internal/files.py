"""Where runners get the files that tasks name.

    GET /internal/v1/attempts/{attempt_id}/files?location=dbfs:/jars/a.jar

With the token a runner reports with. What may be read is what the run's user may read.
"""

from __future__ import annotations

from typing import BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quire.engine.reports import AttemptGone
from quire.engine.runs import Runs
from quire.errors import MissingField, NotFound
from quire.identity.principals import Principals
from quire.identity.run_tokens import RunTokens, RunTokenUse
from quire.internal.authentication import read_run_token
from quire.internal.errors import rendering_errors
from quire.internal.streaming import stream_file
from quire.workspace.locations import Locations

__all__ = ["file_routes"]


def file_routes(
    locations: Locations, run_tokens: RunTokens, principals: Principals, runs: Runs
) -> list[Route]:
    """The route above, over these services."""

    def open_file(request: Request) -> tuple[BinaryIO, int]:
        token = read_run_token(request, run_tokens, RunTokenUse.REPORT)
        location = request.query_params.get("location", "")
        if not location:
            raise MissingField("location")
        try:
            actor = principals.get(token.principal_id)
            view = runs.get(actor, token.attempt_id)
        except NotFound:
            raise AttemptGone(f"Attempt {token.attempt_id} does not exist.") from None
        if not view.attempt.active:
            raise AttemptGone(f"Attempt {token.attempt_id} is {view.attempt.state}.")
        return locations.open(actor, location)

    async def send(request: Request) -> Response:
        return stream_file(*await run_in_threadpool(open_file, request))

    path = "/internal/v1/attempts/{attempt_id:int}/files"
    return [Route(path, rendering_errors(send), methods=["GET"])]
