from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from quire.engine.models import NotificationEvent, Overlap, RunKind, RunRequest, Trigger
from quire.engine.runs import RunFilter
from quire.engine.states import Cause, Outcome, State
from quire.errors import InvalidState, NotFound, QuotaExceeded, RateLimited
from quire.ids import AttemptId, JobId, NodeId
from quire.workspace.formats.document import new_notebook
from tests.engine.parts import NOTEBOOK, Parts, definition


def _submit(parts: Parts, **fields: object) -> AttemptId:
    request = RunRequest(definition=definition(), **fields)  # type: ignore[arg-type]
    return parts.runs.submit(parts.user, request).attempt.id


def _store_notebook(parts: Parts) -> NodeId:
    notebook = new_notebook("python", "plain", [])
    return parts.workspace.import_notebook(parts.admin, NOTEBOOK, notebook).id


def test_a_submitted_run_is_stored_and_queued(parts: Parts) -> None:
    view = parts.runs.submit(
        parts.user, RunRequest(definition=definition(name="n"), parameters={"a": "1"})
    )
    assert view == parts.view(view.attempt.id)
    assert (view.run.id, view.run.attempt_id) == (view.attempt.id, view.attempt.id)
    assert (view.run.state, view.attempt.state) == (State.QUEUED, State.QUEUED)
    assert (view.run.name, view.run.parameters) == ("n", {"a": "1"})
    assert (view.run.kind, view.run.trigger) == (RunKind.ONE_TIME, Trigger.REQUEST)
    assert view.run.creator_name == "ada@example.com"
    assert view.attempt.created_at == parts.clock.now()
    assert parts.woken == 1


def test_run_ids_rise_and_one_time_runs_have_jobs_that_do_not_exist(parts: Parts) -> None:
    first, second = (parts.view(_submit(parts)).run for _ in range(2))
    assert second.id > first.id
    assert second.job_id != first.job_id
    with pytest.raises(NotFound):
        parts.jobs.get(parts.admin, first.job_id)


def test_runs_of_a_job_are_numbered_from_one(parts: Parts) -> None:
    job = parts.jobs.create(parts.user, definition(max_concurrent_runs=10))
    request = RunRequest(job_id=job.id)
    numbers = [parts.runs.submit(parts.user, request).run.number_in_job for _ in range(3)]
    assert numbers == [1, 2, 3]


def test_a_run_keeps_the_definition_it_started_with(parts: Parts) -> None:
    job = parts.jobs.create(parts.user, definition(name="before"))
    view = parts.runs.submit(parts.user, RunRequest(job_id=job.id))
    parts.jobs.replace(parts.user, job.id, definition(name="after"))
    assert parts.view(view.attempt.id).run.definition.name == "before"


@pytest.mark.parametrize("job_id", [JobId(1), JobId(999_999)])
def test_a_run_of_a_job_that_is_not_there_is_refused(parts: Parts, job_id: JobId) -> None:
    with pytest.raises(NotFound, match=f"Job {job_id} does not exist"):
        parts.runs.submit(parts.user, RunRequest(job_id=job_id))


def test_a_busy_job_skips_new_runs(parts: Parts) -> None:
    job = parts.jobs.create(parts.user, definition(max_concurrent_runs=1))
    first = parts.runs.submit(parts.user, RunRequest(job_id=job.id))
    second = parts.runs.submit(parts.user, RunRequest(job_id=job.id))
    assert second.attempt.state is State.SKIPPED
    assert second.attempt.cause is Cause.OVERLAP
    assert second.run.ended_at == parts.clock.now()
    assert parts.told.events == []  # nobody asked to be told
    parts.start(first.attempt.id)
    parts.finish(first.attempt.id)
    third = parts.runs.submit(parts.user, RunRequest(job_id=job.id))
    assert third.attempt.state is State.QUEUED


def test_a_limit_of_none_skips_every_run(parts: Parts) -> None:
    job = parts.jobs.create(parts.user, definition(max_concurrent_runs=0))
    view = parts.runs.submit(parts.user, RunRequest(job_id=job.id))
    assert view.attempt.state is State.SKIPPED


def test_a_busy_job_that_queues_keeps_new_runs(parts: Parts) -> None:
    job = parts.jobs.create(parts.user, definition(overlap=Overlap.QUEUE))
    views = [parts.runs.submit(parts.user, RunRequest(job_id=job.id)) for _ in range(3)]
    assert [view.attempt.state for view in views] == [State.QUEUED] * 3
    waits = [view.attempt.cause is Cause.AWAITING_SLOT for view in views]
    assert waits == [False, True, True]
    assert "as many active runs as it allows" in views[1].attempt.message
    parts.start(views[1].attempt.id)
    assert parts.view(views[1].attempt.id).attempt.cause is None


