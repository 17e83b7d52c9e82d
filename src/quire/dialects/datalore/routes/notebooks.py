"""Notebooks as a whole: worksheets, and what of their API is not done here (contract 9, 10)."""

from __future__ import annotations

from typing import Any

from quire.dialects.base import Call, Endpoint, Services
from quire.dialects.datalore import wire_notebooks as wire
from quire.dialects.datalore.routes.access import operation
from quire.errors import Unsupported
from quire.identity.scopes import Access
from quire.workspace.cells import new_cell_id, new_code_cell
from quire.workspace.models import Node
from quire.workspace.worksheets import add_worksheet

__all__ = ["endpoints"]

_REFUSED = {
    "database/schema/children": "schemas of databases",
    "database/schema/search": "schemas of databases",
    "database/schema/condensed": "schemas of databases",
    "definitions": "definitions of variables",
}
"""Calls of the notebook API that are known and not done, with what they would give."""


def endpoints(services: Services) -> list[Endpoint]:
    """The operations of this file."""

    def create_worksheet(call: Call, node: Node, body: wire.CreateWorksheet) -> dict[str, Any]:
        def change(notebook: dict[str, Any]) -> dict[str, Any]:
            first = new_code_cell("")
            sheet, index = add_worksheet(
                notebook, new_cell_id(), first, name=body.name, index=body.worksheet_index
            )
            return {
                "worksheetId": sheet.id,
                "worksheetIndex": index,
                "name": sheet.name,
                "firstCellId": first["id"],
            }

        return services.workspace.edit_notebook(call.principal, node.id, change)[1]

    def list_databases(call: Call, _: Node, __: wire.OnNotebook) -> dict[str, Any]:
        usable = services.connections.list_usable(call.principal)
        return {
            "databases": [
                {"databaseId": each.name, "name": each.name, "type": each.kind.upper()}
                for each in usable
            ]
        }

    def refuse(what: str) -> Any:
        def handler(_: Call, __: Node, ___: wire.OnNotebook) -> Any:
            raise Unsupported(f"This server does not give {what}.")

        return handler

    return [
        operation(
            services,
            "worksheet/create",
            "Make a worksheet",
            wire.CreateWorksheet,
            Access.FULL,
            create_worksheet,
        ),
        operation(
            services, "databases", "List databases", wire.OnNotebook, Access.READ, list_databases
        ),
        *(
            operation(
                services, path, f"Not done: {what}", wire.OnNotebook, Access.READ, refuse(what)
            )
            for path, what in _REFUSED.items()
        ),
    ]
