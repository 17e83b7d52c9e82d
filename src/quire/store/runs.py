"""Rows of runs and their attempts. SQL only; what may happen to them is decided in the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from quire.engine.codec import definition_from_json, definition_to_json
from quire.engine.models import Attempt, Run, RunKind, Trigger
from quire.engine.states import EXECUTING, Cause, Outcome, State
from quire.ids import AttemptId, JobId, NodeId, PrincipalId, RunId
from quire.store.keys import none_of
from quire.store.tables import Moment, attempts, events, journal_chunks, principals, runs

__all__ = [
    "Candidate",
    "RunView",
    "RunnerRow",
    "count_active",
    "count_active_of_job",
    "count_active_of_notebook",
    "count_by_active_state",
    "event",
    "find_by_token",
    "get_view",
    "get_view_of_any",
    "has_executing_in_session",
    "hide_run",
    "hide_runs_of_job",
    "insert_attempt",
    "insert_events",
    "insert_run",
    "list_active_children",
    "list_active_of_job",
    "list_active_of_session",
    "list_candidates",
    "list_ended_before",
    "list_executing",
    "list_views",
    "lock_view",
    "purge_runs",
    "set_notebook",
    "update_attempt",
    "update_run",
]

_ENDED = (State.TERMINATED, State.SKIPPED)
_ACTIVE_ATTEMPT = none_of(attempts.c.state, _ENDED)
_ACTIVE_RUN = none_of(runs.c.state, _ENDED)


@dataclass(frozen=True)
class RunView:
    """An attempt together with its run: what a poll needs."""

    run: Run
    attempt: Attempt


@dataclass(frozen=True)
class RunnerRow:
    """Which process carries out an attempt."""

    attempt_id: AttemptId
    run_id: RunId
    state: State
    host: str
    pid: int
    started: str


@dataclass(frozen=True)
class Candidate:
    """A queued attempt whose time has come."""

    attempt_id: AttemptId
    run_id: RunId
    job_id: JobId | None  # None: no saved job
    parent_run_id: RunId | None
    session_id: NodeId | None  # None: it runs in a kernel of its own
    waiting_since: datetime


_RUN_COLUMNS = (
    runs.c.id.label("run_id"),
    runs.c.job_id,
    runs.c.number_in_job,
    runs.c.kind,
    runs.c.trigger.label("run_trigger"),
    runs.c.name.label("run_name"),
    runs.c.creator_id,
    principals.c.name.label("creator_name"),
    runs.c.definition,
    runs.c.parameters,
    runs.c.state.label("run_state"),
    runs.c.outcome.label("run_outcome"),
    runs.c.attempt_id.label("newest_attempt_id"),
    runs.c.parent_run_id,
    runs.c.created_at.label("run_created_at"),
    runs.c.ended_at.label("run_ended_at"),
    runs.c.vendor,
    runs.c.notebook_id,
    runs.c.session_id,
    runs.c.interactive,
)
_RUNS_WITH_CREATOR = runs.outerjoin(principals, principals.c.id == runs.c.creator_id)
_ATTEMPT_COLUMNS = tuple(
    attempts.c[name]
    for name in (
        "id",
        "run_id",
        "number",
        "trigger",
        "state",
        "outcome",
        "cause",
        "message",
        "created_at",
        "not_before",
        "claimed_at",
        "started_at",
        "finished_at",
        "ended_at",
        "cancel_requested_at",
        "lease_expires_at",
        "snapshot_key",
        "applied_sequence",
        "journal_bytes",
        "exit_value",
        "error",
        "error_trace",
        "last_cell",
    )
)


def _run(row: Any) -> Run:
    return Run(
        id=RunId(row.run_id),
        job_id=JobId(row.job_id),
        number_in_job=row.number_in_job,
        kind=RunKind(row.kind),
        trigger=Trigger(row.run_trigger),
        name=row.run_name,
        creator_id=PrincipalId(row.creator_id),
        creator_name=row.creator_name,
        definition=definition_from_json(row.definition),
        parameters=row.parameters,
        state=State(row.run_state),
        outcome=Outcome(row.run_outcome) if row.run_outcome else None,
        attempt_id=AttemptId(row.newest_attempt_id),
        parent_run_id=RunId(row.parent_run_id) if row.parent_run_id is not None else None,
        created_at=row.run_created_at,
        ended_at=row.run_ended_at,
        vendor=row.vendor,
        notebook_id=NodeId(row.notebook_id) if row.notebook_id is not None else None,
        session_id=NodeId(row.session_id) if row.session_id is not None else None,
        interactive=row.interactive,
    )


def _attempt(row: Any) -> Attempt:
    return Attempt(
        id=AttemptId(row.id),
        run_id=RunId(row.run_id),
        number=row.number,
        trigger=Trigger(row.trigger),
        state=State(row.state),
        outcome=Outcome(row.outcome) if row.outcome else None,
        cause=Cause(row.cause) if row.cause else None,
        message=row.message,
        created_at=row.created_at,
        not_before=row.not_before,
        claimed_at=row.claimed_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        ended_at=row.ended_at,
        cancel_requested_at=row.cancel_requested_at,
        lease_expires_at=row.lease_expires_at,
        snapshot_key=row.snapshot_key,
        applied_sequence=row.applied_sequence,
        journal_bytes=row.journal_bytes,
        exit_value=row.exit_value,
        error=row.error,
        error_trace=row.error_trace,
        last_cell=row.last_cell,
    )


_RUNNERS = select(
    attempts.c.id,
    attempts.c.run_id,
    attempts.c.state,
    attempts.c.runner_host,
    attempts.c.runner_pid,
    attempts.c.runner_started,
).where(_ACTIVE_ATTEMPT)


def _runner(row: Any) -> RunnerRow:
    return RunnerRow(
        AttemptId(row.id),
        RunId(row.run_id),
        State(row.state),
        row.runner_host,
        row.runner_pid,
        row.runner_started,
    )


def _views() -> Select[Any]:
    columns = [column for column in _ATTEMPT_COLUMNS if column.name != "run_id"]
    return select(*_RUN_COLUMNS, *columns).select_from(
        attempts.join(_RUNS_WITH_CREATOR, runs.c.id == attempts.c.run_id)
    )


def _view(row: Any) -> RunView:
    return RunView(_run(row), _attempt(row))


# Statements of the path every run takes are built once; building costs more than running them.
_GET_VIEW = _views().where(attempts.c.id == bindparam("which"), runs.c.deleted_at.is_(None))
_GET_VIEW_OF_ANY = _views().where(attempts.c.id == bindparam("which"))
_LOCK_VIEW = _views().where(attempts.c.id == bindparam("which")).with_for_update(of=attempts)
_UPDATE_RUN = update(runs).where(runs.c.id == bindparam("which"))
_UPDATE_ATTEMPT = update(attempts).where(attempts.c.id == bindparam("which"))
_INSERT_EVENTS = insert(events)
_INSERT_RUN = insert(runs)
_INSERT_ATTEMPT = insert(attempts)
_ACTIVE_CHILDREN = select(runs.c.attempt_id).where(
    _ACTIVE_RUN, runs.c.parent_run_id == bindparam("parent")
)


_CHILD_RUNS, _CHILD_ATTEMPTS = runs.alias("child_runs"), attempts.alias("child_attempts")
_SLOTS_USED = (
    select(func.count())
    .select_from(attempts)
    .where(
        _ACTIVE_ATTEMPT,
        attempts.c.state.in_(EXECUTING),
        attempts.c.runner_host == bindparam("host"),
        ~exists().where(
            _CHILD_RUNS.c.parent_run_id == attempts.c.run_id,
            _CHILD_ATTEMPTS.c.id == _CHILD_RUNS.c.attempt_id,
            _CHILD_ATTEMPTS.c.state.in_(EXECUTING),
        ),
    )
)
_SESSION_RUNS, _SESSION_ATTEMPTS = runs.alias("session_runs"), attempts.alias("session_attempts")
_DUE = or_(attempts.c.not_before.is_(None), attempts.c.not_before <= bindparam("now", type_=Moment))
_DUE_IN_SESSION = or_(
    _SESSION_ATTEMPTS.c.not_before.is_(None),
    _SESSION_ATTEMPTS.c.not_before <= bindparam("now", type_=Moment),
)
# Whether others of the same session come first: one that executes, those that waited longer.
_SESSION_IS_TAKEN = exists().where(
    _SESSION_RUNS.c.session_id == runs.c.session_id,
    _SESSION_RUNS.c.state.not_in(_ENDED),
    _SESSION_ATTEMPTS.c.id == _SESSION_RUNS.c.attempt_id,
    or_(
        _SESSION_ATTEMPTS.c.state.in_(EXECUTING),
        and_(
            _SESSION_ATTEMPTS.c.state == State.QUEUED,
            _SESSION_ATTEMPTS.c.id < attempts.c.id,
            _DUE_IN_SESSION,
        ),
    ),
)
_CANDIDATES = (
    select(
        attempts.c.id,
        attempts.c.run_id,
        runs.c.job_id,
        runs.c.kind,
        runs.c.parent_run_id,
        runs.c.session_id,
        func.coalesce(attempts.c.not_before, attempts.c.created_at).label("waiting_since"),
    )
    .join(runs, runs.c.id == attempts.c.run_id)
    .where(
        _ACTIVE_ATTEMPT,
        attempts.c.state == State.QUEUED,
        _DUE,
        or_(runs.c.session_id.is_(None), ~_SESSION_IS_TAKEN),
    )
    .order_by(attempts.c.id)
    .limit(bindparam("most"))
)


def insert_run(connection: Connection, run: Run, idempotency_token: str | None) -> None:
    connection.execute(
        _INSERT_RUN,
        {
            "id": run.id,
            "job_id": run.job_id,
            "number_in_job": run.number_in_job,
            "kind": run.kind,
            "trigger": run.trigger,
            "name": run.name,
            "creator_id": run.creator_id,
            "definition": definition_to_json(run.definition),
            "parameters": dict(run.parameters),
            "state": run.state,
            "outcome": run.outcome,
            "attempt_id": run.attempt_id,
            "parent_run_id": run.parent_run_id,
            "idempotency_token": idempotency_token,
            "created_at": run.created_at,
            "ended_at": run.ended_at,
            "vendor": dict(run.vendor),
            "notebook_id": run.notebook_id,
            "session_id": run.session_id,
            "interactive": run.interactive,
        },
    )


def set_notebook(connection: Connection, run_id: RunId, node_id: NodeId) -> None:
    """Say which document of the workspace a run executes."""
    connection.execute(update(runs).where(runs.c.id == run_id).values(notebook_id=node_id))


def insert_attempt(connection: Connection, attempt: Attempt) -> None:
    connection.execute(
        _INSERT_ATTEMPT,
        {
            "id": attempt.id,
            "run_id": attempt.run_id,
            "number": attempt.number,
            "trigger": attempt.trigger,
            "state": attempt.state,
            "outcome": attempt.outcome,
            "cause": attempt.cause,
            "message": attempt.message,
            "created_at": attempt.created_at,
            "not_before": attempt.not_before,
            "ended_at": attempt.ended_at,
        },
    )


def event(attempt: Attempt, kind: str, at: datetime, detail: dict[str, Any]) -> dict[str, Any]:
    """A row of the event table."""
    return {
        "run_id": attempt.run_id,
        "attempt_id": attempt.id,
        "type": kind,
        "at": at,
        "detail": detail,
    }


def insert_events(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    connection.execute(_INSERT_EVENTS, rows)


def update_run(connection: Connection, run_id: RunId, changes: Mapping[str, Any]) -> None:
    connection.execute(_UPDATE_RUN, {**changes, "which": run_id})


def update_attempt(
    connection: Connection, attempt_id: AttemptId, changes: Mapping[str, Any]
) -> None:
    connection.execute(_UPDATE_ATTEMPT, {**changes, "which": attempt_id})


def get_view(connection: Connection, attempt_id: AttemptId) -> RunView | None:
    """An attempt and its run, unless the run was deleted."""
    row = connection.execute(_GET_VIEW, {"which": attempt_id}).one_or_none()
    return _view(row) if row is not None else None


def get_view_of_any(connection: Connection, attempt_id: AttemptId) -> RunView | None:
    """An attempt and its run, also when the run was deleted."""
    row = connection.execute(_GET_VIEW_OF_ANY, {"which": attempt_id}).one_or_none()
    return _view(row) if row is not None else None


def lock_view(connection: Connection, attempt_id: AttemptId) -> RunView | None:
    """An attempt, which nobody else changes before this transaction ends, and its run.

    Attempts of runs that were deleted while they were active are found as well.
    """
    row = connection.execute(_LOCK_VIEW, {"which": attempt_id}).one_or_none()
    return _view(row) if row is not None else None


def list_views(
    connection: Connection,
    *,
    job_id: JobId | None,
    kind: RunKind | None,
    active: bool | None,
    interactive: bool | None,
    creator_id: PrincipalId | None,
    created_from: datetime | None,
    created_to: datetime | None,
    offset: int,
    limit: int,
) -> list[RunView]:
    """Attempts of runs that are not deleted, newest first."""
    query = _views().where(runs.c.deleted_at.is_(None))
    if job_id is not None:
        query = query.where(runs.c.job_id == job_id)
    if kind is not None:
        query = query.where(runs.c.kind == kind)
    if active is not None:
        query = query.where(_ACTIVE_ATTEMPT if active else attempts.c.state.in_(_ENDED))
    if interactive is not None:
        query = query.where(runs.c.interactive.is_(interactive))
    if creator_id is not None:
        query = query.where(runs.c.creator_id == creator_id)
    if created_from is not None:
        query = query.where(attempts.c.created_at >= created_from)
    if created_to is not None:
        query = query.where(attempts.c.created_at <= created_to)
    ordered = query.order_by(attempts.c.id.desc()).offset(offset).limit(limit)
    return [_view(row) for row in connection.execute(ordered)]


def find_by_token(connection: Connection, token: str) -> tuple[RunId, bool] | None:
    """The run an idempotency token made, and whether that run was deleted."""
    row = connection.execute(
        select(runs.c.id, runs.c.deleted_at).where(runs.c.idempotency_token == token)
    ).one_or_none()
    return (RunId(row.id), row.deleted_at is not None) if row is not None else None


def count_active(connection: Connection) -> int:
    return int(connection.execute(select(func.count()).where(_ACTIVE_RUN)).scalar_one())


def count_by_active_state(connection: Connection) -> dict[str, int]:
    """How many active runs are in each state; states without any are left out."""
    rows = connection.execute(
        select(runs.c.state, func.count().label("number")).where(_ACTIVE_RUN).group_by(runs.c.state)
    )
    return {row.state: row.number for row in rows}


def count_active_of_job(connection: Connection, job_id: JobId) -> int:
    return int(
        connection.execute(
            select(func.count()).where(_ACTIVE_RUN, runs.c.job_id == job_id)
        ).scalar_one()
    )


def count_active_of_notebook(connection: Connection, path: str) -> int:
    in_task = runs.c.definition["task"]["path"].as_string()
    return int(
        connection.execute(
            select(func.count()).select_from(runs).where(_ACTIVE_RUN, in_task == path)
        ).scalar_one()
    )


def list_active_of_job(connection: Connection, job_id: JobId) -> list[AttemptId]:
    """The newest attempts of the job's active runs."""
    rows = connection.execute(select(runs.c.attempt_id).where(_ACTIVE_RUN, runs.c.job_id == job_id))
    return [AttemptId(row.attempt_id) for row in rows]


