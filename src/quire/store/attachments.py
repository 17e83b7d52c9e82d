"""Rows of the files that are attached to nodes of the workspace."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, insert, select

from quire.ids import NodeId
from quire.store.keys import in_batches, text_digest
from quire.store.tables import attachments
from quire.workspace.models import Attachment

__all__ = [
    "delete_paths",
    "find_attachment",
    "find_attachments",
    "list_attachments",
    "put_attachment",
    "sum_sizes",
]

_ATTACHMENTS: Select[Any] = select(
    attachments.c.path,
    attachments.c.is_folder,
    attachments.c.size,
    attachments.c.digest,
    attachments.c.blob_key,
    attachments.c.modified_at,
)


def find_attachment(connection: Connection, node_id: NodeId, path: str) -> Attachment | None:
    return find_attachments(connection, node_id, [path]).get(path)


def find_attachments(
    connection: Connection, node_id: NodeId, paths: Sequence[str]
) -> dict[str, Attachment]:
    """What is at some paths, by path; paths where nothing is are left out."""
    found: dict[str, Attachment] = {}
    for digests in in_batches([text_digest(path) for path in paths]):
        rows = connection.execute(
            _ATTACHMENTS.where(attachments.c.node_id == node_id).where(
                attachments.c.path_digest.in_(digests)
            )
        )
        found.update((row.path, _attachment(row)) for row in rows)
    return found


def list_attachments(
    connection: Connection, node_id: NodeId, folder: str = ""
) -> Sequence[Attachment]:
    """Everything below a folder, in the order of paths; the empty folder is the root."""
    query = _ATTACHMENTS.where(attachments.c.node_id == node_id)
    if folder:
        query = query.where(attachments.c.path.startswith(f"{folder}/", autoescape=True))
    # SQLite's LIKE knows no case, so what it finds is looked at once more.
    found = [_attachment(row) for row in connection.execute(query)]
    return sorted(
        (each for each in found if not folder or each.path.startswith(f"{folder}/")),
        key=lambda each: each.path,
    )


def put_attachment(connection: Connection, node_id: NodeId, attachment: Attachment) -> None:
    """Store a row in place of the one that is there. Call under ``lock_tree``."""
    delete_paths(connection, node_id, [attachment.path])
    connection.execute(
        insert(attachments).values(
            node_id=node_id,
            path_digest=text_digest(attachment.path),
            path=attachment.path,
            is_folder=attachment.is_folder,
            size=attachment.size,
            digest=attachment.digest,
            blob_key=attachment.blob_key,
            modified_at=attachment.modified_at,
        )
    )


def delete_paths(connection: Connection, node_id: NodeId, paths: Iterable[str]) -> None:
    for digests in in_batches([text_digest(path) for path in paths]):
        connection.execute(
            delete(attachments)
            .where(attachments.c.node_id == node_id)
            .where(attachments.c.path_digest.in_(digests))
        )


def sum_sizes(connection: Connection, node_id: NodeId) -> int:
    """The bytes of everything attached to a node."""
    query = select(func.coalesce(func.sum(attachments.c.size), 0)).where(
        attachments.c.node_id == node_id
    )
    return int(connection.execute(query).scalar_one())


def _attachment(row: Row[Any]) -> Attachment:
    return Attachment(
        path=row.path,
        is_folder=row.is_folder,
        size=row.size,
        digest=row.digest,
        blob_key=row.blob_key,
        modified_at=row.modified_at,
    )
