"""The journal of an attempt: what its runner reported, as lines of JSON, addressed by byte offset.

Each applied batch is one blob; rows say which blob holds which stretch. A blob nobody's row names
is what a crash left between the two, and goes with the run's other blobs.
"""

from __future__ import annotations

from sqlalchemy import Connection, insert, select

from quire.ids import AttemptId, RunId
from quire.store.blobs import BlobStore
from quire.store.database import Database
from quire.store.tables import journal_chunks

__all__ = ["Journal", "insert_chunk", "run_prefix"]


def run_prefix(run_id: RunId) -> str:
    """Where all blobs of a run are."""
    return f"runs/{run_id // 1000}/{run_id}/"


def insert_chunk(
    connection: Connection, attempt_id: AttemptId, *, offset: int, length: int, blob_key: str
) -> None:
    connection.execute(
        insert(journal_chunks).values(
            attempt_id=attempt_id, offset=offset, length=length, blob_key=blob_key
        )
    )


class Journal:
    """Reads journals."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs

    def read(self, attempt_id: AttemptId, offset: int = 0) -> bytes:
        """What was reported from ``offset`` (bytes) on; always whole lines when offset is one's."""
        query = (
            select(journal_chunks.c.offset, journal_chunks.c.blob_key)
            .where(
                journal_chunks.c.attempt_id == attempt_id,
                journal_chunks.c.offset + journal_chunks.c.length > offset,
            )
            .order_by(journal_chunks.c.offset)
        )
        with self._database.read() as connection:
            chunks = connection.execute(query).all()
        parts = [
            self._blobs.get(chunk.blob_key)[max(0, offset - chunk.offset) :] for chunk in chunks
        ]
        return b"".join(parts)
