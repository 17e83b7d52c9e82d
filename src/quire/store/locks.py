"""Turns for changes that must not overlap and have no row of their own to lock yet."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

__all__ = ["lock_names", "lock_shared_cluster", "lock_tree"]

_NAMES = 7181830
_TREE = 7181831
_SHARED_CLUSTER = 7181832


def lock_names(connection: Connection) -> None:
    """Be the only transaction that makes principals, until the end of this one."""
    _lock(connection, _NAMES)


def lock_tree(connection: Connection) -> None:
    """Be the only transaction that changes the workspace's tree, until the end of this one.

    Take it after :func:`lock_names` where both are needed.
    """
    _lock(connection, _TREE)


def lock_shared_cluster(connection: Connection) -> None:
    """Be the only transaction that makes the shared cluster, until the end of this one."""
    _lock(connection, _SHARED_CLUSTER)


def _lock(connection: Connection, number: int) -> None:
    if connection.dialect.name == "postgresql":  # SQLite has one writer anyway
        connection.execute(select(func.pg_advisory_xact_lock(number)))
