"""What the workspace does, on SQLite and on PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from quire.clock import ManualClock
from quire.errors import (
    AlreadyExists,
    InvalidState,
    InvalidValue,
    NotEmpty,
    NotFound,
    PermissionDenied,
    QuireError,
    Unavailable,
)
from quire.identity.permissions import Right
from quire.identity.principals import Principal, Principals, Role
from quire.ids import NodeId
from quire.store.blobs import BlobStore
from quire.store.database import Database
from quire.workspace.tree import Node, NodeKind, Workspace


@dataclass(frozen=True)
class _People:
    admin: Principal
    ann: Principal
    bob: Principal
    staff: Principal
    carl: Principal  # of the staff


@pytest.fixture
def workspace(database: Database, blobs: BlobStore, clock: ManualClock) -> Workspace:
    return Workspace(database, blobs, clock)


@pytest.fixture
def people(database: Database, clock: ManualClock) -> _People:
    principals = Principals(database, clock)
    return _People(
        admin=principals.create_user("admin", role=Role.ADMIN),
        ann=principals.create_user("ann"),
        bob=principals.create_user("bob"),
        staff=principals.create_group("staff"),
        carl=principals.create_user("carl", groups=["staff"]),
    )


def _notebook(source: str = "1", **metadata: Any) -> dict[str, Any]:
    cell = {"cell_type": "code", "id": "a", "source": source, "metadata": {}, "outputs": []}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": [cell]}


def _paths(nodes: Any) -> list[str]:
    return [node.path for node in nodes]


# Notebooks


def test_gives_back_a_notebook(workspace: Workspace, people: _People, clock: ManualClock) -> None:
    notebook = _notebook("print('grüße 日本')\n")
    node = workspace.import_notebook(people.ann, "/Users/ann/report", notebook)
    expected = Node(
        id=node.id,
        uid=node.uid,
        kind=NodeKind.NOTEBOOK,
        path="/Users/ann/report",
        language="python",
        flavour="plain",
        owner_id=people.ann.id,
        revision=1,
        size=None,
        public_right=None,
        created_at=clock.now(),
        modified_at=clock.now(),
    )
    assert node == expected
    assert node.name == "report"
    assert workspace.get(people.ann, "/Users/ann/report") == expected
    assert workspace.get_by_id(people.ann, node.id) == expected
    assert workspace.read_notebook(people.ann, "/Users/ann/report") == (expected, notebook)


def test_takes_language_and_flavour_from_the_notebook(
    workspace: Workspace, people: _People
) -> None:
    notebook = _notebook(language_info={"name": "scala"}, quire={"flavour": "databricks"})
    node = workspace.import_notebook(people.ann, "/Users/ann/a", notebook)
    assert (node.language, node.flavour) == ("scala", "databricks")
    changed = _notebook(language_info={"name": "sql"}, quire={"flavour": "of its own"})
    node = workspace.import_notebook(people.ann, "/Users/ann/a", changed, overwrite=True)
    assert (node.language, node.flavour) == ("sql", "plain")
    assert workspace.get(people.ann, "/Users/ann/a") == node


@pytest.mark.parametrize("name", ["", "x" * 65, 5, None])
def test_refuses_a_language_that_is_none(
    workspace: Workspace, people: _People, name: object
) -> None:
    with pytest.raises(InvalidValue, match="language_info"):
        workspace.import_notebook(
            people.ann, "/Users/ann/a", _notebook(language_info={"name": name})
        )


def test_keeps_half_a_surrogate_pair_of_an_output(workspace: Workspace, people: _People) -> None:
    notebook = _notebook("'\ud83d'")
    workspace.import_notebook(people.ann, "/Users/ann/a", notebook)
    assert workspace.read_notebook(people.ann, "/Users/ann/a")[1] == notebook


def test_refuses_what_is_not_json(workspace: Workspace, people: _People) -> None:
    with pytest.raises(InvalidValue, match="content"):
        workspace.import_notebook(people.ann, "/Users/ann/a", _notebook(x={1, 2}))
    assert workspace.list(people.ann, "/Users/ann") == []


def test_keeps_every_revision(workspace: Workspace, people: _People, clock: ManualClock) -> None:
    path = "/Users/ann/a"
    before = clock.now()
    clock.advance(60)
    moments = []
    for number in range(1, 4):
        node = workspace.import_notebook(
            people.ann, path, _notebook(str(number)), overwrite=number > 1
        )
        assert node.revision == number
        moments.append(clock.now())
        clock.advance(60)
    assert workspace.get(people.ann, path).modified_at == moments[-1]
    assert workspace.get(people.ann, path).created_at == moments[0]
    for number, at in enumerate(moments, start=1):
        found, notebook = workspace.read_notebook(people.ann, path, at=at)
        assert (found.revision, notebook) == (number, _notebook(str(number)))
        assert workspace.read_revision(people.ann, node.id, number) == (found, notebook)
    assert workspace.read_notebook(people.ann, path, at=clock.now())[0].revision == 3
    assert [each.number for each in workspace.list_revisions(people.ann, path)] == [3, 2, 1]
    with pytest.raises(NotFound):
        workspace.read_notebook(people.ann, path, at=before)
    with pytest.raises(NotFound):
        workspace.read_revision(people.ann, node.id, 4)


def test_overwrites_only_when_told_to(workspace: Workspace, people: _People) -> None:
    first = workspace.import_notebook(people.ann, "/Users/ann/a", _notebook("1"))
    with pytest.raises(AlreadyExists):
        workspace.import_notebook(people.ann, "/Users/ann/a", _notebook("2"))
    assert workspace.read_notebook(people.ann, "/Users/ann/a")[1] == _notebook("1")
    second = workspace.import_notebook(people.ann, "/Users/ann/a", _notebook("2"), overwrite=True)
    assert second.id == first.id


def test_overwrites_nothing_of_another_kind(workspace: Workspace, people: _People) -> None:
    workspace.make_folders(people.ann, "/Users/ann/folder")
    workspace.write_file(people.ann, "/Users/ann/file", b"x")
    workspace.import_notebook(people.ann, "/Users/ann/notebook", _notebook())
    for path in ("/Users/ann/folder", "/Users/ann/file", "/Users/ann"):
        with pytest.raises(AlreadyExists):
            workspace.import_notebook(people.ann, path, _notebook(), overwrite=True)
    for path in ("/Users/ann/folder", "/Users/ann/notebook"):
        with pytest.raises(AlreadyExists):
            workspace.write_file(people.ann, path, b"y", overwrite=True)


def test_names_are_case_sensitive(workspace: Workspace, people: _People) -> None:
    workspace.import_notebook(people.ann, "/Users/ann/a", _notebook("lower"))
    workspace.import_notebook(people.ann, "/Users/ann/A", _notebook("upper"))
    assert workspace.read_notebook(people.ann, "/Users/ann/a")[1] == _notebook("lower")
    assert _paths(workspace.list(people.ann, "/Users/ann")) == ["/Users/ann/A", "/Users/ann/a"]


def test_takes_paths_up_to_their_limit(workspace: Workspace, people: _People) -> None:
    path = "/Users/ann/" + "".join(chr(0x4E00 + number) for number in range(1361)) + "xy"
    assert len(path.encode()) == 4096
    workspace.import_notebook(people.ann, path, _notebook())
    assert workspace.get(people.ann, path).path == path
    with pytest.raises(InvalidValue):
        workspace.import_notebook(people.ann, path + "z", _notebook())


def test_makes_parents_only_when_told_to(workspace: Workspace, people: _People) -> None:
    with pytest.raises(NotFound) as caught:
        workspace.import_notebook(people.ann, "/Users/ann/x/y/a", _notebook())
    assert caught.value.identifier == "/Users/ann/x/y"
    assert workspace.list(people.ann, "/Users/ann") == []
    workspace.import_notebook(people.ann, "/Users/ann/x/y/a", _notebook(), make_parents=True)
    assert workspace.get(people.ann, "/Users/ann/x/y").kind is NodeKind.FOLDER
    assert workspace.get(people.ann, "/Users/ann/x").owner_id == people.ann.id


def test_nothing_lies_below_a_notebook(workspace: Workspace, people: _People) -> None:
    workspace.import_notebook(people.ann, "/Users/ann/a", _notebook())
    with pytest.raises(AlreadyExists, match="not a folder"):
        workspace.import_notebook(people.ann, "/Users/ann/a/b", _notebook())
    with pytest.raises(AlreadyExists, match="not a folder"):
        workspace.make_folders(people.ann, "/Users/ann/a/b/c")
    with pytest.raises(NotFound):
        workspace.get(people.ann, "/Users/ann/a/b")


# Files


def test_gives_back_a_file(workspace: Workspace, people: _People) -> None:
    data = bytes(range(256))
    node = workspace.write_file(people.ann, "/Users/ann/data.bin", data)
    assert (node.kind, node.size, node.revision) == (NodeKind.FILE, 256, 1)
    assert workspace.read_file(people.ann, "/Users/ann/data.bin") == data


def test_keeps_only_the_newest_content_of_a_file(
    workspace: Workspace, people: _People, blobs: BlobStore
) -> None:
    workspace.write_file(people.ann, "/Users/ann/f", b"old")
    with pytest.raises(AlreadyExists):
        workspace.write_file(people.ann, "/Users/ann/f", b"refused")
    node = workspace.write_file(people.ann, "/Users/ann/f", b"newer", overwrite=True)
    assert (node.size, node.revision) == (5, 2)
    assert workspace.read_file(people.ann, "/Users/ann/f") == b"newer"
    assert len(blobs.list("files/")) == 1


def test_reading_wants_the_right_kind(workspace: Workspace, people: _People) -> None:
    workspace.write_file(people.ann, "/Users/ann/file", b"x")
    workspace.import_notebook(people.ann, "/Users/ann/notebook", _notebook())
    for path in ("/Users/ann/file", "/Users/ann"):
        with pytest.raises(InvalidValue, match="not a notebook"):
            workspace.read_notebook(people.ann, path)
    for path in ("/Users/ann/notebook", "/Users/ann"):
        with pytest.raises(InvalidValue, match="not a file"):
            workspace.read_file(people.ann, path)


# Folders


def test_the_roots_exist_for_everybody(workspace: Workspace, people: _People) -> None:
    assert _paths(workspace.list(people.bob, "/")) == ["/Repos", "/Shared", "/Users"]
    assert workspace.list(people.bob, "/Repos") == []
    assert _paths(workspace.list(people.bob, "/Users")) == ["/Users/bob"]
    assert _paths(workspace.list(people.admin, "/Users")) == [
        "/Users/admin",
        "/Users/ann",
        "/Users/bob",
        "/Users/carl",
    ]


def test_the_roots_can_be_made_without_people(workspace: Workspace, people: _People) -> None:
    workspace.ensure_roots()
    workspace.ensure_roots()
    assert len(workspace.list(people.admin, "/")) == 3


def test_makes_folders_again_and_again(workspace: Workspace, people: _People) -> None:
    for _ in range(2):
        workspace.make_folders(people.ann, "/Users/ann/a/b/c")
    workspace.make_folders(people.ann, "/")
    assert _paths(workspace.list(people.ann, "/Users/ann/a/b")) == ["/Users/ann/a/b/c"]
    workspace.write_file(people.ann, "/Users/ann/file", b"x")
    with pytest.raises(AlreadyExists):
        workspace.make_folders(people.ann, "/Users/ann/file")


def test_lists_by_name_and_not_deeper(workspace: Workspace, people: _People) -> None:
    for path in ("/Users/ann/b", "/Users/ann/ä", "/Users/ann/a/deep", "/Users/ann/B"):
        workspace.import_notebook(people.ann, path, _notebook(), make_parents=True)
    assert _paths(workspace.list(people.ann, "/Users/ann")) == [
        "/Users/ann/B",
        "/Users/ann/a",
        "/Users/ann/b",
        "/Users/ann/ä",
    ]
    assert _paths(workspace.list(people.ann, "/Users/ann/b")) == ["/Users/ann/b"]
    with pytest.raises(NotFound):
        workspace.list(people.ann, "/Users/ann/none")


# Deletion


def test_deletes_with_every_revision(
    workspace: Workspace, people: _People, blobs: BlobStore
) -> None:
    node = workspace.import_notebook(people.ann, "/Users/ann/a", _notebook())
    workspace.import_notebook(people.ann, "/Users/ann/a", _notebook("2"), overwrite=True)
    workspace.share(people.ann, "/Users/ann/a", people.bob, Right.VIEWER)
    workspace.delete(people.ann, "/Users/ann/a")
    for gone in (
        lambda: workspace.get(people.ann, "/Users/ann/a"),
        lambda: workspace.get_by_id(people.ann, node.id),
        lambda: workspace.delete(people.ann, "/Users/ann/a"),
    ):
        with pytest.raises(NotFound):
            gone()
    assert blobs.list("") == []
    again = workspace.import_notebook(people.ann, "/Users/ann/a", _notebook())
    assert again.id > node.id
    assert again.revision == 1
    assert workspace.right_of(people.bob, again) is None


def test_deletes_folders_with_all_below_only_when_told_to(
    workspace: Workspace, people: _People, blobs: BlobStore
) -> None:
    workspace.import_notebook(people.ann, "/Users/ann/x/y/a", _notebook(), make_parents=True)
    workspace.write_file(people.ann, "/Users/ann/x/f", b"x")
    workspace.write_file(people.ann, "/Users/ann/xy", b"a neighbour")
    with pytest.raises(NotEmpty):
        workspace.delete(people.ann, "/Users/ann/x")
    workspace.delete(people.ann, "/Users/ann/x", recursive=True)
    assert _paths(workspace.list(people.ann, "/Users/ann")) == ["/Users/ann/xy"]
    assert workspace.read_file(people.ann, "/Users/ann/xy") == b"a neighbour"
    assert len(blobs.list("")) == 1
    workspace.make_folders(people.ann, "/Users/ann/empty")
    workspace.delete(people.ann, "/Users/ann/empty")


@pytest.mark.parametrize("path", ["/", "/Users", "/Shared", "/Repos", "/Users/ann"])
def test_what_belongs_to_the_server_stays(workspace: Workspace, people: _People, path: str) -> None:
    with pytest.raises(PermissionDenied):
        workspace.delete(people.admin, path, recursive=True)


# Rights


def test_a_home_is_its_owners_alone(workspace: Workspace, people: _People) -> None:
    node = workspace.import_notebook(people.ann, "/Users/ann/a", _notebook())
    for refused in (
        lambda: workspace.get(people.bob, "/Users/ann/a"),
        lambda: workspace.get(people.bob, "/Users/ann"),
        lambda: workspace.list(people.bob, "/Users/ann"),
        lambda: workspace.get_by_id(people.bob, node.id),
        lambda: workspace.read_notebook(people.bob, "/Users/ann/a"),
        lambda: workspace.read_revision(people.bob, node.id, 1),
        lambda: workspace.list_revisions(people.bob, "/Users/ann/a"),
        lambda: workspace.delete(people.bob, "/Users/ann/a"),
        lambda: workspace.import_notebook(people.bob, "/Users/ann/a", _notebook(), overwrite=True),
        lambda: workspace.import_notebook(people.bob, "/Users/ann/b", _notebook()),
        lambda: workspace.make_folders(people.bob, "/Users/ann/c"),
        lambda: workspace.share(people.bob, "/Users/ann/a", people.bob, Right.VIEWER),
        lambda: workspace.list_grants(people.bob, "/Users/ann/a"),
    ):
        with pytest.raises(NotFound):
            refused()
    assert workspace.right_of(people.bob, node) is None
    assert workspace.right_of(people.ann, node) is Right.OWNER
    assert workspace.read_notebook(people.admin, "/Users/ann/a")[1] == _notebook()
    assert workspace.right_of(people.admin, node) is Right.OWNER


def test_an_invisible_path_and_a_missing_one_look_the_same(
    workspace: Workspace, people: _People
) -> None:
    workspace.import_notebook(people.ann, "/Users/ann/a", _notebook())
    texts = []
    for name in ("a", "b"):
        with pytest.raises(NotFound) as caught:
            workspace.import_notebook(people.bob, f"/Users/ann/{name}", _notebook())
        texts.append(str(caught.value).replace(f"/Users/ann/{name}", "PATH"))
    assert texts[0] == texts[1]


def test_only_administrators_write_to_the_roots(workspace: Workspace, people: _People) -> None:
    for path in ("/a", "/Users/dora", "/Repos/a"):
        with pytest.raises(PermissionDenied):
            workspace.import_notebook(people.ann, path, _notebook())
        with pytest.raises(PermissionDenied):
            workspace.make_folders(people.ann, path)
    workspace.make_folders(people.admin, "/Teams/one")
    with pytest.raises(NotFound):
        workspace.get(people.ann, "/Teams/one")
    assert "/Teams" not in _paths(workspace.list(people.ann, "/"))


def test_everybody_edits_what_is_shared(workspace: Workspace, people: _People) -> None:
    node = workspace.import_notebook(people.ann, "/Shared/a", _notebook())
    assert workspace.right_of(people.bob, node) is Right.EDITOR
    workspace.import_notebook(people.bob, "/Shared/a", _notebook("2"), overwrite=True)
    assert workspace.get(people.bob, "/Shared/a").owner_id == people.ann.id
    with pytest.raises(PermissionDenied):
        workspace.share(people.bob, "/Shared/a", people.carl, Right.OWNER)
    workspace.delete(people.bob, "/Shared/a")


def test_a_viewer_only_reads(workspace: Workspace, people: _People) -> None:
    node = workspace.import_notebook(people.ann, "/Users/ann/a", _notebook())
    assert workspace.share(people.ann, "/Users/ann/a", people.bob, Right.VIEWER) is Right.VIEWER
    assert workspace.read_notebook(people.bob, "/Users/ann/a")[1] == _notebook()
    assert workspace.get_by_id(people.bob, node.id) == node
    for refused in (
        lambda: workspace.import_notebook(people.bob, "/Users/ann/a", _notebook(), overwrite=True),
        lambda: workspace.delete(people.bob, "/Users/ann/a"),
        lambda: workspace.share(people.bob, "/Users/ann/a", people.bob, Right.EDITOR),
    ):
        with pytest.raises(PermissionDenied):
            refused()
    with pytest.raises(NotFound):
        workspace.get(people.bob, "/Users/ann")


def test_an_editor_changes_and_does_not_remove(workspace: Workspace, people: _People) -> None:
    workspace.import_notebook(people.ann, "/Users/ann/a", _notebook())
    workspace.share(people.ann, "/Users/ann/a", people.bob, Right.EDITOR)
    workspace.import_notebook(people.bob, "/Users/ann/a", _notebook("2"), overwrite=True)
    with pytest.raises(PermissionDenied):
        workspace.delete(people.bob, "/Users/ann/a")
    workspace.share(people.ann, "/Users/ann/a", people.bob, Right.OWNER)
    workspace.delete(people.bob, "/Users/ann/a")


def test_a_right_to_a_folder_holds_below_it(workspace: Workspace, people: _People) -> None:
    workspace.import_notebook(people.ann, "/Users/ann/x/y/a", _notebook(), make_parents=True)
    workspace.share(people.ann, "/Users/ann/x", people.bob, Right.EDITOR)
    made = workspace.import_notebook(people.bob, "/Users/ann/x/y/b", _notebook())
    assert made.owner_id == people.bob.id
    assert workspace.right_of(people.ann, made) is Right.OWNER
    assert len(workspace.list(people.bob, "/Users/ann/x/y")) == 2
    workspace.delete(people.bob, "/Users/ann/x/y/a")
    with pytest.raises(NotFound):
        workspace.get(people.bob, "/Users/ann")


def test_a_group_shares_its_rights(workspace: Workspace, people: _People) -> None:
    node = workspace.import_notebook(people.ann, "/Users/ann/a", _notebook())
    workspace.share(people.ann, "/Users/ann/a", people.staff, Right.EDITOR)
    workspace.share(people.ann, "/Users/ann/a", people.carl, Right.VIEWER)
    assert workspace.right_of(people.carl, node) is Right.EDITOR
    assert workspace.right_of(people.bob, node) is None
    grants = workspace.list_grants(people.carl, "/Users/ann/a")
    assert [(each.principal.name, each.right) for each in grants] == [
        ("staff", Right.EDITOR),
        ("carl", Right.VIEWER),
    ]


def test_a_right_is_taken_away(workspace: Workspace, people: _People) -> None:
    path = "/Users/ann/a"
    workspace.import_notebook(people.ann, path, _notebook())
    workspace.share(people.ann, path, people.carl, Right.EDITOR)
    workspace.share(people.ann, path, people.staff, Right.VIEWER)
    assert workspace.share(people.ann, path, people.carl, None) is Right.VIEWER  # by the group
    assert workspace.share(people.ann, path, people.staff, None) is None
    assert workspace.share(people.ann, path, people.carl, None) is None
    with pytest.raises(NotFound):
        workspace.get(people.carl, path)


def test_lists_only_what_is_visible(workspace: Workspace, people: _People) -> None:
    workspace.make_folders(people.admin, "/Users/bob")
    workspace.import_notebook(people.admin, "/Repos/a", _notebook())
    workspace.import_notebook(people.admin, "/Repos/b", _notebook())
    workspace.share(people.admin, "/Repos/b", people.staff, Right.VIEWER)
    assert _paths(workspace.list(people.carl, "/Repos")) == ["/Repos/b"]
    assert workspace.list(people.bob, "/Repos") == []
    assert len(workspace.list(people.admin, "/Repos")) == 2


def test_a_home_made_before_its_user_becomes_theirs(
    workspace: Workspace, people: _People, database: Database, clock: ManualClock
) -> None:
    workspace.import_notebook(people.admin, "/Users/dora/a", _notebook(), make_parents=True)
    dora = Principals(database, clock).create_user("dora")
    assert workspace.get(dora, "/Users/dora").owner_id == dora.id
    assert workspace.get(dora, "/Users/dora/a").owner_id == people.admin.id
    workspace.write_file(people.admin, "/Users/emil", b"in the way")
    with pytest.raises(AlreadyExists):
        Principals(database, clock).create_user("emil")


def test_unknown_ids_are_not_found(workspace: Workspace, people: _People) -> None:
    for number in (10**9, 0, -1, 2**63, 10**30):
        with pytest.raises(NotFound):
            workspace.get_by_id(people.admin, NodeId(number))


# Many at once


def test_one_of_many_imports_at_once_makes_the_notebook(
    workspace: Workspace, people: _People, blobs: BlobStore
) -> None:
    def put(number: int) -> int | None:
        try:
            path = "/Users/ann/x/a"
            workspace.import_notebook(people.ann, path, _notebook(str(number)), make_parents=True)
        except AlreadyExists:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        made = [each for each in pool.map(put, range(16)) if each is not None]
    assert len(made) == 1
    assert workspace.read_notebook(people.ann, "/Users/ann/x/a")[1] == _notebook(str(made[0]))
    assert len(blobs.list("")) == 1


def test_overwrites_at_once_each_become_a_revision(workspace: Workspace, people: _People) -> None:
    path = "/Users/ann/a"

    def put(number: int) -> tuple[int, NodeId]:
        node = workspace.import_notebook(people.ann, path, _notebook(str(number)), overwrite=True)
        return node.revision, node.id

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(put, range(16)))
    assert sorted(revision for revision, _ in made) == list(range(1, 17))
    for number, (revision, node_id) in enumerate(made):
        _, stored = workspace.read_revision(people.ann, node_id, revision)
        assert stored == _notebook(str(number))


def test_deleting_while_others_write_leaves_nothing_half(
    workspace: Workspace, people: _People, blobs: BlobStore
) -> None:
    def work(number: int) -> str:
        try:
            if number % 3 == 0:
                workspace.delete(people.ann, "/Users/ann/x", recursive=True)
                return "deleted"
            if number % 3 == 1:
                workspace.import_notebook(
                    people.ann,
                    f"/Users/ann/x/y/{number % 4}",
                    _notebook(),
                    overwrite=True,
                    make_parents=True,
                )
                return "written"
            workspace.read_notebook(people.ann, f"/Users/ann/x/y/{number % 4}")
        except NotFound:
            return "not found"
        return "read"

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(work, range(60))) <= {"deleted", "written", "not found", "read"}
    workspace.make_folders(people.ann, "/Users/ann/x/y")
    left = workspace.list(people.ann, "/Users/ann/x/y")
    for node in left:
        assert workspace.read_notebook(people.ann, node.path)[1] == _notebook()
    assert len(blobs.list("")) == sum(node.revision for node in left)


def test_readers_always_find_a_file_that_is_overwritten(
    workspace: Workspace, people: _People
) -> None:
    workspace.write_file(people.ann, "/Users/ann/f", b"0")

    def work(number: int) -> bytes:
        if number % 8 == 0:
            workspace.write_file(people.ann, "/Users/ann/f", b"%d" % number, overwrite=True)
        return workspace.read_file(people.ann, "/Users/ann/f")

    with ThreadPoolExecutor(4) as pool:
        assert {int(each) % 8 for each in pool.map(work, range(64))} == {0}


# A blob store in trouble


class _Broken(BlobStore):
    """A real store whose named operations fail as one that is away."""

    broken: frozenset[str] = frozenset()

    def put(self, key: str, data: bytes) -> None:
        if "put" in self.broken:
            raise Unavailable("away")
        super().put(key, data)

    def delete(self, keys: Any) -> None:
        if "delete" in self.broken:
            raise Unavailable("away")
        super().delete(keys)


@pytest.fixture
def troubled(database: Database, clock: ManualClock, tmp_path: Path) -> tuple[_Broken, Workspace]:
    store = _Broken.open("", tmp_path / "troubled")
    assert isinstance(store, _Broken)
    return store, Workspace(database, store, clock)


def test_a_notebook_that_cannot_be_stored_leaves_nothing(
    troubled: tuple[_Broken, Workspace], people: _People
) -> None:
    store, workspace = troubled
    store.broken = frozenset({"put"})
    with pytest.raises(Unavailable):
        workspace.import_notebook(people.ann, "/Users/ann/a", _notebook())
    assert workspace.list(people.ann, "/Users/ann") == []


def test_a_refused_import_leaves_no_blob(
    workspace: Workspace, people: _People, blobs: BlobStore
) -> None:
    refused: list[tuple[str, type[QuireError]]] = [
        ("/Users/bob/a", NotFound),
        ("/Users/ann/x/a", NotFound),
        ("/a", PermissionDenied),
        ("/Users/ann", AlreadyExists),
    ]
    for path, error in refused:
        with pytest.raises(error):
            workspace.import_notebook(people.ann, path, _notebook())
    assert blobs.list("") == []


def test_blobs_that_cannot_be_removed_do_not_undo_a_deletion(
    troubled: tuple[_Broken, Workspace], people: _People, caplog: pytest.LogCaptureFixture
) -> None:
    store, workspace = troubled
    workspace.import_notebook(people.ann, "/Users/ann/a", _notebook())
    store.broken = frozenset({"delete"})
    workspace.delete(people.ann, "/Users/ann/a")
    assert workspace.list(people.ann, "/Users/ann") == []
    assert "could not be removed" in caplog.text


# Edits


def _append(number: int) -> Any:
    def change(notebook: dict[str, Any]) -> int:
        notebook["cells"].append(
            {"cell_type": "raw", "id": f"c{number}", "metadata": {}, "source": ""}
        )
        return number

    return change


def test_an_edit_is_a_revision(workspace: Workspace, people: _People, clock: ManualClock) -> None:
    made = workspace.import_notebook(people.ann, "/Users/ann/n", _notebook())
    clock.advance(1)
    node, answer = workspace.edit_notebook(people.ann, made.id, _append(7))
    assert (node.revision, node.modified_at, answer) == (2, clock.now(), 7)
    assert workspace.get(people.ann, "/Users/ann/n") == node
    read = workspace.read_notebook(people.ann, "/Users/ann/n")[1]
    assert [cell["id"] for cell in read["cells"]] == ["a", "c7"]
    assert len(workspace.read_revision(people.ann, made.id, 1)[1]["cells"]) == 1


def test_outputs_are_no_new_version(
    workspace: Workspace, people: _People, blobs: BlobStore
) -> None:
    made = workspace.import_notebook(people.ann, "/Users/ann/n", _notebook())
    node = workspace.edit_notebook(people.ann, made.id, _append(1), only_outputs=True)[0]
    assert node.revision == 1
    assert len(workspace.read_notebook(people.ann, "/Users/ann/n")[1]["cells"]) == 2
    assert len(blobs.list("notebooks/")) == 1


def test_sources_of_controls_are_made_anew(workspace: Workspace, people: _People) -> None:
    notebook = _notebook("stale = True")
    control = {"controlType": "TEXT_INPUT", "label": "", "variable": "city", "value": "Oslo"}
    notebook["cells"][0]["metadata"] = {"datalore": {"type": "CONTROL", "control": control}}
    made = workspace.import_notebook(people.ann, "/Users/ann/n", notebook)

    def change(notebook: dict[str, Any]) -> None:
        assert notebook["cells"][0]["source"] == "city = 'Oslo'"
        notebook["cells"][0]["metadata"]["datalore"]["control"]["value"] = "Bergen"

    workspace.edit_notebook(people.ann, made.id, change)
    read = workspace.read_notebook(people.ann, made.path)[1]
    assert read["cells"][0]["source"] == "city = 'Bergen'"


def test_a_failed_edit_changes_nothing(
    workspace: Workspace, people: _People, blobs: BlobStore
) -> None:
    made = workspace.import_notebook(people.ann, "/Users/ann/n", _notebook())

    def change(notebook: dict[str, Any]) -> None:
        notebook["cells"].clear()
        raise InvalidValue("cellId", "is wrong.")

    with pytest.raises(InvalidValue):
        workspace.edit_notebook(people.ann, made.id, change)
    assert workspace.get(people.ann, "/Users/ann/n").revision == 1
    assert len(workspace.read_notebook(people.ann, "/Users/ann/n")[1]["cells"]) == 1
    assert len(blobs.list("notebooks/")) == 1


def test_lost_content_is_said_to_be_lost(
    workspace: Workspace, people: _People, blobs: BlobStore
) -> None:
    made = workspace.import_notebook(people.ann, "/Users/ann/n", _notebook())
    blobs.delete(blobs.list("notebooks/"))
    for act in (
        lambda: workspace.read_notebook(people.ann, made.path),
        lambda: workspace.read_revision(people.ann, made.id, 1),
        lambda: workspace.edit_notebook(people.ann, made.id, _append(1)),
    ):
        with pytest.raises(InvalidState, match="no longer in the blob store"):
            act()


def test_edits_need_an_editor(workspace: Workspace, people: _People) -> None:
    made = workspace.import_notebook(people.ann, "/Users/ann/n", _notebook())
    with pytest.raises(NotFound):
        workspace.edit_notebook(people.bob, made.id, _append(1))
    workspace.share(people.ann, made.path, people.bob, Right.VIEWER)
    with pytest.raises(PermissionDenied):
        workspace.edit_notebook(people.bob, made.id, _append(1))
    workspace.share(people.ann, made.path, people.bob, Right.EDITOR)
    workspace.edit_notebook(people.bob, made.id, _append(1))
    folder = workspace.get(people.ann, "/Users/ann")
    with pytest.raises(InvalidValue):
        workspace.edit_notebook(people.ann, folder.id, _append(1))


def test_edits_at_once_lose_nothing(
    database: Database, blobs: BlobStore, clock: ManualClock, people: _People
) -> None:
    servers = [Workspace(database, blobs, clock) for _ in range(2)]  # as two replicas
    made = servers[0].import_notebook(people.ann, "/Users/ann/n", _notebook())
    with ThreadPoolExecutor(6) as pool:
        list(
            pool.map(
                lambda number: servers[number % 2].edit_notebook(
                    people.ann, made.id, _append(number)
                ),
                range(16),
            )
        )
    read = servers[0].read_notebook(people.ann, "/Users/ann/n")[1]
    assert {cell["id"] for cell in read["cells"]} == {"a", *(f"c{n}" for n in range(16))}
    assert servers[0].get(people.ann, "/Users/ann/n").revision == 17


def test_the_oldest_revisions_of_many_edits_go(
    workspace: Workspace, people: _People, blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quire.workspace.tree._KEPT_REVISIONS", 3)
    made = workspace.import_notebook(people.ann, "/Users/ann/n", _notebook())
    for number in range(5):
        workspace.edit_notebook(people.ann, made.id, _append(number))
    numbers = [each.number for each in workspace.list_revisions(people.ann, "/Users/ann/n")]
    assert numbers == [6, 5, 4]
    assert len(blobs.list("notebooks/")) == 3


# Everybody


def test_shared_with_everybody(workspace: Workspace, people: _People) -> None:
    made = workspace.import_notebook(people.ann, "/Users/ann/n", _notebook())
    workspace.share_with_everybody(people.ann, made.path, Right.VIEWER)
    node = workspace.get_by_uid(people.bob, made.uid)
    assert (node.id, node.public_right) == (made.id, Right.VIEWER)
    assert workspace.right_of(people.bob, node) is Right.VIEWER
    assert _paths(workspace.list(people.bob, "/Users/ann/n")) == ["/Users/ann/n"]
    with pytest.raises(PermissionDenied):
        workspace.share_with_everybody(people.bob, made.path, Right.EDITOR)
    with pytest.raises(InvalidValue):
        workspace.share_with_everybody(people.ann, made.path, Right.OWNER)
    workspace.share_with_everybody(people.ann, made.path, None)
    with pytest.raises(NotFound):
        workspace.get_by_uid(people.bob, made.uid)
