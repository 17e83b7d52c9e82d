from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from quire.engine.models import RunRequest, Schedule
from quire.engine.runs import RunFilter
from quire.engine.states import Outcome
from quire.errors import InvalidValue, NotFound, QuotaExceeded
from quire.ids import JobId, RunId
from tests.engine.parts import Parts, definition

_DAILY = Schedule("0 30 12 * * ?", "UTC")


def test_a_job_is_stored(parts: Parts) -> None:
    job = parts.jobs.create(parts.user, definition(name="n"))
    assert parts.jobs.get(parts.user, job.id) == job
    assert (job.creator_name, job.created_at) == ("ada@example.com", parts.clock.now())
    assert job.next_fire_at is None


def test_members_see_their_own_jobs_and_administrators_all(parts: Parts) -> None:
    mine = parts.jobs.create(parts.user, definition())
    theirs = parts.jobs.create(parts.stranger, definition())
    assert parts.jobs.list(parts.user) == [mine]
    assert parts.jobs.list(parts.admin) == [mine, theirs]
    with pytest.raises(NotFound, match=f"Job {theirs.id} does not exist"):
        parts.jobs.get(parts.user, theirs.id)


def test_replacing_a_job(parts: Parts) -> None:
    job = parts.jobs.create(parts.user, definition(name="a", max_retries=3))
    parts.clock.advance(5)
    changed = parts.jobs.replace(parts.user, job.id, definition(name="b"))
    assert changed.definition == definition(name="b")
    assert (changed.created_at, changed.updated_at) == (job.created_at, parts.clock.now())


def test_a_stranger_changes_nothing(parts: Parts) -> None:
    job = parts.jobs.create(parts.user, definition())
    with pytest.raises(NotFound):
        parts.jobs.replace(parts.stranger, job.id, definition(name="stolen"))
    parts.jobs.delete(parts.stranger, job.id)
    assert parts.jobs.get(parts.user, job.id) == job


def test_too_many_jobs_are_refused(database, blobs, clock) -> None:  # type: ignore[no-untyped-def]
    parts = Parts(database, blobs, clock, max_saved_jobs=2)
    first = parts.jobs.create(parts.user, definition())
    parts.jobs.create(parts.user, definition())
    with pytest.raises(QuotaExceeded, match="2 saved jobs"):
        parts.jobs.create(parts.user, definition())
    parts.jobs.delete(parts.user, first.id)
    parts.jobs.create(parts.user, definition())


def test_a_schedule_sets_when_the_job_fires_next(parts: Parts) -> None:
    job = parts.jobs.create(parts.user, definition(schedule=_DAILY))
    assert job.next_fire_at == datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    paused = Schedule(_DAILY.cron, _DAILY.timezone, paused=True)
    assert parts.jobs.replace(parts.user, job.id, definition(schedule=paused)).next_fire_at is None
    parts.clock.advance(3600)
    again = parts.jobs.replace(parts.user, job.id, definition(schedule=_DAILY))
    assert again.next_fire_at == datetime(2026, 3, 2, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "field"),
    [
        (Schedule("* * * * *", "UTC"), "cron"),
        (Schedule("0 0 0 * * *", "UTC"), "cron"),
        (Schedule("0 0 0 * * ?", "Mars/Olympus"), "timezone"),
    ],
)
def test_a_bad_schedule_is_refused_and_nothing_stored(
    parts: Parts, schedule: Schedule, field: str
) -> None:
    with pytest.raises(InvalidValue) as caught:
        parts.jobs.create(parts.user, definition(schedule=schedule))
    assert caught.value.field == field
    assert parts.jobs.list(parts.admin) == []


