"""The dialect over real services, without processes: tests play the runner by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from quire.dialects.datalore import datalore_dialect
from quire.dialects.datalore.identifiers import notebook_id
from quire.engine.runs import Runs
from quire.engine.sessions import Sessions
from quire.errors import NotFound
from quire.identity.permissions import Right
from quire.identity.principals import Principal
from quire.identity.tokens import Tokens
from quire.ids import AttemptId, NodeId
from quire.notify.destinations import Destinations
from quire.store.blobs import BlobStore
from quire.store.database import Database
from quire.store.tables import nodes, runs
from quire.workspace.attachments import Attachments
from quire.workspace.connections import Connections
from quire.workspace.formats.document import code_cell, new_notebook
from quire.workspace.models import Node
from quire.workspace.publications import Publications
from quire.workspace.tree import Workspace
from tests.compute.parts import ClusterParts
from tests.conftest import BEGINNING
from tests.dialects.furnishing import Furnished, furnish

PATH = "/Users/ann/Umsätze 2026"


class Door:
    """A client of the dialect, and what lies behind it.

    ``owner`` has a notebook that ``editor`` and ``viewer`` share; ``stranger`` has no right to it.
    """

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        clock: ManualClock,
        furnisher: Door | None = None,
    ) -> None:
        self.parts = ClusterParts(database, blobs, clock)
        self.clock = clock
        self.tokens = Tokens(database, clock)
        self.workspace = Workspace(database, blobs, clock)
        self.attachments = Attachments(
            database, blobs, clock, self.workspace, limit_bytes=1_000_000
        )
        self.publications = Publications(database, blobs, clock, self.workspace)
        self.runs = Runs(
            database,
            clock,
            self.parts.quota,
            self.parts.transitions,
            may_see_notebook=self._may_see,
            nudge=self.parts.nudged.append,
            endings=self.parts.endings,
        )
        self.services = Services(
            jobs=self.parts.jobs,
            runs=self.runs,
            sessions=Sessions(
                database,
                self.workspace,
                self.runs,
                self.parts.results,
                self.parts.keeper,
                clock,
            ),
            results=self.parts.results,
            artifacts=self.parts.artifacts,
            workspace=self.workspace,
            attachments=self.attachments,
            publications=self.publications,
            connections=Connections(database, clock),
            principals=self.parts.principals,
            tokens=self.tokens,
            destinations=Destinations(database, clock),
            clusters=self.parts.clusters,
            cluster_uses=self.parts.uses,
            settings=self.parts.settings,
            clock=clock,
        )
        self.dialect = datalore_dialect(self.services)
        app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

        @app.get("/api/run/v1/test/crash")
        def crash() -> None:
            raise RuntimeError("secret detail")

        install_dialects(app, [self.dialect], render_other=_render_other)
        self.client = TestClient(app, raise_server_exceptions=False)
        if furnisher is not None:
            self.people = dict(furnisher.people)
            self.token_of = dict(furnisher.token_of)
            self.node = furnisher.node
        else:
            self._furnish()
        self.owner = self.people["ann"]
        self.notebook_id = notebook_id(self.services, self.node)

    def _furnish(self) -> None:
        self.people = {
            name: self.parts.principals.create_user(name)
            for name in ("ann", "editor", "viewer", "stranger")
        }
        self.token_of = {
            name: self.tokens.create(person.id)[0] for name, person in self.people.items()
        }
        self.owner = self.people["ann"]
        self.node = self.store(code_cell("x = 1"))
        for name, right in (("editor", Right.EDITOR), ("viewer", Right.VIEWER)):
            self.workspace.share(self.owner, PATH, self.people[name], right)

    def store(self, *cells: dict[str, Any], flavour: str = "plain", path: str = PATH) -> Node:
        """Make a notebook of these cells the owner's."""
        notebook = new_notebook("python", flavour, cells)
        return self.workspace.import_notebook(
            self.owner, path, notebook, overwrite=True, make_parents=True
        )

    def call(
        self, method: str, path: str, fields: Any = None, *, who: str = "ann", **options: Any
    ) -> tuple[int, Any]:
        """Status and JSON of a call by one of the people; ``fields`` are the JSON body."""
        headers = {"Authorization": f"Bearer {self.token_of[who]}", **options.pop("headers", {})}
        if fields is not None:
            options["json"] = fields
        self.answer = self.client.request(method, path, headers=headers, **options)
        assert self.answer.headers["content-type"] == "application/json; charset=utf-8"
        return self.answer.status_code, self.answer.json()

    def run(self, fields: Mapping[str, Any] | None = None, **options: Any) -> str:
        """Start a run; its id."""
        body = {"notebookId": self.notebook_id, **(fields or {})}
        status, answer = self.call("POST", "/api/run/v1/notebook", body, **options)
        assert status == 200, answer
        assert set(answer) == {"runId"}
        return str(answer["runId"])

    def status(self, run_id: str, **options: Any) -> Any:
        status, answer = self.call("GET", f"/api/run/v1/{run_id}", **options)
        assert status == 200, answer
        return answer

    def refuse(self, method: str, path: str, fields: Any = None, **options: Any) -> tuple[int, str]:
        """Status and text of a call that has to fail."""
        status, body = self.call(method, path, fields, **options)
        assert 400 <= status < 500, body
        assert set(body) == {"error"}
        return status, body["error"]

    def refuse_run(
        self, fields: Mapping[str, Any] | None = None, **options: Any
    ) -> tuple[int, str]:
        body = {"notebookId": self.notebook_id, **(fields or {})}
        return self.refuse("POST", "/api/run/v1/notebook", body, **options)

    def play(self, run_id: str, outcome: str = "success") -> None:
        """Be the dispatcher and the runner of a run."""
        attempt_id = AttemptId(int(run_id))
        self.parts.start(attempt_id)
        self.parts.finish(attempt_id, outcome)

    def stored(self) -> dict[str, int]:
        """How many records there are of what a request could make."""
        with self.parts.database.read() as connection:
            return {
                table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in (runs, nodes)
            }

    def _may_see(self, actor: Principal, node_id: NodeId) -> bool:
        try:
            self.workspace.get_by_id(actor, node_id)
        except NotFound:
            return False
        return True


def _render_other(error: Exception, _: Request) -> Response:
    return PlainTextResponse(type(error).__name__, status_code=500)


@pytest.fixture(scope="session")
def furnished(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Furnished[Door]:
    """What every test of the dialect begins with."""
    folder = tmp_path_factory.mktemp("datalore")
    return furnish(sqlite_template, folder, ManualClock(BEGINNING), Door)


@pytest.fixture
def door(furnished: Furnished[Door], tmp_path: Path, clock: ManualClock) -> Iterator[Door]:
    with furnished.copied(tmp_path) as (database, blobs):
        yield Door(database, blobs, clock, furnished.by)
