"""Runners and notebooks ask for compute over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from quire.clock import ManualClock
from quire.compute.interpreters import Interpreters
from quire.compute.models import ClusterSpec, Compute, Library, LibraryKind
from quire.compute.uses import Prepared
from quire.engine.run_compute import RunCompute
from quire.identity.run_tokens import RunTokens, RunTokenUse
from quire.ids import AttemptId
from quire.internal.compute import compute_routes
from quire.store.blobs import BlobStore
from quire.store.database import Database
from tests.compute.parts import ClusterParts
from tests.engine.pool import Pool


class Asking:
    """A runner's and a notebook's way to the server."""

    def __init__(self, database: Database, blobs: BlobStore, clock: ManualClock) -> None:
        self.parts = ClusterParts(database, blobs, clock)
        self.tokens = RunTokens(b"a secret of many bytes")
        self.pool = Pool()
        self.interpreters = Interpreters(self.pool, self.parts.settings)
        app = FastAPI()
        app.router.routes.extend(
            compute_routes(
                RunCompute(database, self.parts.uses, self.interpreters),
                self.parts.uses,
                self.tokens,
                self.parts.principals,
                database,
            )
        )
        self.client = TestClient(app)

    def call(
        self,
        method: str,
        path: str,
        attempt_id: AttemptId,
        use: RunTokenUse = RunTokenUse.REPORT,
    ) -> tuple[int, Any]:
        view = self.parts.view(attempt_id)
        token = self.tokens.issue(use, view.run.id, attempt_id, view.run.creator_id)
        headers = {"Authorization": f"Bearer {token}"}
        answer = self.client.request(method, f"/internal/v1{path}", headers=headers)
        return answer.status_code, answer.json() if answer.content else None

    def spark(self, attempt_id: AttemptId) -> tuple[int, Any]:
        return self.call("POST", "/runtime/spark", attempt_id, RunTokenUse.RUNTIME)


@pytest.fixture
def asking(sqlite_url: str, blobs: BlobStore, clock: ManualClock) -> Iterator[Asking]:
    database = Database(sqlite_url)
    yield Asking(database, blobs, clock)
    database.close()


def test_a_run_from_asking_to_giving_back(asking: Asking) -> None:
    parts = asking.parts
    attempt_id = parts.run(compute=Compute(new_cluster=ClusterSpec(name="c", workers=1)))
    path = f"/attempts/{attempt_id}/compute"
    status, answer = asking.call("POST", path, attempt_id)
    assert (status, answer["state"], answer["cluster_name"]) == (200, "pending", "c")
    cluster = parts.clusters.get(parts.admin, answer["cluster_id"])
    parts.bring_up(cluster)
    status, answer = asking.call("POST", path, attempt_id)
    assert (status, answer["state"]) == (200, "ready")
    assert answer["spark"]["job_group"] == f"attempt-{attempt_id}"
    assert asking.spark(attempt_id) == (200, answer)
    parts.uses.release(attempt_id)
    parts.manager.round()
    assert asking.call("DELETE", path, attempt_id) == (204, None)
    assert asking.call("DELETE", path, attempt_id) == (204, None)
    assert parts.driver(cluster).removed


def test_a_notebook_gets_spark_when_it_asks(asking: Asking) -> None:
    parts = asking.parts
    attempt_id = parts.run()
    shared = parts.ask(attempt_id, spark=True).cluster
    assert shared is not None
    parts.bring_up(shared)
    status, answer = asking.spark(attempt_id)
    assert (status, answer["state"], answer["lazy"]) == (200, "ready", False)
    assert answer["cluster_id"] == shared.id


def test_interpreters_that_notebooks_get_are_counted(asking: Asking, tmp_path: Path) -> None:
    parts = asking.parts
    python = tmp_path / "python"
    python.touch()
    parts.packages.prepared = Prepared(python=str(python))
    compute = Compute(libraries=(Library(LibraryKind.PYPI, "pandas==0.1"),))
    for _ in range(parts.settings.warm_environment_after):
        asking.interpreters.review()
        assert asking.pool.interpreters == []
        attempt_id = parts.run(compute=compute)
        for _ in range(3):  # one attempt is one use
            status, answer = asking.call("POST", f"/attempts/{attempt_id}/compute", attempt_id)
            assert (status, answer["python"]) == (200, str(python))
    asking.interpreters.review()
    assert asking.pool.interpreters == [str(python)]
    assert asking.interpreters.expected(parts.user.id, compute) == str(python)


def test_a_failure_names_its_cause(asking: Asking) -> None:
    attempt_id = asking.parts.run(compute=Compute(new_cluster=ClusterSpec(master="x")))
    status, answer = asking.call("POST", f"/attempts/{attempt_id}/compute", attempt_id)
    assert (status, answer["state"], answer["cause"]) == (200, "failed", "cluster_failed")
    assert "master" in answer["message"]


def test_only_the_right_token_opens(asking: Asking) -> None:
    first, second = asking.parts.run(), asking.parts.run()
    assert asking.call("POST", f"/attempts/{second}/compute", first)[0] == 401
    assert asking.call("DELETE", f"/attempts/{second}/compute", first)[0] == 401
    assert asking.call("POST", f"/attempts/{first}/compute", first, RunTokenUse.RUNTIME)[0] == 401
    assert asking.call("POST", "/runtime/spark", first)[0] == 401
    assert asking.client.post("/internal/v1/runtime/spark").status_code == 401


def test_a_run_that_is_over_gets_nothing(asking: Asking) -> None:
    attempt_id = asking.parts.run(compute=Compute(new_cluster=ClusterSpec()))
    asking.parts.finish_run(attempt_id)
    status, answer = asking.call("POST", f"/attempts/{attempt_id}/compute", attempt_id)
    assert (status, answer["error"]) == (410, "attempt_gone")
    assert asking.call("DELETE", f"/attempts/{attempt_id}/compute", attempt_id)[0] == 204
