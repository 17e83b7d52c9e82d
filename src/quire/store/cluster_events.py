"""Rows of what happened to clusters."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select

from quire.compute.models import ClusterEvent, ClusterEventType, EventFilter
from quire.ids import ClusterId
from quire.store.tables import cluster_events

__all__ = ["count_events", "delete_old_events", "insert_event", "list_events"]


def insert_event(
    connection: Connection,
    cluster_id: ClusterId,
    kind: ClusterEventType,
    at: datetime,
    details: Mapping[str, Any],
) -> None:
    connection.execute(
        insert(cluster_events).values(
            cluster_id=cluster_id, at=at, type=kind, details=dict(details)
        )
    )


def list_events(
    connection: Connection,
    cluster_id: ClusterId,
    chosen: EventFilter,
    *,
    newest_first: bool,
    offset: int,
    limit: int,
) -> list[ClusterEvent]:
    """Some of what happened to a cluster."""
    query = _chosen(select(cluster_events), cluster_id, chosen)
    key = cluster_events.c.id
    query = query.order_by(key.desc() if newest_first else key).offset(offset).limit(limit)
    return [
        ClusterEvent(
            id=row.id,
            cluster_id=ClusterId(row.cluster_id),
            at=row.at,
            type=ClusterEventType(row.type),
            details=row.details,
        )
        for row in connection.execute(query)
    ]


def count_events(connection: Connection, cluster_id: ClusterId, chosen: EventFilter) -> int:
    """How many events :func:`list_events` would give without its limit."""
    query = _chosen(select(func.count()).select_from(cluster_events), cluster_id, chosen)
    return int(connection.execute(query).scalar_one())


def delete_old_events(connection: Connection, before: datetime, limit: int) -> None:
    """Drop what happened before a moment to clusters that still are, some at a time."""
    old = select(cluster_events.c.id).where(cluster_events.c.at < before).limit(limit)
    connection.execute(delete(cluster_events).where(cluster_events.c.id.in_(old)))


def _chosen(query: Select[Any], cluster_id: ClusterId, chosen: EventFilter) -> Select[Any]:
    query = query.where(cluster_events.c.cluster_id == cluster_id)
    if chosen.kinds is not None:
        query = query.where(cluster_events.c.type.in_(chosen.kinds))
    if chosen.since is not None:
        query = query.where(cluster_events.c.at >= chosen.since)
    if chosen.until is not None:
        query = query.where(cluster_events.c.at <= chosen.until)
    return query
