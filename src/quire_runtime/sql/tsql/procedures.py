"""Stored procedures: kept as text in the database, in a table of this package's own schema."""

from __future__ import annotations

from collections.abc import Sequence

from quire_runtime.sql.duck import DuckDatabase
from quire_runtime.sql.errors import SqlError
from quire_runtime.sql.tsql import nodes
from quire_runtime.sql.tsql.parser import parse_batch

__all__ = ["Procedures"]

SCHEMA = "quire_procedures"


class Procedures:
    """The procedures of the databases of one connection."""

    def __init__(self, database: DuckDatabase) -> None:
        self._database = database
        self._parsed: dict[str, nodes.CreateProcedure] = {}

    def store(self, node: nodes.CreateProcedure) -> None:
        """Keep a procedure. Raises SqlError when it exists, or does not although it must."""
        place, schema, name = self._place(node.name)
        exists = self._text(place, schema, name) is not None
        if node.must_exist and not exists:
            raise _missing(node.name)
        if exists and not node.replaces:
            raise SqlError(
                f"There is already an object named '{node.name[-1]}' in the database.", number=2714
            )
        self._database.rows(f'CREATE SCHEMA IF NOT EXISTS {place}."{SCHEMA}"')
        self._database.rows(
            f'CREATE TABLE IF NOT EXISTS {place}."{SCHEMA}".procedures '
            "(schema_name VARCHAR, name VARCHAR, definition VARCHAR)"
        )
        self._delete(place, schema, name)
        self._database.rows(
            f'INSERT INTO {place}."{SCHEMA}".procedures VALUES ($schema, $name, $definition)',
            {"schema": schema, "name": name, "definition": node.text},
        )

    def drop(self, name: Sequence[str], *, if_exists: bool) -> None:
        """Forget a procedure."""
        place, schema, key = self._place(name)
        if self._text(place, schema, key) is None:
            if if_exists:
                return
            raise _missing(name)
        self._delete(place, schema, key)

    def find(self, name: Sequence[str]) -> nodes.CreateProcedure:
        """A procedure, parsed. Raises SqlError when there is none."""
        place, schema, key = self._place(name)
        text = self._text(place, schema, key)
        if text is None:
            raise _missing(name)
        parsed = self._parsed.get(text)
        if parsed is None:
            made = parse_batch(text)[0]
            assert isinstance(made, nodes.CreateProcedure)
            self._parsed[text] = parsed = made
        return parsed

    def _place(self, name: Sequence[str]) -> tuple[str, str, str]:
        """The database, quoted, the schema and the name, both in lower case."""
        parts = list(name)
        database = parts[-3] if len(parts) > 2 and parts[-3] else ""
        if not database:
            database = str(self._database.rows("SELECT current_database()")[0][0])
        schema = parts[-2] if len(parts) > 1 and parts[-2] else "dbo"
        quoted = database.replace('"', '""')
        return f'"{quoted}"', schema.lower(), parts[-1].lower()

    def _text(self, place: str, schema: str, name: str) -> str | None:
        known = self._database.rows(
            "SELECT 1 FROM duckdb_tables() WHERE lower(database_name) = lower($place) AND "
            f"schema_name = '{SCHEMA}' AND table_name = 'procedures'",
            {"place": place[1:-1].replace('""', '"')},
        )
        if not known:
            return None
        rows = self._database.rows(
            f'SELECT definition FROM {place}."{SCHEMA}".procedures '
            "WHERE schema_name = $schema AND name = $name",
            {"schema": schema, "name": name},
        )
        return str(rows[0][0]) if rows else None

    def _delete(self, place: str, schema: str, name: str) -> None:
        self._database.rows(
            f'DELETE FROM {place}."{SCHEMA}".procedures '
            "WHERE schema_name = $schema AND name = $name",
            {"schema": schema, "name": name},
        )


def _missing(name: Sequence[str]) -> SqlError:
    return SqlError(f"Could not find stored procedure '{'.'.join(name)}'.", number=2812)
