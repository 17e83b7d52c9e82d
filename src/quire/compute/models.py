"""The records of compute: what a run asks for, what a cluster is made of, and where it stands.

Pure data. The engine stores :class:`Compute` in definitions; vendor words stay out of here, apart
from ``vendor``: a JSON object per dialect that is kept and given back untouched.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from quire.ids import AttemptId, ClusterId, PrincipalId, RunId

__all__ = [
    "AutoScale",
    "Cluster",
    "ClusterCause",
    "ClusterEvent",
    "ClusterEventType",
    "ClusterRight",
    "ClusterSource",
    "ClusterSpec",
    "ClusterState",
    "ClusterUse",
    "Compute",
    "DriverRecord",
    "DriverState",
    "EventFilter",
    "InitScript",
    "Library",
    "LibraryKind",
    "ScriptKind",
]


class LibraryKind(StrEnum):
    """How a library is got and where it ends up."""

    PYPI = "pypi"  # a requirement, from a package index
    WHEEL = "wheel"  # a Python package as a file
    REQUIREMENTS = "requirements"  # a file of requirements
    EGG = "egg"
    JAR = "jar"  # classes as a file
    MAVEN = "maven"  # coordinates, from a Maven repository
    CRAN = "cran"


class ScriptKind(StrEnum):
    """Where an initialization script is kept."""

    FILES = "files"  # the server's file store
    WORKSPACE = "workspace"  # a file of the workspace
    LOCAL = "local"  # a path of the machine


@dataclass(frozen=True)
class Library:
    """Something a run or a cluster needs installed."""

    kind: LibraryKind
    value: str  # requirement, path in the file store or workspace, or coordinates
    repository: str | None = None  # index or repository to get it from; None: the usual one
    exclusions: tuple[str, ...] = ()  # Maven: "group:artifact" of what not to bring along


@dataclass(frozen=True)
class AutoScale:
    """Bounds between which a cluster's workers come and go. 0 <= min_workers < max_workers."""

    min_workers: int
    max_workers: int


@dataclass(frozen=True)
class InitScript:
    """A shell script that runs before Spark starts, once for the driver and for each worker."""

    kind: ScriptKind
    destination: str  # path, in the words of its kind


@dataclass(frozen=True)
class ClusterSpec:
    """What a cluster is to be. Sizes that are None take the server's settings."""

    name: str = ""
    workers: int = 0  # 0: the driver does the work itself
    autoscale: AutoScale | None = None  # in place of ``workers``
    master: str | None = None  # an external one: spark://, yarn, k8s://, or sc:// (Spark Connect)
    has_application: bool = True  # False: workers alone, for a program that is submitted to them
    spark_conf: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)  # variables of every process
    init_scripts: tuple[InitScript, ...] = ()
    log_destination: str | None = None  # folder of the file store that gets the logs
    driver_memory_bytes: int | None = None
    executor_memory_bytes: int | None = None
    driver_cores: int | None = None
    executor_cores: int | None = None
    autotermination_seconds: int | None = None  # None: never
    tags: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()  # names by which runs may ask for it; unique in the server
    libraries: tuple[Library, ...] = ()  # installed for every run on it
    packages: str | None = None  # name of the environment that its kernels run in
    vendor: Mapping[str, Any] = field(default_factory=dict)
    notices: tuple[str, ...] = ()  # what was asked for and cannot be honoured

    @property
    def least_workers(self) -> int:
        return self.autoscale.min_workers if self.autoscale else self.workers

    @property
    def most_workers(self) -> int:
        return self.autoscale.max_workers if self.autoscale else self.workers


@dataclass(frozen=True)
class Compute:
    """What a run executes on. At most one of ``cluster_id`` and ``new_cluster`` is given.

    With neither, a run that asks for Spark gets the server's shared cluster.
    """

    cluster_id: str | None = None
    new_cluster: ClusterSpec | None = None  # made for each attempt and ended with it
    libraries: tuple[Library, ...] = ()
    session_tag: str | None = None  # runs with the same tag on one cluster share a Spark session
    environment: str | None = None  # name of the set of packages the kernel runs with


class ClusterState(StrEnum):
    """Where a cluster stands. See :mod:`quire.compute.lifecycle`."""

    PENDING = "pending"  # is being started
    RUNNING = "running"  # takes runs
    RESIZING = "resizing"  # takes runs; workers come or go
    RESTARTING = "restarting"  # its processes are replaced
    TERMINATING = "terminating"  # is being taken down
    TERMINATED = "terminated"  # nothing runs; may be started again
    ERROR = "error"  # could not be started or kept up; may be started again


