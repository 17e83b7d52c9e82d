"""DuckDB as a notebook's own database: in memory, or a file.

Owns: the connection, the notebook's frames as tables, rows as frames, and DuckDB's errors as ours.
"""

from __future__ import annotations

import re
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from quire_runtime.sql.errors import SqlError
from quire_runtime.sql.lexer import Statement, split_statements, tokenize
from quire_runtime.sql.placeholders import bind
from quire_runtime.sql.results import SqlResult, frame_of, keeping

__all__ = ["DuckDatabase"]

# Columns of these types come as Python values; others as arrays, which is far faster.
_EXACT = re.compile(
    r"DATE|DECIMAL|HUGEINT|UUID|BLOB|TIME|INTERVAL|LIST|STRUCT|MAP|\[|BIT|UNION|VARIANT"
)
_KINDS = (
    # Start of DuckDB's text, number of SQL Server, in the order they are tried.
    (re.compile(r"Division by zero|Divide by zero", re.IGNORECASE), 8134),
    (re.compile(r"Duplicate key|violates (unique|primary key)", re.IGNORECASE), 2627),
    (re.compile(r"NOT NULL constraint", re.IGNORECASE), 515),
    (re.compile(r"(CHECK|foreign key) constraint", re.IGNORECASE), 547),
    (re.compile(r"already exists", re.IGNORECASE), 2714),
    (re.compile(r"Table with name|does not exist.*table|View with name", re.IGNORECASE), 208),
    (re.compile(r"Referenced column|column named|Referenced table", re.IGNORECASE), 207),
    (re.compile(r"Function with name", re.IGNORECASE), 195),
    (re.compile(r"Conversion Error", re.IGNORECASE), 245),
    (re.compile(r"Out of Range", re.IGNORECASE), 8115),
    (re.compile(r"Parser Error", re.IGNORECASE), 102),
)


_INTERRUPT_SECONDS = 0.2
_Result = TypeVar("_Result")


