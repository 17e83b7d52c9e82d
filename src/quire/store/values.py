"""Single values a server keeps: its secrets, and what it must find again after a restart."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select, update

from quire.store.tables import server_values

__all__ = ["read_value", "write_value"]


def read_value(connection: Connection, name: str) -> str | None:
    found: str | None = connection.execute(
        select(server_values.c.value).where(server_values.c.name == name)
    ).scalar()
    return found


def write_value(connection: Connection, name: str, value: str) -> None:
    changed = connection.execute(
        update(server_values).where(server_values.c.name == name).values(value=value)
    )
    if changed.rowcount == 0:
        connection.execute(insert(server_values).values(name=name, value=value))
