"""The record of the workspace: a node of its tree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from quire.identity.permissions import Right
from quire.ids import NodeId, PrincipalId, RunId

__all__ = ["Attachment", "Node", "NodeKind", "Publication", "Revision"]


class NodeKind(StrEnum):
    """What sort of node it is."""

    FOLDER = "folder"
    NOTEBOOK = "notebook"
    FILE = "file"


@dataclass(frozen=True)
class Node:
    """A folder, notebook or file of the workspace."""

    id: NodeId
    uid: UUID  # the same node's identifier for the world outside; it tells nothing
    kind: NodeKind
    path: str
    language: str | None  # notebooks: the default language of their cells
    flavour: str | None  # notebooks: whose conventions they follow, "databricks" or "plain"
    owner_id: PrincipalId | None  # None: made by the server
    revision: int  # number of the newest one; 0 for folders
    size: int | None  # files: bytes
    public_right: Right | None  # what everybody with an account may do with it and all below
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


@dataclass(frozen=True)
class Attachment:
    """A file or folder that is attached to a node of the workspace."""

    path: str  # relative, such as "data/a.csv"
    is_folder: bool
    size: int  # bytes; 0 for a folder
    digest: bytes | None  # SHA-256 of the content; None for a folder
    blob_key: str | None  # where the content is; None for a folder
    modified_at: datetime

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Publication:
    """A notebook as it was published for readers."""

    uid: UUID
    node_id: NodeId  # the notebook
    options: Mapping[str, Any]  # how it is shown, in the words of the one who published it
    blob_key: str  # the notebook with its outputs, as it was then
    run_id: RunId | None  # whose outputs it shows; None: those the notebook had
    creator_id: PrincipalId | None
    created_at: datetime
    updated_at: datetime
