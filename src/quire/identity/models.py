"""The records of identity: principals and what is known of their tokens."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from quire.ids import PrincipalId

__all__ = ["Principal", "PrincipalKind", "Role", "TokenInfo"]


class PrincipalKind(StrEnum):
    """What sort of principal it is."""

    USER = "user"
    GROUP = "group"
    SERVICE = "service"  # a program with a name of its own


class Role(StrEnum):
    """What a principal may do apart from rights to single notebooks."""

    ADMIN = "admin"  # everything, everywhere
    MEMBER = "member"


@dataclass(frozen=True)
class Principal:
    """A user, group or service that may act."""

    id: PrincipalId
    kind: PrincipalKind
    name: str
    role: Role
    group_ids: frozenset[PrincipalId] = frozenset()
    scopes: frozenset[str] | None = None  # of the token it came with; None: everything it may do
    disabled_at: datetime | None = None

    @property
    def is_admin(self) -> bool:
        """Whether it may do everything: administrators may, by a token that does not bar it."""
        return self.role is Role.ADMIN and (self.scopes is None or "admin" in self.scopes)

    @property
    def acting_ids(self) -> frozenset[PrincipalId]:
        """Itself and its groups: everybody whose rights it has."""
        return self.group_ids | {self.id}


@dataclass(frozen=True)
class TokenInfo:
    """What may be shown of an API token after it was made."""

    id: int
    principal_id: PrincipalId
    principal_name: str
    comment: str
    scopes: frozenset[str] | None  # None: everything its principal may do
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
