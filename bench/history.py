"""Fills a database with runs that ended long ago."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import CTE, Insert, Table, delete, insert, literal, select, true

from quire.store.database import Database
from quire.store.tables import attempts, counters, runs

__all__ = ["History", "fill"]

_BATCH = 100_000
_TEMPLATE = 1


@dataclass(frozen=True)
class History:
    """Which runs are there."""

    first_id: int
    count: int


def fill(data_dir: Path, count: int) -> History:
    """Copy run 1, which has ended, until ``count`` runs are stored. The server must be stopped."""
    database = Database(f"sqlite:///{data_dir / 'quire.db'}")
    try:
        for first in range(_TEMPLATE + 1, count + 1, _BATCH):
            last = min(first + _BATCH - 1, count)
            with database.write() as connection:
                series = select(literal(first).label("n")).cte("series", recursive=True)
                series = series.union_all(select(series.c.n + 1).where(series.c.n < last))
                connection.execute(_copies(runs, {"id", "attempt_id", "job_id"}, series))
                connection.execute(_copies(attempts, {"id", "run_id"}, series))
        with database.write() as connection:
            connection.execute(delete(counters).where(counters.c.name.in_(("run", "job"))))
            connection.execute(
                insert(counters),
                [{"name": "run", "value": count}, {"name": "job", "value": count}],
            )
            connection.exec_driver_sql("ANALYZE")
    finally:
        database.close()
    return History(first_id=_TEMPLATE, count=count)


def _copies(table: Table, numbered: set[str], series: CTE) -> Insert:
    """Copies of the template's row, the numbered columns replaced."""
    names = [column.name for column in table.columns if column.name != "idempotency_token"]
    values = [series.c.n if name in numbered else table.columns[name] for name in names]
    rows = select(*values).select_from(table.join(series, true())).where(table.c.id == _TEMPLATE)
    return insert(table).from_select(names, rows)
