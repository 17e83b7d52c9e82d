"""Gives queued attempts to ready runners, oldest first, as slots and memory allow."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import Connection

from quire.clock import Clock
from quire.engine.models import (
    Attempt,
    NotebookTask,
    Overlap,
    Parameters,
    Run,
    WorkingFiles,
)
from quire.engine.pins import NotPinned, Pin, Pinner
from quire.engine.run_compute import RunCompute
from quire.engine.session_keeping import SessionKeeper, session_key
from quire.engine.starvation import PATIENCE, IdleWatch
from quire.engine.states import Cause, Outcome, State
from quire.engine.transitions import Transitions
from quire.errors import InvalidValue, NotFound, Unavailable
from quire.identity.principals import Principal, Principals
from quire.identity.run_tokens import RunTokens, RunTokenUse
from quire.loop import BackgroundLoop
from quire.observe.logs import bind_run
from quire.observe.metrics import Metrics
from quire.placement.base import Placement, Reservation, RunnerIdentity
from quire.runner.protocol import Assignment, Files, Limits
from quire.settings import Settings
from quire.store import jobs as job_rows
from quire.store import runs as run_rows
from quire.store.blobs import BlobStore
from quire.store.database import Database
from quire.store.journal import run_prefix
from quire.store.runs import Candidate, RunView
from quire.workspace.attachments import Attachments
from quire.workspace.controls import set_values
from quire.workspace.formats.document import environment_of

__all__ = ["Dispatcher", "ParameterResolver"]

ParameterResolver = Callable[[Run, Attempt, Parameters], Parameters]
"""Replaces what a dialect's users write in parameters to refer to the run itself."""

_LOG = structlog.get_logger(__name__)
_CANDIDATES = 50
_IDLE_SECONDS = 0.5
_RESERVE_SECONDS = 5.0


@dataclass(frozen=True)
class DispatcherParts:
    """What the dispatcher works with."""

    database: Database
    blobs: BlobStore
    pinner: Pinner
    attachments: Attachments
    principals: Principals
    placement: Placement
    compute: RunCompute
    sessions: SessionKeeper
    transitions: Transitions
    run_tokens: RunTokens
    metrics: Metrics
    clock: Clock
    settings: Settings