def test_deleting_a_job_takes_its_runs_along(parts: Parts) -> None:
    job = parts.jobs.create(parts.user, definition(max_concurrent_runs=9))
    queued = parts.runs.submit(parts.user, RunRequest(job_id=job.id)).attempt.id
    running = parts.runs.submit(parts.user, RunRequest(job_id=job.id)).attempt.id
    parts.start(running)
    parts.jobs.delete(parts.user, job.id)
    with pytest.raises(NotFound):
        parts.jobs.get(parts.user, job.id)
    for attempt_id in (queued, running):
        with pytest.raises(NotFound):
            parts.view(attempt_id)
    assert parts.runs.list(parts.admin, RunFilter())[0] == []
    assert parts.told.deleted == [job]
    assert running in parts.nudged
    assert parts.reports.apply(RunId(running), running, []).command == "cancel"


def test_deleting_a_job_that_is_not_there_is_no_error(parts: Parts) -> None:
    job = parts.jobs.create(parts.user, definition())
    parts.jobs.delete(parts.user, job.id)
    parts.jobs.delete(parts.user, job.id)
    parts.jobs.delete(parts.user, JobId(999))
    assert parts.told.deleted == [job]


def test_job_ids_are_never_used_again(parts: Parts) -> None:
    first = parts.jobs.create(parts.user, definition())
    parts.jobs.delete(parts.user, first.id)
    assert parts.jobs.create(parts.user, definition()).id > first.id


class TestScheduler:
    def test_a_due_job_fires_once(self, parts: Parts) -> None:
        job = parts.jobs.create(parts.user, definition(schedule=_DAILY))
        assert parts.scheduler.fire_due() == 0
        parts.clock.advance(1800)
        assert parts.scheduler.fire_due() == 1
        assert parts.scheduler.fire_due() == 0
        (view,) = parts.runs.list(parts.user, RunFilter(job_id=job.id))[0]
        assert (view.run.trigger, view.run.number_in_job) == ("schedule", 1)
        assert view.run.creator_id == parts.user.id
        following = parts.jobs.get(parts.user, job.id).next_fire_at
        assert following == datetime(2026, 3, 2, 12, 30, tzinfo=UTC)

    def test_times_missed_are_not_made_up_for(self, parts: Parts) -> None:
        job = parts.jobs.create(parts.user, definition(schedule=_DAILY))
        parts.clock.advance(timedelta(days=3).total_seconds())
        assert parts.scheduler.fire_due() == 0
        following = parts.jobs.get(parts.user, job.id).next_fire_at
        assert following == datetime(2026, 3, 4, 12, 30, tzinfo=UTC)

    def test_a_little_late_is_in_time(self, parts: Parts) -> None:
        parts.jobs.create(parts.user, definition(schedule=_DAILY))
        parts.clock.advance(1800 + parts.settings.misfire_grace_seconds)
        assert parts.scheduler.fire_due() == 1

    def test_a_schedule_obeys_the_limit_of_concurrent_runs(self, parts: Parts) -> None:
        every_minute = Schedule("0 * * * * ?", "UTC")
        job = parts.jobs.create(parts.user, definition(schedule=every_minute))
        for _ in range(2):
            parts.clock.advance(60)
            assert parts.scheduler.fire_due() == 1
        views, _ = parts.runs.list(parts.user, RunFilter(job_id=job.id))
        assert [view.attempt.state for view in views] == ["skipped", "queued"]

    def test_a_deleted_job_does_not_fire(self, parts: Parts) -> None:
        job = parts.jobs.create(parts.user, definition(schedule=_DAILY))
        parts.jobs.delete(parts.user, job.id)
        parts.clock.advance(1800)
        assert parts.scheduler.fire_due() == 0

    def test_many_due_jobs_all_fire(self, parts: Parts) -> None:
        for _ in range(120):
            parts.jobs.create(parts.user, definition(schedule=_DAILY))
        parts.clock.advance(1800)
        assert parts.scheduler.fire_due() == 120

    def test_a_run_that_fires_is_cancelled_like_any_other(self, parts: Parts) -> None:
        parts.jobs.create(parts.user, definition(schedule=_DAILY))
        parts.clock.advance(1800)
        parts.scheduler.fire_due()
        (view,) = parts.runs.list(parts.user, RunFilter())[0]
        parts.runs.cancel(parts.user, view.attempt.id)
        assert parts.view(view.attempt.id).run.outcome is Outcome.CANCELLED
