from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import nbformat
import pytest

from quire.clock import ManualClock
from quire.compute.models import Compute, Library, LibraryKind
from quire.engine.models import (
    JarTask,
    JobDefinition,
    NotebookTask,
    PythonFileTask,
    ShellTask,
    SqlTask,
    Task,
)
from quire.engine.pins import NotPinned, Pin, Pinner
from quire.engine.states import Cause
from quire.identity.models import Role
from quire.identity.principals import Principals
from quire.store.blobs import BlobStore
from quire.store.database import Database
from quire.workspace.files import FileStore
from quire.workspace.formats import databricks_source
from quire.workspace.locations import Locations
from quire.workspace.tree import Workspace


class Desk:
    def __init__(
        self, database: Database, blobs: BlobStore, clock: ManualClock, folder: Path
    ) -> None:
        self.actor = Principals(database, clock).create_user("root@example.com", role=Role.ADMIN)
        self.workspace = Workspace(database, blobs, clock)
        self.workspace.ensure_roots()
        self.files = FileStore(folder)
        self.pinner = Pinner(self.workspace, Locations(self.workspace, self.files))

    def pin(self, task: Task, **given: Any) -> Pin:
        pin = self.pinner.pin(self.actor, JobDefinition(task=task, **given))
        nbformat.validate(dict(pin.notebook))
        return pin


@pytest.fixture
def desk(database: Database, blobs: BlobStore, clock: ManualClock, tmp_path: Path) -> Desk:
    return Desk(database, blobs, clock, tmp_path / "files")


def sources(pin: Pin) -> list[str]:
    return [cell["source"] for cell in pin.notebook["cells"]]


def test_a_python_file_is_shown_as_text_and_run_as_bytes(desk: Desk) -> None:
    data = "# coding: latin-1\nprint('ü')\n".encode("latin-1")
    desk.workspace.write_file(desk.actor, "/Shared/a.py", data)
    pin = desk.pin(PythonFileTask("/Shared/a.py", ("1",)))
    assert sources(pin) == ["# coding: latin-1\nprint('ü')\n"]
    assert pin.notebook["metadata"]["language_info"] == {"name": "python"}
    assert pin.program is not None
    assert base64.b64decode(pin.program["content"]) == data
    assert (pin.program["kind"], pin.program["arguments"]) == ("python_file", ["1"])


def test_a_python_file_that_is_none(desk: Desk) -> None:
    desk.files.write("/a.py", b"# coding: no-such\n\x00\xff")
    assert sources(desk.pin(PythonFileTask("dbfs:/a.py"))) == ["# coding: no-such\n\ufffd\ufffd"]


def test_programs_are_shown_as_their_command(desk: Desk) -> None:
    pin = desk.pin(ShellTask(("bash", "-c", "ls -l"), {"A": "b"}))
    assert sources(pin) == ["bash -c 'ls -l'"]
    assert pin.program is not None
    assert pin.program["environment"] == {"A": "b"}


def test_a_jar_brings_its_classes_along(desk: Desk) -> None:
    compute = Compute(
        libraries=(
            Library(LibraryKind.JAR, "dbfs:/a.jar"),
            Library(LibraryKind.PYPI, "simplejson"),
            Library(LibraryKind.MAVEN, "g:a:1", repository="file:///m", exclusions=("x:y",)),
        )
    )
    pin = desk.pin(JarTask("demo.Main"), compute=compute)
    assert pin.program is not None
    assert [each["value"] for each in pin.program["libraries"]] == ["dbfs:/a.jar", "g:a:1"]


def test_statements_become_a_notebook(desk: Desk) -> None:
    pin = desk.pin(SqlTask(text="SELECT 1;\nSELECT 2"))
    assert (sources(pin), pin.program) == (["SELECT 1;\nSELECT 2"], None)
    assert pin.notebook["metadata"]["language_info"] == {"name": "sql"}


def test_a_file_of_statements_and_an_sql_notebook(desk: Desk) -> None:
    desk.workspace.write_file(desk.actor, "/Shared/q.sql", b"SELECT 3\n")
    assert sources(desk.pin(SqlTask(path="/Shared/q.sql", flavour="databricks"))) == ["SELECT 3"]
    notebook = databricks_source.read(b"-- Databricks notebook source\nSELECT 4\n", "sql")
    desk.workspace.import_notebook(desk.actor, "/Shared/n", notebook)
    pin = desk.pin(SqlTask(path="/Shared/n"))
    assert (sources(pin), pin.flavour) == (["SELECT 4"], "databricks")


@pytest.mark.parametrize(
    ("task", "cause", "message"),
    [
        (NotebookTask("/Shared/no"), Cause.NOTEBOOK_MISSING, "Notebook not found: /Shared/no"),
        (NotebookTask("/Shared"), Cause.NOTEBOOK_INVALID, "Cannot read /Shared: "),
        (PythonFileTask("/Shared/no.py"), Cause.FILE_MISSING, "File not found: /Shared/no.py"),
        (PythonFileTask("dbfs:/no.py"), Cause.FILE_MISSING, "File not found: dbfs:/no.py"),
        (PythonFileTask("/Shared"), Cause.FILE_MISSING, "Cannot read /Shared: "),
        (PythonFileTask("s3://b/a.py"), Cause.FILE_MISSING, "Cannot read s3://b/a.py: "),
        (SqlTask(path="/Shared/no.sql"), Cause.FILE_MISSING, "File not found: /Shared/no.sql"),
        (SqlTask(path="/Shared/bad.sql"), Cause.NOTEBOOK_INVALID, "Cannot read /Shared/bad.sql: "),
    ],
)
def test_what_cannot_be_run_says_why(desk: Desk, task: Task, cause: Cause, message: str) -> None:
    desk.workspace.write_file(desk.actor, "/Shared/bad.sql", b"\xff\xfe")
    with pytest.raises(NotPinned) as caught:
        desk.pin(task)
    assert caught.value.cause is cause
    assert str(caught.value).startswith(message)
