"""The dialect over real services, without processes: tests play the runner by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import func, select
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.testclient import TestClient

from quire.clock import ManualClock
from quire.dialects.base import Services, install_dialects
from quire.dialects.databricks import databricks_dialect
from quire.identity.tokens import Tokens
from quire.notify.destinations import Destinations
from quire.store.blobs import BlobStore
from quire.store.database import Database
from quire.store.tables import destinations, jobs, nodes, runs
from quire.workspace.attachments import Attachments
from quire.workspace.connections import Connections
from quire.workspace.publications import Publications
from quire.workspace.tree import Workspace
from tests.compute.parts import ClusterParts
from tests.conftest import BEGINNING
from tests.dialects.furnishing import Furnished, furnish

CLUSTER = {"spark_version": "15.4.x-scala2.12", "num_workers": 0}


class Door:
    """A client of the dialect, and what lies behind it."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        clock: ManualClock,
        furnisher: Door | None = None,
    ) -> None:
        self.parts = ClusterParts(database, blobs, clock, workspace_id="77")
        self.clock = clock
        self.tokens = Tokens(database, clock)
        self.workspace = Workspace(database, blobs, clock)
        self.destinations = Destinations(database, clock)
        self.services = Services(
            jobs=self.parts.jobs,
            runs=self.parts.runs,
            sessions=self.parts.sessions,
            results=self.parts.results,
            artifacts=self.parts.artifacts,
            workspace=self.workspace,
            attachments=Attachments(database, blobs, clock, self.workspace, limit_bytes=1_000_000),
            publications=Publications(database, blobs, clock, self.workspace),
            connections=Connections(database, clock),
            principals=self.parts.principals,
            tokens=self.tokens,
            destinations=self.destinations,
            clusters=self.parts.clusters,
            cluster_uses=self.parts.uses,
            settings=self.parts.settings,
            clock=clock,
        )
        self.dialect = databricks_dialect(self.services)
        app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

        @app.get("/api/2.0/test-crash")
        def crash() -> None:
            raise RuntimeError("secret detail")

        install_dialects(app, [self.dialect], render_other=_render_other)
        self.client = TestClient(app, raise_server_exceptions=False)
        if furnisher is not None:
            self.token = furnisher.token
            self.admin_token = furnisher.admin_token
            self.stranger_token = furnisher.stranger_token
        else:
            self.token = self.tokens.create(self.parts.user.id)[0]
            self.admin_token = self.tokens.create(self.parts.admin.id)[0]
            self.stranger_token = self.tokens.create(self.parts.stranger.id)[0]

    def call(
        self,
        method: str,
        path: str,
        fields: Any = None,
        *,
        token: str | None = None,
        **options: Any,
    ) -> tuple[int, Any]:
        """Status and JSON of a call; ``fields`` go to the query of a GET, else to a JSON body."""
        headers = {"Authorization": f"Bearer {token or self.token}", **options.pop("headers", {})}
        if fields is not None:
            options["params" if method == "GET" else "json"] = fields
        answer = self.client.request(method, f"/api/2.0{path}", headers=headers, **options)
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-databricks-org-id"] == "77"
        return answer.status_code, answer.json()

    def post(self, path: str, fields: Any = None, **options: Any) -> Any:
        status, body = self.call("POST", path, fields, **options)
        assert status == 200, body
        return body

    def get(self, path: str, fields: Any = None, **options: Any) -> Any:
        status, body = self.call("GET", path, fields, **options)
        assert status == 200, body
        return body

    def refuse(self, method: str, path: str, fields: Any = None, **options: Any) -> tuple[int, str]:
        """Status and error code of a call that has to fail, whose text is kept in ``said``."""
        status, body = self.call(method, path, fields, **options)
        assert 400 <= status < 500, body
        assert set(body) == {"error_code", "message"}
        self.said = body["message"]
        return status, body["error_code"]

    def stored(self) -> dict[str, int]:
        """How many records there are of what a request could make."""
        with self.parts.database.read() as connection:
            return {
                table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in (jobs, runs, nodes, destinations)
            }

    def make_job(self, **settings: Any) -> int:
        body = {"notebook_task": {"notebook_path": "/Shared/n"}, "new_cluster": CLUSTER, **settings}
        job_id = self.post("/jobs/create", body)["job_id"]
        assert isinstance(job_id, int)
        return job_id

    def submit(self, **settings: Any) -> int:
        body = {"notebook_task": {"notebook_path": "/Shared/n"}, "new_cluster": CLUSTER, **settings}
        run_id = self.post("/jobs/runs/submit", body)["run_id"]
        assert isinstance(run_id, int)
        return run_id


def _render_other(error: Exception, _: Request) -> Response:
    return PlainTextResponse(type(error).__name__, status_code=500)


@pytest.fixture(scope="session")
def furnished(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Furnished[Door]:
    """What every test of the dialect begins with."""
    folder = tmp_path_factory.mktemp("databricks")
    return furnish(sqlite_template, folder, ManualClock(BEGINNING), Door)


@pytest.fixture
def door(furnished: Furnished[Door], tmp_path: Path, clock: ManualClock) -> Iterator[Door]:
    with furnished.copied(tmp_path) as (database, blobs):
        yield Door(database, blobs, clock, furnished.by)
