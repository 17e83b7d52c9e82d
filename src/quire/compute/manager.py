"""Brings clusters to where they are wanted: starts, watches, restarts, resizes and ends drivers.

One loop looks at every active cluster of this host. All it knows is stored or lies in the drivers'
folders, so a server that starts goes on where a killed one stopped: drivers live on, and are found
by folder, process number and start time. What no cluster names is ended and removed.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Connection

from quire.clock import Clock
from quire.compute.checks import is_lazy
from quire.compute.clusters import Clusters
from quire.compute.launcher import (
    Driver,
    DriverPhase,
    DriverPlan,
    DriverReport,
    Launcher,
    SubmitTarget,
)
from quire.compute.lifecycle import change, end_state, move, note
from quire.compute.logs import LogDelivery
from quire.compute.models import (
    Cluster,
    ClusterCause,
    ClusterEventType,
    ClusterState,
    DriverState,
    InitScript,
)
from quire.errors import QuireError, QuotaExceeded, Unavailable
from quire.ids import AttemptId, ClusterId
from quire.loop import BackgroundLoop
from quire.settings import Settings
from quire.store import clusters as cluster_rows
from quire.store.database import Database
from quire.store.values import read_value, write_value

__all__ = ["ClusterManager", "ScriptReader"]

ScriptReader = Callable[[Cluster, InitScript], bytes]
"""Reads an initialization script with the rights of its cluster's owner; raises QuireError."""

_LOG = structlog.get_logger(__name__)
_BUSY_SECONDS = 0.1
_IDLE_SECONDS = 1.0
_REST_SECONDS = 5.0
_STOP_GRACE_SECONDS = 10.0
_HEALTH_SECONDS = 2.0
_SWEEP_SECONDS = 60.0
_HEARTBEAT_SECONDS = 20.0
_HOST_PATIENCE = timedelta(seconds=120)
_CRASHES_ALLOWED = 3
_CRASH_WINDOW = timedelta(minutes=10)

_S = ClusterState


class _Watch:
    """What the manager remembers of one cluster; nothing of it is missed after a restart."""

    def __init__(self) -> None:
        self.driver: Driver | None = None
        self.generation = 0
        self.stop_by: datetime | None = None
        self.looked_at: datetime | None = None
        self.logs_at: datetime | None = None
        self.lost_workers = 0
        self.crashes: list[datetime] = []


