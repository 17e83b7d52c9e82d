"""Rows of principals and of who belongs to which group."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, insert, select, update

from quire.identity.models import Principal, PrincipalKind, Role
from quire.ids import PrincipalId
from quire.store.database import next_number
from quire.store.tables import memberships, principals

__all__ = [
    "find_by_key",
    "get_principal",
    "insert_membership",
    "insert_principal",
    "list_principals",
    "set_disabled",
]

_NO_ID = 2**63  # the databases know no number from here on


def insert_principal(
    connection: Connection, *, kind: PrincipalKind, name: str, key: str, role: Role, at: datetime
) -> Principal:
    """Store a new principal. Call under ``lock_names``, when ``key`` is known to be free."""
    number = PrincipalId(next_number(connection, "principals"))
    connection.execute(
        insert(principals).values(
            id=number, kind=kind.value, name=name, name_key=key, role=role.value, created_at=at
        )
    )
    return Principal(number, kind, name, role)


def get_principal(connection: Connection, principal_id: PrincipalId) -> Principal | None:
    if not 0 < principal_id < _NO_ID:
        return None
    return next(iter(_select(connection, principals.c.id == principal_id)), None)


def find_by_key(connection: Connection, key: str) -> Principal | None:
    return next(iter(_select(connection, principals.c.name_key == key)), None)


def list_principals(
    connection: Connection, kind: PrincipalKind | None = None
) -> Sequence[Principal]:
    """All principals, oldest first."""
    return _select(connection, principals.c.kind == kind.value if kind else None)


def insert_membership(
    connection: Connection, group_id: PrincipalId, member_id: PrincipalId
) -> None:
    """Store that a principal belongs to a group; nothing changes when it does already."""
    present = connection.execute(
        select(memberships.c.group_id)
        .where(memberships.c.group_id == group_id)
        .where(memberships.c.member_id == member_id)
    ).first()
    if present is None:
        connection.execute(insert(memberships).values(group_id=group_id, member_id=member_id))


def set_disabled(
    connection: Connection, principal_id: PrincipalId, disabled_at: datetime | None
) -> None:
    connection.execute(
        update(principals).where(principals.c.id == principal_id).values(disabled_at=disabled_at)
    )


def _select(connection: Connection, condition: ColumnElement[bool] | None) -> Sequence[Principal]:
    query: Select[Any] = (
        select(
            principals.c.id,
            principals.c.kind,
            principals.c.name,
            principals.c.role,
            principals.c.disabled_at,
            memberships.c.group_id,
        )
        .select_from(principals.outerjoin(memberships, memberships.c.member_id == principals.c.id))
        .order_by(principals.c.id)
    )
    if condition is not None:
        query = query.where(condition)
    rows: dict[int, list[Row[Any]]] = {}
    for row in connection.execute(query):
        rows.setdefault(row.id, []).append(row)
    return [_principal(each) for each in rows.values()]


def _principal(rows: Sequence[Row[Any]]) -> Principal:
    first = rows[0]
    return Principal(
        id=PrincipalId(first.id),
        kind=PrincipalKind(first.kind),
        name=first.name,
        role=Role(first.role),
        group_ids=frozenset(PrincipalId(row.group_id) for row in rows if row.group_id is not None),
        disabled_at=first.disabled_at,
    )
