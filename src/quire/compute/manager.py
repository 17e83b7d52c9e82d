"""Brings clusters to where they are wanted: starts, watches, restarts, resizes and ends drivers.

One loop looks at every active cluster of this host. All it knows is stored or lies in the drivers'
folders, so a server that starts goes on where a killed one stopped: drivers live on, and are found
by folder, process number and start time. What no cluster names is ended and removed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from quire.clock import Clock
from quire.compute.clusters import Clusters
from quire.compute.hosts import Hosts
from quire.compute.launcher import Driver, Launcher, SubmitTarget
from quire.compute.lifecycle import end_state, move
from quire.compute.logs import LogDelivery
from quire.compute.models import (
    Cluster,
    ClusterCause,
    ClusterEventType,
    ClusterState,
    DriverState,
)
from quire.compute.startup import ScriptReader, Startup, is_remote
from quire.compute.upkeep import Upkeep
from quire.compute.watch import Watch, is_due
from quire.compute.writer import NO_DRIVER, ClusterWriter
from quire.errors import QuireError, Unavailable
from quire.ids import AttemptId, ClusterId
from quire.loop import BackgroundLoop
from quire.settings import Settings
from quire.store import cluster_events as event_rows
from quire.store import clusters as cluster_rows
from quire.store.database import Database

__all__ = ["ClusterManager"]

_LOG = structlog.get_logger(__name__)
_BUSY_SECONDS = 0.1
_IDLE_SECONDS = 1.0
_REST_SECONDS = 5.0
_STOP_GRACE_SECONDS = 10.0
_HEALTH_SECONDS = 2.0
_SWEEP_SECONDS = 60.0
_REMOVED_AT_ONCE = 1000

_S = ClusterState


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
        self._release = release
        self._writer = ClusterWriter(database, clock, clusters, launcher.host)
        self._startup = Startup(
            database, clock, settings, clusters, launcher, self._writer, read_script
        )
        self._upkeep = Upkeep(database, clock, clusters, self._writer, self._deliver_logs)
        self._hosts = Hosts(database, clock, clusters, launcher.host)
        self._lock = threading.Lock()
        self._watches: dict[ClusterId, Watch] = {}
        self._swept_at: datetime | None = None
        self.loop = BackgroundLoop("clusters", self.round)

    # -- what requests ask of it ------------------------------------------------------------

    @property
    def host(self) -> str:
        return self._launcher.host

    def wake(self) -> None:
        self.loop.wake()

    def driver_of(self, cluster: Cluster) -> Driver | None:
        """The present driver of a cluster of this host; None when it has none."""
        with self._lock:
            watch = self._watches.get(cluster.id)
        driver = watch.driver_of(cluster.generation) if watch is not None else None
        if driver is None and cluster.driver is not None and cluster.host == self.host:
            # Another server of this host looks after it, or this one has not looked yet.
            return self._launcher.adopt(cluster.driver)
        return driver

    def local_target(self, cluster: Cluster) -> SubmitTarget:
        """Where programs are submitted on a cluster that needs no driver."""
        return self._launcher.local_target(self._startup.plan(cluster))

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
        self._hosts.look(active)
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
            self._writer.end(cluster, ClusterCause.INTERNAL_ERROR, f"The server failed: {error}")
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
                return self._writer.move(cluster, _S.RUNNING)
            case _S.PENDING | _S.RESTARTING:
                return self._startup.bring_up(cluster, watch)
            case _:
                return self._keep_up(cluster, watch)

    # -- staying up -------------------------------------------------------------------------

    def _keep_up(self, cluster: Cluster, watch: Watch) -> bool:
        if is_remote(cluster):
            return self._upkeep.end_when_idle(cluster)
        if not cluster.wants_spark:
            if cluster.state is _S.RESIZING:
                return self._writer.move(cluster, _S.RUNNING, event=ClusterEventType.RESIZED)
            return self._upkeep.end_when_idle(cluster)
        if watch.driver is None or cluster.driver_state is not DriverState.READY:
            return self._startup.bring_up(cluster, watch)
        if not watch.driver.alive():
            self._upkeep.lose(cluster, watch)
            return True
        now = self._clock.now()
        resizing = cluster.state is _S.RESIZING
        has_workers = cluster.spec.most_workers > 0 and cluster.spec.master is None
        if resizing or (has_workers and is_due(watch.looked_at, now, _HEALTH_SECONDS)):
            watch.looked_at = now
            self._upkeep.check_workers(cluster, watch)
        if self._logs.wanted(cluster) and is_due(
            watch.logs_at, now, self._settings.cluster_log_seconds
        ):
            if watch.logs_at is not None:
                self._deliver_logs(cluster, watch.driver)
            watch.logs_at = now
        return self._upkeep.end_when_idle(cluster) or resizing

    # -- going down -------------------------------------------------------------------------

    def _take_down(self, cluster: Cluster, watch: Watch) -> bool:
        """End what a cluster has; then it is down, for the cause that is already known."""
        driver = watch.driver
        if driver is not None and not self._is_gone(watch, driver):
            return True
        if driver is not None:
            self._deliver_logs(cluster, driver)
            driver.remove()
            watch.hold(None)
        with self._database.write() as connection:
            locked = cluster_rows.get_cluster(connection, cluster.id, lock=True)
            if locked is not None and locked.state is _S.TERMINATING:
                target = end_state(locked.cause)
                move(connection, locked, target, self._clock.now(), message=locked.message)
        return False

    def _stop_old(self, cluster: Cluster, watch: Watch) -> bool:
        """A restart: the driver that was there goes before the next one starts."""
        assert watch.driver is not None
        if self._is_gone(watch, watch.driver):
            self._deliver_logs(cluster, watch.driver)
            watch.driver.remove()
            watch.hold(None)
            with self._database.write() as connection:
                cluster_rows.update_cluster(connection, cluster.id, NO_DRIVER)
        return True

    def _is_gone(self, watch: Watch, driver: Driver) -> bool:
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
            self._writer.note(
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
        if not is_due(self._swept_at, now, _SWEEP_SECONDS):
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
            cluster_rows.delete_old(connection, before, _REMOVED_AT_ONCE)
            event_rows.delete_old_events(connection, before, _REMOVED_AT_ONCE)

    def _forget(self, present: set[ClusterId]) -> None:
        with self._lock:
            for cluster_id in self._watches.keys() - present:
                del self._watches[cluster_id]

    def _watch(self, cluster: Cluster) -> Watch:
        """What is remembered of a cluster; a driver of an earlier server is found again."""
        with self._lock:
            watch = self._watches.setdefault(cluster.id, Watch())
        # A start that was not written down to its end is made again; what it left is swept.
        if watch.driver is None and cluster.driver is not None:
            driver = self._launcher.adopt(cluster.driver)
            watch.hold(driver, cluster.generation)
        return watch
