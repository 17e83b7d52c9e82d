from __future__ import annotations

import errno
from typing import Any

import pytest

from quire.engine.models import RunRequest
from quire.engine.reports import AttemptGone
from quire.engine.results import empty_notebook
from quire.engine.states import Cause, Outcome, State
from quire.errors import InvalidState, InvalidValue
from quire.ids import AttemptId, RunId
from quire.runner.protocol import EventType
from quire.store import runs as run_rows
from quire.store.blobs import BlobStore, BlobStoreFull
from tests.engine.parts import ACCEPTED, STARTED, TERMINATED, Parts, definition


@pytest.fixture
def attempt_id(parts: Parts) -> AttemptId:
    made = parts.runs.submit(parts.user, RunRequest(definition=definition())).attempt.id
    parts.claim(made)
    return made


def _stream(text: str) -> dict[str, Any]:
    output = {"output_type": "stream", "name": "stdout", "text": text}
    return {"type": EventType.OUTPUT, "index": 0, "output": output}


def test_states_follow_the_runner(parts: Parts, attempt_id: AttemptId) -> None:
    parts.report(attempt_id, ACCEPTED)
    assert parts.view(attempt_id).attempt.state is State.PENDING
    parts.clock.advance(1)
    started_at = parts.clock.now()
    parts.report(attempt_id, STARTED)
    assert parts.view(attempt_id).attempt.state is State.RUNNING
    parts.clock.advance(1)
    end = {"type": EventType.FINISHED, "outcome": "success", "cause": "completed"}
    parts.report(attempt_id, end)
    finished = parts.view(attempt_id).attempt
    assert (finished.state, finished.outcome) == (State.TERMINATING, Outcome.SUCCESS)
    parts.clock.advance(1)
    parts.report(attempt_id, TERMINATED)
    ended = parts.view(attempt_id)
    assert (ended.attempt.state, ended.run.state) == (State.TERMINATED, State.TERMINATED)
    assert ended.attempt.started_at == started_at
    assert ended.attempt.ended_at == ended.run.ended_at == parts.clock.now()
    assert ended.attempt.finished_at is not None
    assert (ended.attempt.ended_at - ended.attempt.finished_at).total_seconds() == 1


def test_a_whole_run_in_one_report(parts: Parts, attempt_id: AttemptId) -> None:
    end = {
        "type": EventType.FINISHED,
        "outcome": "failed",
        "cause": "cell_error",
        "message": "Cell 1 raised ValueError.",
        "error": "ValueError: x",
        "error_trace": "Traceback",
        "last_cell": 0,
    }
    answer = parts.report(attempt_id, ACCEPTED, STARTED, end, TERMINATED)
    assert answer.applied_sequence == 4
    view = parts.view(attempt_id)
    assert (view.run.state, view.run.outcome) == (State.TERMINATED, Outcome.FAILED)
    assert (view.attempt.error, view.attempt.error_trace) == ("ValueError: x", "Traceback")
    assert (view.attempt.cause, view.attempt.last_cell) == (Cause.CELL_ERROR, 0)
    assert view.attempt.message == "Cell 1 raised ValueError."


def test_events_sent_again_are_applied_once(parts: Parts, attempt_id: AttemptId) -> None:
    parts.report(attempt_id, ACCEPTED, STARTED, _stream("a"))
    before = parts.view(attempt_id).attempt
    answer = parts.report(attempt_id, ACCEPTED, STARTED, _stream("a"), first=1)
    assert answer.applied_sequence == 3
    assert parts.view(attempt_id).attempt == before
    parts.report(attempt_id, _stream("a"), _stream("b"), first=3)
    assert parts.results.log(parts.view(attempt_id)) == "ab"


def test_a_gap_is_refused_and_nothing_of_it_applied(parts: Parts, attempt_id: AttemptId) -> None:
    parts.report(attempt_id, ACCEPTED)
    with pytest.raises(InvalidState, match="Expected event 2, got 3"):
        parts.report(attempt_id, STARTED, first=3)
    assert parts.view(attempt_id).attempt.applied_sequence == 1


@pytest.mark.parametrize(
    "event",
    [
        {"type": "no such type"},
        {"type": "started", "at": "yesterday"},
        {"type": None},
        {},
    ],
)
def test_events_that_cannot_be_read_are_refused(
    parts: Parts, attempt_id: AttemptId, event: dict[str, Any]
) -> None:
    with pytest.raises(InvalidValue, match="events"):
        parts.report(attempt_id, event)
    assert parts.view(attempt_id).attempt.applied_sequence == 0


def test_an_attempt_that_is_over_takes_nothing(parts: Parts, attempt_id: AttemptId) -> None:
    parts.report(attempt_id, ACCEPTED, STARTED)
    parts.finish(attempt_id)
    with pytest.raises(AttemptGone):
        parts.report(attempt_id, _stream("late"))
    with pytest.raises(AttemptGone):
        parts.report(attempt_id)


