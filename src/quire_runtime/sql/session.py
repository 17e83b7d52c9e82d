"""The SQL session of a kernel: its own database, named connections, and which dialect is meant.

    session = SqlSession()
    results = session.run("SELECT * FROM frame WHERE a = {x}", variables=namespace)
    results = session.run("DECLARE @i INT = 1; SELECT @i", dialect="tsql")
    results = session.run("SELECT 1", connection="warehouse")

``connection`` is a name (looked up through ``connections``) or a URL. Databases stay open between
calls, so tables made in one cell are there in the next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from quire_runtime.sql.connections import ConnectionUrl, parse_url
from quire_runtime.sql.duck import DuckDatabase
from quire_runtime.sql.errors import SqlError
from quire_runtime.sql.remote import PostgresDatabase, RemoteDatabase, SqlServerDatabase
from quire_runtime.sql.results import SqlResult

if TYPE_CHECKING:
    from quire_runtime.sql.tsql.interpreter import Interpreter

__all__ = ["DIALECTS", "SqlSession"]

DIALECTS = ("duckdb", "tsql")

LookUp = Callable[[str], str]


class _Local:
    """A DuckDB database and, once asked for, its interpreter of T-SQL."""

    def __init__(self, database: DuckDatabase) -> None:
        self.database = database
        self._interpreter: Interpreter | None = None

    @property
    def interpreter(self) -> Interpreter:
        if self._interpreter is None:
            from quire_runtime.sql.tsql.interpreter import Interpreter

            self._interpreter = Interpreter(self.database)
        return self._interpreter


class SqlSession:
    """Runs SQL for one notebook.

    ``path``: a DuckDB file instead of a database in memory. ``attached``: further DuckDB files by
    the name statements know them under, each with whether it is read only. ``connections`` gives
    the URL of a named connection and raises SqlError for one there is not.
    """

    def __init__(
        self,
        path: str | None = None,
        *,
        attached: Mapping[str, tuple[str, bool]] | None = None,
        connections: LookUp | None = None,
    ) -> None:
        self._path = path
        self._attached = dict(attached or {})
        self._connections = connections
        self._local: _Local | None = None
        self._opened: dict[str, _Local | RemoteDatabase] = {}

    def run(
        self,
        text: str,
        variables: Mapping[str, Any] | None = None,
        *,
        dialect: str = "duckdb",
        connection: str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> Sequence[SqlResult]:
        """Run statements; their results in order.

        ``variables`` is the notebook's namespace: ``{name}`` in the text becomes a bound parameter,
        and pandas frames in it are tables (of databases in this process). ``dialect``: "duckdb" or
        "tsql"; a connection to another database has its own. ``parameters`` are T-SQL variables
        ``@name``. Raises SqlError with line and statement; what was done before it stays done.
        """
        if dialect not in DIALECTS:
            raise SqlError(f"The SQL dialect {dialect!r} is not known; there are {DIALECTS}.")
        target = self._open(connection)
        names = variables if variables is not None else {}
        if isinstance(target, _Local):
            if dialect == "tsql":
                return target.interpreter.run(text, names, parameters)
            return target.database.run(text, names)
        return target.run(text, names)

    def close(self) -> None:
        """Close every database. The next call opens them again."""
        if self._local is not None:
            self._local.database.close()
        for opened in self._opened.values():
            (opened.database if isinstance(opened, _Local) else opened).close()
        self._local = None
        self._opened.clear()

    def _open(self, connection: str | None) -> _Local | RemoteDatabase:
        if connection is None:
            if self._local is None:
                self._local = _Local(self._own_database())
            return self._local
        opened = self._opened.get(connection)
        if opened is None:
            opened = self._opened[connection] = _open_url(self._url_of(connection))
        return opened

    def _own_database(self) -> DuckDatabase:
        database = DuckDatabase(self._path)
        for name, (path, read_only) in self._attached.items():
            mode = " (READ_ONLY)" if read_only else ""
            quoted = name.replace('"', '""')
            place = path.replace("'", "''")
            database.rows(f"ATTACH '{place}' AS \"{quoted}\"{mode}")
        return database

    def _url_of(self, connection: str) -> ConnectionUrl:
        if "://" in connection:
            return parse_url(connection)
        if self._connections is None:
            raise SqlError(f"There is no connection named {connection!r}.")
        return parse_url(self._connections(connection))


def _open_url(url: ConnectionUrl) -> _Local | RemoteDatabase:
    if url.kind == "duckdb":
        return _Local(DuckDatabase(url.database or None, read_only=url.read_only))
    if url.kind == "postgresql":
        return PostgresDatabase(url)
    return SqlServerDatabase(url)
