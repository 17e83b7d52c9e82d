"""Every change of state: one transaction with the event it causes and all that follows from it.

Callers hold the transaction; nothing outside this module writes a state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from sqlalchemy import Connection

from quire.clock import Clock
from quire.engine.models import Attempt, NotificationEvent, Run, RunKind, Trigger
from quire.engine.retry import retry_at
from quire.engine.states import TERMINAL, Cause, Outcome, State, check_move
from quire.ids import AttemptId
from quire.observe.metrics import Metrics
from quire.store import runs as run_rows
from quire.store.database import after_commit, next_number
from quire.store.runs import RunView

__all__ = ["Notifier", "Step", "Transitions"]

RUN_COUNTER = "run"
JOB_COUNTER = "job"


@dataclass(frozen=True)
class Step:
    """One move of an attempt. None: as it was; ``at`` None: now."""

    target: State
    outcome: Outcome | None = None
    cause: Cause | None = None
    message: str | None = None
    at: datetime | None = None


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
        self,
        clock: Clock,
        notifier: Notifier,
        metrics: Metrics,
        wake: Callable[[], None],
        tell_end: Callable[[AttemptId], None],
    ) -> None:
        """``wake`` is called whenever something may have become ready to be dispatched.

        ``tell_end`` is called with each attempt that has ended.
        """
        self._tell_end = tell_end
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
    ) -> RunView:
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
        view = RunView(run, attempt)
        self._record(connection, [view])
        if run.state is State.SKIPPED:
            self._notify(connection, view, NotificationEvent.FAILURE, final=True)
        after_commit(connection, self._wake)
        return view

    def move(
        self,
        connection: Connection,
        view: RunView,
        target: State,
        *,
        outcome: Outcome | None = None,
        cause: Cause | None = None,
        message: str | None = None,
        at: datetime | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> RunView:
        """Move an attempt, which the caller has locked, by one step. See :meth:`move_through`."""
        step = Step(target, outcome, cause, message, at)
        return self.move_through(connection, view, [step], facts or {})

    def move_through(
        self,
        connection: Connection,
        view: RunView,
        steps: Sequence[Step],
        facts: Mapping[str, Any],
    ) -> RunView:
        """Take an attempt, which the caller has locked, through steps, with all that follows.

        ``facts`` are further columns of the attempt to set. Raises InvalidState for a step that is
        not allowed; nothing is changed then. An outcome that is already set stays.
        """
        changes: dict[str, Any] = dict(facts)
        passed: list[RunView] = []
        for step in steps:
            check_move(view.attempt.state, step.target)
            change = _change(view.attempt, step, step.at or self._clock.now())
            changes.update(change)
            attempt = replace(view.attempt, **_known(change))
            run = replace(view.run, state=attempt.state, outcome=attempt.outcome)
            view = RunView(run, attempt)
            passed.append(view)
        view = RunView(view.run, replace(view.attempt, **_known(changes)))
        run_rows.update_attempt(connection, view.attempt.id, changes)
        over = view.attempt.state in TERMINAL
        retry = retry_at(view.run.definition, view.attempt) if over else None
        if passed and retry is None:
            ended_at = view.attempt.ended_at if over else None
            view = RunView(replace(view.run, ended_at=ended_at), view.attempt)
            run_rows.update_run(
                connection,
                view.run.id,
                {"state": view.run.state, "outcome": view.run.outcome, "ended_at": ended_at},
            )
        self._record(connection, passed)
        for each in passed:
            self._follow_up(connection, each, retry)
        return view

    def request_cancel(self, connection: Connection, view: RunView, message: str) -> RunView:
        """Ask an active, locked attempt to stop. One that has no runner yet ends at once."""
        now = self._clock.now()
        attempt = view.attempt
        asked_at = attempt.cancel_requested_at or now
        asked = RunView(view.run, replace(attempt, cancel_requested_at=asked_at))
        if attempt.state in (State.QUEUED, State.BLOCKED):
            return self.move(
                connection,
                asked,
                State.TERMINATED,
                outcome=Outcome.CANCELLED,
                cause=Cause.CANCELLED_BY_USER,
                message=message,
                facts={"cancel_requested_at": asked_at},
            )
        if attempt.cancel_requested_at is None:
            run_rows.update_attempt(connection, attempt.id, {"cancel_requested_at": now})
            run_rows.insert_events(
                connection, [run_rows.event(attempt, "cancel_requested", now, {"message": message})]
            )
        return asked

    def requeue(self, connection: Connection, view: RunView) -> RunView:
        """Put a locked, pending attempt that was never begun back; one to be cancelled ends."""
        if view.attempt.cancel_requested_at is None:
            return self.move(connection, view, State.QUEUED)
        return self.move(
            connection,
            view,
            State.TERMINATED,
            outcome=Outcome.CANCELLED,
            cause=Cause.CANCELLED_BY_USER,
            message="Cancelled by user.",
        )

    def warn_of_duration(self, connection: Connection, view: RunView) -> None:
        """Tell, once an attempt, that it takes longer than its job expects."""
        run_rows.update_attempt(
            connection, view.attempt.id, {"duration_warned_at": self._clock.now()}
        )
        self._notify(connection, view, NotificationEvent.DURATION_WARNING, final=False)

    def _follow_up(self, connection: Connection, view: RunView, retry: datetime | None) -> None:
        """What a state that was just entered brings about."""
        match view.attempt.state:
            case State.RUNNING:
                self._notify(connection, view, NotificationEvent.START, final=False)
            case State.TERMINATED | State.SKIPPED:
                self._conclude(connection, view, retry)
            case State.QUEUED:
                after_commit(connection, self._wake)
            case _:
                pass

    def _conclude(self, connection: Connection, view: RunView, retry: datetime | None) -> None:
        for child in run_rows.list_active_children(connection, view.run.id):
            locked = run_rows.lock_view(connection, child)
            if locked is not None and locked.attempt.active:
                self.request_cancel(connection, locked, "The run that started this run has ended.")
        succeeded = view.attempt.outcome is Outcome.SUCCESS
        event = NotificationEvent.SUCCESS if succeeded else NotificationEvent.FAILURE
        self._notify(connection, view, event, final=retry is None)
        if retry is None:
            self._metrics.run_ended(view.attempt)
        else:
            self._retry(connection, view, retry)
        after_commit(connection, self._wake)
        after_commit(connection, partial(self._tell_end, view.attempt.id))

    def _retry(self, connection: Connection, view: RunView, not_before: datetime) -> None:
        following = replace(
            _new_attempt(
                AttemptId(next_number(connection, RUN_COUNTER)),
                view.run,
                number=view.attempt.number + 1,
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
            connection,
            view.run.id,
            {"state": State.QUEUED, "outcome": None, "attempt_id": following.id},
        )
        self._record(connection, [RunView(view.run, following)])

    def _record(self, connection: Connection, passed: Sequence[RunView]) -> None:
        now = self._clock.now()
        events = [
            run_rows.event(
                view.attempt,
                view.attempt.state,
                now,
                {
                    "outcome": view.attempt.outcome,
                    "cause": view.attempt.cause,
                    "message": view.attempt.message,
                    "job_id": view.run.job_id,
                    "attempt": view.attempt.number,
                },
            )
            for view in passed
        ]
        if events:
            run_rows.insert_events(connection, events)
        for view in passed:
            self._metrics.attempt_moved(view.attempt)

    def _notify(
        self, connection: Connection, view: RunView, event: NotificationEvent, *, final: bool
    ) -> None:
        run = view.run
        if run.definition.notifications.targets and run.kind is not RunKind.CHILD:
            self._notifier.enqueue(
                connection, run=run, attempt=view.attempt, event=event, final=final
            )


def _change(attempt: Attempt, step: Step, at: datetime) -> dict[str, Any]:
    """The columns that a step sets."""
    change: dict[str, Any] = {"state": step.target}
    if step.cause is not None and attempt.outcome is None:
        change["cause"] = step.cause
    elif attempt.state is State.QUEUED:
        change["cause"] = None  # why it waited is over
    if step.message is not None:
        change["message"] = step.message
    if step.outcome is not None and attempt.outcome is None:
        change["outcome"] = step.outcome
    change.update(_stamps(attempt, step.target, at))
    return change


def _known(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the columns that an Attempt shows."""
    return {name: value for name, value in changes.items() if name in _ATTEMPT_FIELDS}


_ATTEMPT_FIELDS = frozenset(field.name for field in fields(Attempt))


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
