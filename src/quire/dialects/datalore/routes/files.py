"""Files of a notebook and of its workspace (contract 9)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from quire.dialects.base import Call, Endpoint, Services
from quire.dialects.datalore import mapping_files as mapping
from quire.dialects.datalore import wire_notebooks as wire
from quire.dialects.datalore.decisions import DEFAULT_DIRECTORY
from quire.dialects.datalore.errors import invisible_is_forbidden
from quire.dialects.datalore.routes.access import find_notebook, operation
from quire.errors import AlreadyExists, InvalidValue
from quire.identity.scopes import Access
from quire.ids import NodeId
from quire.workspace.areas import area_of
from quire.workspace.models import Node

__all__ = ["endpoints"]

_FORM_BYTES = 64 * 1024  # what a form has around its file


def endpoints(services: Services) -> list[Endpoint]:
    """The operations of this file."""
    files = services.attachments

    def place(call: Call, node: Node, text: str, field: str) -> tuple[NodeId, str]:
        """What a path's file is attached to, and its path there."""
        root, path = mapping.read_path(text, field)
        if root == mapping.NOTEBOOK_FILES:
            return node.id, path
        return services.workspace.get(call.principal, area_of(node)).id, path

    def list_files(call: Call, node: Node, body: wire.ListFiles) -> dict[str, Any]:
        directory = DEFAULT_DIRECTORY if body.directory is None else body.directory
        if mapping.is_data_root(directory):
            return {"files": mapping.describe_roots()}
        node_id, path = place(call, node, directory, "directory")
        found = files.list(call.principal, node_id, path)
        return {"files": [mapping.describe_file(each) for each in found]}

    def download(call: Call, node: Node, body: wire.OnFile) -> Response:
        node_id, path = place(call, node, body.file_path, "filePath")
        data = files.read(call.principal, node_id, path)
        name = quote(path.rpartition("/")[2], safe="")
        return Response(
            data,
            media_type="application/octet-stream",
            headers={
                "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
                "X-Content-Type-Options": "nosniff",
            },
        )

    def read(call: Call, node: Node, body: wire.ReadFile) -> dict[str, Any]:
        node_id, path = place(call, node, body.file_path, "filePath")
        data = files.read(call.principal, node_id, path, length=body.max_bytes + 1)
        return mapping.describe_text(data, body.encoding, body.max_bytes, body.max_lines)

    def exists(call: Call, node: Node, body: wire.OnFile) -> dict[str, bool]:
        if mapping.is_root(body.file_path):
            return {"exists": True}
        node_id, path = place(call, node, body.file_path, "filePath")
        return {"exists": files.find(call.principal, node_id, path) is not None}

    def delete(call: Call, node: Node, body: wire.OnFile) -> Response:
        node_id, path = place(call, node, body.file_path, "filePath")
        files.delete(call.principal, node_id, path)
        return Response(status_code=204)

    def upload(call: Call, form: wire.UploadFile) -> dict[str, str]:
        node = find_notebook(services, call, form.owner_id, form.notebook_id, Access.FULL)
        name = mapping.read_file_name(form.file.filename)
        directory = DEFAULT_DIRECTORY if form.directory is None else form.directory
        if mapping.is_data_root(directory):
            raise InvalidValue("directory", "files lie in one of the roots.", allowed=mapping.ROOTS)
        with invisible_is_forbidden():
            node_id, folder = place(call, node, directory, "directory")
            path = f"{folder}/{name}" if folder else name
            try:
                files.write(call.principal, node_id, path, form.file)
            except AlreadyExists as error:
                raise InvalidValue("directory", error.message) from None
        return {"fileName": name, "status": "uploaded"}

    return [
        operation(services, "files", "List files", wire.ListFiles, Access.READ, list_files),
        operation(services, "file", "Download a file", wire.OnFile, Access.READ, download),
        operation(services, "file/read", "Read a file's text", wire.ReadFile, Access.READ, read),
        operation(services, "file/exists", "Look for a file", wire.OnFile, Access.READ, exists),
        operation(services, "file/delete", "Delete a file", wire.OnFile, Access.FULL, delete),
        Endpoint(
            "POST",
            "/api/notebook/v1/file/upload",
            "Upload a file",
            wire.UploadFile,
            upload,
            accepts_form=True,
            body_limit=services.settings.max_upload_bytes + _FORM_BYTES,
            scope=None,
        ),
    ]
