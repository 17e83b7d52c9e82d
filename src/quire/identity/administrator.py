"""The first administrator, so that a new server can be used at all."""

from __future__ import annotations

from sqlalchemy import Connection

from quire.clock import Clock
from quire.errors import InvalidValue
from quire.identity.models import Principal, Role
from quire.identity.names import name_key
from quire.identity.principals import Principals
from quire.identity.tokens import Tokens, digest_of
from quire.store import principals as principal_rows
from quire.store import tokens as token_rows
from quire.store.database import Database
from quire.store.locks import lock_names
from quire.store.values import read_value, write_value

__all__ = ["ADMINISTRATOR", "ensure_administrator"]

ADMINISTRATOR = "admin"
_PRESET = "preset_admin_token_id"


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
