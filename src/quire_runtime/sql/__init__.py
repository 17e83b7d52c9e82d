"""SQL in a kernel without Spark.

    session        the session of a kernel: what a notebook's SQL runs in
    duck           DuckDB, the default database
    tsql/          T-SQL on DuckDB
    remote         PostgreSQL and SQL Server
    connections    where those are
    results        rows as frames, counts, messages
    placeholders   ``{name}`` as bound parameters
    values         Python values as SQL takes them
    lexer          tokens, statements, batches
    errors         SqlError, with line and statement

duckdb, sqlglot, pandas and drivers are imported when they are first needed, never before.
"""

from __future__ import annotations

from quire_runtime.sql.errors import SqlError, SqlUnsupported
from quire_runtime.sql.results import SqlResult, last_frame
from quire_runtime.sql.session import SqlSession

__all__ = ["SqlError", "SqlResult", "SqlSession", "SqlUnsupported", "last_frame"]
