"""An engine without processes: real services over a database, a runner that tests play by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from quire.clock import ManualClock
from quire.compute.interpreters import Interpreters
from quire.engine.artifacts import Artifacts
from quire.engine.conclusions import Conclusions
from quire.engine.endings import Endings
from quire.engine.jobs import Jobs
from quire.engine.models import (
    Attempt,
    Job,
    JobDefinition,
    NotebookTask,
    NotificationEvent,
    Run,
)
from quire.engine.quota import Quota
from quire.engine.reports import Reports
from quire.engine.results import Results
from quire.engine.runs import Runs, RunView
from quire.engine.scheduler import Scheduler
from quire.engine.session_keeping import SessionKeeper
from quire.engine.sessions import Sessions
from quire.engine.states import State
from quire.engine.transitions import Transitions
from quire.engine.write_back import WriteBack
from quire.identity.models import Principal, Role
from quire.identity.principals import Principals
from quire.ids import AttemptId
from quire.observe.metrics import Metrics
from quire.runner.protocol import EventType, ReportAnswer
from quire.settings import Settings
from quire.store import runs as run_rows
from quire.store.blobs import BlobStore
from quire.store.database import Database
from quire.store.journal import Journal
from quire.workspace.tree import Workspace
from tests.engine.pool import Pool

NOTEBOOK = "/Shared/n"


def definition(**rules: Any) -> JobDefinition:
    return JobDefinition(task=NotebookTask(path=NOTEBOOK), **rules)


@dataclass
class Told:
    """Keeps what would be told to people."""

    events: list[tuple[NotificationEvent, AttemptId, bool]] = field(default_factory=list)
    deleted: list[Job] = field(default_factory=list)

    def enqueue(
        self,
        connection: Connection,
        *,
        run: Run,
        attempt: Attempt,
        event: NotificationEvent,
        final: bool,
    ) -> None:
        self.events.append((event, attempt.id, final))

    def enqueue_job_deleted(self, connection: Connection, job: Job) -> None:
        self.deleted.append(job)


class Parts:
    """The services of an engine, and the moves of its runners."""

    def __init__(
        self, database: Database, blobs: BlobStore, clock: ManualClock, **settings: Any
    ) -> None:
        self.database = database
        self.blobs = blobs
        self.clock = clock
        self.settings = Settings(**settings)
        self.told = Told()
        self.nudged: list[AttemptId] = []
        self.woken = 0
        self.metrics = Metrics()
        self.endings = Endings()
        self.transitions = Transitions(
            clock, self.told, self.metrics, self._wake, self.endings.tell
        )
        self.quota = Quota(self.settings)
        self.principals = Principals(database, clock)
        self.admin, self.user, self.stranger = self._people()
        self.visible_to: set[str] = set()
        self.runs = Runs(
            database,
            clock,
            self.quota,
            self.transitions,
            may_see_notebook=lambda actor, _: actor.name in self.visible_to,
            nudge=self.nudged.append,
            endings=self.endings,
        )
        self.jobs = Jobs(
            database,
            clock,
            self.quota,
            self.transitions,
            self.told,
            nudge=self.nudged.append,
            wake_scheduler=lambda: None,
        )
        self.results = Results(blobs, Journal(database, blobs))
        self.workspace = Workspace(database, blobs, clock)
        self.reports = Reports(
            database,
            blobs,
            clock,
            self.transitions,
            self.settings,
            Conclusions(WriteBack(self.workspace, self.principals, self.results)),
        )
        self.pool = Pool()
        self.interpreters = Interpreters(self.pool, self.settings)
        self.keeper = SessionKeeper(database, self.pool, clock, self.settings, host="here")
        self.sessions = Sessions(
            database, self.workspace, self.runs, self.results, self.keeper, clock
        )
        self.artifacts = Artifacts(database, blobs, self.results, clock, self.settings)
        self.scheduler = Scheduler(
            database, clock, self.quota, self.transitions, self.principals, self.settings
        )

    def _people(self) -> Sequence[Principal]:
        """An administrator and two users, who are there already in a furnished database."""
        if known := self.principals.list()[:3]:
            return known
        with self.database.write() as connection:
            return [
                self.principals.create_user_in(connection, f"{name}@example.com", role=role)
                for name, role in (
                    ("root", Role.ADMIN),
                    ("ada", Role.MEMBER),
                    ("eve", Role.MEMBER),
                )
            ]

    def _wake(self) -> None:
        self.woken += 1

    def view(self, attempt_id: AttemptId, actor: Principal | None = None) -> RunView:
        return self.runs.get(actor or self.admin, attempt_id)

    def claim(
        self, attempt_id: AttemptId, pid: int = 1000, snapshot_key: str | None = None
    ) -> None:
        """Give an attempt to a runner, as the dispatcher does."""
        with self.database.write() as connection:
            view = run_rows.lock_view(connection, attempt_id)
            assert view is not None
            self.transitions.move(
                connection,
                view,
                State.PENDING,
                facts={
                    "lease_expires_at": self.clock.now() + timedelta(seconds=30),
                    "runner_host": "here",
                    "runner_pid": pid,
                    "runner_started": "1",
                    "snapshot_key": snapshot_key,
                },
            )

    def report(
        self, attempt_id: AttemptId, *events: Mapping[str, Any], first: int | None = None
    ) -> ReportAnswer:
        """Report events as a runner does, numbered on from what was applied."""
        applied = self.view(attempt_id).attempt.applied_sequence if first is None else first - 1
        numbered = [
            {"at": self.clock.now().isoformat(), **event, "sequence": number}
            for number, event in enumerate(events, start=applied + 1)
        ]
        return self.reports.apply(self.view(attempt_id).run.id, attempt_id, numbered)

    def start(self, attempt_id: AttemptId) -> None:
        """Bring a queued attempt to where its cells run."""
        self.claim(attempt_id)
        self.report(attempt_id, ACCEPTED, STARTED)

    def finish(self, attempt_id: AttemptId, outcome: str = "success", **facts: Any) -> None:
        """End an executing attempt as its runner says it ended."""
        cause = {"success": "completed", "failed": "cell_error", "timed_out": "timeout"}
        end = {"outcome": outcome, "cause": cause.get(outcome, "cancelled_by_user"), **facts}
        self.report(attempt_id, {"type": EventType.FINISHED, **end}, TERMINATED)


ACCEPTED: dict[str, Any] = {"type": EventType.ACCEPTED, "pid": 1000}
STARTED: dict[str, Any] = {
    "type": EventType.STARTED,
    "kernel_pid": 1001,
    "kernel_name": "python3",
    "language_info": {"name": "python"},
}
TERMINATED: dict[str, Any] = {"type": EventType.TERMINATED}
