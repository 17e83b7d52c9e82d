from __future__ import annotations

import pytest

from quire.dialects.databricks.locations import (
    check_location,
    file_location,
    submit_location,
    workspace_path,
)
from quire.errors import InvalidValue, QuireError, Unsupported


@pytest.mark.parametrize(
    ("path", "stored"),
    [
        ("/Workspace", "/"),
        ("/Workspace/a", "/a"),
        ("/Workspaces/a", "/Workspaces/a"),
        ("/Users/", "/Users"),
        ("//Users//a", "/Users/a"),
        ("/", "/"),
    ],
)
def test_workspace_paths(path: str, stored: str) -> None:
    assert workspace_path(path) == stored


@pytest.mark.parametrize(
    ("uri", "location"),
    [
        ("dbfs:/a/b.jar", "dbfs:/a/b.jar"),
        ("dbfs:///a//b.jar", "dbfs:/a/b.jar"),
        ("/dbfs/a.jar", "dbfs:/a.jar"),
        ("file:/dbfs/a.jar", "dbfs:/a.jar"),
        ("file:///dbfs/a.jar", "dbfs:/a.jar"),
        ("/Workspace/Shared/a.py", "/Shared/a.py"),
        ("file:/Workspace/Shared/a.py", "/Shared/a.py"),
        ("/Shared/a.py", "/Shared/a.py"),
        ("file:/etc/passwd", "file:/etc/passwd"),
        ("s3://b/a.jar", "s3://b/a.jar"),
    ],
)
def test_a_file_has_one_location(uri: str, location: str) -> None:
    assert file_location(uri) == location
    if not location.startswith(("file:", "s3:")):
        check_location(uri, "jar")


@pytest.mark.parametrize(
    ("uri", "location"),
    [
        ("dbfs:///a.jar", "dbfs:/a.jar"),
        ("/Workspace/Shared/a.py", "workspace:/Shared/a.py"),
        ("/opt/a.jar", "/opt/a.jar"),  # of the machine, as spark-submit understands it
        ("spark-internal", "spark-internal"),
    ],
)
def test_a_bare_path_of_spark_submit_is_the_machines(uri: str, location: str) -> None:
    assert submit_location(uri) == location


@pytest.mark.parametrize(
    ("uri", "error"),
    [
        ("relative", InvalidValue),
        ("dbfs:/", InvalidValue),
        ("dbfs:/a/../../b", InvalidValue),
        ("/a/../b", InvalidValue),
        ("file:/etc/passwd", Unsupported),
        ("abfss://c@a/b", Unsupported),
        ("/Volumes/a/b/c", Unsupported),
    ],
)
def test_what_cannot_be_read_is_refused_by_the_field(uri: str, error: type[QuireError]) -> None:
    with pytest.raises(error, match=r"libraries\[0\]\.jar"):
        check_location(uri, "libraries[0].jar")