def list_active_children(connection: Connection, run_id: RunId) -> list[AttemptId]:
    """The newest attempts of the active runs that a run started."""
    rows = connection.execute(_ACTIVE_CHILDREN, {"parent": run_id})
    return [AttemptId(row.attempt_id) for row in rows]


def list_candidates(connection: Connection, now: datetime, limit: int) -> list[Candidate]:
    """Queued attempts whose time has come, oldest first; of a session only the one that is next."""
    rows = connection.execute(_CANDIDATES, {"now": now, "most": limit})
    return [
        Candidate(
            AttemptId(row.id),
            RunId(row.run_id),
            JobId(row.job_id) if row.kind == RunKind.JOB else None,
            RunId(row.parent_run_id) if row.parent_run_id is not None else None,
            NodeId(row.session_id) if row.session_id is not None else None,
            row.waiting_since,
        )
        for row in rows
    ]


def list_executing(connection: Connection, host: str) -> list[RunnerRow]:
    """Attempts that have a runner on a host."""
    query = _RUNNERS.where(attempts.c.state.in_(EXECUTING), attempts.c.runner_host == host)
    return [_runner(row) for row in connection.execute(query)]


def count_slots_used(connection: Connection, host: str) -> int:
    """Executing attempts of one host, less those that wait for an executing child run."""
    return int(connection.execute(_SLOTS_USED, {"host": host}).scalar_one())


