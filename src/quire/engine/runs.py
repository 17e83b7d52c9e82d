"""Runs: asked for, looked up, listed, cancelled and deleted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from quire.clock import Clock
from quire.engine.endings import Endings
from quire.engine.models import (
    Isolation,
    JobDefinition,
    Overlap,
    Run,
    RunKind,
    RunRequest,
)
from quire.engine.quota import Quota
from quire.engine.states import State
from quire.engine.tasks import takes_parameters, with_arguments
from quire.engine.transitions import JOB_COUNTER, RUN_COUNTER, Transitions
from quire.errors import InvalidState, NotFound
from quire.identity.principals import Principal
from quire.ids import AttemptId, JobId, NodeId, RunId
from quire.store import jobs as job_rows
from quire.store import nodes as node_rows
from quire.store import runs as run_rows
from quire.store.database import Database, next_number
from quire.store.runs import RunView

__all__ = ["RunFilter", "RunView", "Runs", "create_run"]

_CANCELLED = "Cancelled by user."


@dataclass(frozen=True)
class RunFilter:
    """Which attempts a listing shows."""

    job_id: JobId | None = None
    kind: RunKind | None = None
    active_only: bool = False
    completed_only: bool = False
    interactive: bool = False  # those of people at work in a notebook as well
    created_from: datetime | None = None
    created_to: datetime | None = None


class Runs:
    """The runs of the server.

    Who made a run, and administrators, may do everything with it. Others who may see its notebook
    may look at it; to the rest it does not exist.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        quota: Quota,
        transitions: Transitions,
        *,
        may_see_notebook: Callable[[Principal, NodeId], bool],
        nudge: Callable[[AttemptId], None],
        endings: Endings,
    ) -> None:
        """``nudge`` makes the runner of an attempt hear a cancel request at once."""
        self._endings = endings
        self._database = database
        self._clock = clock
        self._quota = quota
        self._transitions = transitions
        self._may_see_notebook = may_see_notebook
        self._nudge = nudge

    def submit(self, actor: Principal, request: RunRequest) -> RunView:
        """Accept a run; it is stored when this returns.

        A known idempotency token gives back the run it made, whatever else the request says.
        Raises NotFound for an unknown job, RateLimited, QuotaExceeded when the notebook has as many
        active runs as the request allows, and InvalidState when the run of the token was deleted
        or is somebody else's.
        """
        try:
            with self._database.write() as connection:
                return self._submit(connection, actor, request)
        except IntegrityError:
            if request.idempotency_token is None:
                raise
        # Another server stored the same token between our look and our insert.
        with self._database.write() as connection:
            return self._submit(connection, actor, request)

    def _submit(self, connection: Connection, actor: Principal, request: RunRequest) -> RunView:
        if request.idempotency_token is not None:
            known = run_rows.find_by_token(connection, request.idempotency_token)
            if known is not None:
                return _of_token(connection, actor, *known)
        definition = request.definition
        if request.job_id is not None:
            job = job_rows.get_job(connection, request.job_id, lock=True)
            if job is None or not (actor.is_admin or job.creator_id == actor.id):
                raise NotFound("job", request.job_id)
            definition = job.definition
        if definition is None:
            raise ValueError("a run request names a job or brings a definition")
        now = self._clock.now()
        if request.notebook_limit is not None and (path := definition.task.workspace_path):
            self._quota.check_notebook(connection, path, request.notebook_limit)
        self._quota.take_run(connection, now)
        return create_run(connection, self._transitions, actor, request, definition, now)

    def get(self, actor: Principal, attempt_id: AttemptId) -> RunView:
        """An attempt and its run. Raises NotFound."""
        with self._database.read() as connection:
            view = run_rows.get_view(connection, attempt_id)
        return self._visible(actor, attempt_id, view)

    def list(
        self, actor: Principal, which: RunFilter, offset: int = 0, limit: int = 20
    ) -> tuple[list[RunView], bool]:
        """Attempts, newest first, and whether more follow. Members see the runs they made."""
        active = True if which.active_only else False if which.completed_only else None
        with self._database.read() as connection:
            views = run_rows.list_views(
                connection,
                job_id=which.job_id,
                kind=which.kind,
                active=active,
                interactive=None if which.interactive else False,
                creator_id=None if actor.is_admin else actor.id,
                created_from=which.created_from,
                created_to=which.created_to,
                offset=offset,
                limit=limit + 1,
            )
        return views[:limit], len(views) > limit

    def cancel(self, actor: Principal, attempt_id: AttemptId) -> None:
        """Stop an attempt, and all retries after it. One that is over stays as it is."""
        self._owned(actor, attempt_id)
        with self._database.write() as connection:
            view = run_rows.lock_view(connection, attempt_id)
            if view is None or not view.attempt.active:
                return
            self._transitions.request_cancel(connection, view, _CANCELLED)
        self._nudge(attempt_id)

    def cancel_all(self, actor: Principal, job_id: JobId) -> None:
        """Stop every active run of a job. Raises NotFound."""
        with self._database.write() as connection:
            job = job_rows.get_job(connection, job_id)
            if job is None or not (actor.is_admin or job.creator_id == actor.id):
                raise NotFound("job", job_id)
            active = run_rows.list_active_of_job(connection, job_id)
            for attempt_id in active:
                view = run_rows.lock_view(connection, attempt_id)
                if view is not None and view.attempt.active:
                    self._transitions.request_cancel(connection, view, _CANCELLED)
        for attempt_id in active:
            self._nudge(attempt_id)

    def cancel_session(self, node_id: NodeId) -> bool:
        """Stop every active run in a notebook's own kernel; whether there was one.

        Whether the caller may is asked before.
        """
        asked = []
        with self._database.write() as connection:
            for listed in reversed(run_rows.list_active_of_session(connection, node_id)):
                view = run_rows.lock_view(connection, listed.attempt.id)
                if view is not None and view.attempt.active:
                    self._transitions.request_cancel(connection, view, _CANCELLED)
                    asked.append(view.attempt.id)
        for attempt_id in asked:
            self._nudge(attempt_id)
        return bool(asked)

    async def wait(
        self, actor: Principal, attempt_id: AttemptId, timeout_seconds: float
    ) -> RunView:
        """An attempt and its run at the attempt's end, or when the time is up. Raises NotFound."""
        return await self._endings.wait(
            attempt_id, lambda: self.get(actor, attempt_id), timeout_seconds
        )

    def delete(self, actor: Principal, attempt_id: AttemptId) -> None:
        """Make a run that is over vanish, with all its attempts. Raises InvalidState, NotFound."""
        self._owned(actor, attempt_id)
        with self._database.write() as connection:
            view = run_rows.get_view(connection, attempt_id)
            if view is None:
                raise NotFound("run", attempt_id)
            if view.run.active:
                raise InvalidState(f"Run {attempt_id} is active; only ended runs can be deleted.")
            run_rows.hide_run(connection, view.run.id, self._clock.now())

    def _owned(self, actor: Principal, attempt_id: AttemptId) -> RunView:
        view = self.get(actor, attempt_id)
        if not (actor.is_admin or view.run.creator_id == actor.id):
            raise NotFound("run", attempt_id)
        return view

    def _visible(self, actor: Principal, attempt_id: AttemptId, view: RunView | None) -> RunView:
        if view is None:
            raise NotFound("run", attempt_id)
        if actor.is_admin or view.run.creator_id == actor.id:
            return view
        node_id = view.run.notebook_id
        if node_id is not None and self._may_see_notebook(actor, node_id):
            return view
        raise NotFound("run", attempt_id)


