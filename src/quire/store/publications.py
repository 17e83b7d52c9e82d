"""Rows of publications: notebooks as they were published."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Select, insert, select, update

from quire.ids import NodeId, PrincipalId, RunId
from quire.store.keys import in_batches
from quire.store.tables import publications
from quire.workspace.models import Publication

__all__ = [
    "find_of_nodes",
    "get_publication",
    "insert_publication",
    "update_publication",
]

_PUBLICATIONS: Select[Any] = select(publications)


def get_publication(connection: Connection, uid: UUID) -> Publication | None:
    row = connection.execute(_PUBLICATIONS.where(publications.c.id == uid.hex)).first()
    return None if row is None else _publication(row)


def find_of_nodes(
    connection: Connection, node_ids: Collection[NodeId]
) -> dict[NodeId, Publication]:
    """The publications of some notebooks, by notebook."""
    found: dict[NodeId, Publication] = {}
    for batch in in_batches(list(node_ids)):
        chosen = publications.c.node_id.in_(batch)
        for row in connection.execute(_PUBLICATIONS.where(chosen)):
            found[NodeId(row.node_id)] = _publication(row)
    return found


def insert_publication(connection: Connection, publication: Publication) -> None:
    """Store a new one. Call under ``lock_tree``, when the notebook has none."""
    connection.execute(
        insert(publications).values(
            id=publication.uid.hex,
            node_id=publication.node_id,
            options=dict(publication.options),
            blob_key=publication.blob_key,
            run_id=publication.run_id,
            creator_id=publication.creator_id,
            created_at=publication.created_at,
            updated_at=publication.updated_at,
        )
    )


def update_publication(
    connection: Connection,
    uid: UUID,
    *,
    blob_key: str,
    run_id: RunId | None,
    options: dict[str, Any],
    at: datetime,
) -> None:
    """Let a publication show something else. Call under ``lock_tree``."""
    connection.execute(
        update(publications)
        .where(publications.c.id == uid.hex)
        .values(blob_key=blob_key, run_id=run_id, options=options, updated_at=at)
    )


def _publication(row: Row[Any]) -> Publication:
    return Publication(
        uid=UUID(row.id),
        node_id=NodeId(row.node_id),
        options=row.options,
        blob_key=row.blob_key,
        run_id=None if row.run_id is None else RunId(row.run_id),
        creator_id=None if row.creator_id is None else PrincipalId(row.creator_id),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