class ClusterManager:
    """Looks after the clusters of one host."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        settings: Settings,
        clusters: Clusters,
        launcher: Launcher,
        logs: LogDelivery,
        read_script: ScriptReader,
        *,
        release: Callable[[AttemptId], None],
    ) -> None:
        """``release`` takes back what an attempt that is over still has."""
        self._database = database
        self._clock = clock
        self._settings = settings
        self._clusters = clusters
        self._launcher = launcher
        self._logs = logs
        self._read_script = read_script
        self._release = release
        self._lock = threading.Lock()
        self._watches: dict[ClusterId, _Watch] = {}
        self._swept_at: datetime | None = None
        self._seen_at: datetime | None = None
        self.loop = BackgroundLoop("clusters", self.round)

    # -- what requests ask of it ------------------------------------------------------------

    @property
    def host(self) -> str:
        return self._launcher.host

    def wake(self) -> None:
        self.loop.wake()

    def driver_of(self, cluster: Cluster) -> Driver | None:
        """The present driver of a cluster, None when this server does not hold it."""
        with self._lock:
            watch = self._watches.get(cluster.id)
            if watch is None or watch.generation != cluster.generation:
                return None
            return watch.driver

    def local_target(self, cluster: Cluster) -> SubmitTarget:
        """Where programs are submitted on a cluster that needs no driver."""
        return self._launcher.local_target(self._plan(cluster, scripts=()))

    def close(self) -> None:
        """Let go. Drivers of clusters go on."""
        self.loop.close()
        self._launcher.close()

    # -- the loop ---------------------------------------------------------------------------

    def round(self) -> float:
        """Look once at everything; how long until the next look."""
        if not self._launcher.claim():
            return _IDLE_SECONDS
        self._launcher.keep_warm(self._settings.spark_warm_drivers)
        self._reconcile()
        with self._database.read() as connection:
            active = cluster_rows.list_active(connection)
        mine = [each for each in active if each.host in (None, self.host)]
        busy = False
        for cluster in mine:
            if self.loop.stopping:
                break
            busy |= self._tend_safely(cluster)
        self._watch_hosts(active)
        self._forget({each.id for each in mine})
        self._sweep(active)
        if busy:
            return _BUSY_SECONDS
        return _IDLE_SECONDS if mine else _REST_SECONDS

    def _tend_safely(self, cluster: Cluster) -> bool:
        try:
            return self._tend(cluster)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one cluster must not hold up the others
            _LOG.exception("clusters.failed", cluster=cluster.id)
            self._end(cluster, ClusterCause.INTERNAL_ERROR, f"The server failed: {error}")
            return True

    def _tend(self, cluster: Cluster) -> bool:
        """One step towards what is wanted of a cluster; whether more is to follow soon."""
        watch = self._watch(cluster)
        match cluster.state:
            case _S.TERMINATING:
                return self._take_down(cluster, watch)
            case _S.RESTARTING if (
                watch.driver is not None and cluster.driver_state is DriverState.NONE
            ):
                return self._stop_old(cluster, watch)
            case _S.PENDING | _S.RESTARTING if not cluster.wants_spark:
                return self._move(cluster, _S.RUNNING)
            case _S.PENDING | _S.RESTARTING:
                return self._bring_up(cluster, watch)
            case _:
                return self._keep_up(cluster, watch)

    # -- coming up --------------------------------------------------------------------------

    def _bring_up(self, cluster: Cluster, watch: _Watch) -> bool:
        """Start the driver that is wanted, or see how far it is."""
        if _is_remote(cluster):
            self._move(cluster, _S.RUNNING, facts={"driver_state": DriverState.READY})
            return True
        if watch.driver is None:
            return self._start(cluster, watch)
        if cluster.driver is None:
            self._record(cluster, watch.driver)
        report = watch.driver.report()
        if report.phase is DriverPhase.STARTING and report.message:
            self._say(cluster, report.message)
        if report.phase is DriverPhase.READY:
            self._take_ready(cluster, report)
            return True
        if report.phase is DriverPhase.GONE:
            cause = report.cause or ClusterCause.SPARK_STARTUP_FAILURE
            if cause is ClusterCause.DRIVER_UNREACHABLE:
                cause = ClusterCause.SPARK_STARTUP_FAILURE
            self._end(cluster, cause, report.message or "Spark did not come up.")
        elif self._is_overdue(cluster):
            seconds = self._settings.cluster_start_seconds
            self._end(
                cluster,
                ClusterCause.SPARK_STARTUP_FAILURE,
                f"Spark did not come up within {seconds:g} seconds. {report.message}".strip(),
            )
        return True

    def _start(self, cluster: Cluster, watch: _Watch) -> bool:
        """Start a driver: written down first, so that a killed server leaves nothing unknown."""
        with self._database.read() as connection:
            others = [
                each for each in cluster_rows.list_active(connection) if each.id != cluster.id
            ]
        try:
            self._clusters.budget.check(cluster.spec, others)
        except QuotaExceeded as error:
            self._say(cluster, f"Waiting for memory. {error.message}")
            return False
        try:
            scripts = tuple(
                (f"{number}_{Path(script.destination).name}", self._read_script(cluster, script))
                for number, script in enumerate(cluster.spec.init_scripts)
            )
        except Unavailable:
            raise
        except QuireError as error:
            message = f"An initialization script cannot be read: {error.message}"
            self._end(cluster, ClusterCause.INIT_SCRIPT_FAILURE, message)
            return True
        generation = cluster.generation + 1
        plan = self._plan(cluster, scripts, generation)
        facts = {
            "host": self.host,
            "generation": generation,
            "driver_state": DriverState.STARTING,
            "driver_started_at": self._clock.now(),
            "worker_count": 0,
        }
        details = {"workers": plan.workers, "scripts": len(scripts) or None}
        if not self._change(cluster, facts, ClusterEventType.DRIVER_STARTING, details):
            return True
        if plan.workers < cluster.spec.least_workers and cluster.spec.master is None:
            self._note(
                cluster,
                ClusterEventType.NOTICE,
                f"It has {plan.workers} workers, not {cluster.spec.least_workers}: more do not "
                "fit here.",
            )
        try:
            driver = self._launcher.start(plan)
        except (QuireError, OSError) as error:
            self._end(cluster, ClusterCause.SPARK_STARTUP_FAILURE, f"Spark cannot start: {error}")
            return True
        with self._lock:
            watch.driver, watch.generation = driver, generation
            watch.lost_workers = 0
        self._record(cluster, driver)
        return True

    def _record(self, cluster: Cluster, driver: Driver) -> None:
        """Write down where a driver is found again."""
        facts = {
            "driver_folder": str(driver.folder),
            "driver_pid": driver.pid,
            "driver_started": driver.started,
        }
        with self._database.write() as connection:
            cluster_rows.update_cluster(connection, cluster.id, facts)

    def _take_ready(self, cluster: Cluster, report: DriverReport) -> None:
        now = self._clock.now()
        with self._database.write() as connection:
            locked = cluster_rows.get_cluster(connection, cluster.id, lock=True)
            if locked is None or locked.generation != cluster.generation:
                return
            facts = {"driver_state": DriverState.READY, "worker_count": report.workers}
            details = {"workers": report.workers}
            if locked.state in (_S.PENDING, _S.RESTARTING):
                change(connection, locked, facts, now, ClusterEventType.DRIVER_HEALTHY, details)
                move(connection, locked, _S.RUNNING, now, details=details)
            elif locked.is_up:
                facts |= {"message": "", "last_activity_at": now}
                change(connection, locked, facts, now, ClusterEventType.DRIVER_HEALTHY, details)

    # -- staying up -------------------------------------------------------------------------

    def _keep_up(self, cluster: Cluster, watch: _Watch) -> bool:
        if _is_remote(cluster):
            return self._end_when_idle(cluster)
        if not cluster.wants_spark:
            if cluster.state is _S.RESIZING:
                return self._move(cluster, _S.RUNNING, event=ClusterEventType.RESIZED)
            return self._end_when_idle(cluster)
        if watch.driver is None or cluster.driver_state is not DriverState.READY:
            return self._bring_up(cluster, watch)
        if not watch.driver.alive():
            self._lose(cluster, watch)
            return True
        now = self._clock.now()
        resizing = cluster.state is _S.RESIZING
        if resizing or self._is_due(watch.looked_at, now, _HEALTH_SECONDS):
            watch.looked_at = now
            self._check_workers(cluster, watch)
        if self._logs.wanted(cluster) and self._is_due(
            watch.logs_at, now, self._settings.cluster_log_seconds
        ):
            if watch.logs_at is not None:
                self._deliver_logs(cluster, watch.driver)
            watch.logs_at = now
        return self._end_when_idle(cluster) or resizing

    def _check_workers(self, cluster: Cluster, watch: _Watch) -> None:
        """See how many workers run, and ask for as many as are wanted."""
        assert watch.driver is not None
        report = watch.driver.report()
        if report.phase is not DriverPhase.READY:
            return
        now = self._clock.now()
        wanted = self._workers(cluster)
        if report.lost_workers > watch.lost_workers:
            lost = report.lost_workers - watch.lost_workers
            watch.lost_workers = report.lost_workers
            message = f"{lost} of its workers died and {'is' if lost == 1 else 'are'} replaced."
            self._note(cluster, ClusterEventType.WORKER_LOST, message)
        if cluster.state is _S.RESIZING:
            self._resize(cluster, watch.driver, report, wanted)
        elif report.workers != cluster.worker_count:
            event = ClusterEventType.AUTOSCALED if cluster.spec.autoscale else None
            details = {"workers": report.workers, "previous": cluster.worker_count}
            with self._database.write() as connection:
                locked = cluster_rows.get_cluster(connection, cluster.id, lock=True)
                if locked is not None and locked.is_up:
                    facts = {"worker_count": report.workers}
                    change(connection, locked, facts, now, event, details)

    def _resize(self, cluster: Cluster, driver: Driver, report: DriverReport, wanted: int) -> None:
        if cluster.spec.autoscale is not None:
            reached = wanted <= report.workers <= self._most_workers(cluster)
            wanted = min(max(report.workers, wanted), self._most_workers(cluster))
        else:
            reached = report.workers == wanted
        if reached:
            self._move(
                cluster,
                _S.RUNNING,
                event=ClusterEventType.RESIZED,
                facts={"worker_count": report.workers},
                details={"workers": report.workers},
            )
        else:
            driver.set_workers(wanted)

    def _lose(self, cluster: Cluster, watch: _Watch) -> None:
        """A driver that was ready has died: tell its runs, and have it replaced when needed."""
        assert watch.driver is not None
        report = watch.driver.report()
        now = self._clock.now()
        why = f": {report.message.rstrip('.')}" if report.message else ""
        message = f"The Spark driver of cluster {cluster.id} died{why}."
        watch.crashes = [at for at in watch.crashes if now - at < _CRASH_WINDOW] + [now]
        if self._logs.wanted(cluster):
            self._deliver_logs(cluster, watch.driver)
        watch.driver.kill()  # its workers, should any be left
        watch.driver.remove()
        with self._lock:
            watch.driver = None
        with self._database.write() as connection:
            locked = cluster_rows.get_cluster(connection, cluster.id, lock=True)
            if locked is None or not locked.is_up or locked.generation != cluster.generation:
                return
            cluster_rows.fail_uses(
                connection,
                cluster.id,
                generation=cluster.generation,
                cause=ClusterCause.DRIVER_UNREACHABLE,
                message=message,
                waiting_too=False,
            )
            cause = (report.cause or ClusterCause.DRIVER_UNREACHABLE).value
            details = {"cause": cause, "message": message}
            note(connection, locked, ClusterEventType.DRIVER_CRASHED, now, details)
            if len(watch.crashes) > _CRASHES_ALLOWED:
                message = f"{message} It did so {len(watch.crashes)} times in ten minutes."
                self._clusters.end(connection, locked, ClusterCause.DRIVER_UNREACHABLE, message)
                return
            eager = not is_lazy(locked.spec)
            facts = {**_NO_DRIVER, "wants_spark": eager}
            if eager:
                move(connection, locked, _S.RESTARTING, now, message=message, facts=facts)
            else:
                change(connection, locked, facts, now)

    def _end_when_idle(self, cluster: Cluster) -> bool:
        limit = cluster.spec.autotermination_seconds
        now = self._clock.now()
        if limit is None or now - cluster.last_activity_at < timedelta(seconds=limit):
            return False
        with self._database.write() as connection:
            locked = cluster_rows.get_cluster(connection, cluster.id, lock=True)
            if locked is None or not locked.is_up:
                return True
            if cluster_rows.list_uses(connection, cluster.id):
                cluster_rows.update_cluster(connection, cluster.id, {"last_activity_at": now})
                return False
            idle = now - locked.last_activity_at
            if idle < timedelta(seconds=limit):
                return False
            self._clusters.end(
                connection,
                locked,
                ClusterCause.INACTIVITY,
                f"Ended after {int(idle.total_seconds())} seconds without a run.",
            )
        return True

    # -- going down -------------------------------------------------------------------------

    def _take_down(self, cluster: Cluster, watch: _Watch) -> bool:
        """End what a cluster has; then it is down, for the cause that is already known."""
        driver = watch.driver
        if driver is not None and not self._is_gone(watch, driver):
            return True
        if driver is not None:
            self._deliver_logs(cluster, driver)
            driver.remove()
            with self._lock:
                watch.driver = None
        with self._database.write() as connection:
            locked = cluster_rows.get_cluster(connection, cluster.id, lock=True)
            if locked is not None and locked.state is _S.TERMINATING:
                target = end_state(locked.cause)
                move(connection, locked, target, self._clock.now(), message=locked.message)
        return False

    def _stop_old(self, cluster: Cluster, watch: _Watch) -> bool:
        """A restart: the driver that was there goes before the next one starts."""
        assert watch.driver is not None
        if self._is_gone(watch, watch.driver):
            self._deliver_logs(cluster, watch.driver)
            watch.driver.remove()
            with self._lock:
                watch.driver = None
            with self._database.write() as connection:
                cluster_rows.update_cluster(connection, cluster.id, _NO_DRIVER)
        return True

    def _is_gone(self, watch: _Watch, driver: Driver) -> bool:
        """Whether a driver that is to go has gone; asked first, killed when it takes its time."""
        now = self._clock.now()
        if watch.stop_by is None:
            watch.stop_by = now + timedelta(seconds=_STOP_GRACE_SECONDS)
            driver.stop()
        if driver.alive() and now < watch.stop_by:
            return False
        driver.kill()
        watch.stop_by = None
        return True

    def _deliver_logs(self, cluster: Cluster, driver: Driver) -> None:
        if not self._logs.wanted(cluster):
            return
        try:
            self._logs.deliver(cluster, driver)
        except QuireError as error:
            self._note(
                cluster, ClusterEventType.NOTICE, f"Its logs cannot be delivered: {error.message}"
            )

    # -- order ------------------------------------------------------------------------------

    def _reconcile(self) -> None:
        """Take back what attempts that are over still have."""
        with self._database.read() as connection:
            attempts = cluster_rows.list_orphaned_uses(connection)
            orphaned = cluster_rows.list_orphaned(connection)
        for attempt_id in attempts:
            self._release(attempt_id)
        for cluster_id in orphaned:
            with self._database.write() as connection:
                cluster = cluster_rows.get_cluster(connection, cluster_id, lock=True)
                if cluster is not None:
                    self._clusters.end(
                        connection, cluster, ClusterCause.JOB_FINISHED, "Its run has ended."
                    )

    def _sweep(self, active: list[Cluster]) -> None:
        """Remove what no cluster names: processes, folders, definitions kept long enough."""
        now = self._clock.now()
        if not self._is_due(self._swept_at, now, _SWEEP_SECONDS):
            return
        self._swept_at = now
        known = [Path(each.driver.folder) for each in active if each.driver is not None]
        with self._lock:
            known += [
                watch.driver.folder for watch in self._watches.values() if watch.driver is not None
            ]
        self._launcher.sweep(known)
        before = now - timedelta(days=self._settings.cluster_retention_days)
        with self._database.write() as connection:
            cluster_rows.delete_old(connection, before, 100)

    def _watch_hosts(self, active: list[Cluster]) -> None:
        """Say that this host is there; end clusters of hosts that have not said so for long."""
        now = self._clock.now()
        hosts = {each.host for each in active if each.host is not None}
        if not hosts or not self._is_due(self._seen_at, now, _HEARTBEAT_SECONDS):
            return
        self._seen_at = now
        with self._database.write() as connection:
            write_value(connection, _heartbeat(self.host), now.isoformat())
            silent = set()
            for host in hosts - {self.host}:
                seen = read_value(connection, _heartbeat(host))
                if seen is None:
                    write_value(connection, _heartbeat(host), now.isoformat())
                elif now - datetime.fromisoformat(seen) > _HOST_PATIENCE:
                    silent.add(host)
            for each in active:
                if each.host in silent:
                    self._give_up(connection, each, now)

    def _give_up(self, connection: Connection, cluster: Cluster, now: datetime) -> None:
        locked = cluster_rows.get_cluster(connection, cluster.id, lock=True)
        if locked is None or locked.host != cluster.host:
            return
        message = "The host that ran this cluster is not heard of any more."
        if locked.state is not _S.TERMINATING:
            locked = self._clusters.end(connection, locked, ClusterCause.HOST_LOST, message)
        move(connection, locked, end_state(locked.cause), now, message=locked.message)

    def _forget(self, present: set[ClusterId]) -> None:
        with self._lock:
            for cluster_id in self._watches.keys() - present:
                del self._watches[cluster_id]

    def _watch(self, cluster: Cluster) -> _Watch:
        """What is remembered of a cluster; a driver of an earlier server is found again."""
        with self._lock:
            watch = self._watches.setdefault(cluster.id, _Watch())
        # A start that was not written down to its end is made again; what it left is swept.
        if watch.driver is None and cluster.driver is not None:
            driver = self._launcher.adopt(cluster.driver)
            with self._lock:
                watch.driver, watch.generation = driver, cluster.generation
        return watch

    # -- small things -----------------------------------------------------------------------

    def _plan(
        self,
        cluster: Cluster,
        scripts: tuple[tuple[str, bytes], ...],
        generation: int | None = None,
    ) -> DriverPlan:
        return DriverPlan(
            cluster=cluster,
            generation=cluster.generation if generation is None else generation,
            workers=self._workers(cluster),
            most_workers=self._most_workers(cluster),
            driver_memory_bytes=self._clusters.budget.driver_heap(cluster.spec),
            executor_memory_bytes=self._clusters.budget.executor_heap(cluster.spec),
            scripts=scripts,
        )

    def _workers(self, cluster: Cluster) -> int:
        return min(cluster.spec.least_workers, self._clusters.budget.worker_cap(cluster.spec))

    def _most_workers(self, cluster: Cluster) -> int:
        return min(cluster.spec.most_workers, self._clusters.budget.worker_cap(cluster.spec))

    def _is_overdue(self, cluster: Cluster) -> bool:
        begun = cluster.driver.started_at if cluster.driver else cluster.state_changed_at
        limit = timedelta(seconds=self._settings.cluster_start_seconds)
        return self._clock.now() - begun > limit

    @staticmethod
    def _is_due(last: datetime | None, now: datetime, seconds: float) -> bool:
        return last is None or now - last >= timedelta(seconds=seconds)

    def _move(
        self,
        cluster: Cluster,
        target: ClusterState,
        *,
        event: ClusterEventType | None = None,
        facts: Mapping[str, Any] | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> bool:
        """Move a cluster unless somebody did meanwhile; True: look again soon."""
        with self._database.write() as connection:
            locked = cluster_rows.get_cluster(connection, cluster.id, lock=True)
            if locked is not None and locked.state is cluster.state:
                now = self._clock.now()
                move(connection, locked, target, now, event=event, facts=facts, details=details)
        return True

    def _change(
        self,
        cluster: Cluster,
        facts: Mapping[str, Any],
        event: ClusterEventType,
        details: Mapping[str, Any],
    ) -> bool:
        """Set columns unless the cluster was moved meanwhile; whether that was done."""
        with self._database.write() as connection:
            locked = cluster_rows.get_cluster(connection, cluster.id, lock=True)
            if (
                locked is None
                or locked.state is not cluster.state
                or locked.generation != cluster.generation
                or locked.host not in (None, self.host)
            ):
                return False
            change(connection, locked, facts, self._clock.now(), event, details)
        return True

    def _end(self, cluster: Cluster, cause: ClusterCause, message: str) -> None:
        with self._database.write() as connection:
            locked = cluster_rows.get_cluster(connection, cluster.id, lock=True)
            if locked is not None:
                self._clusters.end(connection, locked, cause, message)

    def _note(self, cluster: Cluster, event: ClusterEventType, message: str) -> None:
        with self._database.write() as connection:
            note(connection, cluster, event, self._clock.now(), {"message": message})

    def _say(self, cluster: Cluster, message: str) -> None:
        """Say why a cluster is where it is, when that is news."""
        if cluster.message != message:
            with self._database.write() as connection:
                cluster_rows.update_cluster(connection, cluster.id, {"message": message})


_NO_DRIVER: dict[str, Any] = {
    "driver_state": DriverState.NONE,
    "driver_folder": None,
    "driver_pid": None,
    "driver_started": None,
    "driver_started_at": None,
    "worker_count": 0,
}


def _heartbeat(host: str) -> str:
    """The name of the value that says when a host was last there."""
    return f"compute host {hashlib.sha256(host.encode()).hexdigest()[:32]}"


def _is_remote(cluster: Cluster) -> bool:
    """Whether its Spark is elsewhere, reached by Spark Connect, so that there is no driver."""
    master = cluster.spec.master
    return master is not None and master.startswith("sc://")
