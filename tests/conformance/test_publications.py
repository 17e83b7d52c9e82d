"""What publications show and to whom, on SQLite and on PostgreSQL."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import pytest

from quire.clock import ManualClock
from quire.errors import AlreadyExists, InvalidState, NotFound, PermissionDenied
from quire.identity.permissions import Right
from quire.identity.principals import Principal, Principals
from quire.ids import NodeId, RunId
from quire.store.blobs import BlobStore
from quire.store.database import Database
from quire.workspace.formats.document import code_cell, new_notebook
from quire.workspace.layouts import Layout, Place, Row, Tab, layout_of, set_layout
from quire.workspace.publications import Publication, Publications
from quire.workspace.tree import Workspace

_PATH = "/Users/ann/n"


@dataclass(frozen=True)
class _Place:
    publications: Publications
    workspace: Workspace
    blobs: BlobStore
    clock: ManualClock
    ann: Principal  # the notebook's owner
    bob: Principal  # its viewer
    eve: Principal  # a stranger
    node: NodeId

    def shown(self, publication: Publication) -> str:
        """What the cell of a publication shows."""
        notebook = self.publications.read(self.bob, publication.uid)[2]
        return str(notebook["cells"][0]["outputs"][0]["text"])

    def edit(self, text: str) -> None:
        def change(notebook: dict[str, Any]) -> None:
            notebook["cells"][0]["outputs"] = _outputs(text)

        self.workspace.edit_notebook(self.ann, self.node, change)

    def stored(self) -> int:
        return len(self.blobs.list("publications/"))


def _outputs(text: str) -> list[dict[str, Any]]:
    return [{"output_type": "stream", "name": "stdout", "text": text}]


def _notebook(text: str, *, laid_out: bool = True) -> dict[str, Any]:
    cell = code_cell("print()", id="a", outputs=_outputs(text))
    notebook = new_notebook("python", "plain", [cell])
    if laid_out:
        set_layout(notebook, Layout((Tab("t", "Tab", (Row("r", (Place("a"),)),)),)))
    return notebook


@pytest.fixture
def place(database: Database, blobs: BlobStore, clock: ManualClock) -> _Place:
    workspace = Workspace(database, blobs, clock)
    principals = Principals(database, clock)
    ann, bob, eve = (principals.create_user(name) for name in ("ann", "bob", "eve"))
    node = workspace.import_notebook(ann, _PATH, _notebook("first"))
    workspace.share(ann, _PATH, bob, Right.VIEWER)
    publications = Publications(database, blobs, clock, workspace)
    return _Place(publications, workspace, blobs, clock, ann, bob, eve, node.id)


def test_shows_what_was_published_until_it_is_updated(place: _Place) -> None:
    made = place.publications.create(place.ann, place.node, {"full_width": True})
    assert (made.node_id, made.run_id, made.creator_id) == (place.node, None, place.ann.id)
    assert (made.created_at, made.updated_at) == (place.clock.now(), place.clock.now())
    place.edit("second")
    assert place.shown(made) == "first"
    place.clock.advance(60)
    updated = place.publications.update(place.ann, place.node, {"full_width": False})
    assert updated.uid == made.uid
    assert updated.options == {"full_width": False}
    assert updated.created_at == made.created_at
    assert updated.updated_at == place.clock.now()
    assert place.shown(made) == "second"
    assert place.publications.find([place.node, NodeId(99)]) == {place.node: updated}
    assert place.stored() == 1


def test_a_notebook_is_published_once(place: _Place) -> None:
    place.publications.create(place.ann, place.node, {})
    with pytest.raises(AlreadyExists):
        place.publications.create(place.ann, place.node, {})
    assert place.stored() == 1


def test_there_has_to_be_something_to_update(place: _Place) -> None:
    with pytest.raises(InvalidState):
        place.publications.update(place.ann, place.node, {})
    assert place.stored() == 0


@pytest.mark.parametrize(
    "layout",
    [Layout(), Layout((Tab("t", "Tab"),)), Layout((Tab("t", "Tab", (Row("r"),)),))],
    ids=["none", "no row", "no cell"],
)
def test_an_empty_layout_is_not_published(place: _Place, layout: Layout) -> None:
    place.workspace.edit_notebook(place.ann, place.node, lambda it: set_layout(it, layout))
    with pytest.raises(InvalidState):
        place.publications.create(place.ann, place.node, {})
    assert place.stored() == 0


def test_runs_update_what_is_published(place: _Place) -> None:
    made = place.publications.create(place.ann, place.node, {"full_width": True})
    place.clock.advance(60)
    updated = place.publications.update_from_run(place.node, _notebook("of the run"), RunId(7))
    assert updated is not None
    assert (updated.uid, updated.run_id, updated.options) == (made.uid, 7, {"full_width": True})
    assert updated.updated_at == place.clock.now()
    assert place.shown(made) == "of the run"
    assert place.stored() == 1


def test_a_run_updates_once(place: _Place) -> None:
    made = place.publications.create(place.ann, place.node, {})
    place.publications.update_from_run(place.node, _notebook("one"), RunId(7))
    again = place.publications.update_from_run(place.node, _notebook("two"), RunId(7))
    assert again is not None
    assert place.shown(made) == "one"
    assert place.stored() == 1


def test_a_run_from_before_the_layout_keeps_it(place: _Place) -> None:
    made = place.publications.create(place.ann, place.node, {})
    executed = _notebook("of the run", laid_out=False)
    place.publications.update_from_run(place.node, executed, RunId(7))
    notebook = place.publications.read(place.ann, made.uid)[2]
    assert layout_of(notebook) == layout_of(_notebook(""))
    assert place.shown(made) == "of the run"


def test_a_run_publishes_nothing_that_is_not_published(place: _Place) -> None:
    assert place.publications.update_from_run(place.node, _notebook("x"), RunId(7)) is None
    assert place.stored() == 0
    assert place.publications.find([place.node]) == {}


def test_readers_are_those_who_see_the_notebook(place: _Place) -> None:
    made = place.publications.create(place.ann, place.node, {})
    assert place.publications.read(place.bob, made.uid)[0] == made
    for reader, uid in ((place.eve, made.uid), (place.ann, uuid.uuid4())):
        with pytest.raises(NotFound, match=r"^There is no such report\.$"):
            place.publications.read(reader, uid)
    place.workspace.share_with_everybody(place.ann, _PATH, Right.VIEWER)
    assert place.publications.read(place.eve, made.uid)[1].path == _PATH


def test_viewers_do_not_publish(place: _Place) -> None:
    for actor, expected in ((place.bob, PermissionDenied), (place.eve, NotFound)):
        with pytest.raises(expected):
            place.publications.create(actor, place.node, {})
        with pytest.raises(expected):
            place.publications.update(actor, place.node, {})
    assert place.stored() == 0


def test_it_goes_with_its_notebook(place: _Place) -> None:
    made = place.publications.create(place.ann, place.node, {})
    place.workspace.delete(place.ann, _PATH)
    with pytest.raises(NotFound):
        place.publications.read(place.ann, made.uid)
    assert place.stored() == 0
