from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.errors import InvalidValue, TooLarge
from quire.workspace.formats import databricks_archive as archive
from quire.workspace.formats.databricks_archive import ArchiveEntry
from quire.workspace.formats.databricks_model import model_of
from quire.workspace.formats.document import code_cell, new_notebook
from tests.workspace.formats.strategies import PROPERTY, notebooks


def notebook(source: str = "x", language: str = "python") -> dict[str, Any]:
    return new_notebook(language, "databricks", [code_cell(source)])


def record(source: str = "x") -> str:
    return json.dumps(model_of(notebook(source), "n"))


def packed(*entries: tuple[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as writer:
        for name, content in entries:
            info = zipfile.ZipInfo("x")
            info.filename = name  # past ZipInfo's own tidying of names
            info.compress_type = zipfile.ZIP_DEFLATED
            writer.writestr(info, content)
    return buffer.getvalue()


def test_notebooks_and_folders_come_back() -> None:
    entries = [
        ArchiveEntry("project/a", notebook("a")),
        ArchiveEntry("project/deep/er/b", notebook("b", "sql")),
        ArchiveEntry("project/empty", None),
        ArchiveEntry("project/naïve name.v2", notebook("c", "scala")),
        ArchiveEntry("top", notebook("d", "r")),
    ]
    assert archive.read(archive.write(reversed(entries))) == entries


def test_written_archives_have_the_contracts_entries() -> None:
    data = archive.write([ArchiveEntry("f/a", notebook()), ArchiveEntry("q", notebook("", "sql"))])
    with zipfile.ZipFile(io.BytesIO(data)) as reader:
        assert reader.namelist() == ["manifest.mf", "f/a.python", "q.sql"]
        assert json.loads(reader.read("manifest.mf")) == {"version": "Manifest"}
        model = json.loads(reader.read("f/a.python"))
    assert (model["version"], model["name"], model["language"]) == ("NotebookV1", "a", "python")
    assert archive.write([ArchiveEntry("a", notebook())]) == archive.write(
        [ArchiveEntry("a", notebook())]
    )


def test_folder_entries_count_only_when_nothing_is_below_them() -> None:
    data = packed(("f/", ""), ("f/a.python", record()), ("g/", ""), ("g/h/", ""))
    assert [(entry.path, entry.notebook is None) for entry in archive.read(data)] == [
        ("f/a", False),
        ("g/h", True),
    ]


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd.python",
        "../a.python",
        "a/../../b.python",
        "./a.python",
        "a//b.python",
        "C:/a.python",
        "a\\..\\b.python",
        "a\nb.python",
        ".python",
        "notes.txt",
        "a.PYTHON",
        "../",
    ],
)
def test_entries_outside_the_archive_or_no_notebooks_are_refused(name: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        archive.read(packed((name, record())))
    assert refused.value.field == "content"


@pytest.mark.parametrize(
    "names",
    [
        ("a.python", "a.sql"),
        ("a.python", "a/b.python"),
    ],
)
def test_clashing_entries_are_refused(names: tuple[str, str]) -> None:
    with pytest.raises(InvalidValue, match="a"):
        archive.read(packed(*((name, record()) for name in names)))


def test_a_bad_record_is_named() -> None:
    with pytest.raises(InvalidValue, match=r"f/bad\.python"):
        archive.read(packed(("f/good.python", record()), ("f/bad.python", "{}")))


def test_what_is_unpacked_is_bounded_whatever_the_headers_say() -> None:
    data = packed(("a.python", record(" " * 3_000_000)))
    assert len(data) < 20_000
    with pytest.raises(TooLarge):
        archive.read(data, maximum_bytes=2_000_000)
    # A header that claims fewer bytes does not let more through.
    size = len(record(" " * 3_000_000)).to_bytes(4, "little")
    lying = data.replace(size, (100).to_bytes(4, "little"))
    assert lying != data
    with pytest.raises((InvalidValue, TooLarge)):
        archive.read(lying, maximum_bytes=2_000_000)


def test_the_bound_counts_all_entries_together() -> None:
    size = len(record())
    data = packed(*((f"{number}.python", record()) for number in range(3)))
    assert len(archive.read(data, maximum_bytes=3 * size)) == 3
    with pytest.raises(TooLarge):
        archive.read(data, maximum_bytes=3 * size - 1)


def test_too_many_entries_are_refused() -> None:
    names = (f"{number}/" for number in range(archive.MAXIMUM_ENTRIES + 1))
    with pytest.raises(InvalidValue, match="entries"):
        archive.read(packed(*((name, "") for name in names)))


@pytest.mark.parametrize("cut", [0, 10, 60, -30, -5])
def test_damaged_archives_are_refused(cut: int) -> None:
    data = packed(("a.python", record()))
    with pytest.raises(InvalidValue):
        archive.read(data[:cut] if cut else b"PK\x03\x04 not a zip")


def test_encrypted_entries_are_refused() -> None:
    data = bytearray(packed(("a.python", record())))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    with pytest.raises(InvalidValue):
        archive.read(bytes(data))


@pytest.mark.parametrize("path", ["", "/a", "a/../b", "a//b", "a\\b"])
def test_paths_to_write_are_checked(path: str) -> None:
    with pytest.raises(InvalidValue):
        archive.write([ArchiveEntry(path, notebook())])


def test_what_an_archive_cannot_hold_is_refused_on_writing() -> None:
    with pytest.raises(InvalidValue, match="twice"):
        archive.write([ArchiveEntry("a", notebook()), ArchiveEntry("a", notebook("y", "sql"))])
    with pytest.raises(InvalidValue, match="julia"):
        archive.write([ArchiveEntry("a", notebook("", "julia"))])


@PROPERTY
@given(st.lists(notebooks(), max_size=3))
def test_any_notebooks_come_back(listed: list[dict[str, Any]]) -> None:
    entries = [ArchiveEntry(f"f{index}/n", item) for index, item in enumerate(listed)]
    assert archive.read(archive.write(entries)) == entries
