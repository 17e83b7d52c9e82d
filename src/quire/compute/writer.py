"""How the manager writes: each change locks its cluster and is left out when another came first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quire.clock import Clock
from quire.compute.clusters import Clusters
from quire.compute.lifecycle import change, move, note
from quire.compute.models import (
    Cluster,
    ClusterCause,
    ClusterEventType,
    ClusterState,
    DriverState,
)
from quire.store import clusters as cluster_rows
from quire.store.database import Database

__all__ = ["NO_DRIVER", "ClusterWriter"]

NO_DRIVER: dict[str, Any] = {
    "driver_state": DriverState.NONE,
    "driver_folder": None,
    "driver_pid": None,
    "driver_started": None,
    "driver_started_at": None,
    "worker_count": 0,
}
"""The columns of a cluster that has no driver."""


class ClusterWriter:
    """Writes for one host's manager."""

    def __init__(self, database: Database, clock: Clock, clusters: Clusters, host: str) -> None:
        self._database = database
        self._clock = clock
        self._clusters = clusters
        self._host = host

    def move(
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

    def change(
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
                or locked.host not in (None, self._host)
            ):
                return False
            change(connection, locked, facts, self._clock.now(), event, details)
        return True

    def end(self, cluster: Cluster, cause: ClusterCause, message: str) -> None:
        with self._database.write() as connection:
            locked = cluster_rows.get_cluster(connection, cluster.id, lock=True)
            if locked is not None:
                self._clusters.end(connection, locked, cause, message)

    def note(
        self, cluster: Cluster, event: ClusterEventType, message: str = "", **details: Any
    ) -> None:
        """Write down that something happened."""
        told = {"message": message, **details}
        with self._database.write() as connection:
            note(connection, cluster, event, self._clock.now(), told)

    def say(self, cluster: Cluster, message: str) -> None:
        """Say why a cluster is where it is, when that is news."""
        if cluster.message != message:
            with self._database.write() as connection:
                cluster_rows.update_cluster(connection, cluster.id, {"message": message})
