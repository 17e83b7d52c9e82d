"""The one state machine of clusters: the moves between states, each one transaction with its event.

                        ┌──────────► resizing ──────┐
                        │                 │         ▼
    pending ──────► running ◄─────────────┘   restarting ──► running
       ▲ │              │ └────────────────────────▲ │
       │ │              ▼                            │
       │ └───────► terminating ◄─────────────────────┘
       │                │
       └── terminated ◄─┴─► error ──► pending

Nothing else writes a state. Whoever moves a cluster has locked its row. What is alive of a cluster
is taken down in *terminating*; its cause decides whether it ends as *terminated* or *error*.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from quire.compute.models import (
    Cluster,
    ClusterCause,
    ClusterEventType,
    ClusterState,
    DriverState,
)
from quire.errors import InvalidState
from quire.store import cluster_events as event_rows
from quire.store import clusters as cluster_rows

__all__ = ["ACTIVE", "change", "check_move", "end_state", "may_move", "move", "note"]

_S = ClusterState

ACTIVE = frozenset({_S.PENDING, _S.RUNNING, _S.RESIZING, _S.RESTARTING, _S.TERMINATING})
"""States in which a cluster has, or may have, processes."""

_MOVES: dict[ClusterState, frozenset[ClusterState]] = {
    _S.PENDING: frozenset({_S.RUNNING, _S.TERMINATING}),
    _S.RUNNING: frozenset({_S.RESIZING, _S.RESTARTING, _S.TERMINATING}),
    _S.RESIZING: frozenset({_S.RUNNING, _S.RESTARTING, _S.TERMINATING}),
    _S.RESTARTING: frozenset({_S.RUNNING, _S.TERMINATING}),
    _S.TERMINATING: frozenset({_S.TERMINATED, _S.ERROR}),
    _S.TERMINATED: frozenset({_S.PENDING}),
    _S.ERROR: frozenset({_S.PENDING}),
}

_EVENTS = {
    _S.PENDING: ClusterEventType.STARTING,
    _S.RUNNING: ClusterEventType.RUNNING,
    _S.RESIZING: ClusterEventType.RESIZING,
    _S.RESTARTING: ClusterEventType.RESTARTING,
    _S.TERMINATING: ClusterEventType.TERMINATING,
    _S.TERMINATED: ClusterEventType.TERMINATED,
    _S.ERROR: ClusterEventType.FAILED,
}

_FAULTS = frozenset(
    {ClusterCause.DRIVER_UNREACHABLE, ClusterCause.HOST_LOST, ClusterCause.INTERNAL_ERROR}
)

_LOSES_DRIVER = frozenset({_S.RESTARTING, _S.TERMINATING})
_FIELDS = frozenset(field.name for field in fields(Cluster))


def may_move(origin: ClusterState, target: ClusterState) -> bool:
    """Whether a cluster may go from ``origin`` to ``target``."""
    return target in _MOVES[origin]


def check_move(origin: ClusterState, target: ClusterState) -> None:
    """Raise :class:`~quire.errors.InvalidState` unless the move is allowed."""
    if not may_move(origin, target):
        raise InvalidState(f"A cluster cannot go from {origin} to {target}.")


def end_state(cause: ClusterCause | None) -> ClusterState:
    """Where a cluster that is taken down for ``cause`` ends."""
    return ClusterState.ERROR if cause in _FAULTS else ClusterState.TERMINATED


def move(
    connection: Connection,
    cluster: Cluster,
    target: ClusterState,
    at: datetime,
    *,
    cause: ClusterCause | None = None,
    message: str = "",
    details: Mapping[str, Any] | None = None,
    event: ClusterEventType | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Cluster:
    """Take a cluster, which the caller has locked, one step, with the event that tells of it.

    ``details`` go into the event, ``facts`` are further columns to set. Runs that work with a
    driver this step takes away are told so. Raises InvalidState for a move that is not allowed.
    """
    check_move(cluster.state, target)
    changes: dict[str, Any] = {"state": target, "state_changed_at": at, "message": message}
    if target is ClusterState.PENDING:
        changes |= {"cause": None, "terminated_at": None, "last_activity_at": at}
    if cause is not None:
        changes["cause"] = cause
    if target is ClusterState.RUNNING and cluster.state is not ClusterState.RESIZING:
        changes["started_at"] = at
        changes["last_activity_at"] = at
    if target in _LOSES_DRIVER:
        # A driver that is recorded and in no state is one that has to go.
        changes |= {"worker_count": 0, "driver_state": DriverState.NONE}
        cluster_rows.fail_uses(
            connection,
            cluster.id,
            generation=cluster.generation,
            cause=cause or ClusterCause.USER_REQUEST,
            message=message or f"Cluster {cluster.id} was restarted.",
            waiting_too=target is ClusterState.TERMINATING,
        )
    if target in (ClusterState.TERMINATED, ClusterState.ERROR):
        changes |= {
            "terminated_at": at,
            "host": None,
            "wants_spark": False,
            "driver_state": DriverState.NONE,
            "driver_folder": None,
            "driver_pid": None,
            "driver_started": None,
            "driver_started_at": None,
        }
    told = {"cause": changes.get("cause", cluster.cause), "message": message, **(details or {})}
    changes |= facts or {}
    cluster_rows.update_cluster(connection, cluster.id, changes)
    note(connection, cluster, event or _EVENTS[target], at, told)
    return replace(cluster, **{name: value for name, value in changes.items() if name in _FIELDS})


def change(
    connection: Connection,
    cluster: Cluster,
    facts: Mapping[str, Any],
    at: datetime,
    event: ClusterEventType | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Set columns of a locked cluster that are not its state, with the event that tells of it."""
    if "state" in facts:
        raise ValueError("a state changes by move()")
    cluster_rows.update_cluster(connection, cluster.id, facts)
    if event is not None:
        note(connection, cluster, event, at, details or {})


def note(
    connection: Connection,
    cluster: Cluster,
    event: ClusterEventType,
    at: datetime,
    details: Mapping[str, Any],
) -> None:
    """Write down that something happened to a cluster."""
    kept = {name: value for name, value in details.items() if value is not None and value != ""}
    event_rows.insert_event(connection, cluster.id, event, at, kept)
