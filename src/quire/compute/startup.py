"""Brings the driver of a cluster up: decides what it is to be, starts it, sees when it is ready."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from quire.clock import Clock
from quire.compute.clusters import Clusters
from quire.compute.launcher import Driver, DriverPhase, DriverPlan, DriverReport, Launcher
from quire.compute.lifecycle import change, move, note
from quire.compute.memory import Budget
from quire.compute.models import (
    Cluster,
    ClusterCause,
    ClusterEventType,
    ClusterState,
    DriverState,
    InitScript,
)
from quire.compute.watch import Watch
from quire.compute.writer import ClusterWriter
from quire.errors import QuireError, QuotaExceeded, Unavailable
from quire.settings import Settings
from quire.store import clusters as cluster_rows
from quire.store.database import Database

__all__ = ["ScriptReader", "Startup", "is_remote", "least_workers", "most_workers"]

ScriptReader = Callable[[Cluster, InitScript], bytes]
"""Reads an initialization script with the rights of its cluster's owner; raises QuireError."""

_S = ClusterState


class Startup:
    """Starts drivers of one host's clusters."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        settings: Settings,
        clusters: Clusters,
        launcher: Launcher,
        writer: ClusterWriter,
        read_script: ScriptReader,
    ) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings
        self._budget = clusters.budget
        self._launcher = launcher
        self._writer = writer
        self._read_script = read_script

    def bring_up(self, cluster: Cluster, watch: Watch) -> bool:
        """Start the driver that is wanted, or see how far it is."""
        if is_remote(cluster):
            self._writer.move(cluster, _S.RUNNING, facts={"driver_state": DriverState.READY})
            return True
        if watch.driver is None:
            return self._start(cluster, watch)
        if cluster.driver is None:
            self._record(cluster, watch.driver)
        report = watch.driver.report()
        if report.phase is DriverPhase.STARTING and report.message:
            self._writer.say(cluster, report.message)
        if report.phase is DriverPhase.READY:
            self._take_ready(cluster, report)
            return True
        if report.phase is DriverPhase.GONE:
            cause = report.cause or ClusterCause.SPARK_STARTUP_FAILURE
            if cause is ClusterCause.DRIVER_UNREACHABLE:
                cause = ClusterCause.SPARK_STARTUP_FAILURE
            self._writer.end(cluster, cause, report.message or "Spark did not come up.")
        elif self._is_overdue(cluster):
            seconds = self._settings.cluster_start_seconds
            self._writer.end(
                cluster,
                ClusterCause.SPARK_STARTUP_FAILURE,
                f"Spark did not come up within {seconds:g} seconds. {report.message}".strip(),
            )
        return True

    def _start(self, cluster: Cluster, watch: Watch) -> bool:
        """Start a driver: written down first, so that a killed server leaves nothing unknown."""
        with self._database.read() as connection:
            others = [
                each
                for each in cluster_rows.list_active(connection)
                if each.id != cluster.id and each.host in (None, self._launcher.host)
            ]
        try:
            self._budget.check(cluster.spec, others)
        except QuotaExceeded as error:
            self._writer.say(cluster, f"Waiting for memory. {error.message}")
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
            self._writer.end(cluster, ClusterCause.INIT_SCRIPT_FAILURE, message)
            return True
        generation = cluster.generation + 1
        plan = self.plan(cluster, scripts, generation)
        facts = {
            "host": self._launcher.host,
            "generation": generation,
            "driver_state": DriverState.STARTING,
            "driver_started_at": self._clock.now(),
            "worker_count": 0,
        }
        details = {"workers": plan.workers}
        if not self._writer.change(cluster, facts, ClusterEventType.DRIVER_STARTING, details):
            return True
        if scripts:
            event = ClusterEventType.INIT_SCRIPTS_STARTED
            self._writer.note(cluster, event, scripts=len(scripts))
        if plan.workers < cluster.spec.least_workers and cluster.spec.master is None:
            self._writer.note(
                cluster,
                ClusterEventType.NOTICE,
                f"It has {plan.workers} workers, not {cluster.spec.least_workers}: more do not "
                "fit here.",
            )
        try:
            driver = self._launcher.start(plan)
        except (QuireError, OSError) as error:
            self._writer.end(
                cluster, ClusterCause.SPARK_STARTUP_FAILURE, f"Spark cannot start: {error}"
            )
            return True
        watch.hold(driver, generation)
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
            if locked.spec.init_scripts:
                note(connection, locked, ClusterEventType.INIT_SCRIPTS_FINISHED, now, {})
            facts = {"driver_state": DriverState.READY, "worker_count": report.workers}
            details = {"workers": report.workers}
            if locked.state in (_S.PENDING, _S.RESTARTING):
                change(connection, locked, facts, now, ClusterEventType.DRIVER_HEALTHY, details)
                move(connection, locked, _S.RUNNING, now, details=details)
            elif locked.is_up:
                facts |= {"message": "", "last_activity_at": now}
                change(connection, locked, facts, now, ClusterEventType.DRIVER_HEALTHY, details)

    def plan(
        self,
        cluster: Cluster,
        scripts: tuple[tuple[str, bytes], ...] = (),
        generation: int | None = None,
    ) -> DriverPlan:
        """What the driver of a cluster is to be."""
        return DriverPlan(
            cluster=cluster,
            generation=cluster.generation if generation is None else generation,
            workers=least_workers(cluster, self._budget),
            most_workers=most_workers(cluster, self._budget),
            driver_memory_bytes=self._budget.driver_heap(cluster.spec),
            executor_memory_bytes=self._budget.executor_heap(cluster.spec),
            scripts=scripts,
        )

    def _is_overdue(self, cluster: Cluster) -> bool:
        begun = cluster.driver.started_at if cluster.driver else cluster.state_changed_at
        limit = timedelta(seconds=self._settings.cluster_start_seconds)
        return self._clock.now() - begun > limit


def least_workers(cluster: Cluster, budget: Budget) -> int:
    """How many workers a cluster has at least, as far as they fit here."""
    return min(cluster.spec.least_workers, budget.worker_cap(cluster.spec))


def most_workers(cluster: Cluster, budget: Budget) -> int:
    """How many workers a cluster has at most, as far as they fit here."""
    return min(cluster.spec.most_workers, budget.worker_cap(cluster.spec))


def is_remote(cluster: Cluster) -> bool:
    """Whether its Spark is elsewhere, reached by Spark Connect, so that there is no driver."""
    master = cluster.spec.master
    return master is not None and master.startswith("sc://")
