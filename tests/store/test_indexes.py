"""What the server asks again and again looks only at what is not over, however much is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, event

from quire.ids import JobId
from quire.store import runs as run_rows
from quire.store.database import Database

_NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def connection(sqlite_url: str) -> Iterator[Connection]:
    database = Database(sqlite_url)
    with database.read() as connection:
        yield connection
    database.close()


@pytest.mark.parametrize(
    ("ask", "index"),
    [
        (lambda on: run_rows.list_candidates(on, _NOW, 5), "ix_attempts_active"),
        (lambda on: run_rows.count_slots_used(on, "here"), "ix_attempts_active"),
        (lambda on: run_rows.list_executing(on, "here"), "ix_attempts_active"),
        (run_rows.list_running, "ix_attempts_active"),
        (run_rows.count_active, "ix_runs_active"),
        (lambda on: run_rows.count_active_of_job(on, JobId(1)), "ix_runs_active"),
    ],
)
def test_work_that_is_over_is_not_looked_at(
    connection: Connection, ask: Callable[[Connection], Any], index: str
) -> None:
    asked: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, values: Any, *___: Any) -> None:
        asked.append((statement, values))

    event.listen(connection, "before_cursor_execute", note)
    ask(connection)
    event.remove(connection, "before_cursor_execute", note)
    ((statement, values),) = asked
    plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
    assert index in " ".join(row.detail for row in plan)
