"""What T-SQL can ask of its session: counts, the error being handled, names and numbers."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from quire_runtime.sql.duck import DuckDatabase
from quire_runtime.sql.errors import SqlError
from quire_runtime.sql.tsql.definitions import IDENTITY_PREFIX
from quire_runtime.sql.tsql.refusals import not_supported
from quire_runtime.sql.values import literal

if TYPE_CHECKING:
    from typing import TypeGuard

__all__ = ["SessionValues", "server_reason"]

_VERSION = "Quire T-SQL on DuckDB"
_REASONS = (
    (
        208,
        re.compile(r"(?:Table|View) with name (\S+) does not exist"),
        "Invalid object name '{}'.",
    ),
    (207, re.compile(r'Referenced column "([^"]+)" not found'), "Invalid column name '{}'."),
    (
        195,
        re.compile(r"Function with name (\S+) does not exist"),
        "'{}' is not a recognized built-in function name.",
    ),
)


class SessionValues:
    """The state behind ``@@ROWCOUNT``, ``SCOPE_IDENTITY()``, ``ERROR_MESSAGE()`` and their like."""

    def __init__(self, database: DuckDatabase) -> None:
        self._database = database
        self.transactions = 0
        self.row_count = 0
        self._errors: list[SqlError] = []
        self._last_error = 0
        self._identity: int | None = None
        self._allowed: set[str] = set()

    def reset(self) -> None:
        """Begin a new session."""
        self.row_count = 0
        self._errors = []
        self._last_error = 0
        self._identity = None
        self._allowed = set()

    @contextmanager
    def handling(self, error: SqlError) -> Iterator[None]:
        """While a CATCH block handles an error."""
        self._errors.append(error)
        self._last_error = error.number
        try:
            yield
        finally:
            self._errors.pop()

    def current_error(self) -> SqlError:
        """The error that THROW raises again. Raises SqlError outside a CATCH block."""
        if not self._errors:
            return SqlError(
                "To rethrow an error, a THROW statement must be used inside a CATCH block.",
                number=10704,
            )
        return self._errors[-1]

    # -- values -----------------------------------------------------------------------------

    def system_value(self, name: str) -> str:
        """``@@name`` as a literal. Raises SqlUnsupported."""
        values: dict[str, Any] = {
            "ROWCOUNT": self.row_count,
            "TRANCOUNT": self.transactions,
            "ERROR": self._last_error,
            "IDENTITY": self._identity,
            "VERSION": _VERSION,
            "SERVERNAME": "quire",
            "SERVICENAME": "quire",
            "SPID": 1,
            "LANGUAGE": "us_english",
            "DATEFIRST": 7,
            "NESTLEVEL": 0,
            "MAX_PRECISION": 38,
        }
        if name not in values:
            raise not_supported(f"@@{name}.")
        value = values[name]
        return literal(value, "BIGINT" if name == "IDENTITY" else None)

    def call(self, name: str, arguments: Sequence[str | None]) -> str | None:
        """A function of the session as a literal; None when it is not offered."""
        if name == "getdate":
            now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
            return literal(now)
        if name.startswith("error_"):
            return self._error_value(name)
        if name == "xact_state":
            return literal(1 if self.transactions else 0)
        if name in ("scope_identity", "ident_current"):
            return literal(self._identity, "BIGINT")
        if name == "db_name":
            return literal(self._current()[0])
        if name == "schema_name":
            return literal("dbo")
        if name == "object_id":
            return self._object_id(arguments)
        if name in ("suser_sname", "suser_name", "user_name", "original_login", "system_user"):
            return literal("dbo")
        return {"host_name": literal("quire"), "app_name": literal("quire")}.get(name)

    def _error_value(self, name: str) -> str:
        error = self._errors[-1] if self._errors else None
        if name == "error_message":
            return literal(error.reason if error is not None else None, "VARCHAR")
        if name == "error_procedure" or error is None:
            return literal(None, "VARCHAR" if name == "error_procedure" else "INTEGER")
        values = {
            "error_number": error.number,
            "error_line": error.line,
            "error_severity": error.severity,
            "error_state": error.state,
        }
        return literal(values[name], "INTEGER")

    def _current(self) -> tuple[str, str]:
        row = self._database.rows("SELECT current_database(), current_schema()")[0]
        return str(row[0]), str(row[1])

    def _object_id(self, arguments: Sequence[str | None]) -> str | None:
        text = arguments[0] if arguments else None
        if text is None:
            return None
        parts = _split(text)
        if parts[-1].startswith("#"):
            rows = self._database.rows(
                "SELECT table_oid FROM duckdb_tables() WHERE database_name = 'temp' "
                "AND lower(table_name) = $name",
                {"name": parts[-1].lower()},
            )
            return literal(rows[0][0] if rows else None, "BIGINT")
        columns = "database_name AS d, schema_name AS s"
        rows = self._database.rows(
            f"SELECT oid FROM (SELECT {columns}, table_name AS n, table_oid AS oid FROM "
            f"duckdb_tables() UNION ALL SELECT {columns}, view_name, view_oid FROM duckdb_views() "
            "WHERE NOT internal) WHERE lower(n) = $name AND s IN ($schema, $other) AND "
            "lower(d) = lower(coalesce($database, current_database()))",
            {
                "name": parts[-1].lower(),
                "schema": parts[-2].lower() if len(parts) > 1 and parts[-2] else "dbo",
                "other": "main" if len(parts) == 1 else "",
                "database": parts[-3] if len(parts) > 2 else None,
            },
        )
        return literal(rows[0][0] if rows else None, "BIGINT")

    # -- columns that number rows -------------------------------------------------------------

    def identity_columns(self, table: Sequence[str]) -> tuple[list[str], list[str]]:
        """All columns of a table, and those that fill themselves: numbered and computed ones."""
        rows = self._columns(table)
        filled = [row[0] for row in rows if _numbers(row[1]) or row[2]]
        return [row[0] for row in rows], filled

    def allow_identity(self, table: Sequence[str], allowed: bool) -> None:
        """``SET IDENTITY_INSERT``."""
        name = table[-1].lower()
        if allowed:
            self._allowed.add(name)
        else:
            self._allowed.discard(name)

    def check_identity(self, columns: Sequence[str], target: Sequence[str]) -> None:
        """Raises SqlError when an INSERT gives values to a column that numbers rows."""
        if not columns or target[-1].lower() in self._allowed:
            return
        given = {each.lower() for each in columns}
        for name, default, _ in self._columns(target):
            if name.lower() in given and _numbers(default):
                raise SqlError(
                    f"Cannot insert explicit value for identity column in table '{target[-1]}' "
                    "when IDENTITY_INSERT is set to OFF.",
                    number=544,
                )

    def inserted(self, target: Sequence[str]) -> None:
        """Take down the number that a row got last."""
        for _, default, _ in self._columns(target) if target else ():
            if _numbers(default):
                current = default.replace("nextval(", "currval(", 1)
                self._identity = int(self._database.rows(f"SELECT {current}")[0][0])

    def _columns(self, table: Sequence[str]) -> list[tuple[str, str | None, bool]]:
        if not table:
            return []
        temporary = table[-1].startswith("#")
        rows = self._database.rows(
            "SELECT column_name, column_default, schema_name, is_generated FROM duckdb_columns() "
            "WHERE lower(table_name) = $name AND lower(database_name) = "
            "lower(coalesce($database, current_database())) AND "
            "($schema IS NULL OR lower(schema_name) = $schema) "
            "ORDER BY schema_name, column_index",
            {
                "name": table[-1].lower(),
                "schema": table[-2].lower() if len(table) > 1 and table[-2] else None,
                "database": "temp" if temporary else table[-3] if len(table) > 2 else None,
            },
        )
        first = [row for row in rows if row[2] == rows[0][2]]
        return [(str(row[0]), row[1], bool(row[3])) for row in first]


def _numbers(default: str | None) -> TypeGuard[str]:
    return default is not None and IDENTITY_PREFIX in default


def server_reason(error: SqlError) -> str:
    """An error of DuckDB in the words SQL Server has for it, where it has."""
    if error.number == 8134:
        return "Divide by zero error encountered."
    if error.reason == "unordered_map::at":  # DuckDB 2.0 on macros in correlated joins
        return "An expression of this APPLY refers to outer columns in a way DuckDB cannot do."
    for number, pattern, words in _REASONS:
        match = pattern.search(error.reason) if number == error.number else None
        if match is not None:
            return words.format(match.group(1))
    return error.reason


def _split(name: str) -> list[str]:
    """The parts of a name, without brackets and quotes."""
    from quire_runtime.sql.lexer import tokenize

    parts: list[str] = [""]
    for token in tokenize(name, "tsql"):
        if token.text == ".":
            parts.append("")
        else:
            parts[-1] = token.text[1:-1] if token.kind == "quoted" else token.text
    return parts
