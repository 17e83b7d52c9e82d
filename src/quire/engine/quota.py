"""The limits of the whole server: saved jobs, active runs, runs created in an hour."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select, update

from quire.errors import QuotaExceeded, RateLimited
from quire.settings import Settings
from quire.store import jobs as job_rows
from quire.store import runs as run_rows
from quire.store.tables import run_creations

__all__ = ["Quota"]

_MINUTES = 60


class Quota:
    """Counts, and refuses what is over the limits; always inside the caller's transaction."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def take_job(self, connection: Connection) -> None:
        """Make room for one more saved job. Raises QuotaExceeded."""
        limit = self._settings.max_saved_jobs
        if job_rows.count_jobs(connection) >= limit:
            raise QuotaExceeded(f"The limit of {limit} saved jobs is reached.")

    def check_notebook(self, connection: Connection, path: str, limit: int) -> None:
        """Raise QuotaExceeded when a notebook has ``limit`` active runs.

        A notebook that starts itself would otherwise fill the server.
        """
        if run_rows.count_active_of_notebook(connection, path) >= limit:
            raise QuotaExceeded(
                f"{path} has {limit} runs that are not over. Does the notebook start itself?"
            )

    def take_run(self, connection: Connection, now: datetime) -> None:
        """Make room for one more run. Raises RateLimited."""
        active_limit = self._settings.max_active_runs
        if run_rows.count_active(connection) >= active_limit:
            raise RateLimited(
                f"The limit of {active_limit} active runs is reached.", retry_after_seconds=5
            )
        minute = int(now.timestamp()) // 60
        hourly_limit = self._settings.run_creations_per_hour
        made = connection.execute(
            select(func.coalesce(func.sum(run_creations.c.count), 0)).where(
                run_creations.c.minute > minute - _MINUTES
            )
        ).scalar_one()
        if made >= hourly_limit:
            raise RateLimited(
                f"The limit of {hourly_limit} runs created in an hour is reached.",
                retry_after_seconds=60,
            )
        counted = connection.execute(
            update(run_creations)
            .where(run_creations.c.minute == minute)
            .values(count=run_creations.c.count + 1)
        )
        if counted.rowcount == 0:
            connection.execute(
                delete(run_creations).where(run_creations.c.minute <= minute - _MINUTES)
            )
            connection.execute(insert(run_creations).values(minute=minute, count=1))
