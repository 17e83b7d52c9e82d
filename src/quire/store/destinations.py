"""Rows of notification destinations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from quire.store.tables import destinations

__all__ = [
    "delete_destination",
    "get_destination",
    "get_destinations",
    "insert_destination",
    "list_destinations",
    "update_destination",
]


def insert_destination(
    connection: Connection,
    *,
    id: str,
    name: str,
    kind: str,
    config: Mapping[str, Any],
    created_at: datetime,
) -> None:
    connection.execute(
        insert(destinations).values(
            id=id, name=name, kind=kind, config=dict(config), created_at=created_at
        )
    )


def get_destination(connection: Connection, id: str, *, lock: bool = False) -> Row[Any] | None:
    query = select(destinations).where(destinations.c.id == id)
    if lock:
        query = query.with_for_update()
    return connection.execute(query).one_or_none()


def get_destinations(connection: Connection, ids: Sequence[str]) -> Sequence[Row[Any]]:
    """Those of the ids that exist."""
    return connection.execute(select(destinations).where(destinations.c.id.in_(ids))).all()


def list_destinations(connection: Connection) -> Sequence[Row[Any]]:
    """All, oldest first."""
    query = select(destinations).order_by(destinations.c.created_at, destinations.c.id)
    return connection.execute(query).all()


def update_destination(connection: Connection, id: str, **columns: Any) -> None:
    connection.execute(update(destinations).where(destinations.c.id == id).values(**columns))


def delete_destination(connection: Connection, id: str) -> None:
    connection.execute(delete(destinations).where(destinations.c.id == id))