def test_a_known_token_gives_back_its_run(parts: Parts) -> None:
    first = _submit(parts, idempotency_token="t")
    again = parts.runs.submit(
        parts.user, RunRequest(definition=definition(name="other"), idempotency_token="t")
    )
    assert again.attempt.id == first
    assert again.run.name == "Untitled"


def test_the_token_of_somebody_elses_run_is_an_error(parts: Parts) -> None:
    first = _submit(parts, idempotency_token="t")
    request = RunRequest(definition=definition(), idempotency_token="t")
    with pytest.raises(InvalidState, match="somebody else"):
        parts.runs.submit(parts.stranger, request)
    assert parts.runs.submit(parts.admin, request).attempt.id == first


def test_the_token_of_a_deleted_run_is_an_error(parts: Parts) -> None:
    attempt_id = _submit(parts, idempotency_token="t")
    parts.runs.cancel(parts.user, attempt_id)
    parts.runs.delete(parts.user, attempt_id)
    with pytest.raises(InvalidState, match="has been deleted"):
        _submit(parts, idempotency_token="t")


def test_the_token_of_a_run_whose_job_was_deleted_is_an_error(parts: Parts) -> None:
    job = parts.jobs.create(parts.user, definition())
    request = RunRequest(job_id=job.id, idempotency_token="t")
    parts.runs.submit(parts.user, request)
    parts.jobs.delete(parts.user, job.id)
    with pytest.raises(InvalidState, match="has been deleted"):
        parts.runs.submit(parts.user, request)


def test_fifty_requests_with_one_token_make_one_run(parts: Parts) -> None:
    with ThreadPoolExecutor(50) as pool:
        made = [pool.submit(_submit, parts, idempotency_token="t") for _ in range(50)]
        ids = {future.result() for future in made}
    assert len(ids) == 1
    views, _ = parts.runs.list(parts.admin, RunFilter(), limit=100)
    assert len(views) == 1


def test_fifty_requests_to_a_job_for_one_at_a_time_start_one(parts: Parts) -> None:
    job = parts.jobs.create(parts.user, definition(max_concurrent_runs=1))
    with ThreadPoolExecutor(50) as pool:
        made = [
            pool.submit(parts.runs.submit, parts.user, RunRequest(job_id=job.id)) for _ in range(50)
        ]
        views = [future.result() for future in made]
    assert sorted(view.run.number_in_job for view in views) == list(range(1, 51))
    assert sum(view.attempt.state is State.QUEUED for view in views) == 1
    assert sum(view.attempt.state is State.SKIPPED for view in views) == 49


def test_too_many_active_runs_are_refused(database, blobs, clock) -> None:  # type: ignore[no-untyped-def]
    parts = Parts(database, blobs, clock, max_active_runs=2)
    ids = [_submit(parts) for _ in range(2)]
    with pytest.raises(RateLimited, match="2 active runs"):
        _submit(parts)
    parts.runs.cancel(parts.user, ids[0])
    _submit(parts)


def test_too_many_runs_in_an_hour_are_refused(database, blobs, clock) -> None:  # type: ignore[no-untyped-def]
    parts = Parts(database, blobs, clock, run_creations_per_hour=3)
    _submit(parts)
    clock.advance(1800)
    _submit(parts)
    _submit(parts)
    with pytest.raises(RateLimited, match="3 runs created in an hour"):
        _submit(parts)
    clock.advance(1801)
    _submit(parts)
    with pytest.raises(RateLimited):
        _submit(parts)


def test_who_may_see_a_run(parts: Parts) -> None:
    _store_notebook(parts)
    attempt_id = _submit(parts)
    assert parts.runs.get(parts.user, attempt_id)
    assert parts.runs.get(parts.admin, attempt_id)
    with pytest.raises(NotFound):
        parts.runs.get(parts.stranger, attempt_id)
    parts.visible_to.add(parts.stranger.name)
    assert parts.runs.get(parts.stranger, attempt_id)


def test_a_run_belongs_to_a_notebook_not_to_a_path(parts: Parts) -> None:
    first = _store_notebook(parts)
    before = _submit(parts)
    parts.workspace.delete(parts.admin, NOTEBOOK)
    second = _store_notebook(parts)
    after = _submit(parts)
    assert first != second
    assert parts.view(before).run.notebook_id == first
    assert parts.view(after).run.notebook_id == second