def test_an_attempt_that_is_queued_takes_nothing(parts: Parts) -> None:
    queued = parts.runs.submit(parts.user, RunRequest(definition=definition())).attempt.id
    with pytest.raises(AttemptGone):
        parts.report(queued, ACCEPTED)


def test_an_unknown_attempt(parts: Parts) -> None:
    with pytest.raises(AttemptGone):
        parts.reports.apply(RunId(404), AttemptId(404), [])


def test_the_exit_value_and_the_last_cell_are_kept(parts: Parts, attempt_id: AttemptId) -> None:
    parts.report(
        attempt_id,
        ACCEPTED,
        STARTED,
        {"type": EventType.CELL_STARTED, "index": 4},
        {"type": EventType.EXIT_VALUE, "value": "é 1"},
    )
    attempt = parts.view(attempt_id).attempt
    assert (attempt.exit_value, attempt.last_cell) == ("é 1", 4)


def test_heartbeats_renew_the_lease(parts: Parts, attempt_id: AttemptId) -> None:
    parts.clock.advance(20)
    parts.report(attempt_id)
    expires_at = parts.view(attempt_id).attempt.lease_expires_at
    assert expires_at is not None
    assert (expires_at - parts.clock.now()).total_seconds() == parts.settings.lease_seconds


def test_a_changed_timeout_reaches_the_runner(parts: Parts) -> None:
    job = parts.jobs.create(parts.user, definition(timeout_seconds=100.0))
    made = parts.runs.submit(parts.user, RunRequest(job_id=job.id)).attempt.id
    parts.start(made)
    parts.jobs.replace(parts.user, job.id, definition(timeout_seconds=5.0))
    assert parts.nudged == [made]
    assert parts.report(made).timeout_seconds == 5.0


def test_a_cancel_request_is_in_every_answer(parts: Parts, attempt_id: AttemptId) -> None:
    assert parts.report(attempt_id, ACCEPTED).command is None
    parts.runs.cancel(parts.user, attempt_id)
    assert parts.report(attempt_id, STARTED).command == "cancel"
    assert parts.report(attempt_id).command == "cancel"


def test_the_journal_is_read_from_any_offset(parts: Parts, attempt_id: AttemptId) -> None:
    parts.report(attempt_id, ACCEPTED, STARTED)
    offset = parts.view(attempt_id).attempt.journal_bytes
    parts.report(attempt_id, _stream("a"))
    parts.report(attempt_id, _stream("b"))
    view = parts.view(attempt_id)
    assert [event["sequence"] for event in parts.results.events(view)] == [1, 2, 3, 4]
    assert [event["sequence"] for event in parts.results.events(view, offset)] == [3, 4]
    assert parts.results.events(view, view.attempt.journal_bytes) == []


def test_a_full_blob_store_ends_the_run_with_its_cause(
    parts: Parts, attempt_id: AttemptId, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts.report(attempt_id, ACCEPTED, STARTED)

    def full(self: BlobStore, key: str, data: bytes) -> None:
        raise BlobStoreFull(f"[Errno {errno.ENOSPC}] No space left on device")

    monkeypatch.setattr(BlobStore, "put", full)
    with pytest.raises(AttemptGone):
        parts.report(attempt_id, _stream("a"))
    attempt = parts.view(attempt_id).attempt
    assert (attempt.state, attempt.outcome) == (State.TERMINATED, Outcome.INTERNAL_ERROR)
    assert attempt.cause is Cause.STORAGE_FAILED
    assert "No space left on device" in attempt.message


def test_an_outcome_that_is_set_never_changes(parts: Parts, attempt_id: AttemptId) -> None:
    end = {"type": EventType.FINISHED, "outcome": "success", "cause": "completed"}
    parts.report(attempt_id, ACCEPTED, STARTED, end)
    with parts.database.write() as connection:
        view = run_rows.lock_view(connection, attempt_id)
        assert view is not None
        parts.transitions.move(
            connection,
            view,
            State.TERMINATED,
            outcome=Outcome.ABANDONED,
            cause=Cause.RUNNER_LOST,
        )
    ended = parts.view(attempt_id).attempt
    assert (ended.outcome, ended.cause) == (Outcome.SUCCESS, Cause.COMPLETED)


def test_a_run_without_a_snapshot_has_an_empty_notebook(parts: Parts) -> None:
    view = parts.runs.submit(parts.user, RunRequest(definition=definition()))
    assert parts.results.notebook(view) == empty_notebook()
    assert parts.results.log(view) == ""


def test_the_last_word_may_say_more(parts: Parts, attempt_id: AttemptId) -> None:
    """Such as which files could not be kept, which is known when the cells are over."""
    end = {"type": EventType.FINISHED, "outcome": "success", "cause": "completed"}
    parts.report(attempt_id, ACCEPTED, STARTED, {**end, "message": "Done."})
    parts.report(attempt_id, {**TERMINATED, "message": "Done. Not kept: a."})
    ended = parts.view(attempt_id).attempt
    assert (ended.message, ended.outcome) == ("Done. Not kept: a.", Outcome.SUCCESS)
