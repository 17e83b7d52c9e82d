"""Reports: how a notebook is laid out, and its publication (contract 7, 9)."""

from __future__ import annotations

from typing import Any

from quire.dialects.base import Call, Endpoint, Services
from quire.dialects.datalore import mapping_reports as mapping
from quire.dialects.datalore import wire_notebooks as wire
from quire.dialects.datalore.routes.access import operation
from quire.errors import AlreadyExists, InvalidState, InvalidValue, Unsupported
from quire.identity.scopes import Access
from quire.workspace.addressing import base62
from quire.workspace.layouts import Layout, layout_of, set_layout
from quire.workspace.models import Node

__all__ = ["endpoints"]


def endpoints(services: Services) -> list[Endpoint]:
    """The operations of this file."""
    tree, publications = services.workspace, services.publications

    def show(call: Call, node: Node, _: wire.OnNotebook) -> dict[str, Any]:
        notebook = tree.read_notebook(call.principal, node.path)[1]
        return mapping.describe_layout(layout_of(notebook))

    def replace(call: Call, node: Node, body: wire.ReplaceReport) -> dict[str, Any]:
        layout = mapping.read_tabs(body.tabs)

        def change(notebook: dict[str, Any]) -> Layout | None:
            set_layout(notebook, layout)
            return layout_of(notebook)

        return mapping.describe_layout(tree.edit_notebook(call.principal, node.id, change)[1])

    def operate(call: Call, node: Node, body: wire.ReportOperations) -> dict[str, Any]:
        def change(notebook: dict[str, Any]) -> Layout | None:
            layout = layout_of(notebook) or Layout()
            set_layout(notebook, mapping.apply_operations(layout, body.operations))
            return layout_of(notebook)

        return mapping.describe_layout(tree.edit_notebook(call.principal, node.id, change)[1])

    def publish(call: Call, node: Node, body: wire.PublishReport) -> dict[str, Any]:
        if body.type == "INTERACTIVE":
            raise Unsupported(
                "This server publishes reports that are finished; it does not run them for their"
                " readers (type). Allowed values: STATIC.",
                field="type",
            )
        options = {
            "full_width": body.full_width,
            "can_download": body.can_download_and_edit_copy,
        }
        try:
            if body.mode == "CREATE":
                made = publications.create(call.principal, node.id, options)
            else:
                made = publications.update(call.principal, node.id, options)
        except (AlreadyExists, InvalidState) as error:
            raise InvalidValue("mode", error.message) from None
        return {"reportId": base62(made.uid), "type": body.type, "mode": body.mode}

    return [
        operation(services, "report", "Get the layout", wire.OnNotebook, Access.READ, show),
        operation(
            services,
            "report/replace",
            "Replace the layout",
            wire.ReplaceReport,
            Access.FULL,
            replace,
        ),
        operation(
            services,
            "report/operations",
            "Change the layout",
            wire.ReportOperations,
            Access.FULL,
            operate,
        ),
        operation(
            services,
            "report/publish",
            "Publish the report",
            wire.PublishReport,
            Access.FULL,
            publish,
        ),
    ]
