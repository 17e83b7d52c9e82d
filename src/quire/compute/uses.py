"""Gives attempts their part of a cluster, and takes it back.

An attempt asks again and again until its answer is no longer *pending*. Asking costs a read; only
what changes is written. What an attempt had of a cluster stays known after it gave it back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import Connection

from quire.clock import Clock
from quire.compute.checks import check_spec, is_lazy
from quire.compute.clusters import Clusters
from quire.compute.launcher import Driver, DriverPhase, SparkGateway, SubmitTarget
from quire.compute.lifecycle import ACTIVE
from quire.compute.models import (
    Cluster,
    ClusterCause,
    ClusterSource,
    ClusterSpec,
    ClusterState,
    ClusterUse,
    Compute,
    DriverState,
    Library,
    LibraryKind,
)
from quire.errors import InvalidState, QuireError, Unavailable
from quire.identity.models import Principal
from quire.ids import AttemptId, ClusterId, RunId
from quire.placement.base import RunnerIdentity
from quire.settings import Settings
from quire.store import clusters as cluster_rows
from quire.store.database import Database
from quire.store.locks import lock_shared_cluster

if TYPE_CHECKING:
    from quire.compute.libraries import LibraryStatus

__all__ = [
    "Answer",
    "ClusterUses",
    "Drivers",
    "Packages",
    "Prepared",
    "UseRequest",
    "UseState",
    "UsedCluster",
]

SHARED_NAME = "Shared"
_OVER = frozenset({DriverPhase.ENDING, DriverPhase.GONE})

_CLASSES = frozenset({LibraryKind.JAR, LibraryKind.MAVEN})


class UseState(StrEnum):
    """Where a request for compute stands."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True)
class Prepared:
    """Libraries and environment of a run, as far as they are there."""

    state: UseState = UseState.READY
    message: str = ""
    python: str | None = None  # interpreter of another environment
    site_packages: tuple[str, ...] = ()  # folders to put in front of the interpreter's path
    jars: tuple[str, ...] = ()
    files: tuple[str, ...] = ()  # Python files for the executors
    environment: Mapping[str, str] = field(default_factory=dict)  # variables of the kernel


class Packages(Protocol):
    """Installs libraries and builds environments."""

    def prepare(
        self, actor: Principal, libraries: tuple[Library, ...], environment: str | None
    ) -> Prepared:
        """Begin, or see how far it is. Returns at once."""
        ...

    def statuses(
        self, actor: Principal, libraries: tuple[Library, ...], environment: str | None = None
    ) -> list[LibraryStatus]:
        """Where each library stands for whoever prepares exactly these."""
        ...


class Drivers(Protocol):
    """The drivers of this host's clusters."""

    def driver_of(self, cluster: Cluster) -> Driver | None:
        """The present driver of a cluster of this host; None when it has none."""
        ...

    def local_target(self, cluster: Cluster) -> SubmitTarget:
        """Where programs are submitted on a cluster that needs no driver."""
        ...

    def wake(self) -> None:
        """Something is wanted."""
        ...

    @property
    def host(self) -> str: ...


@dataclass(frozen=True)
class UseRequest:
    """An attempt, and what it asks for."""

    run_id: RunId
    attempt_id: AttemptId
    run_name: str
    actor: Principal  # whom the run acts for
    compute: Compute | None
    kernel: RunnerIdentity | None = None  # of a run whose kernel outlives it: who keeps that
    submits: bool = False  # runs a program by spark-submit rather than a kernel

    @property
    def group(self) -> str:
        """Names its Spark jobs and its door to the driver."""
        return _group(self.attempt_id, self.kernel)


@dataclass(frozen=True)
class UsedCluster:
    """What an attempt has or had of a cluster, and the cluster as it is now."""

    use: ClusterUse
    cluster: Cluster


