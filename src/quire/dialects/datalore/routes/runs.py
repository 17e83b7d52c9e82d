"""Runs: isolated and interactive ones, their status and what they left (contract 2 to 6)."""

from __future__ import annotations

import mimetypes
from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from quire.dialects.base import Call, Endpoint, Services
from quire.dialects.datalore import decisions, mapping_runs, wire_runs
from quire.dialects.datalore.identifiers import notebook_id, resolve_notebook
from quire.engine.artifacts import Artifact
from quire.engine.runs import RunView
from quire.errors import NotFound, PermissionDenied
from quire.identity.permissions import Right
from quire.identity.scopes import Access, is_bound_to, require_scope
from quire.workspace.controls import check_parameters
from quire.workspace.models import Node

__all__ = ["endpoints"]

_NOTEBOOK_TYPE = "application/x-ipynb+json; charset=utf-8"


def endpoints(services: Services) -> list[Endpoint]:
    """The operations of this file."""
    runs, workspace = services.runs, services.workspace

    def start(call: Call, body: wire_runs.RunNotebook) -> dict[str, Any]:
        node = _runnable(services, call, body.notebook_id)
        now = services.clock.now()
        given = mapping_runs.read_parameters(body)
        if given:
            _, notebook = workspace.read_notebook(call.principal, node.path, at=now)
            check_parameters(notebook, node.flavour, given)
        request = mapping_runs.isolated_request(
            body,
            given,
            node,
            notebook_id(services, node),
            at=now,
            limit=decisions.MOST_UNFINISHED_RUNS_OF_A_NOTEBOOK,
        )
        return {"runId": str(runs.submit(call.principal, request).attempt.id)}

    def start_interactive(call: Call, body: wire_runs.InteractiveRun) -> dict[str, Any]:
        node = _runnable(services, call, body.notebook_id)
        request = mapping_runs.interactive_request(
            body,
            node,
            notebook_id(services, node),
            limit=decisions.MOST_UNFINISHED_RUNS_OF_A_NOTEBOOK,
        )
        runs.submit(call.principal, request)
        return dict(decisions.INTERACTIVE_RUN_ANSWER)

    def show(call: Call, path: wire_runs.RunId) -> dict[str, Any]:
        view, node, identifier = _find_run(services, call, path.run_id)
        right = workspace.right_of(call.principal, node) if node is not None else None
        return mapping_runs.describe_run(
            view,
            identifier,
            services.artifacts.list(view),
            read_only=right is None or not right.covers(Right.EDITOR),
        )

    def download(call: Call, path: wire_runs.ArtifactPath) -> Response:
        view, _, identifier = _find_run(services, call, path.run_id)
        if identifier != f"{path.user}/{path.notebook}":
            raise NotFound("run", path.run_id)
        artifact, data = services.artifacts.read(view, path.name)
        return _file(artifact, data)

    return [
        Endpoint(
            "POST",
            "/api/run/v1/notebook",
            "Run a notebook",
            wire_runs.RunNotebook,
            start,
            scope=None,
        ),
        Endpoint(
            "POST",
            "/api/computation/v1/notebook",
            "Run a notebook interactively",
            wire_runs.InteractiveRun,
            start_interactive,
            scope=None,
        ),
        Endpoint(
            "GET", "/api/run/v1/{runId}", "Get a run's status", wire_runs.RunId, show, scope=None
        ),
        Endpoint(
            "GET",
            "/notebook/{user}/{notebook}/artifacts/{runId}/{name:path}",
            "Download an artifact",
            wire_runs.ArtifactPath,
            download,
            scope=None,
        ),
    ]


def _runnable(services: Services, call: Call, text: str) -> Node:
    """The notebook that is to be run, tested in the contract's order: 404 before 403."""
    node = resolve_notebook(services, call.principal, text)
    right = services.workspace.right_of(call.principal, node)
    if right is None or not right.covers(Right.EDITOR):
        raise PermissionDenied("You only have view rights to this notebook.")
    _check_scope(call, node, Access.FULL)
    return node


def _find_run(services: Services, call: Call, text: str) -> tuple[RunView, Node | None, str]:
    """A run, its notebook when the caller sees it, and the notebook's id. Raises NotFound."""
    attempt_id = mapping_runs.read_run_id(text)
    missing = NotFound("run", text)
    if attempt_id is None:
        raise missing
    try:
        view = services.runs.get(call.principal, attempt_id)
    except NotFound:
        raise missing from None
    node_id = view.run.notebook_id
    node: Node | None = None
    if node_id is not None:
        try:
            node = services.workspace.get_by_id(call.principal, node_id)
        except NotFound:
            node = None  # deleted since, or not shared with the run's creator any more
    _check_scope(call, node, Access.READ)
    identifier = mapping_runs.stored_notebook_id(view.run.definition.vendor)
    if identifier is None and node is not None:
        identifier = notebook_id(services, node)
    if identifier is None:
        raise missing
    return view, node, identifier


def _check_scope(call: Call, node: Node | None, access: Access) -> None:
    """A token has to be a user's own, or one for this very notebook."""
    if node is None or not is_bound_to(call.principal, node.uid, access):
        require_scope(call.principal, decisions.RUN_SCOPE, access)


def _file(artifact: Artifact, data: bytes) -> Response:
    """A download. A run's files are untrusted: no browser shows them as a page of this server."""
    media_type = _NOTEBOOK_TYPE
    if artifact.file is not None:
        media_type = mimetypes.guess_type(artifact.name)[0] or "application/octet-stream"
    shown = quote(artifact.name.rpartition("/")[2], safe="")
    return Response(
        data,
        headers={
            "Content-Type": media_type,
            "Content-Disposition": f"attachment; filename*=utf-8''{shown}",
            "Content-Security-Policy": "sandbox",
            "X-Content-Type-Options": "nosniff",
        },
    )
