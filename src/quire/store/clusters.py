"""Rows of clusters, their labels and rights, and who uses them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select, update

from quire.compute.codec import spec_from_json, spec_to_json
from quire.compute.models import (
    Cluster,
    ClusterCause,
    ClusterRight,
    ClusterSource,
    ClusterSpec,
    ClusterState,
    ClusterUse,
    DriverRecord,
    DriverState,
)
from quire.engine.states import EXECUTING
from quire.ids import AttemptId, ClusterId, PrincipalId, RunId
from quire.store.keys import none_of
from quire.store.tables import (
    attempts,
    cluster_grants,
    cluster_labels,
    cluster_uses,
    clusters,
    principals,
)

__all__ = [
    "count_clusters",
    "delete_old",
    "fail_uses",
    "find_by_label",
    "find_by_token",
    "find_right",
    "find_use",
    "find_uses",
    "get_cluster",
    "get_of_attempt",
    "get_shared",
    "insert_cluster",
    "list_active",
    "list_clusters",
    "list_grants",
    "list_orphaned",
    "list_orphaned_uses",
    "list_uses",
    "remove_grant",
    "replace_use",
    "set_grant",
    "set_labels",
    "update_cluster",
    "update_spec",
    "update_use",
]

_ACTIVE = none_of(clusters.c.state, (ClusterState.TERMINATED, ClusterState.ERROR))
_IN_USE = cluster_uses.c.released_at.is_(None)
_CLUSTERS = select(clusters, principals.c.name.label("owner_name")).select_from(
    clusters.outerjoin(principals, principals.c.id == clusters.c.owner_id)
)


def _cluster(row: Any) -> Cluster:
    driver = None
    if row.driver_pid is not None:
        driver = DriverRecord(
            folder=row.driver_folder,
            pid=row.driver_pid,
            started=row.driver_started,
            generation=row.generation,
            started_at=row.driver_started_at,
        )
    return Cluster(
        id=ClusterId(row.id),
        number=row.number,
        spec=spec_from_json(row.spec),
        source=ClusterSource(row.source),
        state=ClusterState(row.state),
        cause=ClusterCause(row.cause) if row.cause else None,
        message=row.message,
        owner_id=PrincipalId(row.owner_id) if row.owner_id is not None else None,
        owner_name=row.owner_name,
        run_id=RunId(row.run_id) if row.run_id is not None else None,
        attempt_id=AttemptId(row.attempt_id) if row.attempt_id is not None else None,
        host=row.host,
        driver_state=DriverState(row.driver_state),
        driver=driver,
        wants_spark=row.wants_spark,
        generation=row.generation,
        worker_count=row.worker_count,
        created_at=row.created_at,
        state_changed_at=row.state_changed_at,
        started_at=row.started_at,
        terminated_at=row.terminated_at,
        last_activity_at=row.last_activity_at,
        pinned_at=row.pinned_at,
        removed_at=row.removed_at,
    )


def insert_cluster(
    connection: Connection, cluster: Cluster, idempotency_token: str | None = None
) -> None:
    """Store a cluster that has no processes yet."""
    connection.execute(
        insert(clusters).values(
            id=cluster.id,
            number=cluster.number,
            spec=spec_to_json(cluster.spec),
            source=cluster.source,
            state=cluster.state,
            message=cluster.message,
            owner_id=cluster.owner_id,
            run_id=cluster.run_id,
            attempt_id=cluster.attempt_id,
            idempotency_token=idempotency_token,
            driver_state=cluster.driver_state,
            wants_spark=cluster.wants_spark,
            created_at=cluster.created_at,
            state_changed_at=cluster.state_changed_at,
            started_at=cluster.started_at,
            terminated_at=cluster.terminated_at,
            last_activity_at=cluster.last_activity_at,
        )
    )


def get_cluster(
    connection: Connection, cluster_id: ClusterId, *, lock: bool = False
) -> Cluster | None:
    """One cluster; with ``lock`` nobody else changes it before this transaction ends."""
    return _one(connection, _CLUSTERS.where(clusters.c.id == cluster_id), lock=lock)


def get_of_attempt(
    connection: Connection, attempt_id: AttemptId, *, lock: bool = False
) -> Cluster | None:
    """The cluster that was made for one attempt."""
    return _one(connection, _CLUSTERS.where(clusters.c.attempt_id == attempt_id), lock=lock)


def find_by_token(connection: Connection, idempotency_token: str) -> Cluster | None:
    """The cluster that a creation with this token made."""
    return _one(connection, _CLUSTERS.where(clusters.c.idempotency_token == idempotency_token))


def find_by_label(connection: Connection, label: str) -> ClusterId | None:
    """Which cluster has a label."""
    found: str | None = connection.execute(
        select(cluster_labels.c.cluster_id).where(cluster_labels.c.label == label)
    ).scalar()
    return ClusterId(found) if found is not None else None


def _one(connection: Connection, query: Select[Any], *, lock: bool = False) -> Cluster | None:
    if lock:
        query = query.with_for_update(of=clusters)
    row = connection.execute(query).one_or_none()
    return _cluster(row) if row is not None else None


def get_shared(connection: Connection, host: str) -> Cluster | None:
    """The shared cluster of a host, or one that no host has; locked."""
    query = (
        _CLUSTERS.where(
            clusters.c.source == ClusterSource.SHARED,
            clusters.c.removed_at.is_(None),
            clusters.c.host.is_(None) | (clusters.c.host == host),
        )
        .order_by(clusters.c.host.is_(None), clusters.c.number)
        .limit(1)
    )
    return _one(connection, query, lock=True)


def list_clusters(
    connection: Connection,
    *,
    sources: Collection[ClusterSource],
    principal_ids: Collection[PrincipalId] | None,
    ended_after: datetime,
) -> list[Cluster]:
    """Clusters that live, are pinned, or ended after a moment; the newest first.

    ``principal_ids``: only those that one of these owns or has a right to.
    """
    query = _CLUSTERS.where(
        clusters.c.removed_at.is_(None),
        clusters.c.source.in_(sources),
        _ACTIVE | clusters.c.pinned_at.is_not(None) | (clusters.c.terminated_at >= ended_after),
    ).order_by(clusters.c.number.desc())
    if principal_ids is not None:
        shared = select(cluster_grants.c.cluster_id).where(
            cluster_grants.c.principal_id.in_(principal_ids)
        )
        query = query.where(clusters.c.owner_id.in_(principal_ids) | clusters.c.id.in_(shared))
    return [_cluster(row) for row in connection.execute(query)]


def list_active(connection: Connection) -> list[Cluster]:
    """Clusters that have, or may have, processes; the oldest first."""
    return [
        _cluster(row)
        for row in connection.execute(_CLUSTERS.where(_ACTIVE).order_by(clusters.c.number))
    ]


def list_orphaned(connection: Connection) -> list[ClusterId]:
    """Clusters made for attempts that are over, or gone, which still run."""
    query = (
        select(clusters.c.id)
        .outerjoin(attempts, attempts.c.id == clusters.c.attempt_id)
        .where(
            _ACTIVE,
            clusters.c.state != ClusterState.TERMINATING,
            clusters.c.attempt_id.is_not(None),
            attempts.c.id.is_(None) | attempts.c.state.not_in(EXECUTING),
        )
    )
    return [ClusterId(cluster_id) for cluster_id in connection.execute(query).scalars()]


def count_clusters(connection: Connection) -> int:
    """Saved clusters, without those made for runs."""
    query = (
        select(func.count())
        .select_from(clusters)
        .where(clusters.c.removed_at.is_(None), clusters.c.source == ClusterSource.REQUEST)
    )
    return int(connection.execute(query).scalar_one())


def update_cluster(
    connection: Connection, cluster_id: ClusterId, changes: Mapping[str, Any]
) -> None:
    """Set columns. States are written by :mod:`quire.compute.lifecycle` alone."""
    connection.execute(update(clusters).where(clusters.c.id == cluster_id).values(**changes))


def update_spec(connection: Connection, cluster_id: ClusterId, spec: ClusterSpec) -> None:
    connection.execute(
        update(clusters).where(clusters.c.id == cluster_id).values(spec=spec_to_json(spec))
    )


def delete_old(connection: Connection, ended_before: datetime, limit: int) -> int:
    """Drop clusters that ended before a moment and are not pinned; how many."""
    old = (
        select(clusters.c.id)
        .where(
            ~_ACTIVE,
            clusters.c.terminated_at < ended_before,
            clusters.c.pinned_at.is_(None),
        )
        .limit(limit)
    )
    return connection.execute(delete(clusters).where(clusters.c.id.in_(old))).rowcount


# -- labels and rights ---------------------------------------------------------------------------


def set_labels(connection: Connection, cluster_id: ClusterId, labels: Sequence[str]) -> None:
    """Replace a cluster's labels. Raises IntegrityError for one that another cluster has."""
    connection.execute(delete(cluster_labels).where(cluster_labels.c.cluster_id == cluster_id))
    for label in labels:
        connection.execute(insert(cluster_labels).values(label=label, cluster_id=cluster_id))


