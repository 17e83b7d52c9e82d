"""API tokens: made, shown once, checked, revoked; the first one of a new server among them.

How a token travels in a request is the dialects' business.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Sequence
from datetime import timedelta

from sqlalchemy import Connection

from quire.clock import Clock
from quire.errors import ExpiredCredential, InvalidCredential, InvalidValue, NotFound
from quire.identity.models import PrincipalKind, Role, TokenInfo
from quire.identity.names import name_key
from quire.identity.principals import Principal, Principals
from quire.identity.scopes import Scope
from quire.ids import PrincipalId
from quire.store import principals as principal_rows
from quire.store import tokens as token_rows
from quire.store.database import Database
from quire.store.locks import lock_names
from quire.store.values import read_value, write_value

__all__ = ["ADMINISTRATOR", "TokenInfo", "Tokens", "digest_of", "ensure_administrator"]

ADMINISTRATOR = "admin"
"""Name of the user who exists from the first start on."""

_PREFIX = "quire_"
_SECRET_BYTES = 32
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_LENGTH = 43  # digits of base 62 that 32 bytes take
_LONGEST_COMMENT = 1000
_LONGEST_LIFE_SECONDS = 100 * 365 * 86400
_LONGEST_TOKEN = 4096
_PRESET = "preset_admin_token_id"


class Tokens:
    """The API tokens of this server."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def create(
        self,
        principal_id: PrincipalId,
        *,
        comment: str = "",
        lifetime_seconds: float | None = None,
        scopes: Collection[str] | None = None,
    ) -> tuple[str, TokenInfo]:
        """A new token, which nobody can read again, and what may be shown of it.

        ``lifetime_seconds`` None: it never expires. ``scopes`` None: everything its principal may
        do; else texts that :mod:`quire.identity.scopes` reads. Raises NotFound for an unknown
        principal, InvalidValue for a group, a disabled principal, a comment over 1000 characters, a
        lifetime that is not positive or over 100 years, and a scope that is unknown.
        """
        with self._database.write() as connection:
            return self.create_in(
                connection,
                principal_id,
                comment=comment,
                lifetime_seconds=lifetime_seconds,
                scopes=scopes,
            )

    def create_in(
        self,
        connection: Connection,
        principal_id: PrincipalId,
        *,
        comment: str = "",
        lifetime_seconds: float | None = None,
        scopes: Collection[str] | None = None,
        text: str | None = None,
    ) -> tuple[str, TokenInfo]:
        """:meth:`create` as a part of the caller's transaction; ``text`` presets the token."""
        principal = principal_rows.get_principal(connection, principal_id)
        if principal is None:
            raise NotFound("principal", principal_id)
        if principal.kind is PrincipalKind.GROUP:
            raise InvalidValue("user", f"{principal.name} is a group; groups have no tokens.")
        if principal.disabled_at is not None:
            raise InvalidValue("user", f"{principal.name} is disabled.")
        if len(comment) > _LONGEST_COMMENT or "\x00" in comment:
            raise InvalidValue("comment", f"it is over {_LONGEST_COMMENT} characters or has a NUL.")
        kept = None if scopes is None else sorted({str(Scope.parse(each)) for each in scopes})
        now = self._clock.now()
        expires_at = None
        if lifetime_seconds is not None:
            if not 0 < lifetime_seconds <= _LONGEST_LIFE_SECONDS:
                raise InvalidValue(
                    "lifetime_seconds", f"it must be over 0 and at most {_LONGEST_LIFE_SECONDS}."
                )
            expires_at = now + timedelta(seconds=lifetime_seconds)
        token = text if text is not None else _new_token()
        lock_names(connection)
        info = token_rows.insert_token(
            connection,
            principal_id=principal_id,
            digest=digest_of(token),
            comment=comment,
            scopes=kept,
            at=now,
            expires_at=expires_at,
        )
        return token, info

    def revoke(self, token_id: int) -> TokenInfo:
        """Make a token fail from now on. Raises NotFound, also when it is revoked already."""
        with self._database.write() as connection:
            info = token_rows.get_token(connection, token_id)
            if info is None or info.revoked_at is not None:
                raise NotFound("token", token_id)
            token_rows.set_revoked(connection, token_id, self._clock.now())
            return info

    def get(self, token_id: int) -> TokenInfo:
        """Raises NotFound, also for a revoked one."""
        with self._database.read() as connection:
            info = token_rows.get_token(connection, token_id)
        if info is None or info.revoked_at is not None:
            raise NotFound("token", token_id)
        return info

    def list(self, principal_id: PrincipalId | None = None) -> Sequence[TokenInfo]:
        """Tokens that were not revoked, expired ones included, oldest first."""
        with self._database.read() as connection:
            return token_rows.list_tokens(connection, principal_id)

    def authenticate(self, text: str) -> Principal:
        """Whom a token stands for, with its scopes.

        Raises InvalidCredential when it is unknown, revoked or its principal is disabled,
        ExpiredCredential when its time is over.
        """
        if len(text) > _LONGEST_TOKEN:
            raise InvalidCredential
        with self._database.read() as connection:
            found = token_rows.find_credential(connection, digest_of(text))
        if found is None or found.revoked_at is not None:
            raise InvalidCredential
        if found.principal.disabled_at is not None:
            raise InvalidCredential("The principal of this token is disabled.")
        if found.expires_at is not None and found.expires_at <= self._clock.now():
            raise ExpiredCredential
        return found.principal


def ensure_administrator(database: Database, clock: Clock, preset: str = "") -> str | None:
    """Make user ``admin`` where there is none; the token to show, once, when one was made up.

    A ``preset`` becomes a token of that user in place of the preset of an earlier start, and is not
    shown. Without one, a token is made up only together with the user. Safe to call at each start,
    by several servers at once. Raises InvalidValue for a preset that cannot be sent in a header or
    is somebody else's token.
    """
    if preset and (not preset.isascii() or not preset.isprintable() or " " in preset):
        raise InvalidValue("admin_token", "it must be printable ASCII without blanks.")
    principals = Principals(database, clock)
    tokens = Tokens(database, clock)
    with database.write() as connection:
        lock_names(connection)
        found = principal_rows.find_by_key(connection, name_key(ADMINISTRATOR))
        administrator = found or principals.create_user_in(
            connection, ADMINISTRATOR, role=Role.ADMIN
        )
        if preset:
            _put_preset(connection, tokens, clock, administrator, preset)
            return None
        if found is None:
            return tokens.create_in(connection, administrator.id, comment="first start")[0]
        return None


def _put_preset(
    connection: Connection, tokens: Tokens, clock: Clock, administrator: Principal, preset: str
) -> None:
    earlier = read_value(connection, _PRESET)
    present = token_rows.find_by_digest(connection, digest_of(preset))
    if present is None:
        info = tokens.create_in(
            connection, administrator.id, comment="preset by a setting", text=preset
        )[1]
    elif present.principal_id == administrator.id:
        info = present
        token_rows.set_revoked(connection, info.id, None)
    else:
        raise InvalidValue("admin_token", f"it is a token of {present.principal_name} already.")
    if earlier is not None and int(earlier) != info.id:
        token_rows.set_revoked(connection, int(earlier), clock.now())
    write_value(connection, _PRESET, str(info.id))


def digest_of(text: str) -> bytes:
    """What is stored of a token. It is random and long, so a fast digest is enough."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _new_token() -> str:
    number = int.from_bytes(secrets.token_bytes(_SECRET_BYTES), "big")
    digits = []
    for _ in range(_SECRET_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return _PREFIX + "".join(reversed(digits))