@dataclass(frozen=True)
class Answer:
    """What an attempt gets."""

    state: UseState
    message: str = ""
    cause: str | None = None  # of a failure, as the engine names it
    cluster: Cluster | None = None
    lazy: bool = False  # ready, but Spark has to be asked for
    spark: Mapping[str, Any] | None = None
    submit: SubmitTarget | None = None
    notices: tuple[str, ...] = ()
    prepared: Prepared = field(default_factory=Prepared)

    def to_json(self) -> dict[str, Any]:
        """The answer of ``POST /internal/v1/attempts/{attempt_id}/compute``."""
        cluster = self.cluster
        return {
            "state": self.state,
            "message": self.message,
            "cause": self.cause,
            "lazy": self.lazy,
            "cluster_id": cluster.id if cluster else None,
            "cluster_name": cluster.spec.name if cluster else None,
            "spark_version": _spark_version(cluster.spec) if cluster else None,
            "environment": {
                **self.prepared.environment,
                **(cluster.spec.environment if cluster else {}),
            },
            "notices": list(self.notices),
            "python": self.prepared.python,
            "site_packages": list(self.prepared.site_packages),
            "jars": list(self.prepared.jars),
            "files": list(self.prepared.files),
            "spark": self.spark,
            "submit": self.submit.to_json() if self.submit else None,
        }


