"""Keeps a cluster that is up as it is wanted: its workers, its driver's death, its idleness."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from quire.clock import Clock
from quire.compute.checks import is_lazy
from quire.compute.clusters import Clusters
from quire.compute.launcher import Driver, DriverPhase, DriverReport
from quire.compute.lifecycle import change, move, note
from quire.compute.models import Cluster, ClusterCause, ClusterEventType, ClusterState
from quire.compute.startup import least_workers, most_workers
from quire.compute.watch import Watch
from quire.compute.writer import NO_DRIVER, ClusterWriter
from quire.store import clusters as cluster_rows
from quire.store.database import Database

__all__ = ["Upkeep"]

_CRASHES_ALLOWED = 3
_CRASH_WINDOW = timedelta(minutes=10)

_S = ClusterState


class Upkeep:
    """Looks after clusters of one host that are up."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        clusters: Clusters,
        writer: ClusterWriter,
        deliver_logs: Callable[[Cluster, Driver], None],
    ) -> None:
        self._database = database
        self._clock = clock
        self._clusters = clusters
        self._writer = writer
        self._deliver_logs = deliver_logs

    def check_workers(self, cluster: Cluster, watch: Watch) -> None:
        """See how many workers run, and ask for as many as are wanted."""
        assert watch.driver is not None
        report = watch.driver.report()
        if report.phase is not DriverPhase.READY:
            return
        now = self._clock.now()
        if report.lost_workers > watch.lost_workers:
            lost = report.lost_workers - watch.lost_workers
            watch.lost_workers = report.lost_workers
            message = f"{lost} of its workers died and {'is' if lost == 1 else 'are'} replaced."
            self._writer.note(cluster, ClusterEventType.WORKER_LOST, message)
        if cluster.state is _S.RESIZING:
            self._resize(cluster, watch, watch.driver, report)
        elif report.workers != cluster.worker_count:
            event = ClusterEventType.AUTOSCALED if cluster.spec.autoscale else None
            details = {"workers": report.workers, "previous": cluster.worker_count}
            with self._database.write() as connection:
                locked = cluster_rows.get_cluster(connection, cluster.id, lock=True)
                if locked is not None and locked.is_up:
                    facts = {"worker_count": report.workers}
                    change(connection, locked, facts, now, event, details)

    def _resize(self, cluster: Cluster, watch: Watch, driver: Driver, report: DriverReport) -> None:
        least = least_workers(cluster, self._clusters.budget)
        most = most_workers(cluster, self._clusters.budget)
        if least <= report.workers <= most:
            watch.asked = None
            self._writer.move(
                cluster,
                _S.RUNNING,
                event=ClusterEventType.RESIZED,
                facts={"worker_count": report.workers},
                details={"workers": report.workers},
            )
        elif watch.asked != (least, most):
            watch.asked = (least, most)
            driver.set_workers(least, most)

    def lose(self, cluster: Cluster, watch: Watch) -> None:
        """A driver that was ready has died: tell its runs, and have it replaced when needed."""
        assert watch.driver is not None
        report = watch.driver.report()
        now = self._clock.now()
        why = f": {report.message.rstrip('.')}" if report.message else ""
        message = f"The Spark driver of cluster {cluster.id} died{why}."
        watch.crashes = [at for at in watch.crashes if now - at < _CRASH_WINDOW] + [now]
        self._deliver_logs(cluster, watch.driver)
        watch.driver.kill()  # its workers, should any be left
        watch.driver.remove()
        watch.hold(None)
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
            facts = {**NO_DRIVER, "wants_spark": eager}
            if eager:
                move(connection, locked, _S.RESTARTING, now, message=message, facts=facts)
            else:
                change(connection, locked, facts, now)

    def end_when_idle(self, cluster: Cluster) -> bool:
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