def list_active_of_session(connection: Connection, node_id: NodeId) -> list[RunView]:
    """The active runs of a notebook's session, in the order of their turn."""
    rows = connection.execute(
        _views()
        .where(
            runs.c.session_id == node_id,
            _ACTIVE_RUN,
            attempts.c.id == runs.c.attempt_id,
        )
        .order_by(attempts.c.id)
    )
    return [_view(row) for row in rows]


def has_executing_in_session(connection: Connection, node_id: NodeId) -> bool:
    """Whether a run has left the queue of a notebook's session and not ended."""
    query = select(exists().where(runs.c.session_id == node_id, runs.c.state.in_(EXECUTING)))
    return bool(connection.execute(query).scalar_one())


def has_executing_child(connection: Connection, run_id: RunId) -> bool:
    """Whether a run that this run started is executing."""
    return bool(
        connection.execute(
            select(
                exists().where(
                    runs.c.parent_run_id == run_id,
                    attempts.c.id == runs.c.attempt_id,
                    attempts.c.state.in_(EXECUTING),
                )
            )
        ).scalar_one()
    )


def count_executing_of_job(connection: Connection, job_id: JobId) -> int:
    """How many runs of a job have left the queue."""
    return int(
        connection.execute(
            select(func.count())
            .select_from(attempts.join(runs, runs.c.id == attempts.c.run_id))
            .where(_ACTIVE_RUN, runs.c.job_id == job_id, attempts.c.state.in_(EXECUTING))
        ).scalar_one()
    )


