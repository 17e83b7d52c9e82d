"""Rows of saved jobs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from quire.engine.codec import definition_from_json, definition_to_json
from quire.engine.models import Job, JobDefinition
from quire.ids import JobId, PrincipalId
from quire.store.tables import jobs, principals

__all__ = [
    "count_jobs",
    "get_job",
    "hide_job",
    "insert_job",
    "list_due_jobs",
    "list_jobs",
    "next_due_at",
    "set_next_fire",
    "update_job",
]

_JOBS = select(
    jobs.c.id,
    jobs.c.definition,
    jobs.c.creator_id,
    principals.c.name.label("creator_name"),
    jobs.c.created_at,
    jobs.c.updated_at,
    jobs.c.next_fire_at,
).select_from(jobs.outerjoin(principals, principals.c.id == jobs.c.creator_id))


def _job(row: Any) -> Job:
    return Job(
        id=JobId(row.id),
        definition=definition_from_json(row.definition),
        creator_id=PrincipalId(row.creator_id),
        creator_name=row.creator_name,
        created_at=row.created_at,
        updated_at=row.updated_at,
        next_fire_at=row.next_fire_at,
    )


def insert_job(connection: Connection, job: Job) -> None:
    connection.execute(
        insert(jobs).values(
            id=job.id,
            name=job.definition.name,
            definition=definition_to_json(job.definition),
            creator_id=job.creator_id,
            created_at=job.created_at,
            updated_at=job.updated_at,
            next_fire_at=job.next_fire_at,
        )
    )


def get_job(connection: Connection, job_id: JobId, *, lock: bool = False) -> Job | None:
    """A saved job; with ``lock`` nobody else changes it before this transaction ends."""
    query = _JOBS.where(jobs.c.id == job_id, jobs.c.deleted_at.is_(None))
    if lock:
        query = query.with_for_update(of=jobs)
    row = connection.execute(query).one_or_none()
    return _job(row) if row is not None else None


def list_jobs(connection: Connection, creator_id: PrincipalId | None) -> list[Job]:
    """Saved jobs in the order of their ids, of one creator or of all."""
    query = _JOBS.where(jobs.c.deleted_at.is_(None)).order_by(jobs.c.id)
    if creator_id is not None:
        query = query.where(jobs.c.creator_id == creator_id)
    return [_job(row) for row in connection.execute(query)]


def count_jobs(connection: Connection) -> int:
    return int(
        connection.execute(
            select(func.count()).select_from(jobs).where(jobs.c.deleted_at.is_(None))
        ).scalar_one()
    )


def update_job(
    connection: Connection,
    job_id: JobId,
    definition: JobDefinition,
    *,
    updated_at: datetime,
    next_fire_at: datetime | None,
) -> None:
    connection.execute(
        update(jobs)
        .where(jobs.c.id == job_id)
        .values(
            name=definition.name,
            definition=definition_to_json(definition),
            updated_at=updated_at,
            next_fire_at=next_fire_at,
        )
    )


def hide_job(connection: Connection, job_id: JobId, at: datetime) -> None:
    connection.execute(
        update(jobs).where(jobs.c.id == job_id).values(deleted_at=at, next_fire_at=None)
    )


def list_due_jobs(connection: Connection, now: datetime, limit: int) -> list[Job]:
    """Jobs whose time has come; locked, and left out while another server holds them."""
    query = (
        _JOBS.where(jobs.c.next_fire_at <= now, jobs.c.deleted_at.is_(None))
        .order_by(jobs.c.next_fire_at)
        .limit(limit)
        .with_for_update(of=jobs, skip_locked=True)
    )
    return [_job(row) for row in connection.execute(query)]


def set_next_fire(connection: Connection, job_id: JobId, next_fire_at: datetime | None) -> None:
    connection.execute(update(jobs).where(jobs.c.id == job_id).values(next_fire_at=next_fire_at))


def next_due_at(connection: Connection) -> datetime | None:
    """When the next job is due."""
    found: datetime | None = connection.execute(
        select(func.min(jobs.c.next_fire_at)).where(jobs.c.deleted_at.is_(None))
    ).scalar()
    return found