class DuckDatabase:
    """One DuckDB connection. ``path``: a database file; None: in memory."""

    def __init__(self, path: str | None = None, *, read_only: bool = False) -> None:
        import duckdb

        try:
            self.connection: Any = duckdb.connect(path or ":memory:", read_only=read_only)
        except duckdb.Error as error:
            raise SqlError(f"The database cannot be opened: {_reason(error)}") from None
        # Only what is registered here is a table, not every variable of every caller.
        self.connection.execute("SET python_enable_replacements=false")
        self._frames: dict[str, Any] = {}

    def close(self) -> None:
        """Close the database. Again is no error."""
        self.connection.close()

    def run(self, text: str, variables: Mapping[str, Any]) -> list[SqlResult]:
        """Run statements of DuckDB's own SQL."""
        results: list[SqlResult] = []
        with keeping(results):
            for statement in split_statements(text):
                bound, values = bind(statement, variables)
                self.offer_frames(statement.text, variables)
                result = self.execute(bound, statement, values)
                if result is not None:
                    results.append(result)
        return results

    def execute(
        self,
        sql: str,
        statement: Statement,
        values: Mapping[str, Any] | None = None,
        *,
        queries: bool | None = None,
    ) -> SqlResult | None:
        """Run one statement of DuckDB; its rows or count, None when it has neither.

        ``queries`` says whether a column "Count" is a query's and not the number of changed rows;
        None: by the statement's first word.
        """
        import duckdb

        if queries is None:
            queries = _is_query(statement)
        is_query = queries

        def work() -> SqlResult | None:
            self.connection.execute(sql, dict(values) if values else None)
            description = self.connection.description
            names = [column[0] for column in description or ()]
            kinds = [str(column[1]) for column in description or ()]
            if names == ["Count"] and kinds == ["BIGINT"] and not is_query:
                row = self.connection.fetchone()
                return SqlResult(row_count=int(row[0]), line=statement.line) if row else None
            if not names or (names == ["Success"] and not is_query):
                return None
            return SqlResult(frame=self._frame(names, kinds), line=statement.line)

        try:
            return self._interruptible(work)
        except duckdb.Error as error:
            raise as_sql_error(error).at(statement.line, statement.text) from None

    def rows(self, sql: str, values: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """All rows of one query. Raises SqlError without a place."""
        import duckdb

        def work() -> list[tuple[Any, ...]]:
            found: list[tuple[Any, ...]] = self.connection.execute(
                sql, dict(values) if values else None
            ).fetchall()
            return found

        try:
            return self._interruptible(work)
        except duckdb.Error as error:
            raise as_sql_error(error) from None

    def _interruptible(self, work: Callable[[], _Result]) -> _Result:
        """Do something with the connection that an interrupt of the kernel ends.

        On a thread of its own: DuckDB sees a signal only now and then while it computes.
        """
        done: list[_Result] = []
        failed: list[BaseException] = []
        finished = threading.Event()  # a join that is interrupted would not wait a second time

        def do() -> None:
            try:
                done.append(work())
            except BaseException as error:  # noqa: BLE001 - carried over to the caller's thread
                failed.append(error)
            finally:
                finished.set()

        # An interrupt before it has begun would leave it alone with the connection.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            threading.Thread(target=do, name="sql", daemon=True).start()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            finished.wait()
        except BaseException:
            self.connection.interrupt()
            while not finished.wait(_INTERRUPT_SECONDS):
                self.connection.interrupt()  # the first may have come before it began
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if failed:
            raise failed[0]
        return done[0]

    def offer_frames(
        self, text: str, variables: Mapping[str, Any], dialect: str = "duckdb"
    ) -> None:
        """Make the notebook's pandas frames that a text names readable as tables.

        A table of the database that has the same name stays what the text means.
        """
        pandas = sys.modules.get("pandas")
        if pandas is None:
            return
        for token in tokenize(text, dialect):
            name = token.text.strip('"[]') if token.kind == "quoted" else token.text
            if token.kind not in ("word", "quoted"):
                continue
            frame = variables.get(name)
            if not isinstance(frame, pandas.DataFrame):
                if name in self._frames:
                    self._withdraw(name)
                continue
            if name in self._frames:
                if self._frames[name] is frame:
                    continue
                self._withdraw(name)
            if not self._has_table(name):
                self._register(name, frame)

    def _register(self, name: str, frame: Any) -> None:
        if not all(isinstance(column, str) for column in frame.columns):
            frame = frame.set_axis([str(column) for column in frame.columns], axis=1)
        self.connection.register(name, frame)
        self._frames[name] = self._frames.get(name, frame)

    def _withdraw(self, name: str) -> None:
        self.connection.unregister(name)
        del self._frames[name]

    def _has_table(self, name: str) -> bool:
        found = self.rows(
            "SELECT 1 FROM duckdb_tables() WHERE lower(table_name) = lower($name) UNION ALL "
            "SELECT 1 FROM duckdb_views() WHERE NOT internal AND lower(view_name) = lower($name)",
            {"name": name},
        )
        return bool(found)

    def _frame(self, names: list[str], kinds: list[str]) -> Any:
        if len(set(names)) != len(names) or any(_EXACT.search(kind) for kind in kinds):
            rows = self.connection.fetchall()
            return frame_of(names, rows)
        return _from_arrays(self.connection.fetchnumpy())


def _from_arrays(arrays: Mapping[str, Any]) -> Any:
    import numpy as np
    import pandas as pd

    columns: dict[str, Any] = {}
    for name, array in arrays.items():
        if not isinstance(array, np.ma.MaskedArray):
            columns[name] = array
        elif not array.mask.any():
            columns[name] = array.data
        elif array.dtype.kind in "iu":
            columns[name] = pd.arrays.IntegerArray(
                array.data.astype(array.dtype.str.lstrip("<>=")), np.array(array.mask)
            )
        elif array.dtype.kind == "b":
            columns[name] = pd.arrays.BooleanArray(array.data, np.array(array.mask))
        elif array.dtype.kind in "Mm":
            data = array.data.copy()
            data[array.mask] = np.array("NaT", dtype=data.dtype)
            columns[name] = data
        elif array.dtype.kind == "f":
            columns[name] = array.filled(np.nan)
        else:
            data = array.data.astype(object)
            data[array.mask] = None
            columns[name] = data
    return pd.DataFrame(columns)


def _is_query(statement: Statement) -> bool:
    first = tokenize(statement.text, "duckdb")[:1]
    return bool(first) and first[0].is_word("SELECT", "WITH", "FROM", "VALUES", "TABLE", "PIVOT")


def as_sql_error(error: Exception) -> SqlError:
    """An error of DuckDB as ours, with the number SQL Server gives to such errors."""
    text = str(error)
    number = next((number for pattern, number in _KINDS if pattern.search(text)), 50000)
    return SqlError(_reason(error), number=number)


def _reason(error: Exception) -> str:
    """DuckDB's text without its picture of the statement, which may be a translated one."""
    text = str(error).split("\n\nLINE ")[0].split("\nLINE ")[0].strip()
    return re.sub(r"^(Invalid Input|Constraint|Catalog|Binder|Parser) Error: ", r"\1 error: ", text)
