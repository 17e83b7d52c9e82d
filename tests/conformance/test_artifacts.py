"""Rows of run files, on both databases."""

from __future__ import annotations

from dataclasses import replace

from quire.clock import ManualClock
from quire.engine.models import RunRequest
from quire.ids import AttemptId
from quire.store import artifacts as rows
from quire.store import runs as run_rows
from quire.store.artifacts import StoredFile
from quire.store.blobs import BlobStore
from quire.store.database import Database
from tests.engine.parts import Parts, definition


def test_kept_replaced_and_gone_with_the_run(
    database: Database, blobs: BlobStore, clock: ManualClock
) -> None:
    parts = Parts(database, blobs, clock)
    run_id = parts.runs.submit(parts.user, RunRequest(definition=definition())).run.id
    attempt_id = AttemptId(run_id)
    first = StoredFile("out/ä b.csv", 3, "k1", clock.now())
    second = StoredFile("Z", 5, "k2", clock.now())
    with database.write() as connection:
        for file in (first, second, replace(first, size=4, blob_key="k3")):
            rows.put_artifact(connection, attempt_id, file)
    with database.read() as connection:
        found = rows.list_artifacts(connection, attempt_id)
        assert found == [second, replace(first, size=4, blob_key="k3")]
        assert rows.find_artifact(connection, attempt_id, "Z") == second
        assert rows.find_artifact(connection, attempt_id, "z") is None
        assert rows.sum_sizes(connection, attempt_id) == 9
    parts.start(attempt_id)
    parts.finish(attempt_id)
    with database.write() as connection:
        run_rows.purge_runs(connection, [run_id])
        assert rows.list_artifacts(connection, attempt_id) == []


def test_active_runs_of_a_notebook(
    database: Database, blobs: BlobStore, clock: ManualClock
) -> None:
    parts = Parts(database, blobs, clock)
    ids = [
        parts.runs.submit(parts.user, RunRequest(definition=definition())).run.id for _ in range(3)
    ]
    parts.runs.cancel(parts.user, AttemptId(ids[0]))
    with database.read() as connection:
        assert run_rows.count_active_of_notebook(connection, "/Shared/n") == 2
        assert run_rows.count_active_of_notebook(connection, "/Shared/other") == 0
