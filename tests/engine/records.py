"""Records of runs for tests that need no database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from quire.engine.models import Attempt, JobDefinition, NotebookTask, Run, RunKind, Trigger
from quire.engine.states import Cause, Outcome, State
from quire.ids import AttemptId, JobId, PrincipalId, RunId

START = datetime(2026, 3, 1, 11, 0, tzinfo=UTC)


def make_run(number: int = 7, /, **changes: Any) -> Run:
    """A run that ended well, five seconds after it was made; ``changes``: other fields."""
    run = Run(
        id=RunId(number),
        job_id=JobId(3),
        number_in_job=1,
        kind=RunKind.JOB,
        trigger=Trigger.REQUEST,
        name="nightly",
        creator_id=PrincipalId(1),
        creator_name="ada@example.com",
        definition=JobDefinition(task=NotebookTask(path="/Shared/n"), name="nightly"),
        parameters={},
        state=State.TERMINATED,
        outcome=Outcome.SUCCESS,
        attempt_id=AttemptId(number),
        parent_run_id=None,
        created_at=START,
        ended_at=START + timedelta(seconds=5),
        vendor={},
    )
    return replace(run, **changes)


def make_attempt(run_number: int = 7, /, **changes: Any) -> Attempt:
    """The attempt of :func:`make_run`; ``changes``: other fields."""
    attempt = Attempt(
        id=AttemptId(run_number),
        run_id=RunId(run_number),
        number=0,
        trigger=Trigger.REQUEST,
        state=State.TERMINATED,
        outcome=Outcome.SUCCESS,
        cause=Cause.COMPLETED,
        message="",
        created_at=START,
        not_before=None,
        claimed_at=START,
        started_at=START + timedelta(seconds=1),
        finished_at=START + timedelta(seconds=4),
        ended_at=START + timedelta(seconds=5),
        cancel_requested_at=None,
        lease_expires_at=None,
        snapshot_key=None,
        applied_sequence=0,
        journal_bytes=0,
        exit_value=None,
        error=None,
        error_trace=None,
        last_cell=None,
    )
    return replace(attempt, **changes)
