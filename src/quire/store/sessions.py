"""Rows of sessions: which server keeps the kernel of a notebook. SQL only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from quire.ids import NodeId
from quire.store.tables import sessions

__all__ = [
    "SessionRow",
    "get_session",
    "insert_session",
    "list_sessions",
    "lock_session",
    "remove_held",
    "remove_session",
    "renew",
    "request_end",
]

_NOBODY = ""


@dataclass(frozen=True)
class SessionRow:
    """A kernel that is kept for a notebook."""

    node_id: NodeId
    holder: str  # the server whose runner keeps it
    lease_expires_at: datetime
    started_at: datetime
    ending_at: datetime | None  # when it was asked to end


def lock_session(connection: Connection, node_id: NodeId, now: datetime) -> SessionRow | None:
    """The row of a notebook, which nobody else changes before this transaction ends.

    None when another transaction has it. Without a row one is made, which nobody holds.
    """
    query = select(sessions).where(sessions.c.node_id == node_id)
    row = connection.execute(query.with_for_update(skip_locked=True)).one_or_none()
    if row is not None:
        return _session(row)
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    made = connection.execute(
        dialect.insert(sessions)
        .values(node_id=node_id, holder=_NOBODY, lease_expires_at=now, started_at=now)
        .on_conflict_do_nothing()
    )
    return SessionRow(node_id, _NOBODY, now, now, None) if made.rowcount else None


def insert_session(
    connection: Connection, node_id: NodeId, holder: str, *, at: datetime, lease_end: datetime
) -> None:
    """Say that a holder starts a kernel for a notebook; an earlier row of it goes."""
    connection.execute(delete(sessions).where(sessions.c.node_id == node_id))
    connection.execute(
        insert(sessions).values(
            node_id=node_id, holder=holder, lease_expires_at=lease_end, started_at=at
        )
    )


def get_session(connection: Connection, node_id: NodeId) -> SessionRow | None:
    row = connection.execute(select(sessions).where(sessions.c.node_id == node_id)).one_or_none()
    return _session(row) if row is not None else None


def list_sessions(connection: Connection) -> Sequence[SessionRow]:
    """All of them; a session is there only while somebody works in a notebook."""
    return [_session(row) for row in connection.execute(select(sessions))]


def renew(connection: Connection, holder: str, lease_end: datetime) -> None:
    """Prolong the leases of all sessions of a holder."""
    connection.execute(
        update(sessions).where(sessions.c.holder == holder).values(lease_expires_at=lease_end)
    )


def request_end(connection: Connection, node_id: NodeId, at: datetime) -> None:
    """Ask the holder of a session to end it; the first request counts."""
    connection.execute(
        update(sessions)
        .where(sessions.c.node_id == node_id, sessions.c.ending_at.is_(None))
        .values(ending_at=at)
    )


def remove_session(connection: Connection, row: SessionRow) -> None:
    """Forget a session, unless it is another's or was started anew since it was read."""
    connection.execute(
        delete(sessions).where(
            sessions.c.node_id == row.node_id,
            sessions.c.holder == row.holder,
            sessions.c.started_at == row.started_at,
        )
    )


def remove_held(connection: Connection, holder: str) -> None:
    """Forget all sessions of a holder."""
    connection.execute(delete(sessions).where(sessions.c.holder == holder))


def _session(row: Any) -> SessionRow:
    return SessionRow(
        NodeId(row.node_id), row.holder, row.lease_expires_at, row.started_at, row.ending_at
    )
