"""Publications follow the runs that were asked to update them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from quire.clock import ManualClock
from quire.engine.conclusions import Conclusions
from quire.engine.models import JobDefinition, NotebookTask, RunRequest
from quire.engine.publishing import Publishing
from quire.engine.reports import Reports
from quire.ids import AttemptId
from quire.store import runs as run_rows
from quire.store.blobs import BlobStore
from quire.store.database import Database
from quire.workspace.formats.document import code_cell, new_notebook
from quire.workspace.layouts import Layout, Place, Row, Tab, set_layout
from quire.workspace.publications import Publications
from quire.workspace.tree import Workspace
from tests.engine.parts import Parts

PATH = "/Users/ada@example.com/n"


class World(Parts):
    def __init__(self, database: Database, blobs: BlobStore, clock: ManualClock) -> None:
        super().__init__(database, blobs, clock)
        self.workspace = Workspace(database, blobs, clock)
        self.workspace.ensure_roots()
        self.notebook = new_notebook("python", "plain", [code_cell("print()", id="a")])
        set_layout(self.notebook, Layout((Tab("t", "Tab", (Row("r", (Place("a"),)),)),)))
        self.node = self.workspace.import_notebook(
            self.user, PATH, self.notebook, make_parents=True
        )
        self.publications = Publications(database, blobs, clock, self.workspace)
        publishing = Publishing(self.publications, self.workspace, self.principals, self.results)
        self.reports = Reports(
            database, blobs, clock, self.transitions, self.settings, Conclusions(publishing)
        )

    def run(self, text: str, outcome: str = "success", *, updates: bool = True) -> None:
        """A run that prints ``text``, from request to end."""
        definition = JobDefinition(task=NotebookTask(path=PATH), updates_publication=updates)
        attempt_id = self.runs.submit(self.user, RunRequest(definition=definition)).attempt.id
        self.start(attempt_id)
        key = f"runs/{attempt_id}/snapshot.ipynb"
        self.blobs.put(key, json.dumps(self.notebook).encode())
        with self.database.write() as connection:
            run_rows.update_attempt(connection, attempt_id, {"snapshot_key": key})
        output = {"output_type": "stream", "name": "stdout", "text": text}
        self.report(
            attempt_id,
            {"type": "cell_started", "index": 0},
            {"type": "output", "index": 0, "output": output},
        )
        self.finish(attempt_id, outcome)
        assert not self.view(AttemptId(attempt_id)).attempt.active

    def shown(self) -> Any:
        """What the publication's cell shows."""
        (publication,) = self.publications.find([self.node.id]).values()
        return self.publications.read(self.user, publication.uid)[2]["cells"][0]["outputs"]


@pytest.fixture
def world(database: Database, blobs: BlobStore, clock: ManualClock) -> World:
    return World(database, blobs, clock)


def test_shows_the_last_run_that_was_to_update_it_and_succeeded(world: World) -> None:
    world.publications.create(world.user, world.node.id, {})
    assert world.shown() == []
    world.run("first")
    assert [each["text"] for each in world.shown()] == ["first"]
    world.run("failed", "failed")
    world.run("cancelled", "cancelled")
    world.run("not asked", updates=False)
    assert [each["text"] for each in world.shown()] == ["first"]
    world.run("last")
    assert [each["text"] for each in world.shown()] == ["last"]


def test_nothing_is_published_by_a_run(world: World) -> None:
    world.run("first")
    assert world.publications.find([world.node.id]) == {}


def test_a_notebook_that_is_gone_keeps_no_run_from_its_end(world: World) -> None:
    world.publications.create(world.user, world.node.id, {})
    world.workspace.delete(world.user, PATH)
    world.run("first")
