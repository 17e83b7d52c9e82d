"""What code in a notebook asks of the server, over HTTP with the token of its run.

    GET    /internal/v1/runtime/files/status?path=           one file or folder
    GET    /internal/v1/runtime/files/list?path=             what a folder holds
    GET    /internal/v1/runtime/files?path=&offset=&length=  bytes of a file
    PUT    /internal/v1/runtime/files?path=&overwrite=       store the body as a file
    DELETE /internal/v1/runtime/files?path=&recursive=       {"deleted": whether it was there}
    POST   /internal/v1/runtime/files/directories            {"path"}
    POST   /internal/v1/runtime/files/copy, …/files/move     {"source", "destination", "overwrite"}
    GET    /internal/v1/runtime/notebooks?path=              {"path", "notebook"}
    POST   /internal/v1/runtime/child-runs                   {"path", "timeout_seconds",
                                                              "arguments", "request_id"}
    GET    /internal/v1/runtime/child-runs/{id}?wait_seconds=
    POST   /internal/v1/runtime/child-runs/{id}/cancel
    GET    /internal/v1/runtime/connections/{name}           {"url"} of a named database

A token opens these only while its attempt is active, with the rights of who made the run. Errors
are ``{"error": code, "message": text}``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

from fastapi import APIRouter, Depends, Query
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from quire.compute.models import Compute
from quire.compute.uses import ClusterUses
from quire.engine.models import JobDefinition, NotebookTask, Run, RunKind, RunRequest, Trigger
from quire.engine.runs import Runs, RunView
from quire.errors import (
    InvalidCredential,
    InvalidValue,
    MalformedRequest,
    MissingField,
    NotFound,
    QuireError,
)
from quire.identity.models import Principal
from quire.identity.principals import Principals
from quire.identity.run_tokens import RunTokens, RunTokenUse
from quire.ids import AttemptId
from quire.internal.authentication import read_run_token
from quire.internal.errors import render_error
from quire.internal.streaming import stream_file
from quire.workspace.connections import Connections
from quire.workspace.files import FileStatus, FileStore
from quire.workspace.models import NodeKind
from quire.workspace.tree import Workspace

__all__ = ["runtime_router"]

PREFIX = "/internal/v1/runtime"
_LONGEST_WAIT_SECONDS = 20.0
_FIRST_LOOK_SECONDS = 0.02
_SLOWEST_LOOK_SECONDS = 0.25


@dataclass(frozen=True)
class Caller:
    """The run a request comes from, and who it acts for."""

    principal: Principal
    run: Run


class DirectoryRequest(BaseModel):
    """Asks for a folder."""

    model_config = ConfigDict(extra="forbid", strict=True)
    path: str


class TransferRequest(BaseModel):
    """Asks to copy or move."""

    model_config = ConfigDict(extra="forbid", strict=True)
    source: str
    destination: str
    overwrite: bool = False


class ChildRunRequest(BaseModel):
    """Asks for another notebook as a run of its own."""

    model_config = ConfigDict(extra="forbid", strict=True)
    path: str
    timeout_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    arguments: dict[str, Any] = Field(default_factory=dict)
    request_id: str = Field(pattern=r"^[0-9a-f]{32}$")  # the same id asks for the same run


class _Route(APIRoute):
    """Answers every error in the form of internal routes."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except RequestValidationError as error:
                return render_error(_invalid(error))
            except QuireError as error:
                return render_error(error)

        return handle


def runtime_router(
    run_tokens: RunTokens,
    principals: Principals,
    workspace: Workspace,
    files: FileStore,
    runs: Runs,
    cluster_uses: ClusterUses,
    connections: Connections,
) -> APIRouter:
    """The routes above, over these services."""

    def authenticate(request: Request) -> Caller:
        token = read_run_token(request, run_tokens, RunTokenUse.RUNTIME)
        try:
            principal = principals.get(token.principal_id)
            view = runs.get(principal, token.attempt_id)
        except NotFound:
            raise InvalidCredential("The run of this token does not exist any more.") from None
        if principal.disabled_at is not None:
            raise InvalidCredential("The user of this run is disabled.")
        if view.run.id != token.run_id or not view.attempt.active:
            raise InvalidCredential("The run of this token is over.")
        return Caller(principal, view.run)

    router = APIRouter(prefix=PREFIX, route_class=_Route)
    signed = Depends(authenticate)
    _add_files(router, files, signed)
    _add_notebooks(router, workspace, signed)
    _add_child_runs(router, workspace, runs, cluster_uses, signed)

    @router.get("/connections/{name}")
    def connection(name: str, caller: Caller = signed) -> dict[str, str]:
        return {"url": connections.url_for(caller.principal, name)}

    return router


