"""Every change of state: one transaction with the event it causes and all that follows from it.

Callers hold the transaction; nothing outside this module writes a state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection

from quire.clock import Clock
from quire.engine.models import Attempt, NotificationEvent, Run, RunKind, Trigger
from quire.engine.retry import retry_at
from quire.engine.states import Cause, Outcome, State, check_move
from quire.ids import AttemptId
from quire.observe.metrics import Metrics
from quire.store import runs as run_rows
from quire.store.database import after_commit, next_number

__all__ = ["Notifier", "Transitions"]

RUN_COUNTER = "run"
JOB_COUNTER = "job"


class Notifier(Protocol):
    """Takes notifications into the same transaction as the change they tell of."""

    def enqueue(
        self,
        connection: Connection,
        *,
        run: Run,
        attempt: Attempt,
        event: NotificationEvent,
        final: bool,
    ) -> None:
        """Note who is to be told. ``final``: no further attempt follows this one."""
        ...


class Transitions:
    """Applies moves of the state machine."""

    def __init__(
        self, clock: Clock, notifier: Notifier, metrics: Metrics, wake: Callable[[], None]
    ) -> None:
        """``wake`` is called whenever something may have become ready to be dispatched."""
        self._clock = clock
        self._notifier = notifier
        self._metrics = metrics
        self._wake = wake

    def create(
        self,
        connection: Connection,
        run: Run,
        idempotency_token: str | None,
        *,
        job_is_busy: bool = False,
    ) -> None:
        """Store a new run with its first attempt, in the state the run says.

        ``job_is_busy``: its job has as many active runs as it allows.
        """
        attempt = _new_attempt(
            AttemptId(run.id), run, number=0, trigger=run.trigger, now=run.created_at
        )
        if run.state is State.SKIPPED:
            attempt = replace(
                attempt,
                cause=Cause.OVERLAP,
                message="Skipped, because this job already has as many active runs as it allows.",
                ended_at=run.created_at,
            )
        elif job_is_busy:
            attempt = replace(
                attempt,
                cause=Cause.AWAITING_SLOT,
                message="Waiting, because this job already has as many active runs as it allows.",
            )
        run_rows.insert_run(connection, run, idempotency_token)
        run_rows.insert_attempt(connection, attempt)
        self._record(connection, run, attempt)
        if run.state is State.SKIPPED:
            self._notify(connection, run, attempt, NotificationEvent.FAILURE, final=True)
        after_commit(connection, self._wake)

    def move(
        self,
        connection: Connection,
        attempt: Attempt,
        target: State,
        *,
        outcome: Outcome | None = None,
        cause: Cause | None = None,
        message: str | None = None,
        at: datetime | None = None,
        **columns: Any,
    ) -> Attempt:
        """Move an attempt, which the caller has locked, and everything that follows from it.

        ``columns`` are further columns of the attempt to set. Raises InvalidState for a move that
        is not allowed. An outcome that is already set stays.
        """
        check_move(attempt.state, target)
        now = at if at is not None else self._clock.now()
        changes: dict[str, Any] = {"state": target, **columns}
        if cause is not None and attempt.outcome is None:
            changes["cause"] = cause
        elif attempt.state is State.QUEUED:
            changes["cause"] = None  # why it waited is over
        if message is not None:
            changes["message"] = message
        if outcome is not None and attempt.outcome is None:
            changes["outcome"] = outcome
        changes.update(_stamps(attempt, target, now))
        run_rows.update_attempt(connection, attempt.id, **changes)
        moved = run_rows.get_attempt(connection, attempt.id)
        run = run_rows.get_run(connection, attempt.run_id)
        assert moved is not None
        assert run is not None
        run_rows.update_run(connection, run.id, state=moved.state, outcome=moved.outcome)
        run = replace(run, state=moved.state, outcome=moved.outcome)
        self._record(connection, run, moved)
        if target is State.RUNNING:
            self._notify(connection, run, moved, NotificationEvent.START, final=False)
        if target in (State.TERMINATED, State.SKIPPED):
            self._conclude(connection, run, moved)
        if target is State.QUEUED:
            after_commit(connection, self._wake)
        return moved

    def request_cancel(self, connection: Connection, attempt: Attempt, message: str) -> Attempt:
        """Ask an active, locked attempt to stop. One that has no runner yet ends at once."""
        now = self._clock.now()
        if attempt.state in (State.QUEUED, State.BLOCKED):
            return self.move(
                connection,
                replace(attempt, cancel_requested_at=now),
                State.TERMINATED,
                outcome=Outcome.CANCELLED,
                cause=Cause.CANCELLED_BY_USER,
                message=message,
                cancel_requested_at=now,
            )
        if attempt.cancel_requested_at is None:
            run_rows.update_attempt(connection, attempt.id, cancel_requested_at=now)
            run_rows.insert_event(
                connection, attempt, "cancel_requested", now, {"message": message}
            )
        return replace(attempt, cancel_requested_at=attempt.cancel_requested_at or now)

    def requeue(self, connection: Connection, attempt: Attempt) -> Attempt:
        """Put a locked, pending attempt that was never begun back; one to be cancelled ends."""
        if attempt.cancel_requested_at is None:
            return self.move(connection, attempt, State.QUEUED)
        return self.move(
            connection,
            attempt,
            State.TERMINATED,
            outcome=Outcome.CANCELLED,
            cause=Cause.CANCELLED_BY_USER,
            message="Cancelled by user.",
        )

    def warn_of_duration(self, connection: Connection, run: Run, attempt: Attempt) -> None:
        """Tell, once an attempt, that it takes longer than its job expects."""
        run_rows.update_attempt(connection, attempt.id, duration_warned_at=self._clock.now())
        self._notify(connection, run, attempt, NotificationEvent.DURATION_WARNING, final=False)

    def _conclude(self, connection: Connection, run: Run, attempt: Attempt) -> None:
        for child in run_rows.list_active_children(connection, run.id):
            locked = run_rows.get_attempt(connection, child, lock=True)
            if locked is not None and locked.active:
                self.request_cancel(connection, locked, "The run that started this run has ended.")
        at = retry_at(run.definition, attempt)
        succeeded = attempt.outcome is Outcome.SUCCESS
        event = NotificationEvent.SUCCESS if succeeded else NotificationEvent.FAILURE
        self._notify(connection, run, attempt, event, final=at is None)
        if at is None:
            run_rows.update_run(connection, run.id, ended_at=attempt.ended_at)
            self._metrics.run_ended(attempt)
        else:
            self._retry(connection, run, attempt, at)
        after_commit(connection, self._wake)

    def _retry(
        self, connection: Connection, run: Run, attempt: Attempt, not_before: datetime
    ) -> None:
        following = replace(
            _new_attempt(
                AttemptId(next_number(connection, RUN_COUNTER)),
                run,
                number=attempt.number + 1,
                trigger=Trigger.RETRY,
                now=self._clock.now(),
            ),
            state=State.QUEUED,
            outcome=None,
            cause=Cause.AWAITING_RETRY,
            not_before=not_before,
        )
        run_rows.insert_attempt(connection, following)
        run_rows.update_run(
            connection, run.id, state=State.QUEUED, outcome=None, attempt_id=following.id
        )
        retried = replace(run, state=State.QUEUED, outcome=None, attempt_id=following.id)
        self._record(connection, retried, following)

    def _record(self, connection: Connection, run: Run, attempt: Attempt) -> None:
        detail = {
            "outcome": attempt.outcome,
            "cause": attempt.cause,
            "message": attempt.message,
            "job_id": run.job_id,
            "attempt": attempt.number,
        }
        run_rows.insert_event(connection, attempt, attempt.state, self._clock.now(), detail)
        self._metrics.attempt_moved(attempt)

    def _notify(
        self,
        connection: Connection,
        run: Run,
        attempt: Attempt,
        event: NotificationEvent,
        *,
        final: bool,
    ) -> None:
        if run.definition.notifications.targets and run.kind is not RunKind.CHILD:
            self._notifier.enqueue(connection, run=run, attempt=attempt, event=event, final=final)


def _new_attempt(
    attempt_id: AttemptId, run: Run, *, number: int, trigger: Trigger, now: datetime
) -> Attempt:
    return Attempt(
        id=attempt_id,
        run_id=run.id,
        number=number,
        trigger=trigger,
        state=run.state,
        outcome=run.outcome,
        cause=None,
        message="",
        created_at=now,
        not_before=None,
        claimed_at=None,
        started_at=None,
        finished_at=None,
        ended_at=None,
        cancel_requested_at=None,
        lease_expires_at=None,
        notebook_id=None,
        snapshot_key=None,
        applied_sequence=0,
        journal_bytes=0,
        exit_value=None,
        error=None,
        error_trace=None,
        last_cell=None,
    )


def _stamps(attempt: Attempt, target: State, now: datetime) -> dict[str, Any]:
    """The moments that a move to ``target`` sets."""
    match target:
        case State.QUEUED:
            return {
                "claimed_at": None,
                "lease_expires_at": None,
                "runner_host": None,
                "runner_pid": None,
                "runner_started": None,
            }
        case State.PENDING:
            return {"claimed_at": now}
        case State.RUNNING:
            return {"started_at": now}
        case State.TERMINATING:
            return {"finished_at": now}
        case State.TERMINATED | State.SKIPPED:
            stamps: dict[str, Any] = {"ended_at": now, "lease_expires_at": None}
            if attempt.started_at is not None and attempt.finished_at is None:
                stamps["finished_at"] = now
            return stamps
        case State.BLOCKED:
            return {}
