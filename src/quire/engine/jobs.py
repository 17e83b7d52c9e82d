"""Saved jobs: made, read, changed and removed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection

from quire.clock import Clock
from quire.engine import cron
from quire.engine.models import Job, JobDefinition, Schedule
from quire.engine.quota import Quota
from quire.engine.transitions import JOB_COUNTER, Transitions
from quire.errors import NotFound
from quire.identity.principals import Principal
from quire.ids import AttemptId, JobId
from quire.store import jobs as job_rows
from quire.store import runs as run_rows
from quire.store.database import Database, next_number

__all__ = ["JobNotifier", "Jobs", "next_fire_at"]


class JobNotifier(Protocol):
    """Tells people that a job is gone."""

    def enqueue_job_deleted(self, connection: Connection, job: Job) -> None: ...


class Jobs:
    """The saved jobs of the server. Whoever made a job may do everything with it; so may
    administrators; to all others it does not exist."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        quota: Quota,
        transitions: Transitions,
        notifier: JobNotifier,
        *,
        nudge: Callable[[AttemptId], None],
        wake_scheduler: Callable[[], None],
    ) -> None:
        """``nudge`` makes the runner of an attempt hear a cancel request at once."""
        self._database = database
        self._clock = clock
        self._quota = quota
        self._transitions = transitions
        self._notifier = notifier
        self._nudge = nudge
        self._wake_scheduler = wake_scheduler

    def create(self, actor: Principal, definition: JobDefinition) -> Job:
        """Save a job. Raises InvalidValue for a bad schedule, QuotaExceeded."""
        now = self._clock.now()
        fire_at = next_fire_at(definition.schedule, now)
        with self._database.write() as connection:
            self._quota.take_job(connection)
            job = Job(
                id=JobId(next_number(connection, JOB_COUNTER)),
                definition=definition,
                creator_id=actor.id,
                creator_name=actor.name,
                created_at=now,
                updated_at=now,
                next_fire_at=fire_at,
            )
            job_rows.insert_job(connection, job)
        self._wake_scheduler()
        return job

    def get(self, actor: Principal, job_id: JobId) -> Job:
        """One job. Raises NotFound."""
        with self._database.read() as connection:
            return _visible(actor, job_id, job_rows.get_job(connection, job_id))

    def list(self, actor: Principal) -> list[Job]:
        """The jobs the actor may see, oldest first."""
        with self._database.read() as connection:
            return job_rows.list_jobs(connection, None if actor.is_admin else actor.id)

    def replace(self, actor: Principal, job_id: JobId, definition: JobDefinition) -> Job:
        """Give a job another definition. Raises NotFound, InvalidValue for a bad schedule."""
        return self.change(actor, job_id, lambda _: definition)

    def change(self, actor: Principal, job_id: JobId, edit: Callable[[Job], JobDefinition]) -> Job:
        """Replace a job's definition by what ``edit`` makes of it, as one step.

        A changed timeout holds for the job's active runs as well; all else for later runs only.
        """
        now = self._clock.now()
        with self._database.write() as connection:
            job = _visible(actor, job_id, job_rows.get_job(connection, job_id, lock=True))
            definition = edit(job)
            fire_at = (
                job.next_fire_at
                if definition.schedule == job.definition.schedule
                else next_fire_at(definition.schedule, now)
            )
            job_rows.update_job(
                connection, job_id, definition, updated_at=now, next_fire_at=fire_at
            )
            changed = job_rows.get_job(connection, job_id)
            active: list[AttemptId] = []
            if definition.timeout_seconds != job.definition.timeout_seconds:
                active = run_rows.list_active_of_job(connection, job_id)
                run_rows.change_timeout_of_job(connection, job_id, definition.timeout_seconds)
        for attempt_id in active:
            self._nudge(attempt_id)
        self._wake_scheduler()
        assert changed is not None
        return changed

    def delete(self, actor: Principal, job_id: JobId) -> None:
        """Remove a job and its history; its active runs are cancelled. Again is no error."""
        now = self._clock.now()
        cancelled: list[AttemptId] = []
        with self._database.write() as connection:
            job = job_rows.get_job(connection, job_id, lock=True)
            if job is None or not _may_see(actor, job):
                return
            job_rows.hide_job(connection, job_id, now)
            for attempt_id in run_rows.list_active_of_job(connection, job_id):
                view = run_rows.lock_view(connection, attempt_id)
                if view is not None and view.attempt.active:
                    self._transitions.request_cancel(connection, view, "The job was deleted.")
                    cancelled.append(attempt_id)
            run_rows.hide_runs_of_job(connection, job_id, now)
            self._notifier.enqueue_job_deleted(connection, job)
        for attempt_id in cancelled:
            self._nudge(attempt_id)


def next_fire_at(schedule: Schedule | None, after: datetime) -> datetime | None:
    """When a schedule fires next, strictly after a moment. Raises InvalidValue when it is bad."""
    if schedule is None:
        return None
    zone = cron.resolve_timezone(schedule.timezone)
    expression = cron.parse(schedule.cron)
    return None if schedule.paused else expression.next_after(after, zone)


def _may_see(actor: Principal, job: Job) -> bool:
    return actor.is_admin or job.creator_id == actor.id


def _visible(actor: Principal, job_id: JobId, job: Job | None) -> Job:
    if job is None or not _may_see(actor, job):
        raise NotFound("job", job_id)
    return job
