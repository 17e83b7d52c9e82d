"""The engine's records: what is asked for, and what is stored of it.

Vendor words stay out of here. A dialect may attach what only it understands as ``vendor``: a JSON
object per dialect, kept and given back untouched, never read by the engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from quire.compute.models import Compute
from quire.engine.states import ACTIVE, Cause, Outcome, State
from quire.engine.tasks import (
    Arguments,
    JarTask,
    NotebookTask,
    Parameters,
    PythonFileTask,
    ShellTask,
    SqlTask,
    SubmitTask,
    Task,
    TaskKind,
)
from quire.ids import AttemptId, JobId, NodeId, PrincipalId, RunId

__all__ = [
    "Arguments",
    "Attempt",
    "Isolation",
    "JarTask",
    "Job",
    "JobDefinition",
    "NotebookTask",
    "NotificationEvent",
    "NotificationPolicy",
    "NotificationTarget",
    "Overlap",
    "Parameters",
    "PythonFileTask",
    "Run",
    "RunKind",
    "RunRequest",
    "Schedule",
    "ShellTask",
    "SqlTask",
    "SubmitTask",
    "TargetKind",
    "Task",
    "TaskKind",
    "Trigger",
    "Vendor",
    "WorkingFiles",
]

Vendor = Mapping[str, Any]
"""Dialect name to whatever that dialect wants to find again."""


class Trigger(StrEnum):
    """What made a run or an attempt."""

    SCHEDULE = "schedule"
    REQUEST = "request"
    RETRY = "retry"
    PARENT_RUN = "parent_run"


class RunKind(StrEnum):
    """Where a run's definition came from."""

    JOB = "job"  # a saved job
    ONE_TIME = "one_time"  # given with the request
    CHILD = "child"  # started by another run


class Overlap(StrEnum):
    """What a new run of a job does when the job has all the active runs it allows."""

    SKIP = "skip"
    QUEUE = "queue"


class Isolation(StrEnum):
    """What a run does to the notebook it runs."""

    SNAPSHOT = "snapshot"  # works on a pinned copy; the stored notebook is untouched
    # In the notebook's own kernel, which is kept; its outputs go into the stored notebook. Two such
    # runs of one notebook never overlap.
    IN_PLACE = "in_place"


class WorkingFiles(StrEnum):
    """What becomes of the files that a run makes or changes in its working folder.

    The folder starts as a private copy of the files attached to the notebook.
    """

    DISCARD = "discard"  # they go with the folder
    ARTIFACTS = "artifacts"  # they are kept with the run
    WRITE_BACK = "write_back"  # they are stored with the notebook, removed ones are removed there


class NotificationEvent(StrEnum):
    """When people are told about a run."""

    START = "start"
    SUCCESS = "success"
    FAILURE = "failure"
    DURATION_WARNING = "duration_warning"
    JOB_DELETED = "job_deleted"


class TargetKind(StrEnum):
    """How a notification travels."""

    EMAIL = "email"
    DESTINATION = "destination"


@dataclass(frozen=True)
class NotificationTarget:
    """Someone to tell: a mail address, or the id of a stored destination."""

    kind: TargetKind
    address: str


@dataclass(frozen=True)
class NotificationPolicy:
    """Who is told of which event, and when silence is wanted."""

    targets: Mapping[NotificationEvent, tuple[NotificationTarget, ...]] = field(
        default_factory=dict
    )
    silent_when_skipped: bool = False
    silent_when_cancelled: bool = False
    last_attempt_only: bool = False  # no start for retries, no failure before the last attempt
    silent_when_skipped_by_mail: bool = False  # the older switch, for mail alone
    duration_warning_seconds: float | None = None
    format: str = "quire"  # name of the message format a webhook receives


@dataclass(frozen=True)
class Schedule:
    """When a job starts by itself."""

    cron: str  # Quartz syntax, six or seven fields
    timezone: str  # IANA name, or one of Java's older ids
    paused: bool = False