class ClusterUses:
    """Who uses which cluster."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        settings: Settings,
        clusters: Clusters,
        drivers: Drivers,
        packages: Packages,
    ) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings
        self._clusters = clusters
        self._drivers = drivers
        self._packages = packages

    def begin(self, request: UseRequest) -> Answer:
        """What an attempt gets before it asks; *pending* when that takes more than a note.

        Raises Unavailable when the database is away.
        """
        libraries, environment = self._wanted(request)
        if request.submits or libraries or environment is not None:
            return Answer(UseState.PENDING)
        if not _names_cluster(request.compute):
            return Answer(UseState.READY, lazy=True)
        attached = self._attach(request)
        if isinstance(attached, Answer):
            return attached
        use, cluster = attached
        if not cluster.is_up or not is_lazy(cluster.spec) or use.generation is not None:
            return Answer(UseState.PENDING, cluster=cluster)
        return Answer(UseState.READY, cluster=cluster, lazy=True, notices=use.notices)

    def acquire(self, request: UseRequest, *, spark: bool = False) -> Answer:
        """What an attempt gets now. ``spark``: it needs Spark, not just a place to run.

        Raises Unavailable when the database is away.
        """
        compute = request.compute
        prepared = self._prepare(request)
        if prepared.state is not UseState.READY:
            cause = "library_failed" if prepared.state is UseState.FAILED else None
            return Answer(prepared.state, prepared.message, cause, prepared=prepared)
        with self._database.read() as connection:
            use = cluster_rows.find_use(connection, request.attempt_id)
            cluster = cluster_rows.get_cluster(connection, use.cluster_id) if use else None
        if use is None or cluster is None or use.released_at is not None:
            if not spark and not request.submits and not _names_cluster(compute):
                return Answer(UseState.READY, lazy=True, prepared=prepared)
            attached = self._attach(request)
            if isinstance(attached, Answer):
                return attached
            use, cluster = attached
        answer = self._judge(request, use, cluster, spark=spark)
        if answer.spark is not None and prepared.jars:
            answer = self._with_jars(answer, cluster, prepared.jars)
        return replace(answer, prepared=prepared, notices=use.notices)

    def release(self, attempt_id: AttemptId, kernel: RunnerIdentity | None = None) -> None:
        """Take back what an attempt has, with a cluster that was made for it. Again is no error."""
        with self._database.read() as connection:
            use = cluster_rows.find_use(connection, attempt_id)
        if use is None or use.released_at is not None:
            return
        with self._database.write() as connection:
            cluster = cluster_rows.get_cluster(connection, use.cluster_id, lock=True)
            now = self._clock.now()
            cluster_rows.update_use(connection, attempt_id, {"released_at": now})
            if cluster is None:
                return
            cluster_rows.update_cluster(connection, cluster.id, {"last_activity_at": now})
            own = cluster.attempt_id == attempt_id
            if own:
                self._clusters.end(
                    connection, cluster, ClusterCause.JOB_FINISHED, "Its run has ended."
                )
        driver = None if own else self._drivers.driver_of(cluster)
        if driver is not None:
            driver.release(_group(attempt_id, kernel), keep=kernel is not None)

    def is_down(self, attempt_id: AttemptId) -> bool:
        """Whether an attempt has no cluster of its own that is still being taken down."""
        with self._database.read() as connection:
            cluster = cluster_rows.get_of_attempt(connection, attempt_id)
        return cluster is None or cluster.state not in ACTIVE

    def library_statuses(self, actor: Principal, cluster: Cluster) -> list[LibraryStatus]:
        """Where the libraries of a cluster stand; those of one that is up begin to be installed."""
        spec = cluster.spec
        if not spec.libraries:
            return []
        if cluster.is_up:
            self._packages.prepare(actor, spec.libraries, spec.packages)
        return self._packages.statuses(actor, spec.libraries, spec.packages)

    def find(self, attempt_ids: Collection[AttemptId]) -> dict[AttemptId, UsedCluster]:
        """What attempts have or had, and of which clusters; for showing it."""
        if not attempt_ids:
            return {}
        with self._database.read() as connection:
            return {
                use.attempt_id: UsedCluster(use, cluster)
                for use, cluster in cluster_rows.find_uses(connection, attempt_ids)
            }

    # -- attaching --------------------------------------------------------------------------

    def _wanted(self, request: UseRequest) -> tuple[tuple[Library, ...], str | None]:
        """Libraries and environment of an attempt, its cluster's among them."""
        compute = request.compute or Compute()
        libraries = compute.libraries
        environment = compute.environment
        spec = self._spec_of(compute)
        if spec is not None:
            libraries = tuple(dict.fromkeys((*spec.libraries, *libraries)))
            environment = environment or spec.packages
        if request.submits:  # its runner brings the classes along
            libraries = tuple(each for each in libraries if each.kind not in _CLASSES)
        return libraries, environment

    def _prepare(self, request: UseRequest) -> Prepared:
        libraries, environment = self._wanted(request)
        if not libraries and environment is None:
            return Prepared()
        return self._packages.prepare(request.actor, libraries, environment)

    def _spec_of(self, compute: Compute) -> ClusterSpec | None:
        if compute.cluster_id is None:
            return compute.new_cluster
        with self._database.read() as connection:
            cluster = cluster_rows.get_cluster(connection, ClusterId(compute.cluster_id))
        return cluster.spec if cluster is not None else None

    def _attach(self, request: UseRequest) -> tuple[ClusterUse, Cluster] | Answer:
        """Bind an attempt to its cluster, which is started when it is down."""
        now = self._clock.now()
        try:
            with self._database.write() as connection:
                known = cluster_rows.find_use(connection, request.attempt_id)
                cluster, notices = self._choose(connection, request)
                if known is not None and known.released_at is None:
                    return known, cluster
                if cluster.state is ClusterState.TERMINATING:
                    message = f"Waiting for cluster {cluster.id} to end before it is started again."
                    return Answer(UseState.PENDING, message, cluster=cluster)
                if cluster.state not in ACTIVE:
                    if not is_lazy(cluster.spec):
                        self._clusters.budget.check(cluster.spec)
                    cluster = self._clusters.begin(connection, cluster, user=request.actor.name)
                use = ClusterUse(
                    attempt_id=request.attempt_id,
                    cluster_id=cluster.id,
                    session_key=_session_key(request),
                    generation=None,
                    cause=None,
                    message="",
                    notices=notices,
                    attached_at=now,
                    released_at=None,
                )
                cluster_rows.replace_use(connection, use)
                cluster_rows.update_cluster(connection, cluster.id, {"last_activity_at": now})
        except Unavailable:
            raise
        except QuireError as error:
            return Answer(UseState.FAILED, error.message, "cluster_failed")
        return use, cluster

    def _choose(
        self, connection: Connection, request: UseRequest
    ) -> tuple[Cluster, tuple[str, ...]]:
        """The cluster an attempt runs on, locked, and what is to be said of it."""
        compute = request.compute or Compute()
        if compute.cluster_id is not None:
            wanted = ClusterId(compute.cluster_id)
            cluster = cluster_rows.get_cluster(connection, wanted, lock=True)
            if cluster is None or cluster.removed_at is not None:
                notice = (
                    f"There is no cluster {wanted}; the run uses the cluster this server shares "
                    "among runs."
                )
                return self._shared(connection), (notice,)
            if self._clusters.right_of(connection, request.actor, cluster) is None:
                raise _Forbidden(f"{request.actor.name} may not run on cluster {wanted}.")
            return cluster, self._notices(cluster.spec)
        if compute.new_cluster is not None:
            cluster = cluster_rows.get_of_attempt(connection, request.attempt_id, lock=True)
            if cluster is None:
                spec = check_spec(compute.new_cluster)
                if not spec.name:
                    spec = replace(spec, name=f"job-run-{request.run_id}")
                self._clusters.budget.check(spec)
                cluster = self._clusters.create_in(
                    connection,
                    replace(
                        spec,
                        labels=(),
                        autotermination_seconds=None,
                        has_application=not request.submits,
                    ),
                    owner=request.actor,
                    source=ClusterSource.JOB,
                    run_id=request.run_id,
                    attempt_id=request.attempt_id,
                )
            return cluster, self._notices(cluster.spec)
        return self._shared(connection), ()

    def _shared(self, connection: Connection) -> Cluster:
        """The cluster of runs that name none; made when first needed, one for each host."""
        lock_shared_cluster(connection)
        cluster = cluster_rows.get_shared(connection, self._drivers.host)
        if cluster is not None:
            return cluster
        spec = ClusterSpec(
            name=SHARED_NAME,
            autotermination_seconds=self._settings.shared_cluster_idle_seconds or None,
        )
        return self._clusters.create_in(connection, spec, owner=None, source=ClusterSource.SHARED)

    def _notices(self, spec: ClusterSpec) -> tuple[str, ...]:
        cap = self._clusters.budget.worker_cap(spec)
        if spec.least_workers > cap and spec.master is None:
            return (
                f"The cluster has {cap} workers, not {spec.least_workers}: more do not fit here.",
            )
        return ()

    # -- judging ----------------------------------------------------------------------------

    def _judge(
        self, request: UseRequest, use: ClusterUse, cluster: Cluster, *, spark: bool
    ) -> Answer:
        if use.cause is not None:
            return Answer(UseState.FAILED, use.message, _engine_cause(use.cause), cluster)
        match cluster.state:
            case ClusterState.PENDING | ClusterState.RESTARTING:
                message = cluster.message or f"Waiting for cluster {cluster.id}."
                return Answer(UseState.PENDING, message, cluster=cluster)
            case ClusterState.RUNNING | ClusterState.RESIZING:
                return self._judge_running(request, use, cluster, spark=spark)
            case _:
                message = cluster.message or f"Cluster {cluster.id} has ended."
                return Answer(UseState.FAILED, message, _engine_cause(cluster.cause), cluster)

    def _judge_running(
        self, request: UseRequest, use: ClusterUse, cluster: Cluster, *, spark: bool
    ) -> Answer:
        lazy = is_lazy(cluster.spec)
        master = cluster.spec.master
        if request.submits and lazy:
            target = self._drivers.local_target(cluster)
            return Answer(UseState.READY, cluster=cluster, submit=target)
        if lazy and not spark and use.generation is None:
            return Answer(UseState.READY, cluster=cluster, lazy=True)
        if master is not None and master.startswith("sc://"):
            remote = {"remote": master, "session_tag": use.session_key, "job_group": request.group}
            return Answer(UseState.READY, cluster=cluster, spark=remote)
        if cluster.host is not None and cluster.host != self._drivers.host:
            message = f"Cluster {cluster.id} belongs to another host of this server."
            return Answer(UseState.FAILED, message, "cluster_failed", cluster)
        if cluster.driver_state is not DriverState.READY:
            if not cluster.wants_spark:
                with self._database.write() as connection:
                    cluster_rows.update_cluster(connection, cluster.id, {"wants_spark": True})
                self._drivers.wake()
            message = cluster.message or f"Waiting for Spark of cluster {cluster.id}."
            return Answer(UseState.PENDING, message, cluster=cluster)
        return self._open(request, use, cluster)

    def _open(self, request: UseRequest, use: ClusterUse, cluster: Cluster) -> Answer:
        """The door to a driver that is ready."""
        driver = self._drivers.driver_of(cluster)
        waiting = Answer(UseState.PENDING, f"Waiting for Spark of cluster {cluster.id}.")
        if driver is None:
            self._drivers.wake()
            return waiting
        if use.generation == cluster.generation and (report := driver.report()).phase in _OVER:
            self._drivers.wake()
            why = f": {report.message}" if report.message else ""
            message = f"The Spark driver of cluster {cluster.id} died{why}."
            return Answer(UseState.FAILED, message, "driver_lost", cluster)
        if not driver.alive():
            self._drivers.wake()
            return waiting
        try:
            if request.submits:
                answer = Answer(UseState.READY, cluster=cluster, submit=driver.submit_target())
            else:
                gateway = driver.gateway(request.group, use.session_key, request.kernel)
                door = _door(gateway, request, use)
                answer = Answer(UseState.READY, cluster=cluster, spark=door)
        except Unavailable:
            self._drivers.wake()
            return waiting
        # Not before it has answered: what dies first is no loss to an attempt that had nothing.
        if use.generation != cluster.generation and not self._note_driver(use, cluster):
            return waiting
        return answer

    def _note_driver(self, use: ClusterUse, cluster: Cluster) -> bool:
        """Note which driver an attempt works with; False when it is the cluster's no more."""
        with self._database.write() as connection:
            locked = cluster_rows.get_cluster(connection, cluster.id, lock=True)
            if (
                locked is None
                or locked.generation != cluster.generation
                or locked.driver_state is not DriverState.READY
            ):
                return False
            facts = {"generation": cluster.generation}
            cluster_rows.update_use(connection, use.attempt_id, facts)
        return True

    def _with_jars(self, answer: Answer, cluster: Cluster, jars: Sequence[str]) -> Answer:
        """An answer that is ready, once the driver has the run's classes."""
        driver = self._drivers.driver_of(cluster)
        if driver is None:
            if cluster.spec.master is not None and cluster.spec.master.startswith("sc://"):
                message = "JARs cannot be added to a Spark Connect server from here."
                return Answer(UseState.FAILED, message, "library_failed", cluster)
            return Answer(UseState.PENDING, f"Waiting for Spark of cluster {cluster.id}.")
        try:
            driver.add_jars(jars)
        except Unavailable:
            self._drivers.wake()
            return Answer(UseState.PENDING, f"Waiting for Spark of cluster {cluster.id}.")
        except InvalidState as error:
            return Answer(UseState.FAILED, error.message, "library_failed", cluster)
        return answer


