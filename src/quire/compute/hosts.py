"""The hosts of one database: each says that it is there; clusters of silent ones are given up."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from quire.clock import Clock
from quire.compute.clusters import Clusters
from quire.compute.lifecycle import end_state, move
from quire.compute.models import Cluster, ClusterCause, ClusterState
from quire.compute.watch import is_due
from quire.store import clusters as cluster_rows
from quire.store.database import Database
from quire.store.values import read_value, write_value

__all__ = ["Hosts"]

_HEARTBEAT_SECONDS = 20.0
_HOST_PATIENCE = timedelta(seconds=120)


class Hosts:
    """The hosts of one database, as one of them sees them."""

    def __init__(self, database: Database, clock: Clock, clusters: Clusters, host: str) -> None:
        self._database = database
        self._clock = clock
        self._clusters = clusters
        self._host = host
        self._seen_at: datetime | None = None

    def look(self, active: Sequence[Cluster]) -> None:
        """Say that this host is there; end clusters of hosts that have not said so for long."""
        now = self._clock.now()
        hosts = {each.host for each in active if each.host is not None}
        if not hosts or not is_due(self._seen_at, now, _HEARTBEAT_SECONDS):
            return
        self._seen_at = now
        with self._database.write() as connection:
            write_value(connection, _heartbeat(self._host), now.isoformat())
            silent = set()
            for host in hosts - {self._host}:
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
        if locked.state is not ClusterState.TERMINATING:
            locked = self._clusters.end(connection, locked, ClusterCause.HOST_LOST, message)
        move(connection, locked, end_state(locked.cause), now, message=locked.message)


def _heartbeat(host: str) -> str:
    """The name of the value that says when a host was last there."""
    return f"compute host {hashlib.sha256(host.encode()).hexdigest()[:32]}"
