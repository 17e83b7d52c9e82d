"""Removes runs whose time is over, with all that belongs to them."""

from __future__ import annotations

from datetime import timedelta

from quire.clock import Clock
from quire.loop import BackgroundLoop
from quire.settings import Settings
from quire.store import deliveries as delivery_rows
from quire.store import runs as run_rows
from quire.store.blobs import BlobStore
from quire.store.database import Database
from quire.store.journal import run_prefix

__all__ = ["Retention"]

_BATCH = 200
_INTERVAL_SECONDS = 3600.0


class Retention:
    """Looks every hour."""

    def __init__(
        self, database: Database, blobs: BlobStore, clock: Clock, settings: Settings
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._settings = settings
        self.loop = BackgroundLoop("retention", self._round)

    def _round(self) -> float:
        self.remove_old()
        return _INTERVAL_SECONDS

    def remove_old(self) -> int:
        """Remove runs that ended more than ``retention_days`` ago; how many there were."""
        before = self._clock.now() - timedelta(days=self._settings.retention_days)
        removed = 0
        while not self.loop.stopping:
            with self._database.read() as connection:
                ids = run_rows.list_ended_before(connection, before, _BATCH)
            if not ids:
                break
            # Blobs first: a crash in between leaves rows, which the next look finds again.
            for run_id in ids:
                self._blobs.delete(self._blobs.list(run_prefix(run_id)))
            with self._database.write() as connection:
                delivery_rows.purge_deliveries_of_runs(connection, ids)
                run_rows.purge_runs(connection, ids)
            removed += len(ids)
        with self._database.write() as connection:
            delivery_rows.purge_deliveries_without_run(connection, before)
        return removed
