"""Rows of named connections to databases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from quire.store.tables import connections

__all__ = ["delete_connection", "find_connection", "insert_connection", "list_connections"]


def insert_connection(connection: Connection, columns: Mapping[str, Any]) -> None:
    connection.execute(insert(connections).values(**columns))


def find_connection(connection: Connection, name: str) -> Row[Any] | None:
    query = select(connections).where(connections.c.name == name)
    return connection.execute(query).one_or_none()


def list_connections(connection: Connection) -> Sequence[Row[Any]]:
    """All, by name."""
    return connection.execute(select(connections).order_by(connections.c.name)).all()


def delete_connection(connection: Connection, name: str) -> bool:
    """Remove one; False when there is none."""
    result = connection.execute(delete(connections).where(connections.c.name == name))
    return bool(result.rowcount)