@dataclass(frozen=True)
class JobDefinition:
    """What to run and under which rules; saved as a job, or given for one run."""

    task: Task
    name: str = "Untitled"
    timeout_seconds: float | None = None
    max_retries: int = 0  # -1: without end
    min_retry_interval_seconds: float = 0.0  # from start of the failed attempt to the next start
    retry_on_timeout: bool = False
    schedule: Schedule | None = None
    max_concurrent_runs: int = 1
    overlap: Overlap = Overlap.SKIP
    notifications: NotificationPolicy = field(default_factory=NotificationPolicy)
    isolation: Isolation = Isolation.SNAPSHOT
    working_files: WorkingFiles = WorkingFiles.DISCARD
    updates_publication: bool = False  # success shows the run's outputs where it is published
    environment: Mapping[str, str] = field(default_factory=dict)  # variables of the kernel
    compute: Compute | None = None  # None: a local kernel; Spark, if asked for, is the shared one
    notices: tuple[str, ...] = ()  # what was asked for and cannot be honoured; shown with the run
    vendor: Vendor = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """A saved definition."""

    id: JobId
    definition: JobDefinition
    creator_id: PrincipalId
    creator_name: str | None  # None once the user is gone
    created_at: datetime
    updated_at: datetime
    next_fire_at: datetime | None


@dataclass(frozen=True)
class RunRequest:
    """Asks for one run. Exactly one of ``job_id`` and ``definition`` is given."""

    job_id: JobId | None = None
    definition: JobDefinition | None = None
    parameters: Parameters = field(default_factory=dict)  # over the task's own, key by key
    arguments: Arguments = field(default_factory=dict)  # in place of the task's own
    name: str | None = None
    kind: RunKind = RunKind.ONE_TIME
    trigger: Trigger = Trigger.REQUEST
    idempotency_token: str | None = None  # unique in the whole server; dialects prefix theirs
    parent_run_id: RunId | None = None
    interactive: bool = False  # somebody at work in a notebook; lists of runs leave it out
    notebook_limit: int | None = None  # refuse when its notebook has this many active runs
    vendor: Vendor = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """One request to execute. Shows the state of its newest attempt."""

    id: RunId
    job_id: JobId  # runs without a saved job have a number of their own here
    number_in_job: int
    kind: RunKind
    trigger: Trigger
    name: str
    creator_id: PrincipalId
    creator_name: str | None
    definition: JobDefinition  # as it was when the run was made
    parameters: Parameters  # what the request passed
    state: State
    outcome: Outcome | None
    attempt_id: AttemptId  # newest attempt
    parent_run_id: RunId | None
    created_at: datetime
    ended_at: datetime | None
    vendor: Vendor
    notebook_id: NodeId | None = None  # the document of the workspace it runs, if there is one
    session_id: NodeId | None = None  # the notebook in whose own kernel it runs; None: one for it
    interactive: bool = False

    @property
    def active(self) -> bool:
        return self.state in ACTIVE


@dataclass(frozen=True)
class Attempt:
    """One try of a run. The first attempt's id equals the run's."""

    id: AttemptId
    run_id: RunId
    number: int  # 0 for the first
    trigger: Trigger
    state: State
    outcome: Outcome | None
    cause: Cause | None
    message: str  # for people: why it is where it is
    created_at: datetime
    not_before: datetime | None  # a retry waits until then
    claimed_at: datetime | None  # queued → pending
    started_at: datetime | None  # pending → running
    finished_at: datetime | None  # → terminating: the cells are over
    ended_at: datetime | None  # → terminated or skipped
    cancel_requested_at: datetime | None
    lease_expires_at: datetime | None
    snapshot_key: str | None  # blob of the notebook as pinned for this attempt
    applied_sequence: int  # number of the last runner event that was applied
    journal_bytes: int
    exit_value: str | None
    error: str | None  # one line, such as "ValueError: message"
    error_trace: str | None
    last_cell: int | None  # index of the cell that ran last

    @property
    def active(self) -> bool:
        return self.state in ACTIVE
