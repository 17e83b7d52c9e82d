"""Rows of the outbox: one per notification and receiver.

A row is open while ``due_at`` is set. Whoever delivers it holds it by lease (``claimed_until``), so
that no two servers do, and that a server which dies in between leaves it to the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, or_, select, update

from quire.ids import RunId
from quire.store.tables import deliveries

__all__ = [
    "Delivery",
    "claim_due",
    "has_due",
    "insert_delivery",
    "list_deliveries_of_run",
    "list_deliveries_without_run",
    "purge_deliveries_of_runs",
    "purge_deliveries_without_run",
    "record_delivered",
    "record_failed",
    "release",
]


@dataclass(frozen=True)
class Delivery:
    """One notification on its way to one receiver."""

    id: int
    run_id: RunId | None  # None: about a job
    target_kind: str  # email, destination
    target: str  # mail address, id of a destination
    event: str
    message: Mapping[str, Any]
    created_at: datetime
    due_at: datetime | None  # None: delivered, or given up
    tries: int
    delivered_at: datetime | None
    error: str | None  # why the last try failed
    claimed_until: datetime | None


def insert_delivery(
    connection: Connection,
    *,
    run_id: RunId | None,
    target_kind: str,
    target: str,
    event: str,
    message: Mapping[str, Any],
    now: datetime,
) -> None:
    connection.execute(
        insert(deliveries).values(
            run_id=run_id,
            target_kind=target_kind,
            target=target,
            event=event,
            message=dict(message),
            created_at=now,
            due_at=now,
            tries=0,
        )
    )


def has_due(connection: Connection, now: datetime) -> bool:
    """Whether :func:`claim_due` would find something."""
    query = select(deliveries.c.id).where(_claimable(now)).limit(1)
    return connection.execute(query).first() is not None


def claim_due(
    connection: Connection, now: datetime, claimed_until: datetime, limit: int
) -> list[Delivery]:
    """Take due rows, longest due first, and count the try that is to follow.

    Of several about one run for one receiver only the oldest can be taken, so that each receiver
    hears of a run in the order of its events.
    """
    ids = connection.scalars(
        select(deliveries.c.id)
        .where(_claimable(now))
        .order_by(deliveries.c.due_at, deliveries.c.id)
        .limit(limit)
        .with_for_update(of=deliveries, skip_locked=True)
    ).all()
    if not ids:
        return []
    connection.execute(
        update(deliveries)
        .where(deliveries.c.id.in_(ids))
        .values(claimed_until=claimed_until, tries=deliveries.c.tries + 1)
    )
    query = select(deliveries).where(deliveries.c.id.in_(ids))
    rows = {row.id: _delivery(row) for row in connection.execute(query)}
    return [rows[id] for id in ids]


def record_delivered(connection: Connection, delivery: Delivery, now: datetime) -> None:
    """Close a claimed row as delivered; nothing happens when its lease went to another."""
    _update_claimed(
        connection, delivery, due_at=None, delivered_at=now, error=None, claimed_until=None
    )


def record_failed(
    connection: Connection, delivery: Delivery, error: str, retry_at: datetime | None
) -> None:
    """Note why a try failed; ``retry_at`` of None gives up. Nothing happens without the lease."""
    _update_claimed(connection, delivery, due_at=retry_at, error=error, claimed_until=None)


def release(connection: Connection, delivery: Delivery) -> None:
    """Give a claimed row back as if it had not been taken."""
    _update_claimed(connection, delivery, claimed_until=None, tries=delivery.tries - 1)


def list_deliveries_of_run(connection: Connection, run_id: RunId) -> list[Delivery]:
    """Everything that was or is to be told about a run, oldest first."""
    query = select(deliveries).where(deliveries.c.run_id == run_id).order_by(deliveries.c.id)
    return [_delivery(row) for row in connection.execute(query)]


def list_deliveries_without_run(connection: Connection) -> list[Delivery]:
    """Everything that was or is to be told about jobs, oldest first."""
    query = select(deliveries).where(deliveries.c.run_id.is_(None)).order_by(deliveries.c.id)
    return [_delivery(row) for row in connection.execute(query)]


def purge_deliveries_of_runs(connection: Connection, run_ids: Sequence[RunId]) -> None:
    """Remove everything about these runs, delivered or not."""
    connection.execute(delete(deliveries).where(deliveries.c.run_id.in_(run_ids)))


def purge_deliveries_without_run(connection: Connection, before: datetime) -> None:
    """Remove what was told about jobs before a moment and is delivered or given up."""
    connection.execute(
        delete(deliveries).where(
            deliveries.c.run_id.is_(None),
            deliveries.c.created_at < before,
            deliveries.c.due_at.is_(None),
        )
    )


def _claimable(now: datetime) -> ColumnElement[bool]:
    earlier = deliveries.alias("earlier")
    waits_for_earlier = (
        select(earlier.c.id)
        .where(
            earlier.c.run_id == deliveries.c.run_id,
            earlier.c.target_kind == deliveries.c.target_kind,
            earlier.c.target == deliveries.c.target,
            earlier.c.id < deliveries.c.id,
            earlier.c.due_at.is_not(None),
        )
        .correlate(deliveries)
        .exists()
    )
    return and_(
        deliveries.c.due_at <= now,
        or_(deliveries.c.claimed_until.is_(None), deliveries.c.claimed_until <= now),
        ~waits_for_earlier,
    )


def _update_claimed(connection: Connection, delivery: Delivery, **columns: Any) -> None:
    connection.execute(
        update(deliveries)
        .where(
            deliveries.c.id == delivery.id,
            deliveries.c.claimed_until == delivery.claimed_until,
            deliveries.c.tries == delivery.tries,
        )
        .values(**columns)
    )


def _delivery(row: Any) -> Delivery:
    return Delivery(
        id=row.id,
        run_id=None if row.run_id is None else RunId(row.run_id),
        target_kind=row.target_kind,
        target=row.target,
        event=row.event,
        message=row.message,
        created_at=row.created_at,
        due_at=row.due_at,
        tries=row.tries,
        delivered_at=row.delivered_at,
        error=row.error,
        claimed_until=row.claimed_until,
    )
