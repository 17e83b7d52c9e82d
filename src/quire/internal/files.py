"""Where runners get the files that tasks name.

    GET /internal/v1/attempts/{attempt_id}/files?location=dbfs:/jars/a.jar

With the token a runner reports with. What may be read is what the run's user may read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from quire.engine.reports import AttemptGone
from quire.engine.runs import Runs
from quire.errors import InvalidCredential, MissingField, NotFound, QuireError
from quire.identity.principals import Principals
from quire.identity.run_tokens import RunTokens, RunTokenUse
from quire.internal.errors import render_error
from quire.workspace.locations import Locations

__all__ = ["file_routes"]

_BLOCK_BYTES = 256 * 1024


def file_routes(
    locations: Locations, run_tokens: RunTokens, principals: Principals, runs: Runs
) -> list[Route]:
    """The route above, over these services."""

    def open_file(attempt_id: int, authorization: str, location: str) -> tuple[BinaryIO, int]:
        scheme, _, text = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise InvalidCredential()
        token = run_tokens.read(text, RunTokenUse.REPORT)
        if token.attempt_id != attempt_id:
            raise InvalidCredential()
        if not location:
            raise MissingField("location")
        try:
            actor = principals.get(token.principal_id)
            view = runs.get(actor, token.attempt_id)
        except NotFound:
            raise AttemptGone(f"Attempt {attempt_id} does not exist.") from None
        if not view.attempt.active:
            raise AttemptGone(f"Attempt {attempt_id} is {view.attempt.state}.")
        return locations.open(actor, location)

    async def send(request: Request) -> Response:
        try:
            file, size = await run_in_threadpool(
                open_file,
                request.path_params["attempt_id"],
                request.headers.get("authorization", ""),
                request.query_params.get("location", ""),
            )
        except QuireError as error:
            return render_error(error)
        return StreamingResponse(
            _blocks(file, size),
            media_type="application/octet-stream",
            headers={"Content-Length": str(size)},
        )

    return [Route("/internal/v1/attempts/{attempt_id:int}/files", send, methods=["GET"])]


def _blocks(file: BinaryIO, size: int) -> Iterator[bytes]:
    with file:
        while size > 0:
            block = file.read(min(size, _BLOCK_BYTES))
            if not block:
                return
            size -= len(block)
            yield block