def _add_files(router: APIRouter, files: FileStore, signed: Any) -> None:
    @router.get("/files/status", dependencies=[signed])
    def status(path: str) -> dict[str, Any]:
        return _file(files.stat(path))

    @router.get("/files/list", dependencies=[signed])
    def list_files(path: str) -> dict[str, Any]:
        return {"files": [_file(each) for each in files.list(path)]}

    @router.get("/files", dependencies=[signed], response_class=StreamingResponse)
    def read(
        path: str, offset: int = Query(0, ge=0), length: int | None = Query(None, ge=0)
    ) -> StreamingResponse:
        file = files.open(path)
        try:
            size = max(0, file.seek(0, 2) - offset)
            file.seek(offset)
        except BaseException:
            file.close()
            raise
        size = size if length is None else min(size, length)
        return stream_file(file, size)

    @router.put("/files", dependencies=[signed])
    async def store(request: Request, path: str, overwrite: bool = False) -> dict[str, Any]:
        upload = await run_in_threadpool(files.begin, path, overwrite=overwrite)
        try:
            async for block in request.stream():
                await run_in_threadpool(upload.write, block)
            return _file(await run_in_threadpool(upload.commit))
        except ClientDisconnect:
            raise MalformedRequest("The body ended before it was whole.") from None
        finally:
            await run_in_threadpool(upload.discard)

    @router.delete("/files", dependencies=[signed])
    def delete(path: str, recursive: bool = False) -> dict[str, Any]:
        return {"deleted": files.delete(path, recursive=recursive)}

    @router.post("/files/directories", dependencies=[signed])
    def make_directories(body: DirectoryRequest) -> dict[str, Any]:
        files.make_directories(body.path)
        return _file(files.stat(body.path))

    @router.post("/files/copy", dependencies=[signed])
    def copy(body: TransferRequest) -> dict[str, Any]:
        return _file(
            files.copy(body.source, body.destination, recursive=True, overwrite=body.overwrite)
        )

    @router.post("/files/move", dependencies=[signed])
    def move(body: TransferRequest) -> dict[str, Any]:
        return _file(files.move(body.source, body.destination, overwrite=body.overwrite))


def _add_notebooks(router: APIRouter, workspace: Workspace, signed: Any) -> None:
    @router.get("/notebooks")
    def read_notebook(path: str, caller: Caller = signed) -> dict[str, Any]:
        node, notebook = workspace.read_notebook(caller.principal, path)
        return {"path": node.path, "notebook": notebook}


def _add_child_runs(
    router: APIRouter, workspace: Workspace, runs: Runs, cluster_uses: ClusterUses, signed: Any
) -> None:
    @router.post("/child-runs")
    def start(body: ChildRunRequest, caller: Caller = signed) -> dict[str, Any]:
        node = workspace.get(caller.principal, body.path)
        if node.kind is not NodeKind.NOTEBOOK:
            raise InvalidValue("path", f"{node.path} is not a notebook.")
        definition = JobDefinition(
            task=NotebookTask(path=node.path, parameters=body.arguments),
            name=node.name,
            timeout_seconds=body.timeout_seconds,
            environment=caller.run.definition.environment,
            compute=_shared_compute(cluster_uses, caller.run),
            notices=caller.run.definition.notices,
        )
        view = runs.submit(
            caller.principal,
            RunRequest(
                definition=definition,
                kind=RunKind.CHILD,
                trigger=Trigger.PARENT_RUN,
                idempotency_token=f"child:{caller.run.attempt_id}:{body.request_id}",
                parent_run_id=caller.run.id,
            ),
        )
        return _child(view)

    @router.get("/child-runs/{child_id}")
    async def wait(
        request: Request,
        child_id: int,
        wait_seconds: float = Query(0.0, ge=0, le=_LONGEST_WAIT_SECONDS),
        caller: Caller = signed,
    ) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_seconds
        pause = _FIRST_LOOK_SECONDS
        while True:
            view = await run_in_threadpool(_child_of, runs, caller, child_id)
            left = deadline - loop.time()
            if not view.attempt.active or left <= 0 or await request.is_disconnected():
                return _child(view)
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 1.5, _SLOWEST_LOOK_SECONDS)

    @router.post("/child-runs/{child_id}/cancel")
    def cancel(child_id: int, caller: Caller = signed) -> dict[str, Any]:
        view = _child_of(runs, caller, child_id)
        runs.cancel(caller.principal, view.attempt.id)
        return _child(_child_of(runs, caller, child_id))


def _shared_compute(cluster_uses: ClusterUses, parent: Run) -> Compute | None:
    """A child runs on the cluster its parent has, also on one made for the parent alone."""
    compute = parent.definition.compute
    if compute is None:
        return None
    part = cluster_uses.find([parent.attempt_id]).get(parent.attempt_id)
    cluster_id = part.cluster.id if part is not None else None
    return replace(compute, cluster_id=cluster_id, new_cluster=None)


def _child_of(runs: Runs, caller: Caller, child_id: int) -> RunView:
    view = runs.get(caller.principal, AttemptId(child_id))
    if view.run.parent_run_id != caller.run.id:
        raise NotFound("run", child_id)
    return view


def _child(view: RunView) -> dict[str, Any]:
    attempt = view.attempt
    return {
        "run_id": attempt.id,
        "state": attempt.state,
        "done": not attempt.active,
        "outcome": attempt.outcome,
        "exit_value": attempt.exit_value,
        "error": attempt.error,
        "message": attempt.message,
    }


def _file(status: FileStatus) -> dict[str, Any]:
    return {
        "path": status.path,
        "is_directory": status.is_directory,
        "size": status.size,
        "modified_at": int(status.modified_at.timestamp() * 1000),
    }


def _invalid(error: RequestValidationError) -> QuireError:
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return MalformedRequest()
    field = ".".join(str(part) for part in first["loc"][1:]) or "body"
    if first["type"] == "missing":
        return MissingField(field)
    return InvalidValue(field, f"{first['msg']}.")
