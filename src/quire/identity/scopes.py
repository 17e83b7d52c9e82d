"""What a token may be used for, apart from what its principal may do.

A scope is a level, an access, and at times the one notebook it is bound to. Its text, which is what
is stored with a token, is ``level``, ``level:access`` or ``level:access:uid``, such as ``user``,
``workspace:read`` or ``notebook:full:0f3c…``. A token without scopes may do all its principal may.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from quire.errors import InvalidValue, PermissionDenied
from quire.identity.models import Principal

__all__ = ["Access", "InsufficientScope", "Level", "Scope", "is_bound_to", "require_scope"]


class Level(StrEnum):
    """How much of the server a token reaches; the first is the widest and includes the others."""

    ADMIN = "admin"  # what administrators may do
    USER = "user"  # everything its principal may do as a user
    WORKSPACE = "workspace"  # the tree: notebooks, folders, files, reports
    NOTEBOOK_IN_WORKSPACE = "notebook-in-workspace"  # notebooks, and a look at what lies around
    NOTEBOOK = "notebook"  # notebooks and what belongs to them
    BASIC = "basic"  # who the principal is


class Access(StrEnum):
    """What may be done there; the first includes the others."""

    FULL = "full"
    CREATE = "create"
    READ = "read"


_LEVELS = list(Level)
_ACCESSES = list(Access)


class InsufficientScope(PermissionDenied):
    """The token does not cover this."""

    code = "insufficient_scope"

    def __init__(self, needed: Scope) -> None:
        super().__init__(
            f"The scope of this token does not cover this; it needs {needed.level} with"
            f" {needed.access} access."
        )
        self.needed = needed


@dataclass(frozen=True)
class Scope:
    """One scope of a token, or the one a call needs."""

    level: Level
    access: Access = Access.FULL
    notebook: UUID | None = None  # the one notebook a token is good for, or a call is about

    def __str__(self) -> str:
        if self.notebook is not None:
            return f"{self.level}:{self.access}:{self.notebook.hex}"
        return f"{self.level}" if self.access is Access.FULL else f"{self.level}:{self.access}"

    @classmethod
    def parse(cls, text: str) -> Scope:
        """The scope a text means. Raises InvalidValue."""
        level, _, rest = text.partition(":")
        access, _, notebook = rest.partition(":")
        if level not in _LEVELS:
            raise InvalidValue("scope", f"{level!r} is unknown.", allowed=_LEVELS)
        if access and access not in _ACCESSES:
            raise InvalidValue("scope", f"{access!r} is no access.", allowed=_ACCESSES)
        try:
            bound = UUID(notebook) if notebook else None
        except ValueError:
            raise InvalidValue("scope", f"{notebook!r} is not the id of a notebook.") from None
        if bound is not None and Level(level) not in _BINDABLE:
            raise InvalidValue("scope", f"{level} cannot be bound to a notebook.")
        return cls(Level(level), Access(access or Access.FULL), bound)

    def covers(self, needed: Scope) -> bool:
        """Whether a token with this scope may be used where ``needed`` is asked for."""
        return (
            _LEVELS.index(self.level) <= _LEVELS.index(needed.level)
            and _ACCESSES.index(self.access) <= _ACCESSES.index(needed.access)
            and self.notebook in (None, needed.notebook)
        )


_BINDABLE = frozenset({Level.NOTEBOOK, Level.NOTEBOOK_IN_WORKSPACE})


def require_scope(
    principal: Principal,
    level: Level,
    access: Access = Access.FULL,
    *,
    notebook: UUID | None = None,
) -> None:
    """Raise InsufficientScope unless the caller's token covers this.

    ``notebook``: the one the call is about, which lets tokens in that are bound to it.
    """
    needed = Scope(level, access, notebook)
    if principal.scopes is not None and not any(
        Scope.parse(text).covers(needed) for text in principal.scopes
    ):
        raise InsufficientScope(needed)


def is_bound_to(principal: Principal, notebook: UUID, access: Access = Access.FULL) -> bool:
    """Whether the caller's token was made for this very notebook, with at least this access."""
    needed = Scope(Level.NOTEBOOK, access, notebook)
    scopes = [Scope.parse(text) for text in principal.scopes or ()]
    return any(scope.notebook == notebook and scope.covers(needed) for scope in scopes)