def list_lease_expired(connection: Connection, now: datetime) -> list[AttemptId]:
    rows = connection.execute(
        select(attempts.c.id).where(
            _ACTIVE_ATTEMPT,
            attempts.c.state.in_(EXECUTING),
            attempts.c.lease_expires_at < now,
        )
    )
    return [AttemptId(row.id) for row in rows]


def list_running(connection: Connection) -> list[RunView]:
    """Attempts whose cells are being executed."""
    rows = connection.execute(_views().where(_ACTIVE_ATTEMPT, attempts.c.state.in_(EXECUTING)))
    return [_view(row) for row in rows]


def get_runner(connection: Connection, attempt_id: AttemptId) -> RunnerRow | None:
    """The runner of an active attempt that has one."""
    query = _RUNNERS.where(attempts.c.id == attempt_id, attempts.c.runner_pid.is_not(None))
    row = connection.execute(query).one_or_none()
    return _runner(row) if row is not None else None


def find_by_runner(connection: Connection, host: str, pid: int, started: str) -> RunnerRow | None:
    """The active attempt a runner process carries out."""
    query = _RUNNERS.where(
        attempts.c.state.in_(EXECUTING),
        attempts.c.runner_host == host,
        attempts.c.runner_pid == pid,
        attempts.c.runner_started == started,
    )
    row = connection.execute(query).one_or_none()
    return _runner(row) if row is not None else None


