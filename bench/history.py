"""Fills a database with runs that ended long ago."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import CTE, Insert, Table, delete, insert, literal, select, true

from quire.engine.codec import definition_to_json
from quire.engine.models import JobDefinition, NotebookTask, Overlap
from quire.store.database import Database
from quire.store.tables import attempts, counters, principals, runs

__all__ = ["History", "fill"]

_BATCH = 100_000


@dataclass(frozen=True)
class History:
    """Which runs are there."""

    first_id: int
    count: int


def fill(data_dir: Path, count: int) -> History:
    """Store ``count`` ended runs beside what a server made there, which must be stopped."""
    database = Database(f"sqlite:///{data_dir / 'quire.db'}")
    try:
        with database.write() as connection:
            owner = connection.execute(
                select(principals.c.id).where(principals.c.role == "admin").limit(1)
            ).scalar_one()
            connection.execute(delete(counters).where(counters.c.name.in_(("run", "job"))))
            connection.execute(
                insert(counters),
                [{"name": "run", "value": count + 1}, {"name": "job", "value": count + 1}],
            )
            now = datetime.now(UTC)
            definition = definition_to_json(
                JobDefinition(
                    task=NotebookTask(path="/Shared/bench/old", parameters={"day": "2026-01-01"}),
                    name="nightly report",
                    overlap=Overlap.QUEUE,
                    vendor={"databricks": {"existing_cluster_id": "local"}},
                )
            )
            common = {"id": 1, "trigger": "request", "state": "terminated", "outcome": "success"}
            common |= {"created_at": now, "ended_at": now + timedelta(seconds=2)}
            connection.execute(
                insert(runs).values(
                    **common,
                    job_id=1,
                    number_in_job=1,
                    kind="one_time",
                    name="nightly report",
                    creator_id=owner,
                    definition=definition,
                    parameters={"day": "2026-01-02"},
                    attempt_id=1,
                    vendor={},
                )
            )
            connection.execute(
                insert(attempts).values(
                    **common,
                    run_id=1,
                    number=0,
                    cause="completed",
                    message="",
                    claimed_at=now,
                    started_at=now,
                    finished_at=now + timedelta(seconds=2),
                    runner_host="old",
                    runner_pid=1,
                    runner_started="1",
                    snapshot_key="runs/1/1/snapshot.ipynb",
                    applied_sequence=6,
                    journal_bytes=900,
                    exit_value="done",
                )
            )
        for first in range(2, count + 1, _BATCH):
            number = min(_BATCH, count + 1 - first)
            with database.write() as connection:
                series = select(literal(first).label("n")).cte("series", recursive=True)
                series = series.union_all(
                    select(series.c.n + 1).where(series.c.n < first + number - 1)
                )
                for table, numbered in (
                    (runs, {"id", "attempt_id", "job_id"}),
                    (attempts, {"id", "run_id"}),
                ):
                    connection.execute(_copies(table, numbered, series))
        with database.write() as connection:
            connection.exec_driver_sql("ANALYZE")
    finally:
        database.close()
    return History(first_id=1, count=count)


def _copies(table: Table, numbered: set[str], series: CTE) -> Insert:
    """Copies of row 1, the numbered columns replaced."""
    names = [column.name for column in table.columns if column.name != "idempotency_token"]
    values = [series.c.n if name in numbered else table.columns[name] for name in names]
    rows = select(*values).select_from(table.join(series, true())).where(table.c.id == 1)
    return insert(table).from_select(names, rows)
