"""Starts jobs when their schedule says so; each due time fires once, however many servers run.

Misfires: a time that passed while no server ran, or that is late by more than
``misfire_grace_seconds``, is not made up for; the job goes on with its next time.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from quire.clock import Clock
from quire.engine.jobs import next_fire_at
from quire.engine.models import Job, RunKind, RunRequest, Trigger
from quire.engine.quota import Quota
from quire.engine.runs import create_run
from quire.engine.transitions import Transitions
from quire.errors import NotFound, RateLimited
from quire.identity.principals import Principals
from quire.loop import BackgroundLoop
from quire.settings import Settings
from quire.store import jobs as job_rows
from quire.store.database import Database

__all__ = ["Scheduler"]

_LOG = structlog.get_logger(__name__)
_BATCH = 100
_LONGEST_WAIT_SECONDS = 1.0


class Scheduler:
    """Fires due schedules."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        quota: Quota,
        transitions: Transitions,
        principals: Principals,
        settings: Settings,
    ) -> None:
        self._database = database
        self._clock = clock
        self._quota = quota
        self._transitions = transitions
        self._principals = principals
        self._settings = settings
        self.loop = BackgroundLoop("scheduler", self._round)

    def _round(self) -> float:
        self.fire_due()
        return self._seconds_to_next()

    def _seconds_to_next(self) -> float:
        with self._database.read() as connection:
            due_at = job_rows.next_due_at(connection)
        if due_at is None:
            return _LONGEST_WAIT_SECONDS
        seconds = (due_at - self._clock.now()).total_seconds()
        return min(max(seconds, 0.0), _LONGEST_WAIT_SECONDS)

    def fire_due(self) -> int:
        """Start a run of each job that is due; how many were started."""
        started = 0
        while True:
            with self._database.write() as connection:
                now = self._clock.now()
                due = job_rows.list_due_jobs(connection, now, _BATCH)
                for job in due:
                    started += self._fire(connection, job, now)
            if len(due) < _BATCH:
                return started

    def _fire(self, connection: Connection, job: Job, now: datetime) -> int:
        assert job.next_fire_at is not None
        late = now - job.next_fire_at
        following = next_fire_at(job.definition.schedule, now)
        job_rows.set_next_fire(connection, job.id, following)
        if late > timedelta(seconds=self._settings.misfire_grace_seconds):
            _LOG.warning("scheduler.misfire", job=job.id, late_seconds=late.total_seconds())
            return 0
        try:
            actor = self._principals.get(job.creator_id)
            self._quota.take_run(connection, now)
        except (NotFound, RateLimited) as error:
            _LOG.warning("scheduler.not_started", job=job.id, error=error.message)
            return 0
        request = RunRequest(job_id=job.id, kind=RunKind.JOB, trigger=Trigger.SCHEDULE)
        create_run(connection, self._transitions, actor, request, job.definition, now)
        return 1
