"""Rows of named environments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, or_, select, update

from quire.store.tables import environments

__all__ = [
    "delete_environment",
    "find_environment",
    "insert_environment",
    "list_environments",
    "update_environment",
]


def insert_environment(connection: Connection, columns: Mapping[str, Any]) -> None:
    connection.execute(insert(environments).values(**columns))


def find_environment(connection: Connection, name: str) -> Row[Any] | None:
    """One by its name or id."""
    query = select(environments).where(or_(environments.c.name == name, environments.c.id == name))
    return connection.execute(query.order_by(environments.c.name != name)).first()


def list_environments(connection: Connection) -> Sequence[Row[Any]]:
    """All, by name."""
    return connection.execute(select(environments).order_by(environments.c.name)).all()


def update_environment(connection: Connection, id: str, **columns: Any) -> None:
    connection.execute(update(environments).where(environments.c.id == id).values(**columns))


def delete_environment(connection: Connection, id: str) -> None:
    connection.execute(delete(environments).where(environments.c.id == id))
