"""Rows of the files that attempts left: where each is kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, insert, select

from quire.ids import AttemptId
from quire.store.keys import text_digest
from quire.store.tables import artifacts

__all__ = [
    "StoredFile",
    "find_artifact",
    "list_artifacts",
    "put_artifact",
    "sum_sizes",
]


@dataclass(frozen=True)
class StoredFile:
    """One file of an attempt."""

    name: str  # its path in the working folder
    size: int  # bytes
    blob_key: str
    created_at: datetime


_FILES: Select[Any] = select(
    artifacts.c.name, artifacts.c.size, artifacts.c.blob_key, artifacts.c.created_at
)


def put_artifact(connection: Connection, attempt_id: AttemptId, file: StoredFile) -> None:
    """Store a row in place of the one of that name."""
    digest = text_digest(file.name)
    connection.execute(
        delete(artifacts).where(
            artifacts.c.attempt_id == attempt_id, artifacts.c.name_digest == digest
        )
    )
    connection.execute(
        insert(artifacts).values(
            attempt_id=attempt_id,
            name_digest=digest,
            name=file.name,
            size=file.size,
            blob_key=file.blob_key,
            created_at=file.created_at,
        )
    )


def list_artifacts(connection: Connection, attempt_id: AttemptId) -> list[StoredFile]:
    """An attempt's files, by name."""
    rows = connection.execute(_FILES.where(artifacts.c.attempt_id == attempt_id))
    return sorted((_file(row) for row in rows), key=lambda file: file.name)


def find_artifact(connection: Connection, attempt_id: AttemptId, name: str) -> StoredFile | None:
    row = connection.execute(
        _FILES.where(
            artifacts.c.attempt_id == attempt_id, artifacts.c.name_digest == text_digest(name)
        )
    ).first()
    return None if row is None else _file(row)


def sum_sizes(connection: Connection, attempt_id: AttemptId) -> int:
    """The bytes of all files of an attempt."""
    query = select(func.coalesce(func.sum(artifacts.c.size), 0)).where(
        artifacts.c.attempt_id == attempt_id
    )
    return int(connection.execute(query).scalar_one())


def _file(row: Row[Any]) -> StoredFile:
    return StoredFile(row.name, row.size, row.blob_key, row.created_at)