def find_right(
    connection: Connection, cluster_id: ClusterId, principal_ids: Collection[PrincipalId]
) -> ClusterRight | None:
    """The strongest right any of these was granted."""
    query = select(cluster_grants.c.right).where(
        cluster_grants.c.cluster_id == cluster_id,
        cluster_grants.c.principal_id.in_(principal_ids),
    )
    held = [ClusterRight(right) for right in connection.execute(query).scalars()]
    return max(held, key=list(ClusterRight).index, default=None)


def list_grants(connection: Connection, cluster_id: ClusterId) -> list[tuple[str, ClusterRight]]:
    """Who was granted what on a cluster, by their names."""
    query = (
        select(principals.c.name, cluster_grants.c.right)
        .join(principals, principals.c.id == cluster_grants.c.principal_id)
        .where(cluster_grants.c.cluster_id == cluster_id)
        .order_by(principals.c.name)
    )
    return [(row.name, ClusterRight(row.right)) for row in connection.execute(query)]


def set_grant(
    connection: Connection, cluster_id: ClusterId, principal_id: PrincipalId, right: ClusterRight
) -> None:
    """Grant ``right`` in place of what was granted before."""
    remove_grant(connection, cluster_id, principal_id)
    connection.execute(
        insert(cluster_grants).values(
            cluster_id=cluster_id, principal_id=principal_id, right=right.value
        )
    )


