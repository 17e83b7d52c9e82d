"""Named connections: databases that notebooks reach by a name instead of a password.

An administrator stores where a database is and who may use it. Whoever may is given the address,
password included, inside the kernel of a run of theirs, because it is the kernel that connects;
lists and errors show none of it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from sqlalchemy.exc import IntegrityError

from quire.clock import Clock
from quire.errors import AlreadyExists, InvalidValue, NotFound, PermissionDenied
from quire.identity.models import Principal
from quire.ids import PrincipalId
from quire.naming import check_name
from quire.store import connections as connection_rows
from quire.store.database import Database

__all__ = ["ConnectionInfo", "Connections"]

_SCHEMES = {
    "duckdb": "duckdb",
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "sqlserver": "sqlserver",
    "mssql": "sqlserver",
}


@dataclass(frozen=True)
class ConnectionInfo:
    """What may be shown of a connection."""

    name: str
    kind: str  # duckdb, postgresql, sqlserver
    shown: str  # its address without user and password
    allowed: tuple[PrincipalId, ...] | None  # users and groups; None: everybody
    created_at: datetime


class Connections:
    """The connections of this server."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def create(
        self,
        actor: Principal,
        name: str,
        url: str,
        *,
        allowed: Sequence[PrincipalId] | None = None,
    ) -> ConnectionInfo:
        """Store a connection. ``url``: an address, or a connection string of SQL Server.

        Raises PermissionDenied, InvalidValue, AlreadyExists.
        """
        _check_administrator(actor)
        check_name(name)
        kind, shown = _describe(url)
        now = self._clock.now()
        columns = {
            "name": name,
            "kind": kind,
            "url": url,
            "allowed": None if allowed is None else list(allowed),
            "created_at": now,
        }
        try:
            with self._database.write() as connection:
                connection_rows.insert_connection(connection, columns)
        except IntegrityError:
            raise AlreadyExists(f"There is a connection named {name!r} already.") from None
        return ConnectionInfo(name, kind, shown, None if allowed is None else tuple(allowed), now)

    def list(self) -> list[ConnectionInfo]:
        """All, by name."""
        with self._database.read() as connection:
            rows = connection_rows.list_connections(connection)
        return [
            ConnectionInfo(
                row.name,
                row.kind,
                _describe(row.url)[1],
                None if row.allowed is None else tuple(row.allowed),
                row.created_at,
            )
            for row in rows
        ]

    def list_usable(self, actor: Principal) -> Sequence[ConnectionInfo]:
        """Those the actor may use, by name."""
        return [each for each in self.list() if _is_usable(actor, each.allowed)]

    def url_for(self, actor: Principal, name: str) -> str:
        """Where a database is, for somebody who may use it.

        Raises NotFound, also for a connection that is not the actor's to use.
        """
        with self._database.read() as connection:
            row = connection_rows.find_connection(connection, name)
        if row is None or not _is_usable(actor, row.allowed):
            raise NotFound("connection", name)
        return str(row.url)

    def delete(self, actor: Principal, name: str) -> None:
        """Remove a connection. Raises PermissionDenied, NotFound."""
        _check_administrator(actor)
        with self._database.write() as connection:
            if not connection_rows.delete_connection(connection, name):
                raise NotFound("connection", name)


def _is_usable(actor: Principal, allowed: Collection[int] | None) -> bool:
    return allowed is None or actor.is_admin or bool(set(allowed) & set(actor.acting_ids))


def _check_administrator(actor: Principal) -> None:
    if not actor.is_admin:
        raise PermissionDenied("Only administrators may change connections.")


def _describe(url: str) -> tuple[str, str]:
    """The kind of database and its address without credentials. Raises InvalidValue."""
    if "://" not in url:
        parts = dict(part.split("=", 1) for part in url.split(";") if "=" in part)
        known = {key.strip().lower(): value.strip() for key, value in parts.items()}
        server = known.get("server") or known.get("data source")
        if server is None:
            raise InvalidValue("url", "a connection string has to name a Server.")
        database = known.get("database") or known.get("initial catalog") or ""
        return "sqlserver", f"sqlserver://{server}/{database}"
    kind = _SCHEMES.get(url.partition("://")[0].partition("+")[0].lower())
    if kind is None:
        raise InvalidValue(
            "url",
            "the address has an unknown beginning.",
            allowed=tuple(f"{k}://" for k in _SCHEMES),
        )
    try:
        split = urlsplit(url)
        place = split.hostname or ""
        port = f":{split.port}" if split.port else ""
    except ValueError:
        raise InvalidValue("url", "the address cannot be read.") from None
    return kind, f"{kind}://{place}{port}{split.path}"