class _Forbidden(QuireError):
    """The run may not use the cluster it names."""

    code = "permission_denied"


def _names_cluster(compute: Compute | None) -> bool:
    return compute is not None and (
        compute.cluster_id is not None or compute.new_cluster is not None
    )


def _group(attempt_id: AttemptId, kernel: RunnerIdentity | None) -> str:
    """Names a user of a driver: an attempt, or a kernel that serves one run after the other."""
    return f"attempt-{attempt_id}" if kernel is None else f"kernel-{kernel.pid}-{kernel.started}"


def _session_key(request: UseRequest) -> str | None:
    """Names a shared session; those of different users never meet."""
    if request.compute is None or not request.compute.session_tag:
        return None
    text = f"{request.actor.id}:{request.compute.session_tag}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _door(gateway: SparkGateway, request: UseRequest, use: ClusterUse) -> dict[str, Any]:
    return {
        "host": gateway.host,
        "port": gateway.port,
        "secret": gateway.secret,
        "spark_home": gateway.spark_home,
        "java_home": gateway.java_home,
        "environment": dict(gateway.environment),
        "session_tag": use.session_key,
        "job_group": request.group,
    }


def _engine_cause(cause: ClusterCause | None) -> str:
    """The engine's word for what happened to a run's cluster."""
    match cause:
        case ClusterCause.DRIVER_UNREACHABLE | ClusterCause.HOST_LOST:
            return "driver_lost"
        case _:
            return "cluster_failed"


def _spark_version(spec: ClusterSpec) -> str | None:
    """The version of Spark that was asked for, in the words of who asked."""
    for words in spec.vendor.values():
        if isinstance(words, Mapping) and isinstance(words.get("spark_version"), str):
            return str(words["spark_version"])
    return None