def test_a_run_of_what_is_not_there_is_nobody_elses(parts: Parts) -> None:
    attempt_id = _submit(parts)
    parts.visible_to.add(parts.stranger.name)
    with pytest.raises(NotFound):
        parts.runs.get(parts.stranger, attempt_id)


def test_who_may_only_look_may_not_cancel_or_delete(parts: Parts) -> None:
    _store_notebook(parts)
    attempt_id = _submit(parts)
    parts.visible_to.add(parts.stranger.name)
    with pytest.raises(NotFound):
        parts.runs.cancel(parts.stranger, attempt_id)
    with pytest.raises(NotFound):
        parts.runs.delete(parts.stranger, attempt_id)
    assert parts.view(attempt_id).attempt.state is State.QUEUED


def test_members_list_their_own_runs_and_administrators_all(parts: Parts) -> None:
    mine = _submit(parts)
    theirs = parts.runs.submit(parts.stranger, RunRequest(definition=definition())).attempt.id
    assert [v.attempt.id for v in parts.runs.list(parts.user, RunFilter())[0]] == [mine]
    assert [v.attempt.id for v in parts.runs.list(parts.admin, RunFilter())[0]] == [theirs, mine]


def test_lists_are_newest_first_and_paged(parts: Parts) -> None:
    ids = [_submit(parts) for _ in range(5)]
    page, more = parts.runs.list(parts.user, RunFilter(), offset=1, limit=2)
    assert [view.attempt.id for view in page] == [ids[3], ids[2]]
    assert more
    page, more = parts.runs.list(parts.user, RunFilter(), offset=3, limit=2)
    assert [view.attempt.id for view in page] == [ids[1], ids[0]]
    assert not more


def test_lists_are_filtered(parts: Parts) -> None:
    job = parts.jobs.create(parts.user, definition())
    of_job = parts.runs.submit(parts.user, RunRequest(job_id=job.id)).attempt.id
    alone = _submit(parts)
    parts.runs.cancel(parts.user, alone)

    def listed(which: RunFilter) -> list[AttemptId]:
        return [view.attempt.id for view in parts.runs.list(parts.user, which)[0]]

    assert listed(RunFilter(job_id=job.id)) == [of_job]
    assert listed(RunFilter(kind=RunKind.ONE_TIME)) == [alone]
    assert listed(RunFilter(active_only=True)) == [of_job]
    assert listed(RunFilter(completed_only=True)) == [alone]
    assert listed(RunFilter(created_from=parts.clock.now())) == [alone, of_job]
    parts.clock.advance(1)
    assert listed(RunFilter(created_from=parts.clock.now())) == []


def test_cancelling_a_queued_run_ends_it_at_once(parts: Parts) -> None:
    attempt_id = _submit(parts)
    parts.runs.cancel(parts.user, attempt_id)
    view = parts.view(attempt_id)
    assert (view.attempt.state, view.attempt.outcome) == (State.TERMINATED, Outcome.CANCELLED)
    assert (view.run.state, view.run.outcome) == (State.TERMINATED, Outcome.CANCELLED)
    assert view.attempt.message == "Cancelled by user."


def test_cancelling_a_running_run_asks_its_runner(parts: Parts) -> None:
    attempt_id = _submit(parts)
    parts.start(attempt_id)
    parts.runs.cancel(parts.user, attempt_id)
    assert parts.nudged == [attempt_id]
    assert parts.view(attempt_id).attempt.state is State.RUNNING
    assert parts.report(attempt_id).command == "cancel"
    parts.finish(attempt_id, "cancelled")
    assert parts.view(attempt_id).run.outcome is Outcome.CANCELLED


def test_cancelling_an_ended_run_changes_nothing(parts: Parts) -> None:
    attempt_id = _submit(parts)
    parts.start(attempt_id)
    parts.finish(attempt_id)
    before = parts.view(attempt_id)
    parts.runs.cancel(parts.user, attempt_id)
    assert parts.view(attempt_id) == before


def test_cancelling_all_runs_of_a_job_leaves_others(parts: Parts) -> None:
    job = parts.jobs.create(parts.user, definition(max_concurrent_runs=5))
    ids = [parts.runs.submit(parts.user, RunRequest(job_id=job.id)).attempt.id for _ in range(3)]
    other = _submit(parts)
    parts.runs.cancel_all(parts.user, job.id)
    assert {parts.view(each).run.outcome for each in ids} == {Outcome.CANCELLED}
    assert parts.view(other).run.active


def test_cancel_all_of_an_unknown_job_is_refused(parts: Parts) -> None:
    with pytest.raises(NotFound):
        parts.runs.cancel_all(parts.user, JobId(77))


