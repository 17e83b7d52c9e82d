"""Finds attempts whose runner is gone or silent, and ends or repeats them.

* A runner of this host that goes is seen at once. What it spooled and did not deliver is applied
  first. An attempt that was never begun returns to the queue; one that was begun is abandoned.
* A runner that is not heard of until its lease expires is abandoned wherever it was.
* A runner that ignores its cancel request or its timeout for too long is killed.
"""

from __future__ import annotations

import queue
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from quire.clock import Clock
from quire.engine.reports import AttemptGone, Reports
from quire.engine.states import EXECUTING, Cause, Outcome, State
from quire.engine.transitions import Transitions
from quire.errors import QuireError, Unavailable
from quire.ids import AttemptId, RunId
from quire.loop import BackgroundLoop
from quire.placement.base import Departure, Placement, RunnerIdentity
from quire.runner.spool import read_spool, remove_spool
from quire.settings import Settings
from quire.store import runs as run_rows
from quire.store.database import Database
from quire.store.runs import RunnerRow, RunView

__all__ = ["Recovery"]

_LOG = structlog.get_logger(__name__)
_SWEEP_SECONDS = 1.0
_BACKSTOP_SECONDS = 10.0


class Recovery:
    """Watches over attempts with runners."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        transitions: Transitions,
        reports: Reports,
        placement: Placement,
        settings: Settings,
        *,
        host: str,
    ) -> None:
        self._database = database
        self._clock = clock
        self._transitions = transitions
        self._reports = reports
        self._placement = placement
        self._settings = settings
        self._host = host
        self._departures: queue.SimpleQueue[Departure] = queue.SimpleQueue()
        self._leases_count_from: datetime | None = None
        self.loop = BackgroundLoop("recovery", self._round)

    def departed(self, departure: Departure) -> None:
        """A runner is gone; may be called from any thread."""
        self._departures.put(departure)
        self.loop.wake()

    def adopt(self) -> None:
        """Watch the runners an earlier server on this host left at work.

        Leases start anew, since no runner could renew one while no server was there.
        """
        self._leases_count_from = self._clock.now()
        with self._database.read() as connection:
            rows = run_rows.list_executing(connection, self._host)
        for row in rows:
            identity = _identity(row)
            if not self._placement.adopt(identity):
                self._departures.put(Departure(identity, "gone before the server came back"))

    def _round(self) -> float:
        while not self._departures.empty():
            departure = self._departures.get()
            try:
                self.settle(departure)
            except Unavailable:
                self._departures.put(departure)
                raise
        self.sweep()
        return _SWEEP_SECONDS

    def settle(self, departure: Departure) -> None:
        """End or repeat the attempt of a runner that is gone."""
        identity = departure.identity
        with self._database.read() as connection:
            found = run_rows.find_by_runner(
                connection, identity.host, identity.pid, identity.started
            )
        if found is None:
            return
        begun = self._salvage(found.run_id, found.attempt_id)
        self._reports.conclude(found.attempt_id)
        with self._database.write() as connection:
            view = run_rows.lock_view(connection, found.attempt_id)
            if view is None or view.attempt.state not in EXECUTING:
                return
            attempt = view.attempt
            if attempt.state is State.PENDING and not begun and attempt.applied_sequence == 0:
                self._transitions.requeue(connection, view)
            else:
                cell = f" in cell {attempt.last_cell + 1}" if attempt.last_cell is not None else ""
                self._abandon(
                    connection,
                    view,
                    Cause.RUNNER_LOST,
                    f"The runner of this run died{cell} ({departure.cause}).",
                )
        remove_spool(self._settings.spool_dir, found.attempt_id)

    def _salvage(self, run_id: RunId, attempt_id: AttemptId) -> bool:
        """Apply what a dead runner left in its spool; whether it had begun."""
        events = read_spool(self._settings.spool_dir, attempt_id)
        if events:
            try:
                self._reports.apply(run_id, attempt_id, events)
            except AttemptGone:
                return True
            except Unavailable:
                raise
            except QuireError as error:
                _LOG.warning("recovery.spool_unusable", attempt=attempt_id, error=error.message)
        return bool(events)

    def sweep(self) -> None:
        """End what is overdue: leases, cancel requests, timeouts; warn of long runs."""
        now = self._clock.now()
        self._sweep_leases(now)
        with self._database.read() as connection:
            views = run_rows.list_running(connection)
        for view in views:
            self._sweep_backstops(view, now)
            self._sweep_duration(view, now)

    def _sweep_leases(self, now: datetime) -> None:
        grace = timedelta(seconds=self._settings.lease_seconds)
        if self._leases_count_from is None or now - self._leases_count_from < grace:
            return
        with self._database.read() as connection:
            expired = run_rows.list_lease_expired(connection, now)
        for attempt_id in expired:
            self._kill(attempt_id)
            self._reports.conclude(attempt_id)
            with self._database.write() as connection:
                view = run_rows.lock_view(connection, attempt_id)
                lease_end = view.attempt.lease_expires_at if view is not None else None
                if view is not None and lease_end is not None and lease_end < now:
                    seconds = self._settings.lease_seconds
                    self._abandon(
                        connection,
                        view,
                        Cause.LEASE_EXPIRED,
                        f"Nothing was heard of the runner of this run for {seconds:g} seconds.",
                    )

    def _sweep_backstops(self, view: RunView, now: datetime) -> None:
        """Kill runners that should long have stopped by themselves."""
        attempt = view.attempt
        grace = timedelta(
            seconds=_BACKSTOP_SECONDS
            + self._settings.interrupt_grace_seconds
            + self._settings.terminate_grace_seconds
        )
        asked_at = attempt.cancel_requested_at
        if asked_at is not None and now - asked_at > grace:
            self._kill(attempt.id)
            self._end(attempt.id, Outcome.CANCELLED, Cause.CANCELLED_BY_USER, "Cancelled by user.")
            return
        timeout = view.run.definition.timeout_seconds
        if timeout and attempt.started_at is not None and attempt.state is State.RUNNING:
            overdue = now - attempt.started_at - timedelta(seconds=timeout)
            if overdue > grace:
                self._kill(attempt.id)
                self._end(
                    attempt.id,
                    Outcome.TIMED_OUT,
                    Cause.TIMEOUT,
                    f"The run took longer than its timeout of {timeout:g} seconds.",
                )

    def _sweep_duration(self, view: RunView, now: datetime) -> None:
        threshold = view.run.definition.notifications.duration_warning_seconds
        started_at = view.attempt.started_at
        if threshold is None or started_at is None:
            return
        if now - started_at <= timedelta(seconds=threshold):
            return
        with self._database.write() as connection:
            locked = run_rows.lock_view(connection, view.attempt.id)
            if (
                locked is not None
                and locked.attempt.state in EXECUTING
                and not run_rows.was_duration_warned(connection, locked.attempt.id)
            ):
                self._transitions.warn_of_duration(connection, locked)

    def _kill(self, attempt_id: AttemptId) -> None:
        with self._database.read() as connection:
            row = run_rows.get_runner(connection, attempt_id)
        if row is not None and row.host == self._host:
            self._placement.kill(_identity(row))

    def _end(self, attempt_id: AttemptId, outcome: Outcome, cause: Cause, message: str) -> None:
        self._reports.conclude(attempt_id)
        with self._database.write() as connection:
            view = run_rows.lock_view(connection, attempt_id)
            if view is not None and view.attempt.state in EXECUTING:
                self._transitions.move(
                    connection,
                    view,
                    State.TERMINATED,
                    outcome=outcome,
                    cause=cause,
                    message=message,
                )

    def _abandon(self, connection: Connection, view: RunView, cause: Cause, message: str) -> None:
        attempt = view.attempt
        if attempt.cancel_requested_at is not None:
            self._transitions.move(
                connection,
                view,
                State.TERMINATED,
                outcome=Outcome.CANCELLED,
                cause=Cause.CANCELLED_BY_USER,
                message="Cancelled by user.",
            )
        elif attempt.state is State.TERMINATING:
            # Its outcome is known and stored; only the last word is missing.
            self._transitions.move(connection, view, State.TERMINATED)
        else:
            self._transitions.move(
                connection,
                view,
                State.TERMINATED,
                outcome=Outcome.ABANDONED,
                cause=cause,
                message=message,
            )


def _identity(row: RunnerRow) -> RunnerIdentity:
    return RunnerIdentity(row.host, row.pid, row.started)
