"""Databases elsewhere: PostgreSQL and SQL Server, each in its own SQL.

Owns: opening them, sending statements with bound parameters, and their errors as ours. A password
is in no error and no representation. Each statement is committed as the database does by itself.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Protocol

from quire_runtime.sql.connections import ConnectionUrl
from quire_runtime.sql.errors import SqlError
from quire_runtime.sql.lexer import Statement, split_batches, split_statements
from quire_runtime.sql.placeholders import replace
from quire_runtime.sql.results import SqlResult, frame_of, keeping

__all__ = ["PostgresDatabase", "RemoteDatabase", "SqlServerDatabase"]

_CONNECT_SECONDS = 15


class RemoteDatabase(Protocol):
    """A database that runs statements of its own dialect."""

    def run(self, text: str, variables: Mapping[str, Any]) -> list[SqlResult]:
        """Run statements. Raises SqlError."""

    def close(self) -> None:
        """Close the connection. Again is no error."""


def _driver(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise SqlError(
            f"This kernel's environment has no driver for that database; install {package}."
        ) from None


class PostgresDatabase:
    """PostgreSQL by way of psycopg."""

    def __init__(self, url: ConnectionUrl) -> None:
        self._url = url
        psycopg = self._psycopg = _driver("psycopg", "psycopg[binary]")
        try:
            self._connection: Any = psycopg.connect(
                host=url.host or url.options.get("host") or None,
                port=url.port,
                dbname=url.database or None,
                user=url.user or None,
                password=url.password or None,
                autocommit=True,
                connect_timeout=_CONNECT_SECONDS,
                **{key: value for key, value in url.options.items() if key != "host"},
            )
        except psycopg.Error as error:
            raise SqlError(_without(str(error).strip(), url)) from None
        self._notices: list[str] = []
        self._connection.add_notice_handler(self._take_notice)

    def run(self, text: str, variables: Mapping[str, Any]) -> list[SqlResult]:
        """Run statements of PostgreSQL."""
        results: list[SqlResult] = []
        with keeping(results):
            for statement in split_statements(text, "postgresql"):
                results += self._run_statement(statement, variables)
        return results

    def _run_statement(self, statement: Statement, variables: Mapping[str, Any]) -> list[SqlResult]:
        sql, values = _bound(statement, variables, "postgresql")
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(sql, values)
                return self._results(cursor, statement)
        except self._psycopg.Error as error:
            raise SqlError(
                _without(str(error).split("\nLINE ")[0].strip(), self._url),
                line=statement.line,
                statement=statement.text,
            ) from None

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _results(self, cursor: Any, statement: Statement) -> list[SqlResult]:
        found = [SqlResult(message=text, line=statement.line) for text in self._notices]
        self._notices.clear()
        if cursor.description is not None:
            names = [column.name for column in cursor.description]
            found.append(SqlResult(frame=frame_of(names, cursor.fetchall()), line=statement.line))
        elif cursor.rowcount >= 0:
            found.append(SqlResult(row_count=cursor.rowcount, line=statement.line))
        return found

    def _take_notice(self, notice: Any) -> None:
        self._notices.append(str(notice.message_primary))


class SqlServerDatabase:
    """SQL Server, Azure SQL or Fabric by way of pymssql."""

    def __init__(self, url: ConnectionUrl) -> None:
        self._url = url
        pymssql = self._pymssql = _driver("pymssql", "quire[sqlserver]")
        try:
            self._connection: Any = pymssql.connect(
                server=url.host,
                port=str(url.port or 1433),
                user=url.user,
                password=url.password,
                database=url.database or "master",
                login_timeout=_CONNECT_SECONDS,
                autocommit=True,
                **_encryption(url),
            )
        except pymssql.Error as error:
            raise SqlError(_without(_server_reason(error)[1], url)) from None
        self._messages: list[str] = []
        self._connection._conn.set_msghandler(self._take_message)

    def run(self, text: str, variables: Mapping[str, Any]) -> list[SqlResult]:
        """Run batches of T-SQL, which lines with GO end."""
        results: list[SqlResult] = []
        for batch, count in split_batches(text):
            sql, values = _bound(batch, variables, "tsql")
            with keeping(results):
                for _ in range(count):
                    results += self._run_batch(sql, values, batch)
        return results

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _run_batch(
        self, sql: str, values: dict[str, Any] | None, batch: Statement
    ) -> list[SqlResult]:
        found: list[SqlResult] = []
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(sql, values)
                while True:
                    if cursor.description is not None:
                        names = [column[0] for column in cursor.description]
                        frame = frame_of(names, cursor.fetchall())
                        found.append(SqlResult(frame=frame, line=batch.line))
                    elif cursor.rowcount >= 0:
                        found.append(SqlResult(row_count=cursor.rowcount, line=batch.line))
                    found += self._take_messages(batch.line)
                    if not cursor.nextset():
                        break
        except self._pymssql.Error as error:
            number, reason = _server_reason(error)
            raise SqlError(
                _without(reason, self._url),
                line=batch.line,
                statement=batch.text,
                number=number,
            ) from None
        return found + self._take_messages(batch.line)

    def _take_messages(self, line: int) -> list[SqlResult]:
        taken, self._messages[:] = list(self._messages), []
        return [SqlResult(message=text, line=line) for text in taken]

    def _take_message(
        self,
        state: int,
        severity: int,
        server: bytes,
        procedure: bytes,
        line: int,
        text: bytes,
    ) -> None:
        if severity == 0:
            self._messages.append(text.decode("utf-8", "replace"))


def _bound(
    statement: Statement, variables: Mapping[str, Any], dialect: str
) -> tuple[str, dict[str, Any] | None]:
    """A statement as drivers take it: with marks for its values; as it is when it has none."""
    sql, values = replace(
        statement.text,
        statement.line,
        variables,
        dialect=dialect,
        mark="%({})s".format,
        escape=lambda piece: piece.replace("%", "%%"),
    )
    return (sql, dict(values)) if values else (statement.text, None)


def _encryption(url: ConnectionUrl) -> dict[str, str]:
    wanted = url.options.get("encrypt", "").lower()
    if wanted in ("yes", "true", "mandatory", "strict", "require"):
        return {"encryption": "require"}
    return {"encryption": "off"} if wanted in ("no", "false", "optional", "off") else {}


def _server_reason(error: Exception) -> tuple[int, str]:
    """Number and text of an error of pymssql."""
    arguments = error.args
    if arguments and isinstance(arguments[0], tuple):
        arguments = arguments[0]
    number = arguments[0] if arguments and isinstance(arguments[0], int) else 50000
    text = arguments[1] if len(arguments) > 1 else error
    reason = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    lines = list(dict.fromkeys(line for line in reason.splitlines() if line.strip()))
    kept = [line for line in lines if not line.startswith("DB-Lib error message")] or lines
    return number, " ".join(kept)


def _without(text: str, url: ConnectionUrl) -> str:
    """A text without the password it may quote."""
    return text.replace(url.password, "[REDACTED]") if url.password else text
