"""Rows of API tokens. The tokens themselves are never stored, only their SHA-256 digests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, select, update

from quire.identity.models import Principal, PrincipalKind, Role, TokenInfo
from quire.ids import PrincipalId
from quire.store.database import next_number
from quire.store.tables import memberships, principals, tokens

__all__ = [
    "Credential",
    "find_by_digest",
    "find_credential",
    "get_token",
    "insert_token",
    "list_tokens",
    "set_revoked",
]


@dataclass(frozen=True)
class Credential:
    """A stored token together with whom it stands for."""

    principal: Principal
    expires_at: datetime | None
    revoked_at: datetime | None


_NO_ID = 2**63  # the databases know no number from here on

_TOKENS: Select[Any] = select(
    tokens.c.id,
    tokens.c.principal_id,
    principals.c.name.label("principal_name"),
    tokens.c.comment,
    tokens.c.scopes,
    tokens.c.created_at,
    tokens.c.expires_at,
    tokens.c.revoked_at,
).select_from(tokens.join(principals, principals.c.id == tokens.c.principal_id))


def insert_token(
    connection: Connection,
    *,
    principal_id: PrincipalId,
    digest: bytes,
    comment: str,
    scopes: Sequence[str] | None,
    at: datetime,
    expires_at: datetime | None,
) -> TokenInfo:
    """Store a new token. Call under ``lock_names``."""
    number = next_number(connection, "tokens")
    connection.execute(
        insert(tokens).values(
            id=number,
            principal_id=principal_id,
            digest=digest,
            comment=comment,
            scopes=scopes,
            created_at=at,
            expires_at=expires_at,
        )
    )
    stored = get_token(connection, number)
    assert stored is not None
    return stored


def get_token(connection: Connection, token_id: int) -> TokenInfo | None:
    if not 0 < token_id < _NO_ID:
        return None
    row = connection.execute(_TOKENS.where(tokens.c.id == token_id)).first()
    return None if row is None else _info(row)


def find_by_digest(connection: Connection, digest: bytes) -> TokenInfo | None:
    row = connection.execute(_TOKENS.where(tokens.c.digest == digest)).first()
    return None if row is None else _info(row)


def list_tokens(
    connection: Connection, principal_id: PrincipalId | None = None
) -> Sequence[TokenInfo]:
    """Tokens that were not revoked, of one principal or of all, oldest first."""
    query = _TOKENS.where(tokens.c.revoked_at.is_(None)).order_by(tokens.c.id)
    if principal_id is not None:
        query = query.where(tokens.c.principal_id == principal_id)
    return [_info(row) for row in connection.execute(query)]


def set_revoked(connection: Connection, token_id: int, revoked_at: datetime | None) -> None:
    connection.execute(update(tokens).where(tokens.c.id == token_id).values(revoked_at=revoked_at))


def find_credential(connection: Connection, digest: bytes) -> Credential | None:
    """Whom a token stands for, groups included, in one indexed query."""
    query: Select[Any] = (
        select(
            tokens.c.scopes,
            tokens.c.expires_at,
            tokens.c.revoked_at,
            principals.c.id,
            principals.c.kind,
            principals.c.name,
            principals.c.role,
            principals.c.disabled_at,
            memberships.c.group_id,
        )
        .select_from(
            tokens.join(principals, principals.c.id == tokens.c.principal_id).outerjoin(
                memberships, memberships.c.member_id == principals.c.id
            )
        )
        .where(tokens.c.digest == digest)
    )
    rows = connection.execute(query).all()
    if not rows:
        return None
    first = rows[0]
    principal = Principal(
        id=PrincipalId(first.id),
        kind=PrincipalKind(first.kind),
        name=first.name,
        role=Role(first.role),
        group_ids=frozenset(PrincipalId(row.group_id) for row in rows if row.group_id is not None),
        scopes=None if first.scopes is None else frozenset(first.scopes),
        disabled_at=first.disabled_at,
    )
    return Credential(principal, first.expires_at, first.revoked_at)


def _info(row: Row[Any]) -> TokenInfo:
    return TokenInfo(
        id=row.id,
        principal_id=PrincipalId(row.principal_id),
        principal_name=row.principal_name,
        comment=row.comment,
        scopes=None if row.scopes is None else frozenset(row.scopes),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
