"""The record of the workspace: a node of its tree."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from quire.ids import NodeId, PrincipalId

__all__ = ["Node", "NodeKind", "Revision"]


class NodeKind(StrEnum):
    """What sort of node it is."""

    FOLDER = "folder"
    NOTEBOOK = "notebook"
    FILE = "file"


@dataclass(frozen=True)
class Node:
    """A folder, notebook or file of the workspace."""

    id: NodeId
    kind: NodeKind
    path: str
    language: str | None  # notebooks: the default language of their cells
    flavour: str | None  # notebooks: whose conventions they follow, "databricks" or "plain"
    owner_id: PrincipalId | None  # None: made by the server
    revision: int  # number of the newest one; 0 for folders
    size: int | None  # files: bytes
    created_at: datetime
    modified_at: datetime

    @property
    def name(self) -> str:
        """The last part of the path; empty for the root."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Revision:
    """One stored version of a notebook or file."""

    node_id: NodeId
    number: int  # 1 is the first
    blob_key: str
    created_at: datetime
    creator_id: PrincipalId | None
