"""Workspaces, their folders and notebooks (contract 9).

The vendor's workspace is an area of the tree: a user's own folder, or one beside ``/Users``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from quire.dialects.base import Call, Endpoint, Services
from quire.dialects.datalore import mapping_workspaces as mapping
from quire.dialects.datalore import wire_notebooks as wire
from quire.dialects.datalore.identifiers import entity_id, find_node, split_id
from quire.errors import AlreadyExists, InvalidValue, NotFound
from quire.identity.names import url_name
from quire.identity.principals import Principal
from quire.identity.scopes import Access, Level, require_scope
from quire.ids import NodeId
from quire.workspace.addressing import check_path
from quire.workspace.areas import area_of, find_home, list_areas
from quire.workspace.cells import new_code_cell
from quire.workspace.formats.document import new_notebook
from quire.workspace.models import Node, NodeKind

__all__ = ["endpoints"]


def endpoints(services: Services) -> list[Endpoint]:
    """The operations of this file."""
    tree = services.workspace

    def list_workspaces(call: Call, _: wire.Nothing) -> list[dict[str, Any]]:
        require_scope(call.principal, Level.WORKSPACE, Access.READ)
        home = find_home(tree, call.principal)
        return [
            mapping.describe_workspace(
                area,
                owner=_owner(services, area),
                accessor=call.principal,
                right=tree.right_of(call.principal, area),
                is_default=home is not None and home.id == area.id,
                is_empty=not tree.list(call.principal, area.path),
                is_shared=area.public_right is not None
                or bool(tree.list_grants(call.principal, area.path)),
            )
            for area in list_areas(tree, call.principal)
        ]

    def list_entries(call: Call, query: wire.Entries) -> list[dict[str, Any]]:
        require_scope(call.principal, Level.WORKSPACE, Access.READ)
        area = _area(services, call.principal, query.workspace_id)
        folder = _folder(services, call.principal, area, query.folder_id, "folderId")
        found = [
            node
            for node in tree.list(call.principal, folder.path)
            if node.kind is not NodeKind.FILE and area_of(node) == area.path
        ]
        reports = services.publications.find([node.id for node in found])
        workspace, parent = entity_id(services, area), entity_id(services, folder)
        return [
            mapping.describe_entry(
                node,
                identifier=entity_id(services, node),
                workspace=workspace,
                parent=parent,
                right=tree.right_of(call.principal, node),
                report=reports.get(node.id),
            )
            for node in found
        ]

    def list_reports(call: Call, query: wire.Workspace) -> list[dict[str, Any]]:
        require_scope(call.principal, Level.WORKSPACE, Access.READ)
        area = _area(services, call.principal, query.workspace_id)
        notebooks = _notebooks_below(services, call.principal, area)
        reports = services.publications.find(list(notebooks))
        return [
            mapping.describe_report(
                report,
                notebooks[node_id],
                identifier=entity_id(services, notebooks[node_id]),
                right=tree.right_of(call.principal, notebooks[node_id]),
                root=call.root,
            )
            for node_id, report in sorted(reports.items())
        ]

    def create_notebook(call: Call, query: wire.CreateNotebook) -> dict[str, str]:
        require_scope(call.principal, Level.WORKSPACE, Access.CREATE)
        area = _area(services, call.principal, query.workspace_id)
        folder = _folder(services, call.principal, area, query.parent_id, "parentId")
        notebook = new_notebook(query.language.lower(), "plain", [new_code_cell("")])
        for path in _free_paths(folder, query.name):
            try:
                node = tree.import_notebook(call.principal, path, notebook)
            except AlreadyExists:
                continue
            return entity_id(services, node)
        raise AssertionError("there is always another name")

    def create_folder(call: Call, query: wire.CreateFolder) -> dict[str, str]:
        require_scope(call.principal, Level.WORKSPACE, Access.CREATE)
        area = _area(services, call.principal, query.workspace_id)
        folder = _folder(services, call.principal, area, query.parent_id, "parentId")
        present = {node.path for node in tree.list(call.principal, folder.path)}
        path = next(each for each in _free_paths(folder, query.name) if each not in present)
        tree.make_folders(call.principal, path)
        return entity_id(services, tree.get(call.principal, path))

    root = "/api/workspaces/v1"
    return [
        Endpoint(
            "GET",
            "/api/user_public/v1/workspaces",
            "List workspaces",
            wire.Nothing,
            list_workspaces,
            scope=None,
        ),
        Endpoint("GET", f"{root}/entries", "List a folder", wire.Entries, list_entries, scope=None),
        Endpoint(
            "GET", f"{root}/reports", "List reports", wire.Workspace, list_reports, scope=None
        ),
        Endpoint(
            "POST",
            f"{root}/notebook",
            "Make a notebook",
            wire.CreateNotebook,
            create_notebook,
            scope=None,
        ),
        Endpoint(
            "POST", f"{root}/folder", "Make a folder", wire.CreateFolder, create_folder, scope=None
        ),
    ]


def _owner(services: Services, area: Node) -> tuple[str, str]:
    """The id and the name of whom a workspace belongs to."""
    if area.owner_id is None:
        return url_name(None), "Everybody"
    name = services.principals.get(area.owner_id).name
    return url_name(name), name


def _area(services: Services, actor: Principal, text: str) -> Node:
    """The folder of a workspace. Raises InvalidValue, NotFound."""
    owner, identifier = split_id(text, "workspaceId")
    missing = NotFound("workspace", f"{owner}/{identifier}")
    try:
        node = find_node(services, actor, owner, identifier, NodeKind.FOLDER)
    except NotFound:
        raise missing from None
    if area_of(node) != node.path:
        raise missing
    return node


def _folder(services: Services, actor: Principal, area: Node, text: str | None, field: str) -> Node:
    """A folder of a workspace, its own when none is named. Raises InvalidValue, NotFound."""
    if text is None:
        return area
    node = find_node(services, actor, *split_id(text, field), NodeKind.FOLDER)
    if node.path != area.path and not node.path.startswith(f"{area.path}/"):
        raise InvalidValue(field, "the folder is not in this workspace.")
    return node


def _free_paths(folder: Node, name: str) -> Iterator[str]:
    """Paths for a new thing, best first. In the vendor's tree two may have one name; in ours not,
    so the second gets a number. Raises InvalidValue."""
    if "/" in name or not name.strip() or name in (".", ".."):
        raise InvalidValue("name", "it has to be a text without slashes.")
    base = folder.path.rstrip("/")
    yield check_path(f"{base}/{name}", "name")
    for number in itertools.count(2):
        yield check_path(f"{base}/{name} ({number})", "name")


def _notebooks_below(services: Services, actor: Principal, folder: Node) -> dict[NodeId, Node]:
    """The notebooks below a folder that the actor may see."""
    found: dict[NodeId, Node] = {}
    waiting = [folder.path]
    while waiting:
        for node in services.workspace.list(actor, waiting.pop()):
            if node.kind is NodeKind.FOLDER:
                waiting.append(node.path)
            elif node.kind is NodeKind.NOTEBOOK:
                found[node.id] = node
    return found
