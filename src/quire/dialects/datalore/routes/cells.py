"""Cells of a notebook: read, made, changed and run (contract 9)."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from quire.dialects.base import Call, Endpoint, Services
from quire.dialects.datalore import mapping_cells as mapping
from quire.dialects.datalore import wire_notebooks as wire
from quire.dialects.datalore.mapping_cells import Progress
from quire.dialects.datalore.routes.access import operation
from quire.engine.runs import RunView
from quire.engine.sessions import SessionView
from quire.engine.states import Outcome
from quire.errors import InvalidValue, NotFound
from quire.identity.scopes import Access
from quire.workspace import cells as notebook_cells
from quire.workspace import worksheets
from quire.workspace.cells import CellKind, find_cell, kind_of
from quire.workspace.controls import read_control
from quire.workspace.models import Node

__all__ = ["endpoints"]

_RUNNABLE = (CellKind.CODE, CellKind.QUERY)


def endpoints(services: Services) -> list[Endpoint]:
    """The operations of this file."""
    tree, sessions = services.workspace, services.sessions

    def list_cells(call: Call, node: Node, body: wire.ListCells) -> dict[str, Any]:
        if not body.include_outputs:
            notebook = tree.read_notebook(call.principal, node.path)[1]
            return mapping.describe_cells(
                notebook, worksheets.cells_on(notebook, body.worksheet_index)
            )
        view = sessions.view(call.principal, node.path)
        return mapping.describe_cells_with_outputs(
            view.notebook,
            worksheets.cells_on(view.notebook, body.worksheet_index),
            _progress(view),
        )

    def show_cell(call: Call, node: Node, body: wire.OnCell) -> dict[str, Any]:
        notebook = tree.read_notebook(call.principal, node.path)[1]
        cell = find_cell(notebook, body.cell_id)
        return {"cell": mapping.describe_cell(notebook, cell, _position(notebook, cell))}

    def show_outputs(call: Call, node: Node, body: wire.OnCell) -> dict[str, Any]:
        view = sessions.view(call.principal, node.path)
        cell = find_cell(view.notebook, body.cell_id)
        return mapping.describe_cell_outputs(cell, _progress(view))

    def create(call: Call, node: Node, body: wire.CreateCell) -> Any:
        _check_run(body.run, body.cell_type != "MARKDOWN")
        if body.cell_type == "SQL":
            check_database(call, body.data)

        def change(notebook: dict[str, Any]) -> str:
            cell = mapping.new_cell(notebook, body.cell_type, body.source, body.data)
            notebook_cells.add_cell(
                notebook, cell, after=body.after_cell_id, before=body.before_cell_id
            )
            return str(cell["id"])

        cell_id = tree.edit_notebook(call.principal, node.id, change)[1]
        return answer(call, node, {"cellId": cell_id}, body.run, body.timeout_ms)

    def edit(call: Call, node: Node, body: wire.EditCell) -> Any:
        check_database(call, body.data or {})

        def change(notebook: dict[str, Any]) -> None:
            cell = find_cell(notebook, body.cell_id)
            kind = kind_of(cell)
            _check_run(body.run, kind is not CellKind.TEXT)
            if kind is CellKind.CONTROL:
                raise InvalidValue("cellId", "a control is changed by cell/controls/update.")
            if body.data is not None:
                if kind is not CellKind.QUERY:
                    raise InvalidValue("data", "only SQL cells have data to change.")
                present = dict(zip(_QUERY_DATA, notebook_cells.query_facts(cell), strict=True))
                facts = mapping.read_query_data({**present, **body.data})
                notebook_cells.set_query_facts(cell, *facts)
            cell["source"] = body.new_content

        tree.edit_notebook(call.principal, node.id, change)
        return answer(
            call, node, {"cellId": body.cell_id, "applied": True}, body.run, body.timeout_ms
        )

    def update_control(call: Call, node: Node, body: wire.UpdateControl) -> Any:
        def change(notebook: dict[str, Any]) -> None:
            cell = find_cell(notebook, body.cell_id)
            notebook_cells.set_control(cell, read_control(body.control))

        tree.edit_notebook(call.principal, node.id, change)
        return answer(
            call, node, {"cellId": body.cell_id, "applied": True}, body.run, body.timeout_ms
        )

    def delete(call: Call, node: Node, body: wire.OnCell) -> Response:
        def change(notebook: dict[str, Any]) -> None:
            notebook_cells.delete_cell(notebook, body.cell_id)

        tree.edit_notebook(call.principal, node.id, change)
        return Response(status_code=204)

    def check_database(call: Call, data: Mapping[str, Any]) -> None:
        """Raise NotFound for a database that the caller may not use."""
        database = mapping.read_query_data(data)[0]
        usable = {each.name for each in services.connections.list_usable(call.principal)}
        if database is not None and database not in usable:
            raise NotFound("database", database)

    def answer(
        call: Call, node: Node, content: dict[str, Any], run: bool, timeout_ms: int
    ) -> dict[str, Any] | Awaitable[dict[str, Any]]:
        """What a change answers: with what the cell did, when it was to be run."""
        if not run:
            return {**content, "runResult": None}

        async def later() -> dict[str, Any]:
            return {
                **content,
                "runResult": await execute(call, node, content["cellId"], timeout_ms),
            }

        return later()

    async def execute(call: Call, node: Node, cell_id: str, timeout_ms: int) -> dict[str, Any]:
        """Run a cell in the notebook's kernel; what it did, or has done until the time is over."""
        actor = call.principal
        started = await run_in_threadpool(sessions.run, actor, node.path, cells=[cell_id])
        ended = await services.runs.wait(actor, started.attempt.id, timeout_ms / 1000)
        view = await run_in_threadpool(sessions.view, actor, node.path)
        return _describe_result(find_cell(view.notebook, cell_id), ended)

    def run(call: Call, node: Node, body: wire.RunCell) -> Awaitable[dict[str, Any]]:
        return execute(call, node, body.cell_id, body.timeout_ms)

    def run_several(call: Call, node: Node, body: wire.RunCells) -> Awaitable[dict[str, Any]]:
        notebook = tree.read_notebook(call.principal, node.path)[1]
        for number, cell_id in enumerate(body.cell_ids):
            if kind_of(find_cell(notebook, cell_id)) not in _RUNNABLE:
                raise InvalidValue(
                    f"cellIds[{number}]", f"cell {cell_id} is neither a CODE nor an SQL cell."
                )

        async def later() -> dict[str, Any]:
            results: list[dict[str, Any]] = []
            reason = None
            for cell_id in body.cell_ids:
                result = await execute(call, node, cell_id, body.timeout_ms)
                results.append(result)
                if result["executionStatus"] == "TIMEOUT":
                    reason = "timeout"
                elif result["executionStatus"] == "ERROR" and body.stop_on_error:
                    reason = "error"
                if reason is not None:
                    break
            return {"results": results, "stopped": reason is not None, "stoppedReason": reason}

        return later()

    read, full = Access.READ, Access.FULL
    return [
        operation(services, "cells", "List cells", wire.ListCells, read, list_cells),
        operation(services, "cell", "Get a cell", wire.OnCell, read, show_cell),
        operation(
            services, "cell/outputs", "Get what a cell shows", wire.OnCell, read, show_outputs
        ),
        operation(services, "cell/create", "Make a cell", wire.CreateCell, full, create),
        operation(services, "cell/edit", "Change a cell", wire.EditCell, full, edit),
        operation(services, "cell/delete", "Delete a cell", wire.OnCell, full, delete),
        operation(services, "cell/run", "Run a cell", wire.RunCell, full, run),
        operation(services, "cells/run", "Run cells", wire.RunCells, full, run_several),
        operation(
            services,
            "cell/controls/update",
            "Change a control",
            wire.UpdateControl,
            full,
            update_control,
        ),
    ]


_QUERY_DATA = ("databaseId", "variableName")


def _check_run(wanted: bool, possible: bool) -> None:
    if wanted and not possible:
        raise InvalidValue("run", "a MARKDOWN cell is not run.")


def _progress(view: SessionView) -> Progress:
    return Progress(view.status.running_cell, view.waiting)


def _position(notebook: Mapping[str, Any], cell: Mapping[str, Any]) -> int:
    """Where a cell is on its worksheet."""
    sheet = worksheets.worksheet_of(notebook, cell["id"])
    index = worksheets.worksheets_of(notebook).index(sheet)
    return [each["id"] for each in worksheets.cells_on(notebook, index)].index(cell["id"])


def _describe_result(cell: Mapping[str, Any], run: RunView) -> dict[str, Any]:
    if run.attempt.active:
        return mapping.describe_cell_outputs(cell, Progress(), status="TIMEOUT")
    described = mapping.describe_cell_outputs(cell, Progress())
    if run.attempt.outcome is Outcome.SUCCESS:
        return {**described, "executionStatus": "VALID"}
    # The kernel may have died, or the run was cancelled: no output of the cell says so.
    message = described["errorMessage"] or run.attempt.message
    return {**described, "executionStatus": "ERROR", "errorMessage": message}
