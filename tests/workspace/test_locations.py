from __future__ import annotations

from pathlib import Path

import pytest

from quire.clock import ManualClock
from quire.errors import InvalidValue, NotFound
from quire.identity.models import Role
from quire.identity.principals import Principals
from quire.store.blobs import BlobStore
from quire.store.database import Database
from quire.workspace.files import FileStore
from quire.workspace.locations import Locations
from quire.workspace.tree import Workspace


@pytest.fixture
def places(database: Database, blobs: BlobStore, clock: ManualClock, tmp_path: Path) -> Locations:
    principals = Principals(database, clock)
    admin = principals.create_user("root@example.com", role=Role.ADMIN)
    principals.create_user("ada@example.com")
    workspace = Workspace(database, blobs, clock)
    workspace.ensure_roots()
    workspace.write_file(admin, "/Users/root@example.com/a.jar", b"workspace")
    files = FileStore(tmp_path / "files")
    files.write("/jars/a.jar", b"files")
    return Locations(workspace, files)


@pytest.mark.parametrize(
    ("location", "data"),
    [
        ("dbfs:/jars/a.jar", b"files"),
        ("dbfs:///jars/a.jar", b"files"),
        ("/Users/root@example.com/a.jar", b"workspace"),
    ],
)
def test_a_file_is_read_where_it_is(
    places: Locations, database: Database, clock: ManualClock, location: str, data: bytes
) -> None:
    admin = Principals(database, clock).get_by_name("root@example.com")
    assert places.read(admin, location, 100) == data
    file, size = places.open(admin, location)
    with file:
        assert (file.read(), size) == (data, len(data))
    with pytest.raises(InvalidValue, match="at most 1 are read"):
        places.read(admin, location, 1)


@pytest.mark.parametrize(
    ("location", "error"),
    [
        ("dbfs:/nothing", NotFound),
        ("dbfs:/jars", InvalidValue),
        ("dbfs:/../etc/passwd", InvalidValue),
        ("/Shared", InvalidValue),
        ("/Shared/nothing", NotFound),
        ("file:/etc/passwd", InvalidValue),
        ("s3://bucket/a.jar", InvalidValue),
        ("relative", InvalidValue),
        ("", InvalidValue),
    ],
)
def test_what_cannot_be_read(
    places: Locations,
    database: Database,
    clock: ManualClock,
    location: str,
    error: type[Exception],
) -> None:
    admin = Principals(database, clock).get_by_name("root@example.com")
    with pytest.raises(error):
        places.open(admin, location)


def test_others_files_do_not_exist(
    places: Locations, database: Database, clock: ManualClock
) -> None:
    ada = Principals(database, clock).get_by_name("ada@example.com")
    with pytest.raises(NotFound):
        places.open(ada, "/Users/root@example.com/a.jar")