def create_run(
    connection: Connection,
    transitions: Transitions,
    actor: Principal,
    request: RunRequest,
    definition: JobDefinition,
    now: datetime,
) -> RunView:
    """Store a run in the caller's transaction, who holds the job's row if there is one."""
    if request.job_id is not None:
        job_id = request.job_id
        busy = run_rows.count_active_of_job(connection, job_id) >= definition.max_concurrent_runs
        state = State.SKIPPED if busy and definition.overlap is Overlap.SKIP else State.QUEUED
        number = next_number(connection, f"runs of job {job_id}")
    else:
        job_id = JobId(next_number(connection, JOB_COUNTER))
        busy, state, number = False, State.QUEUED, 1
    run_id = RunId(next_number(connection, RUN_COUNTER))
    notebook_id = _document_of(connection, definition)
    run = Run(
        id=run_id,
        job_id=job_id,
        number_in_job=number,
        kind=request.kind if request.job_id is None else RunKind.JOB,
        trigger=request.trigger,
        name=request.name or definition.name,
        creator_id=actor.id,
        creator_name=actor.name,
        definition=replace(
            definition,
            name=request.name or definition.name,
            task=with_arguments(definition.task, request.arguments),
        ),
        parameters=request.parameters if takes_parameters(definition.task) else {},
        state=state,
        outcome=None,
        attempt_id=AttemptId(run_id),
        parent_run_id=request.parent_run_id,
        created_at=now,
        ended_at=now if state is State.SKIPPED else None,
        vendor=request.vendor,
        notebook_id=notebook_id,
        session_id=notebook_id if definition.isolation is Isolation.IN_PLACE else None,
        interactive=request.interactive,
    )
    return transitions.create(connection, run, request.idempotency_token, job_is_busy=busy)


def _document_of(connection: Connection, definition: JobDefinition) -> NodeId | None:
    """The document of the workspace that a run executes; None when there is none by now."""
    path = definition.task.workspace_path
    node = node_rows.find_by_path(connection, path) if path is not None else None
    return node.id if node is not None else None


def _of_token(connection: Connection, actor: Principal, run_id: RunId, deleted: bool) -> RunView:
    if deleted:
        raise InvalidState(f"The run that this idempotency token made ({run_id}) has been deleted.")
    view = run_rows.get_view(connection, AttemptId(run_id))
    assert view is not None
    if not (actor.is_admin or view.run.creator_id == actor.id):
        raise InvalidState("A run of somebody else was made with this idempotency token.")
    return view
