"""Workspace 2.0: folders, notebooks and files (contract 8.1)."""

from __future__ import annotations

import base64
import binascii
from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from quire.dialects.base import Call, Endpoint, Services
from quire.dialects.databricks import wire
from quire.dialects.databricks.locations import workspace_path
from quire.dialects.databricks.mapping import describe_node, moment
from quire.errors import (
    AlreadyExists,
    InvalidValue,
    MissingField,
    NotFound,
    QuireError,
    TooLarge,
    Unsupported,
)
from quire.identity.models import Principal
from quire.render.page import render_html
from quire.workspace import formats
from quire.workspace.formats import ArchiveEntry, databricks_archive
from quire.workspace.models import Node, NodeKind

__all__ = ["endpoints"]

CONTENT_LIMIT = 10 * 1024 * 1024  # bytes of one notebook or file
_BODY_LIMIT = CONTENT_LIMIT * 4 // 3 + 256 * 1024  # the same as base64, and the other fields
_FORMATS = {
    "SOURCE": "databricks_source",
    "AUTO": "databricks_source",
    "RAW": "databricks_source",
    "JUPYTER": "ipynb",
    "HTML": "databricks_html",
    "DBC": "databricks_archive",
}


def endpoints(services: Services) -> list[Endpoint]:
    """The operations of this file."""
    tree = services.workspace

    def make_folders(call: Call, body: wire.PathOnly) -> dict[str, Any]:
        tree.make_folders(call.principal, workspace_path(body.path))
        return {}

    def show(call: Call, query: wire.PathOnly) -> dict[str, Any]:
        return describe_node(tree.get(call.principal, workspace_path(query.path)))

    def list_folder(call: Call, query: wire.ListPath) -> dict[str, Any]:
        nodes = list(tree.list(call.principal, workspace_path(query.path)))
        if query.notebooks_modified_after is not None:
            after = moment(query.notebooks_modified_after)
            nodes = [
                node
                for node in nodes
                if node.kind is not NodeKind.NOTEBOOK or node.modified_at > after
            ]
        return {"objects": [describe_node(node) for node in nodes]} if nodes else {}

    def delete(call: Call, body: wire.DeletePath) -> dict[str, Any]:
        tree.delete(call.principal, workspace_path(body.path), recursive=body.recursive)
        return {}

    def import_content(call: Call, body: wire.ImportPath) -> dict[str, Any]:
        path = workspace_path(body.path)
        data = _decode(body.content)
        _refuse_r_markdown(body.format)
        if body.format == "DBC":
            if body.overwrite:
                raise InvalidValue("overwrite", "is not supported for the format DBC.")
            _import_archive(services, call.principal, path, data)
            return {}
        notebook, path = _read(body.format, body.language, path, data)
        if notebook is None:
            tree.write_file(call.principal, path, data, overwrite=body.overwrite)
        else:
            tree.import_notebook(call.principal, path, notebook, overwrite=body.overwrite)
        return {}

    def export(call: Call, query: wire.ExportPath) -> dict[str, Any] | Response:
        _refuse_r_markdown(query.format)
        node = tree.get(call.principal, workspace_path(query.path))
        content, file_type = _export(services, call.principal, node, query.format)
        if len(content) > CONTENT_LIMIT:
            raise TooLarge("The exported content", CONTENT_LIMIT, field="content")
        if not query.direct_download:
            return {"content": base64.b64encode(content).decode(), "file_type": file_type}
        name = node.name if node.kind is NodeKind.FILE else f"{node.name}.{file_type}"
        return Response(
            content,
            media_type="application/octet-stream",
            headers={
                "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
                "X-Content-Type-Options": "nosniff",
                "x-databricks-org-id": services.settings.workspace_id,
            },
        )

    root = "/api/2.0/workspace"
    return [
        Endpoint("POST", f"{root}/mkdirs", "Make a folder", wire.PathOnly, make_folders),
        Endpoint("GET", f"{root}/get-status", "Describe an object", wire.PathOnly, show),
        Endpoint("GET", f"{root}/list", "List a folder", wire.ListPath, list_folder),
        Endpoint("POST", f"{root}/delete", "Delete an object", wire.DeletePath, delete),
        Endpoint(
            "POST",
            f"{root}/import",
            "Import content",
            wire.ImportPath,
            import_content,
            accepts_form=True,
            body_limit=_BODY_LIMIT,
        ),
        Endpoint("GET", f"{root}/export", "Export content", wire.ExportPath, export),
    ]


