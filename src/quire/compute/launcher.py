"""What the manager asks of whatever starts drivers. The real one is :mod:`quire.compute.local`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from quire.compute.models import Cluster, ClusterCause, DriverRecord
from quire.placement.base import RunnerIdentity

__all__ = [
    "Driver",
    "DriverPhase",
    "DriverPlan",
    "DriverReport",
    "Launcher",
    "SparkGateway",
    "SubmitTarget",
]


@dataclass(frozen=True)
class DriverPlan:
    """What a driver is to be."""

    cluster: Cluster
    generation: int  # of the cluster's drivers, this one
    workers: int  # as many as this server starts of those the spec asks for
    most_workers: int  # with autoscale; else the same
    driver_memory_bytes: int
    executor_memory_bytes: int
    scripts: tuple[tuple[str, bytes], ...] = ()  # initialization scripts: name, content


class DriverPhase(StrEnum):
    """Where a driver stands."""

    STARTING = "starting"
    READY = "ready"
    ENDING = "ending"  # of no use any more; its processes are on their way out
    GONE = "gone"


@dataclass(frozen=True)
class DriverReport:
    """What a driver says of itself, or what is known of one that is gone."""

    phase: DriverPhase
    workers: int = 0  # that run now
    cause: ClusterCause | None = None  # why it is gone
    message: str = ""
    lost_workers: int = 0  # that died since it began


@dataclass(frozen=True)
class SparkGateway:
    """Where a kernel finds a driver's JVM. The secret gives full power over it."""

    host: str
    port: int
    secret: str
    spark_home: str
    java_home: str
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SubmitTarget:
    """Where spark-submit of a run's program goes."""

    master: str
    conf: Mapping[str, str]
    environment: Mapping[str, str]
    spark_home: str
    java_home: str
    driver_memory_bytes: int
    executor_memory_bytes: int
    cores: int

    def to_json(self) -> dict[str, Any]:
        return {**self.__dict__, "conf": dict(self.conf), "environment": dict(self.environment)}


class Driver(Protocol):
    """A driver process and everything that belongs to it. Safe to use from several threads."""

    @property
    def folder(self) -> Path: ...

    @property
    def pid(self) -> int: ...

    @property
    def started(self) -> str:
        """Start time of the process, as :func:`quire.runner.processes.start_time` tells it."""
        ...

    def alive(self) -> bool: ...

    def report(self) -> DriverReport:
        """How it is; asks a living one, which takes a moment."""
        ...

    def gateway(
        self, group: str, session_key: str | None, kernel: RunnerIdentity | None = None
    ) -> SparkGateway:
        """A door for one user of it, the same when asked again. Raises Unavailable.

        ``kernel``: the runner of this host with whose end it is shut, if that comes first.
        """
        ...

    def add_jars(self, paths: Sequence[str]) -> None:
        """Give it and its executors more classes; those it has already are passed over.

        Raises Unavailable, InvalidState when it cannot read one.
        """
        ...

    def release(self, group: str, *, keep: bool = False) -> None:
        """Cancel what one user runs and shut its door, unless ``keep``. Again is no error."""
        ...

    def submit_target(self) -> SubmitTarget:
        """Where programs of runs on it are submitted. Raises Unavailable."""
        ...

    def set_workers(self, least: int, most: int) -> None:
        """Have workers between these numbers, which come and go as needed; takes effect later."""
        ...

    def stop(self) -> None:
        """Ask it to end; returns at once."""
        ...

    def kill(self) -> None:
        """End it and all that belongs to it; returns when nothing of it is left."""
        ...

    def log_names(self) -> Sequence[str]:
        """Its log files, such as "driver/stdout"; also when it is gone."""
        ...

    def open_log(self, name: str) -> BinaryIO:
        """One of them. Raises OSError when it is gone."""
        ...

    def remove(self) -> None:
        """Remove its folder, logs too."""
        ...


class Launcher(Protocol):
    """Starts drivers on this machine and finds those an earlier server started."""

    @property
    def host(self) -> str:
        """Names the place whose processes and folders these are."""
        ...

    def claim(self) -> bool:
        """Whether this server is the one that looks after drivers here; others wait for it."""
        ...

    def start(self, plan: DriverPlan) -> Driver:
        """Start a driver; returns before it is ready. Raises Unavailable, OSError."""
        ...

    def adopt(self, record: DriverRecord) -> Driver:
        """The driver that is or was in a folder, dead or alive."""
        ...

    def local_target(self, plan: DriverPlan) -> SubmitTarget:
        """Where programs are submitted that need no driver. Raises Unavailable."""
        ...

    def sweep(self, known: Collection[Path]) -> None:
        """End and remove drivers whose folder is not known."""
        ...

    def keep_warm(self, number: int) -> None:
        """Have so many drivers of the usual kind ready, which :meth:`start` may take."""
        ...

    def close(self) -> None:
        """Let go of what no cluster uses. Drivers of clusters go on."""
        ...
