from __future__ import annotations

import pytest

from quire.clock import ManualClock
from quire.identity.permissions import Right
from quire.identity.principals import Principals, Role
from quire.store.blobs import BlobStore
from quire.store.database import Database
from quire.workspace.areas import area_of, find_home, list_areas
from quire.workspace.tree import Workspace
from tests.workspace.notebooks import make_notebook


@pytest.fixture
def database(sqlite_url: str) -> Database:
    return Database(sqlite_url)


def test_areas(database: Database, blobs: BlobStore, clock: ManualClock) -> None:
    workspace = Workspace(database, blobs, clock)
    principals = Principals(database, clock)
    admin = principals.create_user("root", role=Role.ADMIN)
    ann, bob = principals.create_user("ann"), principals.create_user("bob")
    service = principals.create_service("robot")
    workspace.make_folders(ann, "/Users/ann/a/b")
    workspace.make_folders(admin, "/team/x")
    workspace.share(admin, "/team", bob, Right.VIEWER)
    for path in ("/Users/ann/a/n", "/Users/ann/n", "/team/x/n", "/n"):
        workspace.import_notebook(admin, path, make_notebook())

    found = {
        path: area_of(workspace.get(admin, path))
        for path in (
            "/Users/ann/a/b",
            "/Users/ann/a/n",
            "/Users/ann/n",
            "/Users/ann",
            "/team/x/n",
            "/team",
            "/n",
            "/Shared",
        )
    }
    assert found == {
        "/Users/ann/a/b": "/Users/ann",
        "/Users/ann/a/n": "/Users/ann",
        "/Users/ann/n": "/Users/ann",
        "/Users/ann": "/Users/ann",
        "/team/x/n": "/team",
        "/team": "/team",
        "/n": "/",
        "/Shared": "/Shared",
    }
    assert [each.path for each in list_areas(workspace, bob)] == [
        "/Users/bob",
        "/Repos",
        "/Shared",
        "/team",
    ]
    assert [each.path for each in list_areas(workspace, service)] == ["/Repos", "/Shared"]
    assert {each.path for each in list_areas(workspace, admin)} >= {"/Users/ann", "/Users/bob"}
    assert find_home(workspace, service) is None