def was_duration_warned(connection: Connection, attempt_id: AttemptId) -> bool:
    return (
        connection.execute(
            select(attempts.c.duration_warned_at).where(attempts.c.id == attempt_id)
        ).scalar()
        is not None
    )


def hide_run(connection: Connection, run_id: RunId, at: datetime) -> None:
    connection.execute(update(runs).where(runs.c.id == run_id).values(deleted_at=at))


def hide_runs_of_job(connection: Connection, job_id: JobId, at: datetime) -> None:
    connection.execute(
        update(runs)
        .where(runs.c.job_id == job_id, runs.c.deleted_at.is_(None))
        .values(deleted_at=at)
    )


def list_ended_before(connection: Connection, moment: datetime, limit: int) -> list[RunId]:
    rows = connection.execute(
        select(runs.c.id).where(runs.c.ended_at < moment).order_by(runs.c.ended_at).limit(limit)
    )
    return [RunId(row.id) for row in rows]


def purge_runs(connection: Connection, ids: Sequence[RunId]) -> None:
    """Remove runs with all their rows."""
    of_runs: ColumnElement[bool] = attempts.c.run_id.in_(ids)
    connection.execute(
        delete(journal_chunks).where(
            journal_chunks.c.attempt_id.in_(select(attempts.c.id).where(of_runs))
        )
    )
    connection.execute(delete(events).where(events.c.run_id.in_(ids)))
    connection.execute(delete(attempts).where(of_runs))
    connection.execute(delete(runs).where(and_(runs.c.id.in_(ids), runs.c.ended_at.is_not(None))))


def change_timeout_of_job(
    connection: Connection, job_id: JobId, timeout_seconds: float | None
) -> None:
    """Give the active runs of a job another timeout."""
    rows = connection.execute(
        select(runs.c.id, runs.c.definition)
        .where(_ACTIVE_RUN, runs.c.job_id == job_id)
        .with_for_update()
    ).all()
    for row in rows:
        definition = {**row.definition, "timeout_seconds": timeout_seconds}
        update_run(connection, RunId(row.id), {"definition": definition})
