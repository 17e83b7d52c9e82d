"""Workspaces, folders and reports in the vendor's words (contract 9)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from quire.dialects.datalore.decisions import ACCESS_LEVELS, WORKSPACE_COLOR
from quire.dialects.datalore.mapping_runs import shown_time
from quire.identity.models import Principal
from quire.identity.names import url_name
from quire.identity.permissions import Right
from quire.workspace.addressing import base62
from quire.workspace.models import Node, NodeKind, Publication

__all__ = ["describe_entry", "describe_report", "describe_workspace"]


def describe_workspace(
    area: Node,
    *,
    owner: tuple[str, str],
    accessor: Principal,
    right: Right | None,
    is_default: bool,
    is_empty: bool,
    is_shared: bool,
) -> dict[str, Any]:
    """A workspace. owner: the owner's id and name."""
    owner_id, owner_name = owner
    identifier = base62(area.uid)
    return {
        "workspace": {
            "id": {"ownerId": owner_id, "internalId": identifier},
            "homeFolderId": {"ownerId": owner_id, "id": identifier},
            # There is neither; a vendor's client wants ids, and these never name a thing.
            "trashFolderId": {"ownerId": owner_id, "id": base62(_derived(area.uid, "trash"))},
            "reportsFolderId": {"ownerId": owner_id, "id": base62(_derived(area.uid, "reports"))},
            "name": area.name,
            "color": WORKSPACE_COLOR,
            "isDefault": is_default,
            "publicAccessLevel": ACCESS_LEVELS[area.public_right],
            "isEmpty": is_empty,
        },
        "owner": {"id": owner_id, "name": owner_name},
        "accessLevel": ACCESS_LEVELS[right],
        "accessorId": url_name(accessor.name),
        "isSharedWithTeam": is_shared,
        "isCreatedFromGit": False,
    }


def describe_entry(
    node: Node,
    *,
    identifier: Mapping[str, str],
    workspace: Mapping[str, str],
    parent: Mapping[str, str],
    right: Right | None,
    report: Publication | None,
) -> dict[str, Any]:
    """A folder or notebook of a workspace."""
    is_notebook = node.kind is NodeKind.NOTEBOOK
    described: dict[str, Any] = {
        "entity": {
            "id": dict(identifier),
            "type": "NOTEBOOK" if is_notebook else "FOLDER",
            "name": node.name,
            "workspaceId": {"ownerId": workspace["ownerId"], "internalId": workspace["id"]},
            "parentId": dict(parent),
            "createdAt": shown_time(node.created_at),
            "modifiedAt": shown_time(node.modified_at),
            "publicAccessLevel": ACCESS_LEVELS[node.public_right],
        },
        "favorite": False,
        "accessLevel": ACCESS_LEVELS[right],
    }
    if is_notebook:
        described["entity"]["language"] = (node.language or "python").upper()
        described["reportId"] = None if report is None else base62(report.uid)
    return described


def describe_report(
    report: Publication,
    node: Node,
    *,
    identifier: Mapping[str, str],
    right: Right | None,
    root: str,
) -> dict[str, Any]:
    """A published report of a workspace. root: the server's URL as the client knows it."""
    return {
        "reportId": base62(report.uid),
        "notebookId": dict(identifier),
        "name": node.name,
        "type": "STATIC",
        "url": f"{root}/report/{base62(report.uid)}",
        "createdAt": shown_time(report.created_at),
        "updatedAt": shown_time(report.updated_at),
        "accessLevel": ACCESS_LEVELS[right],
    }


def _derived(uid: UUID, name: str) -> UUID:
    return uuid.uuid5(uid, name)