def _refuse_r_markdown(wanted: str) -> None:
    if wanted == "R_MARKDOWN":
        raise Unsupported("This server does not know R Markdown (format).", field="format")


def _decode(content: str | bytes | None) -> bytes:
    """What was sent: base64 in JSON, bytes as they are in a form."""
    if content is None:
        raise MissingField("content")
    if isinstance(content, str):
        try:
            content = base64.b64decode("".join(content.split()), validate=True)
        except (binascii.Error, ValueError):
            raise InvalidValue("content", "is not base64.") from None
    if len(content) > CONTENT_LIMIT:
        raise TooLarge("The content", CONTENT_LIMIT, field="content")
    return content


def _import_archive(services: Services, actor: Principal, path: str, data: bytes) -> None:
    """An archive as a new folder; nothing of it stays when a part cannot be stored."""
    tree = services.workspace
    entries = databricks_archive.read(data)
    if _exists(services, actor, path):
        raise AlreadyExists(f"{path} exists already.")
    tree.get(actor, path.rpartition("/")[0] or "/")
    tree.make_folders(actor, path)
    try:
        for entry in entries:
            inside = f"{path}/{entry.path}"
            if entry.notebook is None:
                tree.make_folders(actor, inside)
            else:
                tree.import_notebook(actor, inside, entry.notebook, make_parents=True)
    except QuireError:
        tree.delete(actor, path, recursive=True)
        raise


def _exists(services: Services, actor: Principal, path: str) -> bool:
    try:
        services.workspace.get(actor, path)
    except NotFound:
        return False
    return True


def _export(services: Services, actor: Principal, node: Node, wanted: str) -> tuple[bytes, str]:
    """The content in the wanted format, and the extension of a file that holds it."""
    tree = services.workspace
    if node.kind is NodeKind.FILE:
        if wanted not in {"SOURCE", "AUTO", "RAW"}:
            raise InvalidValue(
                "format", f"{node.path} is a file.", allowed=["SOURCE", "AUTO", "RAW"]
            )
        stem, _, extension = node.name.rpartition(".")
        return tree.read_file(actor, node.path), extension if stem else ""
    if node.kind is NodeKind.FOLDER:
        if wanted != "DBC":
            raise InvalidValue("format", f"{node.path} is a folder.", allowed=["DBC"])
        return databricks_archive.write(_walk(services, actor, node)), "dbc"
    name = _FORMATS[wanted]
    notebook = tree.read_notebook(actor, node.path)[1]
    extension = formats.extension_of(name, notebook).removeprefix(".")
    return formats.write(name, notebook, name=node.name, render_page=render_html), extension


def _read(
    wanted: str, language: str | None, path: str, data: bytes
) -> tuple[dict[str, Any] | None, str]:
    """The notebook in ``data``, None when it is to be kept as a file, and the path to keep it at.

    AUTO looks at extension and first line; what turns out to be a notebook loses its extension.
    """
    if wanted == "RAW":
        return None, path
    if wanted == "AUTO":
        folder, _, filename = path.rpartition("/")
        found = formats.detect(data, filename)
        if found is None:
            return None, path
        notebook = formats.read(found.format, data, language=found.language)
        return notebook, f"{folder}/{found.name}"
    if wanted == "SOURCE" and language is None:
        raise MissingField("language")
    return formats.read(_FORMATS[wanted], data, language=(language or "").lower() or None), path


def _walk(services: Services, actor: Principal, folder: Node) -> list[ArchiveEntry]:
    """The notebooks below a folder that the actor may see, with their paths seen from it."""
    found: list[ArchiveEntry] = []
    waiting = [folder.path]
    size = 0
    while waiting:
        for node in services.workspace.list(actor, waiting.pop()):
            if node.kind is NodeKind.FOLDER:
                waiting.append(node.path)
            elif node.kind is NodeKind.NOTEBOOK:
                notebook = services.workspace.read_notebook(actor, node.path)[1]
                size += sum(len(str(cell.get("source", ""))) for cell in notebook["cells"])
                if size > CONTENT_LIMIT:
                    raise TooLarge("The folder", CONTENT_LIMIT, field="content")
                inside = node.path.removeprefix(folder.path).lstrip("/")
                found.append(ArchiveEntry(inside, notebook))
    return sorted(found, key=lambda entry: entry.path)