class ClusterCause(StrEnum):
    """Why a cluster ended, or is about to."""

    USER_REQUEST = "user_request"
    JOB_FINISHED = "job_finished"
    INACTIVITY = "inactivity"
    INIT_SCRIPT_FAILURE = "init_script_failure"
    SPARK_STARTUP_FAILURE = "spark_startup_failure"
    DRIVER_UNREACHABLE = "driver_unreachable"
    OUT_OF_MEMORY = "out_of_memory"  # the machine cannot hold it
    HOST_LOST = "host_lost"  # the server that ran it is gone
    INTERNAL_ERROR = "internal_error"


class ClusterSource(StrEnum):
    """What made a cluster."""

    REQUEST = "request"  # a person or program
    JOB = "job"  # a run, for itself
    SHARED = "shared"  # the server, for runs that name none


class ClusterRight(StrEnum):
    """What a principal may do with a cluster; each includes those before it."""

    ATTACH = "attach"  # see it, run on it
    RESTART = "restart"  # and start, restart and terminate it
    MANAGE = "manage"  # and change, share and remove it

    def covers(self, needed: ClusterRight) -> bool:
        """Whether this right includes ``needed``."""
        order = list(ClusterRight)
        return order.index(self) >= order.index(needed)


class DriverState(StrEnum):
    """Where the process that holds a cluster's Spark stands."""

    NONE = "none"  # not started: nothing has asked for Spark
    STARTING = "starting"
    READY = "ready"


@dataclass(frozen=True)
class DriverRecord:
    """The process that holds a cluster's Spark, as stored: enough to find it after a restart."""

    folder: str
    pid: int
    started: str  # start time of the process as the kernel counts it; guards against reused pids
    generation: int  # counts the drivers a cluster has had, from 1
    started_at: datetime


@dataclass(frozen=True)
class Cluster:
    """Spark compute with a life of its own."""

    id: ClusterId  # "MMDD-HHMMSS-xxxxxxxx"
    number: int  # the same in the form of a small integer
    spec: ClusterSpec
    source: ClusterSource
    state: ClusterState
    cause: ClusterCause | None  # why it ended or ends; None while it lives
    message: str  # for people: why it is where it is
    owner_id: PrincipalId | None  # None: the server's own
    owner_name: str | None
    run_id: RunId | None  # of a job cluster: whose it is
    attempt_id: AttemptId | None
    host: str | None  # the host its processes are on; None while it has none
    driver_state: DriverState
    driver: DriverRecord | None
    wants_spark: bool  # something asked for Spark, or the spec needs it from the start
    generation: int  # counts the drivers it has had; names its Spark context
    worker_count: int  # workers that run now
    created_at: datetime
    state_changed_at: datetime
    started_at: datetime | None  # last time it became running
    terminated_at: datetime | None
    last_activity_at: datetime
    pinned_at: datetime | None
    removed_at: datetime | None  # permanently deleted: nobody sees it

    @property
    def is_up(self) -> bool:
        """Whether it takes runs."""
        return self.state in (ClusterState.RUNNING, ClusterState.RESIZING)


class ClusterEventType(StrEnum):
    """What happens to a cluster."""

    CREATING = "creating"
    STARTING = "starting"
    RUNNING = "running"
    RESTARTING = "restarting"
    RESIZING = "resizing"
    RESIZED = "resized"
    EDITED = "edited"
    TERMINATING = "terminating"
    TERMINATED = "terminated"
    PINNED = "pinned"
    UNPINNED = "unpinned"
    OWNER_CHANGED = "owner_changed"
    INIT_SCRIPTS_STARTED = "init_scripts_started"
    INIT_SCRIPTS_FINISHED = "init_scripts_finished"
    DRIVER_STARTING = "driver_starting"
    DRIVER_HEALTHY = "driver_healthy"
    DRIVER_CRASHED = "driver_crashed"
    WORKER_LOST = "worker_lost"
    AUTOSCALED = "autoscaled"
    NOTICE = "notice"  # something of its spec that cannot be honoured
    FAILED = "failed"


@dataclass(frozen=True)
class ClusterEvent:
    """Something that happened to a cluster."""

    id: int
    cluster_id: ClusterId
    at: datetime
    type: ClusterEventType
    details: Mapping[str, Any]  # JSON: cause, message, user, workers, …


@dataclass(frozen=True)
class EventFilter:
    """Which events of a cluster are wanted; None: no bound."""

    kinds: Collection[ClusterEventType] | None = None
    since: datetime | None = None  # this moment included
    until: datetime | None = None  # this moment included


@dataclass(frozen=True)
class ClusterUse:
    """What an attempt has of a cluster, or had."""

    attempt_id: AttemptId
    cluster_id: ClusterId
    session_key: str | None  # names the Spark session it shares with others of that cluster
    generation: int | None  # the driver it was told of; None: it was not told of any
    cause: ClusterCause | None  # why its compute failed
    message: str
    notices: tuple[str, ...]  # for people: what is not as the run asked
    attached_at: datetime
    released_at: datetime | None