class Dispatcher:
    """Claims queued attempts. Several servers may do so on one database."""

    def __init__(
        self,
        parts: DispatcherParts,
        *,
        host: str,
        slots: int,
        server_url: Callable[[], str],
        resolvers: Mapping[str, ParameterResolver],
    ) -> None:
        """``resolvers``: by the name of the dialect whose mark a definition bears."""
        self._parts = parts
        self._host = host
        self._slots = slots
        self._server_url = server_url
        self._resolvers = resolvers
        self._idle_watch = IdleWatch()
        self._extra_slots = 0  # runs that may start now although no slot is free
        self._doubtful: list[RunnerIdentity] = []  # may be noted for attempts they never got
        self.loop = BackgroundLoop("dispatcher", self._round)

    def _round(self) -> float:
        while not self.loop.stopping and self.dispatch_one():
            pass
        self._extra_slots = 0
        return _IDLE_SECONDS

    def dispatch_one(self) -> bool:
        """Hand one queued attempt to a runner. False when none is ready or nothing is free."""
        parts = self._parts
        self._take_back()
        with parts.database.read() as connection:
            waiting = run_rows.list_candidates(connection, parts.clock.now(), 1)
        if not waiting or not parts.placement.has_room():
            return False
        self._look_for_starvation(waiting[0])
        reservation = parts.placement.reserve(_RESERVE_SECONDS)
        if reservation is None:
            return False
        seats = [reservation]  # the last one is where the claimed attempt executes
        view = None
        try:
            view = self._claim(seats)
            if view is None:
                return False
            with bind_run(view.run.id, view.attempt.id):
                assignment = self._prepare(view)
            if assignment is None:
                return True
            seats[-1].assign(assignment)
        except OSError as error:
            # The runner died before it took the work; nothing was executed.
            _LOG.warning("dispatch.runner_gone", error=str(error))
            self._doubtful.append(seats[-1].identity)
            self._take_back()
            return True
        except Unavailable:
            self._doubtful += [seat.identity for seat in seats]
            with contextlib.suppress(Unavailable):
                self._take_back()
            raise
        except Exception as error:
            # A defect of ours. What was claimed must not wait until its lease is over.
            if view is not None:
                why = f"The server failed to begin this run: {type(error).__name__}: {error}"
                self._end(view, Cause.SERVER_FAILED, why)
            raise
        else:
            seats.pop()
            parts.metrics.dispatched(view.attempt)
            return True
        finally:
            for seat in seats:
                seat.release()

    def _look_for_starvation(self, oldest: Candidate) -> None:
        """Let runs start above the limit when all that execute wait for something."""
        parts, now = self._parts, self._parts.clock.now()
        if self._extra_slots:
            return
        if now - oldest.waiting_since < PATIENCE:
            self._idle_watch.forget()
            return
        with parts.database.read() as connection:
            free = self._slots - run_rows.count_slots_used(connection, self._host)
            rows = run_rows.list_executing(connection, self._host) if free <= 0 else []
        if free > 0:
            self._idle_watch.forget()
            return
        executing = [RunnerIdentity(row.host, row.pid, row.started) for row in rows]
        used = parts.placement.cpu_seconds(executing)
        if self._idle_watch.all_idle(now, executing, used):
            _LOG.info("dispatch.all_idle", executing=len(executing))
            self._extra_slots = self._slots

    def _claim(self, seats: list[Reservation]) -> RunView | None:
        """Claim an attempt for the runner of the one seat; a session's or a fitter one is added."""
        parts = self._parts
        now = parts.clock.now()
        with parts.database.write() as connection:
            free = self._slots - run_rows.count_slots_used(connection, self._host)
            for candidate in run_rows.list_candidates(connection, now, _CANDIDATES):
                borrows = free <= 0 and _borrows_slot(connection, candidate)
                if free <= 0 and not borrows and not self._extra_slots:
                    continue
                if not _job_allows(connection, candidate):
                    continue
                view = run_rows.lock_view(connection, candidate.attempt_id)
                if view is None or view.attempt.state is not State.QUEUED:
                    continue
                if free <= 0 and not borrows:
                    self._extra_slots -= 1
                if candidate.session_id is not None:
                    seat = parts.sessions.seat(connection, candidate.session_id, seats[0])
                    if seat is None:
                        continue
                    if seat is not seats[0]:
                        seats.append(seat)
                elif (fitter := self._reserve_fitter(view.run)) is not None:
                    seats.append(fitter)
                attempt, identity = view.attempt, seats[-1].identity
                return parts.transitions.move(
                    connection,
                    view,
                    State.PENDING,
                    at=now,
                    message="",
                    facts={
                        "lease_expires_at": now + timedelta(seconds=parts.settings.lease_seconds),
                        "runner_host": identity.host,
                        "runner_pid": identity.pid,
                        "runner_started": identity.started,
                        "snapshot_key": f"{run_prefix(attempt.run_id)}{attempt.id}/snapshot.ipynb",
                    },
                )
        return None

    def _reserve_fitter(self, run: Run) -> Reservation | None:
        """A runner whose kernel is of the interpreter a run will ask for; None: any will do."""
        python = self._parts.compute.expected_interpreter(run)
        return self._parts.placement.reserve_interpreter(python) if python is not None else None

    def _prepare(self, view: RunView) -> Assignment | None:
        """The assignment of a claimed attempt, or None when it cannot run and has ended."""
        parts = self._parts
        run, attempt = view.run, view.attempt
        try:
            actor = parts.principals.get(run.creator_id)
            pin = parts.pinner.pin(actor, run.definition, run.session_id)
            task = run.definition.task
            parameters = self._resolve(view, {**task.parameters, **run.parameters})
            notebook, parameters = set_values(pin.notebook, parameters)
            pin = replace(pin, notebook=notebook)
            view = self._remember_notebook(view, pin)
            compute = parts.compute.begin(view, actor)
        except NotPinned as error:
            self._end(view, error.cause, str(error))
            return None
        except InvalidValue as error:
            self._end(view, Cause.NOTEBOOK_INVALID, error.message)
            return None
        except NotFound as error:
            self._end(view, Cause.UNSUPPORTED, f"Who made this run is gone: {error.message}")
            return None
        assert attempt.snapshot_key is not None
        try:
            parts.blobs.put(attempt.snapshot_key, json.dumps(pin.notebook).encode())
        except Unavailable as error:
            self._end(
                view,
                Cause.STORAGE_FAILED,
                f"The results of this run could not be stored: {error.message}",
            )
            return None
        return self._assignment(view, actor, pin, parameters, compute)

    def _remember_notebook(self, view: RunView, pin: Pin) -> RunView:
        """Store which notebook runs, where another is at that path since the run was made."""
        if pin.node_id is None or pin.node_id == view.run.notebook_id:
            return view
        with self._parts.database.write() as connection:
            run_rows.set_notebook(connection, view.run.id, pin.node_id)
        return replace(view, run=replace(view.run, notebook_id=pin.node_id))

    def _assignment(
        self,
        view: RunView,
        actor: Principal,
        pin: Pin,
        parameters: Parameters,
        compute: Mapping[str, Any] | None,
    ) -> Assignment:
        settings = self._parts.settings
        run, attempt = view.run, view.attempt
        definition = run.definition
        task = definition.task
        program = pin.program
        if program is not None and task.arguments:
            numbered = {str(number): word for number, word in enumerate(task.arguments)}
            program = {**program, "arguments": list(self._resolve(view, numbered).values())}
        issue = self._parts.run_tokens.issue
        server_url = self._server_url()
        return Assignment(
            attempt_id=attempt.id,
            run_id=run.id,
            server_url=server_url,
            report_token=issue(RunTokenUse.REPORT, run.id, attempt.id, actor.id),
            spool_root=str(settings.spool_dir),
            notebook=pin.notebook,
            notebook_path=task.workspace_path or task.label,
            flavour=pin.flavour,
            parameters=dict(parameters),
            environment={**environment_of(pin.notebook), **definition.environment},
            task=program,
            runtime={
                "server_url": server_url,
                "runtime_token": issue(RunTokenUse.RUNTIME, run.id, attempt.id, actor.id),
                "flavour": pin.flavour,
                "run": {
                    "run_id": attempt.id,
                    "root_run_id": run.id,
                    "job_id": run.job_id,
                    "job_name": definition.name,
                    "notebook_path": task.workspace_path or task.label,
                    "user": actor.name,
                    "workspace_id": settings.workspace_id,
                },
            },
            compute=compute,
            timeout_seconds=definition.timeout_seconds,
            heartbeat_seconds=settings.heartbeat_seconds,
            interrupt_grace_seconds=settings.interrupt_grace_seconds,
            terminate_grace_seconds=settings.terminate_grace_seconds,
            limits=Limits(
                memory_bytes=settings.kernel_memory_bytes,
                cpu_seconds=settings.kernel_cpu_seconds,
                processes=settings.kernel_processes,
                cell_output_bytes=settings.cell_output_limit_bytes,
                run_output_bytes=settings.run_output_limit_bytes,
            ),
            files=self._files(pin, definition.working_files),
            session=session_key(run.session_id) if run.session_id is not None else "",
            cells=task.cells if isinstance(task, NotebookTask) else None,
            stop_on_error=not isinstance(task, NotebookTask) or task.stop_on_error,
        )

    def _files(self, pin: Pin, working_files: WorkingFiles) -> Files:
        """What the working folder starts with, and what becomes of it."""
        if pin.node_id is None:
            return Files()
        return Files(
            attached=[
                {"path": each.path, "digest": each.digest.hex() if each.digest else None}
                for each in self._parts.attachments.snapshot(pin.node_id)
            ],
            keeps=working_files is not WorkingFiles.DISCARD,
            removes=working_files is WorkingFiles.WRITE_BACK,
            file_bytes=self._parts.settings.run_file_limit_bytes,
            total_bytes=self._parts.settings.run_files_limit_bytes,
            most=self._parts.settings.run_files_limit,
        )

    def _resolve(self, view: RunView, parameters: Parameters) -> Parameters:
        """The values with what a dialect's users wrote in them to refer to the run."""
        for name in view.run.definition.vendor:
            if name in self._resolvers:
                parameters = self._resolvers[name](view.run, view.attempt, parameters)
        return parameters

    def _end(self, view: RunView, cause: Cause, message: str) -> None:
        """End a claimed attempt that could not be given to its runner."""
        with self._parts.database.write() as connection:
            locked = run_rows.lock_view(connection, view.attempt.id)
            if locked is not None and locked.attempt.state is State.PENDING:
                self._parts.transitions.move(
                    connection,
                    locked,
                    State.TERMINATED,
                    outcome=Outcome.INTERNAL_ERROR,
                    cause=cause,
                    message=message,
                    facts={"snapshot_key": None},
                )

    def _take_back(self) -> None:
        """Queue again what was claimed for runners that did not get it.

        Whether a claim was written is not known when the database goes away in its middle. Raises
        Unavailable; then it is done before anything else is claimed.
        """
        while self._doubtful:
            runner = self._doubtful[-1]
            with self._parts.database.write() as connection:
                noted = run_rows.find_by_runner(connection, runner.host, runner.pid, runner.started)
                view = run_rows.lock_view(connection, noted.attempt_id) if noted else None
                if view is not None and view.attempt.state is State.PENDING:
                    self._parts.transitions.requeue(connection, view)
            self._doubtful.pop()


def _borrows_slot(connection: Connection, candidate: Candidate) -> bool:
    """Whether an attempt may run in the slot of the run that waits for it.

    A run that started another gives its slot to it, or it would wait for itself for ever.
    """
    parent = candidate.parent_run_id
    return parent is not None and not run_rows.has_executing_child(connection, parent)


def _job_allows(connection: Connection, candidate: Candidate) -> bool:
    """Whether a job that queues its runs has room for one more of them."""
    if candidate.job_id is None:
        return True
    job = job_rows.get_job(connection, candidate.job_id)
    if job is None or job.definition.overlap is not Overlap.QUEUE:
        return True
    executing = run_rows.count_executing_of_job(connection, candidate.job_id)
    return executing < job.definition.max_concurrent_runs
