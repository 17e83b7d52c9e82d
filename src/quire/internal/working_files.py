"""The working folder of a run, as its runner sees it: see :mod:`quire.runner.working_files`.

    GET    /internal/v1/attempts/{attempt_id}/working-files?path=   a file attached to the notebook
    PUT    …                                                        what the run made of a file
    DELETE …                                                        it removed this one

Whether a file that comes back becomes an artifact of the run or one of the notebook's own is in the
run's definition. All is done with the rights of who made the run, as they are at that moment.
"""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quire.dialects.reading import read_body
from quire.engine.artifacts import Artifacts
from quire.engine.models import WorkingFiles
from quire.engine.reports import AttemptGone
from quire.engine.states import EXECUTING
from quire.errors import InvalidState
from quire.identity.principals import Principal, Principals
from quire.identity.run_tokens import RunTokens, RunTokenUse
from quire.ids import AttemptId, NodeId
from quire.internal.authentication import read_run_token
from quire.internal.errors import rendering_errors
from quire.settings import Settings
from quire.store import runs as run_rows
from quire.store.database import Database
from quire.store.runs import RunView
from quire.workspace.attachments import Attachments, check_attachment_path

__all__ = ["WorkingFolders", "working_file_routes"]


class WorkingFolders:
    """Does what the routes ask."""

    def __init__(
        self,
        database: Database,
        principals: Principals,
        attachments: Attachments,
        artifacts: Artifacts,
    ) -> None:
        self._database = database
        self._principals = principals
        self._attachments = attachments
        self._artifacts = artifacts

    def read(self, attempt_id: AttemptId, path: str) -> bytes:
        actor, node_id, _ = self._look(attempt_id)
        return self._attachments.read(actor, node_id, path)

    def write(self, attempt_id: AttemptId, path: str, data: bytes) -> None:
        actor, node_id, view = self._look(attempt_id)
        path = check_attachment_path(path)
        match view.run.definition.working_files:
            case WorkingFiles.ARTIFACTS:
                self._artifacts.keep(view, path, data)
            case WorkingFiles.WRITE_BACK:
                self._attachments.write(actor, node_id, path, data)
            case WorkingFiles.DISCARD:
                raise InvalidState("This run keeps no files.")

    def remove(self, attempt_id: AttemptId, path: str) -> None:
        actor, node_id, view = self._look(attempt_id)
        if view.run.definition.working_files is not WorkingFiles.WRITE_BACK:
            raise InvalidState("This run removes no files.")
        self._attachments.delete(actor, node_id, path)

    def _look(self, attempt_id: AttemptId) -> tuple[Principal, NodeId, RunView]:
        with self._database.read() as connection:
            view = run_rows.get_view_of_any(connection, attempt_id)
        if view is None or view.attempt.state not in EXECUTING:
            raise AttemptGone(f"Attempt {attempt_id} is over.")
        node_id = view.run.notebook_id
        if node_id is None:
            raise InvalidState("This run has no notebook.")
        return self._principals.get(view.run.creator_id), node_id, view


def working_file_routes(
    folders: WorkingFolders, run_tokens: RunTokens, settings: Settings
) -> list[Route]:
    """The routes above."""

    def answer(request: Request, body: bytes) -> Response:
        attempt_id = read_run_token(request, run_tokens, RunTokenUse.REPORT).attempt_id
        path = request.query_params.get("path", "")
        if request.method == "PUT":
            folders.write(attempt_id, path, body)
            return Response(status_code=204)
        if request.method == "DELETE":
            folders.remove(attempt_id, path)
            return Response(status_code=204)
        return Response(folders.read(attempt_id, path), media_type="application/octet-stream")

    async def receive(request: Request) -> Response:
        body = await read_body(request, settings.run_file_limit_bytes)
        return await run_in_threadpool(answer, request, body)

    path = "/internal/v1/attempts/{attempt_id:int}/working-files"
    return [Route(path, rendering_errors(receive), methods=["GET", "PUT", "DELETE"])]
