"""What a driver process is told at its start, and what it tells of itself: records and their JSON.

Shared by the server and the driver process, which imports little: nothing of the database or HTTP.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from quire.runner.users import KernelUser

__all__ = [
    "DriverConfig",
    "DriverEnding",
    "DriverPhase",
    "DriverStatus",
    "EndingCause",
    "ExecutorStatus",
    "Gateway",
    "ScriptFile",
    "SparkJob",
    "SubmitTarget",
    "WorkerStatus",
]

_MIB = 1024 * 1024
_GIB = 1024 * _MIB


@dataclass(frozen=True)
class ScriptFile:
    """An initialization script, read already."""

    name: str
    content: bytes


@dataclass(frozen=True)
class DriverConfig:
    """What the processes of one cluster are to be."""

    name: str  # of the Spark application
    java_home: str  # as `quire.compute.java.write_launcher` gives it
    spark_home: str
    python: str  # interpreter of Python workers, where the environment does not name another
    cores: int = 2  # of the driver: how many tasks a cluster without workers runs at once
    workers: int = 0  # of our own standalone cluster; 0: the driver does the work itself
    max_workers: int = 0  # more than ``workers``: they come and go with the work
    worker_cores: int = 1
    master: str | None = None  # an external one, in place of workers
    driver_host: str | None = None  # address by which an external master's executors reach us
    driver_memory_bytes: int = _GIB
    executor_memory_bytes: int = _GIB
    spark_conf: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)  # may refer to others: $NAME
    driver_environment: Mapping[str, str] = field(default_factory=dict)  # of the driver alone
    worker_environment: Mapping[str, str] = field(default_factory=dict)  # of workers alone
    init_scripts: tuple[ScriptFile, ...] = ()
    jars: tuple[str, ...] = ()  # paths the cluster's user can read
    files: tuple[str, ...] = ()
    py_files: tuple[str, ...] = ()
    warehouse_dir: str | None = None  # of managed tables; None: gone with the driver
    spark_context: bool = True  # False: only master and workers, for programs that are submitted
    warm: bool = False  # run a first aggregation and a first Python function before it is ready
    lives_with: str | None = None  # path without which nobody will ask for it any more
    user: KernelUser | None = None  # whom all but the driver process itself runs as

    @property
    def is_standalone(self) -> bool:
        """Whether it has a master and workers of its own."""
        return self.master is None and max(self.workers, self.max_workers) > 0

    def fits(self, wanted: DriverConfig) -> bool:
        """Whether a driver that was started with this serves who wants the other.

        The name of the application and a warm start make no difference; all else is settled when a
        JVM starts.
        """
        return replace(self, name="", warm=False) == replace(wanted, name="", warm=False)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; :meth:`from_json` reads it back unchanged."""
        value = asdict(self)
        value["init_scripts"] = [
            {"name": each.name, "content": base64.b64encode(each.content).decode()}
            for each in self.init_scripts
        ]
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> DriverConfig:
        """The config that :meth:`to_json` made this of."""
        scripts = (
            ScriptFile(each["name"], base64.b64decode(each["content"]))
            for each in value["init_scripts"]
        )
        user = value["user"]
        return cls(
            **{
                **value,
                "init_scripts": tuple(scripts),
                "jars": tuple(value["jars"]),
                "files": tuple(value["files"]),
                "py_files": tuple(value["py_files"]),
                "user": KernelUser(**user) if user is not None else None,
            }
        )


class DriverPhase(StrEnum):
    """Where a driver process stands."""

    INIT_SCRIPTS = "init_scripts"
    STARTING = "starting"
    WARMING = "warming"
    READY = "ready"
    STOPPING = "stopping"


class EndingCause(StrEnum):
    """Why a driver process ended."""

    STOPPED = "stopped"  # was asked to
    KILLED = "killed"  # was killed by somebody; nobody could say more
    OUT_OF_MEMORY = "out_of_memory"
    INIT_SCRIPT_FAILURE = "init_script_failure"
    STARTUP_FAILURE = "startup_failure"
    CONTEXT_STOPPED = "context_stopped"  # a program stopped Spark, or Spark itself gave up
    CRASHED = "crashed"  # the JVM ended by itself


@dataclass(frozen=True)
class DriverEnding:
    """How a driver process ended."""

    cause: EndingCause
    message: str  # for people
    at: str  # UTC, ISO 8601

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> DriverEnding:
        return cls(EndingCause(value["cause"]), value["message"], value["at"])


@dataclass(frozen=True)
class Gateway:
    """Where kernels attach: a py4j gateway on this machine. Who has the secret has the cluster."""

    host: str
    port: int
    secret: str


@dataclass(frozen=True)
class SubmitTarget:
    """Where programs are submitted so that they run on a cluster."""

    master: str
    conf: Mapping[str, str]  # with the cluster's secret


@dataclass(frozen=True)
class WorkerStatus:
    """A worker of a standalone cluster."""

    number: int
    pid: int
    is_registered: bool  # the master knows it
    executors: int
    restarts: int


@dataclass(frozen=True)
class ExecutorStatus:
    """What runs tasks; a cluster without workers has one, the driver itself."""

    id: str
    cores: int
    active_tasks: int


@dataclass(frozen=True)
class SparkJob:
    """A Spark job that runs now."""

    id: int
    group: str | None
    active_tasks: int


@dataclass(frozen=True)
class DriverStatus:
    """What a driver process says of itself."""

    phase: DriverPhase
    gateway: Gateway | None  # None until the JVM is up, and for a cluster without a driver
    memory_bytes: int = 0  # resident, of all processes of the cluster
    jvm_pid: int | None = None
    workers: tuple[WorkerStatus, ...] = ()
    wanted_workers: int = 0
    executors: tuple[ExecutorStatus, ...] = ()
    jobs: tuple[SparkJob, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> DriverStatus:
        return cls(
            phase=DriverPhase(value["phase"]),
            gateway=Gateway(**value["gateway"]) if value["gateway"] else None,
            memory_bytes=value["memory_bytes"],
            jvm_pid=value["jvm_pid"],
            workers=tuple(WorkerStatus(**each) for each in value["workers"]),
            wanted_workers=value["wanted_workers"],
            executors=tuple(ExecutorStatus(**each) for each in value["executors"]),
            jobs=tuple(SparkJob(**each) for each in value["jobs"]),
        )