def remove_grant(connection: Connection, cluster_id: ClusterId, principal_id: PrincipalId) -> None:
    connection.execute(
        delete(cluster_grants).where(
            cluster_grants.c.cluster_id == cluster_id,
            cluster_grants.c.principal_id == principal_id,
        )
    )


# -- uses ----------------------------------------------------------------------------------------


def _use(row: Any) -> ClusterUse:
    return ClusterUse(
        attempt_id=AttemptId(row.attempt_id),
        cluster_id=ClusterId(row.cluster_id),
        session_key=row.session_key,
        generation=row.generation,
        cause=ClusterCause(row.cause) if row.cause else None,
        message=row.message,
        notices=tuple(row.notices),
        attached_at=row.attached_at,
        released_at=row.released_at,
    )


def replace_use(connection: Connection, use: ClusterUse) -> None:
    """Store a use in place of one that the attempt gave back, if there is one."""
    connection.execute(delete(cluster_uses).where(cluster_uses.c.attempt_id == use.attempt_id))
    connection.execute(
        insert(cluster_uses).values(
            attempt_id=use.attempt_id,
            cluster_id=use.cluster_id,
            session_key=use.session_key,
            generation=use.generation,
            message=use.message,
            notices=list(use.notices),
            attached_at=use.attached_at,
        )
    )


def find_use(connection: Connection, attempt_id: AttemptId) -> ClusterUse | None:
    """What an attempt has, or had, of a cluster."""
    row = connection.execute(
        select(cluster_uses).where(cluster_uses.c.attempt_id == attempt_id)
    ).one_or_none()
    return _use(row) if row is not None else None


def find_uses(
    connection: Connection, attempt_ids: Collection[AttemptId]
) -> list[tuple[ClusterUse, Cluster]]:
    """What attempts have, or had, and the clusters as they are."""
    query = select(cluster_uses).where(cluster_uses.c.attempt_id.in_(attempt_ids))
    uses = [_use(row) for row in connection.execute(query)]
    wanted = {use.cluster_id for use in uses}
    rows = connection.execute(_CLUSTERS.where(clusters.c.id.in_(wanted))) if wanted else ()
    known = {row.id: _cluster(row) for row in rows}
    return [(use, known[use.cluster_id]) for use in uses if use.cluster_id in known]


def update_use(connection: Connection, attempt_id: AttemptId, changes: Mapping[str, Any]) -> None:
    connection.execute(
        update(cluster_uses).where(cluster_uses.c.attempt_id == attempt_id).values(**changes)
    )


def fail_uses(
    connection: Connection,
    cluster_id: ClusterId,
    *,
    generation: int,
    cause: ClusterCause,
    message: str,
    waiting_too: bool,
) -> None:
    """Say to attempts that what they have of a cluster is gone.

    ``waiting_too``: also to those that have not been told of a driver yet.
    """
    concerned = cluster_uses.c.generation <= generation
    if waiting_too:
        concerned = concerned | cluster_uses.c.generation.is_(None)
    connection.execute(
        update(cluster_uses)
        .where(
            cluster_uses.c.cluster_id == cluster_id,
            _IN_USE,
            cluster_uses.c.cause.is_(None),
            concerned,
        )
        .values(cause=cause, message=message)
    )


def list_uses(connection: Connection, cluster_id: ClusterId) -> list[ClusterUse]:
    """Attempts that use a cluster now, in the order in which they came."""
    query = (
        select(cluster_uses)
        .where(cluster_uses.c.cluster_id == cluster_id, _IN_USE)
        .order_by(cluster_uses.c.attached_at, cluster_uses.c.attempt_id)
    )
    return [_use(row) for row in connection.execute(query)]


def list_orphaned_uses(connection: Connection) -> list[AttemptId]:
    """Attempts that are over and have not given back what they used."""
    query = (
        select(cluster_uses.c.attempt_id)
        .join(attempts, attempts.c.id == cluster_uses.c.attempt_id)
        .where(_IN_USE, attempts.c.state.not_in(EXECUTING))
    )
    return [AttemptId(number) for number in connection.execute(query).scalars()]
