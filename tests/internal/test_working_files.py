"""What runners are served of their working folders, and what becomes of what they send."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from quire.clock import ManualClock
from quire.engine.models import JobDefinition, NotebookTask, RunRequest, WorkingFiles
from quire.identity.run_tokens import RunTokens, RunTokenUse
from quire.ids import AttemptId, PrincipalId, RunId
from quire.internal.working_files import WorkingFolders, working_file_routes
from quire.store.blobs import BlobStore
from quire.store.database import Database
from quire.workspace.attachments import Attachments
from quire.workspace.formats.document import code_cell, new_notebook
from quire.workspace.tree import Workspace
from tests.engine.parts import Parts

PATH = "/Users/ada@example.com/n"


class World(Parts):
    def __init__(self, database: Database, blobs: BlobStore, clock: ManualClock) -> None:
        super().__init__(
            database, blobs, clock, run_file_limit_bytes=100, run_files_limit_bytes=150
        )
        self.workspace = Workspace(database, blobs, clock)
        self.workspace.ensure_roots()
        notebook = new_notebook("python", "plain", [code_cell("1")])
        self.node = self.workspace.import_notebook(self.user, PATH, notebook, make_parents=True)
        self.attachments = Attachments(
            database, blobs, clock, self.workspace, limit_bytes=1_000_000
        )
        self.run_tokens = RunTokens(b"0123456789abcdef")
        folders = WorkingFolders(database, self.principals, self.attachments, self.artifacts)
        routes = working_file_routes(folders, self.run_tokens, self.settings)
        self.client = TestClient(Starlette(routes=routes))

    def begin(self, working_files: WorkingFiles = WorkingFiles.ARTIFACTS) -> AttemptId:
        """A run whose cells are executed."""
        definition = JobDefinition(task=NotebookTask(path=PATH), working_files=working_files)
        attempt_id = self.runs.submit(self.user, RunRequest(definition=definition)).attempt.id
        self.start(attempt_id)
        return attempt_id

    def ask(self, method: str, attempt_id: int, path: str, body: bytes = b"") -> Any:
        token = self.run_tokens.issue(
            RunTokenUse.REPORT, RunId(attempt_id), AttemptId(attempt_id), PrincipalId(2)
        )
        return self.client.request(
            method,
            f"/internal/v1/attempts/{attempt_id}/working-files",
            params={"path": path},
            content=body,
            headers={"Authorization": f"Bearer {token}"},
        )

    def status(self, *request: Any) -> int:
        return int(self.ask(*request).status_code)


@pytest.fixture
def world(sqlite_url: str, blobs: BlobStore, clock: ManualClock) -> Iterator[World]:
    database = Database(sqlite_url)
    yield World(database, blobs, clock)
    database.close()


def test_reads_what_is_attached(world: World) -> None:
    world.attachments.write(world.user, world.node.id, "data/a b.csv", b"1,2")
    run = world.begin()
    answer = world.ask("GET", run, "data/a b.csv")
    assert (answer.status_code, answer.content) == (200, b"1,2")
    assert [world.status("GET", run, path) for path in ("no", "../x", "")] == [404, 400, 400]


def test_files_become_artifacts(world: World) -> None:
    run = world.begin()
    assert world.status("PUT", run, "out/a", b"1") == 204
    assert world.status("PUT", run, "out/a", b"23") == 204
    assert world.status("DELETE", run, "out/a") == 409
    view = world.view(run)
    assert world.artifacts.list(view) == []  # nothing before the end
    world.finish(run)
    view = world.view(run)
    assert [each.name for each in world.artifacts.list(view)] == ["out/a"]
    assert world.artifacts.read(view, "out/a")[1] == b"23"
    assert world.attachments.snapshot(world.node.id) == []


def test_files_become_the_notebooks_own(world: World) -> None:
    world.attachments.write(world.user, world.node.id, "gone", b"1")
    run = world.begin(WorkingFiles.WRITE_BACK)
    assert world.status("PUT", run, "a", b"1") == 204
    assert world.status("DELETE", run, "gone") == 204
    assert world.status("DELETE", run, "gone") == 404
    assert [each.path for each in world.attachments.snapshot(world.node.id)] == ["a"]


def test_others_keep_nothing(world: World) -> None:
    run = world.begin(WorkingFiles.DISCARD)
    assert world.status("PUT", run, "a", b"1") == 409


def test_limits(world: World) -> None:
    run = world.begin()
    assert world.status("PUT", run, "a", b"x" * 101) == 413
    assert world.status("PUT", run, "a", b"x" * 100) == 204
    assert world.status("PUT", run, "b", b"x" * 51) == 413
    assert world.status("PUT", run, "a", b"x" * 100) == 204  # in place of itself


def test_only_the_runner_of_an_active_attempt_asks(world: World) -> None:
    run = world.begin()
    url = f"/internal/v1/attempts/{run}/working-files?path=a"
    assert world.client.get(url).status_code == 401
    other = world.run_tokens.issue(
        RunTokenUse.REPORT, RunId(run), AttemptId(run + 1), PrincipalId(2)
    )
    for token in ("x", other):
        headers = {"Authorization": f"Bearer {token}"}
        assert world.client.get(url, headers=headers).status_code == 401
    world.finish(run)
    assert world.status("PUT", run, "a", b"1") == 410
    assert world.status("PUT", 999, "a", b"1") == 410


def test_what_a_run_leaves_outlives_its_notebook(world: World) -> None:
    run, direct = world.begin(), world.begin(WorkingFiles.WRITE_BACK)
    world.workspace.delete(world.admin, PATH)
    other = world.workspace.import_notebook(world.user, PATH, new_notebook("python", "plain", []))
    assert world.status("PUT", run, "a", b"1") == 204
    assert world.status("PUT", direct, "a", b"1") == 404
    assert world.attachments.snapshot(other.id) == []


def test_rights_are_those_of_the_moment(world: World) -> None:
    run = world.begin()
    world.workspace.delete(world.admin, PATH)
    assert world.status("GET", run, "a") == 404
