"""Where databases are: URLs of DuckDB files, PostgreSQL and SQL Server.

    duckdb:////data/sales.duckdb?read_only=true
    postgresql://user:password@host:5432/database?sslmode=require
    sqlserver://user:password@host:1433/database

A user, password or database with special characters is percent-encoded. A connection string as SQL
Server's own tools write it (``Server=…;Database=…;User Id=…;Password=…``) is taken too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from quire_runtime.sql.errors import SqlError

__all__ = ["KINDS", "ConnectionUrl", "parse_url"]

KINDS = ("duckdb", "postgresql", "sqlserver")
_SPELLINGS = {
    "duckdb": "duckdb",
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "sqlserver": "sqlserver",
    "mssql": "sqlserver",
}
_STRING_KEYS = {
    "server": "host",
    "data source": "host",
    "address": "host",
    "database": "database",
    "initial catalog": "database",
    "user id": "user",
    "uid": "user",
    "user": "user",
    "password": "password",
    "pwd": "password",
}


@dataclass(frozen=True)
class ConnectionUrl:
    """One database. ``password`` never appears in its representation."""

    kind: str
    host: str = ""
    port: int | None = None
    database: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    options: dict[str, str] = field(default_factory=dict)

    @property
    def read_only(self) -> bool:
        """Whether a DuckDB file is opened for reading alone."""
        return self.options.get("read_only", "").lower() in ("1", "true", "yes")


def parse_url(text: str) -> ConnectionUrl:
    """Read a URL or a connection string. Raises SqlError; its text shows no part of a password."""
    if "://" not in text and "=" in text:
        return _parse_string(text)
    scheme = text.partition("://")[0].partition("+")[0].lower()
    kind = _SPELLINGS.get(scheme)
    if kind is None:
        raise SqlError(
            "The address of a database begins with duckdb://, postgresql:// or sqlserver://, "
            f"not with {scheme[:20]!r}."
        )
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise SqlError(f"The address of the {kind} database cannot be read.") from None
    path = unquote(parts.path)
    if kind == "duckdb":
        database = parts.netloc + path
        if database.startswith("//"):
            database = database[1:]
        elif database.startswith("/") and not database.startswith("//"):
            database = database[1:] if parts.netloc == "" else database
        return ConnectionUrl(kind, database=database, options=dict(parse_qsl(parts.query)))
    return ConnectionUrl(
        kind,
        host=parts.hostname or "",
        port=port,
        database=path.lstrip("/"),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        options=dict(parse_qsl(parts.query)),
    )


def _parse_string(text: str) -> ConnectionUrl:
    """``Key=Value;Key=Value`` as SQL Server's tools write it."""
    known: dict[str, str] = {}
    options: dict[str, str] = {}
    for part in text.split(";"):
        key, separator, value = part.partition("=")
        name = key.strip().lower()
        if not separator:
            continue
        if name in _STRING_KEYS:
            known[_STRING_KEYS[name]] = value.strip()
        else:
            options[name] = value.strip()
    host = known.get("host", "").removeprefix("tcp:") if known.get("host") else ""
    host, _, port = host.partition(",")
    if not host or (port and not port.strip().isdigit()):
        raise SqlError("The connection string names no server.")
    return ConnectionUrl(
        "sqlserver",
        host=host.strip(),
        port=int(port) if port else None,
        database=known.get("database", ""),
        user=known.get("user", ""),
        password=known.get("password", ""),
        options=options,
    )