def test_only_ended_runs_can_be_deleted(parts: Parts) -> None:
    attempt_id = _submit(parts)
    with pytest.raises(InvalidState):
        parts.runs.delete(parts.user, attempt_id)
    parts.runs.cancel(parts.user, attempt_id)
    parts.runs.delete(parts.user, attempt_id)
    with pytest.raises(NotFound):
        parts.view(attempt_id)
    assert parts.runs.list(parts.user, RunFilter())[0] == []


def test_a_failed_run_is_retried_in_a_new_attempt(parts: Parts) -> None:
    policy = definition(max_retries=2, min_retry_interval_seconds=60.0)
    first = parts.runs.submit(parts.user, RunRequest(definition=policy)).attempt.id
    parts.start(first)
    parts.clock.advance(10)
    parts.finish(first, "failed", error="ValueError: x")
    failed = parts.view(first)
    assert (failed.attempt.state, failed.attempt.outcome) == (State.TERMINATED, Outcome.FAILED)
    assert failed.run.active
    second = parts.view(failed.run.attempt_id)
    assert second.attempt.id > first
    assert (second.run.id, second.attempt.number) == (first, 1)
    assert (second.attempt.state, second.attempt.trigger) == (State.QUEUED, Trigger.RETRY)
    assert second.attempt.not_before is not None
    assert (second.attempt.not_before - parts.clock.now()).total_seconds() == 50
    parts.start(second.attempt.id)
    parts.finish(second.attempt.id)
    assert parts.view(second.attempt.id).run.outcome is Outcome.SUCCESS
    assert parts.view(first).attempt.outcome is Outcome.FAILED


def test_a_retry_keeps_its_place_among_the_active_runs_of_its_job(parts: Parts) -> None:
    job = parts.jobs.create(parts.user, definition(max_retries=1, max_concurrent_runs=1))
    first = parts.runs.submit(parts.user, RunRequest(job_id=job.id)).attempt.id
    parts.start(first)
    parts.finish(first, "failed")
    view = parts.runs.submit(parts.user, RunRequest(job_id=job.id))
    assert view.attempt.state is State.SKIPPED


def test_cancelling_a_waiting_retry_ends_the_run(parts: Parts) -> None:
    policy = definition(max_retries=-1, min_retry_interval_seconds=60.0)
    first = parts.runs.submit(parts.user, RunRequest(definition=policy)).attempt.id
    parts.start(first)
    parts.finish(first, "failed")
    retry = parts.view(first).run.attempt_id
    parts.runs.cancel(parts.user, retry)
    assert parts.view(first).run.outcome is Outcome.CANCELLED
    assert parts.view(first).run.attempt_id == retry


def test_children_end_with_the_run_that_started_them(parts: Parts) -> None:
    parent = _submit(parts)
    parts.start(parent)
    request = RunRequest(
        definition=definition(), kind=RunKind.CHILD, parent_run_id=parts.view(parent).run.id
    )
    waiting = parts.runs.submit(parts.user, request).attempt.id
    running = parts.runs.submit(parts.user, request).attempt.id
    parts.start(running)
    parts.finish(parent)
    assert parts.view(waiting).run.outcome is Outcome.CANCELLED
    assert parts.report(running).command == "cancel"


def test_who_is_told_of_what(parts: Parts) -> None:
    from quire.engine.models import NotificationPolicy, NotificationTarget, TargetKind

    target = (NotificationTarget(TargetKind.EMAIL, "a@b.c"),)
    policy = NotificationPolicy(targets=dict.fromkeys(NotificationEvent, target))
    asked = definition(max_retries=1, notifications=policy)
    first = parts.runs.submit(parts.user, RunRequest(definition=asked)).attempt.id
    parts.start(first)
    parts.finish(first, "failed")
    second = parts.view(first).run.attempt_id
    parts.start(second)
    parts.finish(second)
    assert parts.told.events == [
        (NotificationEvent.START, first, False),
        (NotificationEvent.FAILURE, first, False),
        (NotificationEvent.START, second, False),
        (NotificationEvent.SUCCESS, second, True),
    ]


def test_a_notebook_has_as_many_active_runs_as_a_request_allows(parts: Parts) -> None:
    asked = RunRequest(definition=definition(), notebook_limit=2)
    first = parts.runs.submit(parts.user, asked)
    parts.runs.submit(parts.user, asked)
    with pytest.raises(QuotaExceeded, match="/Shared/n has 2 runs"):
        parts.runs.submit(parts.user, asked)
    parts.runs.submit(parts.user, RunRequest(definition=definition()))  # sets no limit
    parts.runs.cancel(parts.user, first.attempt.id)
    with pytest.raises(QuotaExceeded):
        parts.runs.submit(parts.user, asked)
