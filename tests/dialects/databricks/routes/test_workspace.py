"""Workspace 2.0 over HTTP (contract 8.1)."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from typing import Any

import nbformat
import pytest

from tests.dialects.databricks.conftest import Door

SOURCE = (
    b"# Databricks notebook source\nprint(1)\n\n# COMMAND ----------\n\n# MAGIC %md\n# MAGIC # Hi\n"
)
JUPYTER = json.dumps(
    {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {},
        "cells": [
            {
                "cell_type": "code",
                "id": "a",
                "source": "print(1)",
                "metadata": {},
                "execution_count": None,
                "outputs": [],
            }
        ],
    }
).encode()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def put(door: Door, path: str, data: bytes = SOURCE, **fields: Any) -> None:
    body = {"path": path, "content": b64(data), "format": "SOURCE", "language": "PYTHON", **fields}
    assert door.post("/workspace/import", body) == {}


def export(door: Door, path: str, **fields: Any) -> tuple[bytes, str]:
    answer = door.get("/workspace/export", {"path": path, **fields})
    return base64.b64decode(answer["content"]), answer["file_type"]


def status(door: Door, path: str) -> dict[str, Any]:
    answer = door.get("/workspace/get-status", {"path": path})
    assert isinstance(answer, dict)
    return answer


class TestFolders:
    def test_make_list_describe_delete(self, door: Door) -> None:
        assert door.post("/workspace/mkdirs", {"path": "/Shared/a/b"}) == {}
        assert door.post("/workspace/mkdirs", {"path": "/Workspace/Shared/a/b/"}) == {}
        listed = door.get("/workspace/list", {"path": "/Shared/a"})["objects"]
        assert listed == [status(door, "/Shared/a/b")]
        assert listed[0]["object_type"] == "DIRECTORY"
        assert isinstance(listed[0]["object_id"], int)
        assert listed[0]["resource_id"] == str(listed[0]["object_id"])
        assert door.get("/workspace/list", {"path": "/Shared/a/b"}) == {}
        assert door.refuse("POST", "/workspace/delete", {"path": "/Shared/a"}) == (
            400,
            "DIRECTORY_NOT_EMPTY",
        )
        assert door.post("/workspace/delete", {"path": "/Shared/a", "recursive": "True"}) == {}
        assert door.refuse("GET", "/workspace/get-status", {"path": "/Shared/a"}) == (
            404,
            "RESOURCE_DOES_NOT_EXIST",
        )
        assert door.refuse("POST", "/workspace/delete", {"path": "/Shared/a"})[0] == 404

    def test_roots_are_there(self, door: Door) -> None:
        paths = [each["path"] for each in door.get("/workspace/list", {"path": "/"})["objects"]]
        assert paths == ["/Repos", "/Shared", "/Users"]
        assert status(door, "/Users/ada@example.com")["object_type"] == "DIRECTORY"

    def test_something_else_in_the_way(self, door: Door) -> None:
        put(door, "/Shared/n")
        assert door.refuse("POST", "/workspace/mkdirs", {"path": "/Shared/n"}) == (
            400,
            "RESOURCE_ALREADY_EXISTS",
        )

    def test_what_is_not_ours_to_change(self, door: Door) -> None:
        home = {"path": "/Users/eve@example.com/x"}
        assert door.refuse("POST", "/workspace/mkdirs", home)[0] in {403, 404}
        assert door.refuse("POST", "/workspace/delete", {"path": "/Users"}) == (
            403,
            "PERMISSION_DENIED",
        )


class TestImport:
    @pytest.mark.parametrize(
        ("language", "comment", "extension"),
        [("PYTHON", "#", "py"), ("SQL", "--", "sql"), ("SCALA", "//", "scala"), ("R", "#", "r")],
    )
    def test_source_comes_back_as_it_was(
        self, door: Door, language: str, comment: str, extension: str
    ) -> None:
        data = f"{comment} Databricks notebook source\nselect 1\n".encode()
        put(door, "/Shared/n", data, language=language)
        assert status(door, "/Shared/n")["language"] == language
        assert export(door, "/Shared/n") == (data, extension)
        assert export(door, "/Workspace/Shared/n", format="AUTO") == (data, extension)

    def test_overwrite_keeps_the_id(self, door: Door) -> None:
        put(door, "/Shared/n")
        before = status(door, "/Shared/n")
        body = {"path": "/Shared/n", "content": b64(SOURCE), "language": "PYTHON"}
        assert door.refuse("POST", "/workspace/import", body) == (400, "RESOURCE_ALREADY_EXISTS")
        door.clock.advance(5)
        put(door, "/Shared/n", b"# Databricks notebook source\n2\n", overwrite="true")
        after = status(door, "/Shared/n")
        assert after["object_id"] == before["object_id"]
        assert after["modified_at"] == before["modified_at"] + 5000
        assert export(door, "/Shared/n")[0] == b"# Databricks notebook source\n2\n"

    def test_another_kind_of_object_is_not_overwritten(self, door: Door) -> None:
        put(door, "/Shared/f", b"x", format="RAW")
        body = {
            "path": "/Shared/f",
            "content": b64(SOURCE),
            "language": "PYTHON",
            "overwrite": True,
        }
        assert door.refuse("POST", "/workspace/import", body) == (400, "RESOURCE_ALREADY_EXISTS")

    def test_jupyter(self, door: Door) -> None:
        put(door, "/Shared/n", JUPYTER, format="JUPYTER", language=None)
        assert status(door, "/Shared/n")["language"] == "PYTHON"
        data, file_type = export(door, "/Shared/n", format="JUPYTER")
        assert file_type == "ipynb"
        notebook = nbformat.reads(data.decode(), as_version=4)
        assert [cell.source for cell in notebook.cells] == ["print(1)"]

    def test_html_and_archive_round_trip(self, door: Door) -> None:
        put(door, "/Shared/n")
        page, file_type = export(door, "/Shared/n", format="HTML")
        assert file_type == "html"
        put(door, "/Shared/from-html", page, format="HTML")
        assert export(door, "/Shared/from-html")[0] == SOURCE
        archive, file_type = export(door, "/Shared/n", format="DBC")
        assert file_type == "dbc"
        put(door, "/Shared/from-dbc", archive, format="DBC")
        assert export(door, "/Shared/from-dbc/n")[0] == SOURCE

    def test_folder_as_archive(self, door: Door) -> None:
        door.post("/workspace/mkdirs", {"path": "/Shared/a/b"})
        put(door, "/Shared/a/n")
        put(door, "/Shared/a/b/m")
        archive, _ = export(door, "/Shared/a", format="DBC")
        names = zipfile.ZipFile(io.BytesIO(archive)).namelist()
        assert {name for name in names if name.endswith(".python")} == {"n.python", "b/m.python"}
        assert door.refuse("GET", "/workspace/export", {"path": "/Shared/a"})[0] == 400
        put(door, "/Shared/copy", archive, format="DBC")
        assert export(door, "/Shared/copy/b/m")[0] == SOURCE
        body = {"path": "/Shared/copy", "content": b64(archive), "format": "DBC"}
        assert door.refuse("POST", "/workspace/import", body) == (400, "RESOURCE_ALREADY_EXISTS")
        assert door.refuse("POST", "/workspace/import", {**body, "overwrite": True})[0] == 400

    def test_broken_archive_leaves_nothing(self, door: Door) -> None:
        before = door.stored()
        for data in (b"no zip", _zip("../x.python"), _zip("a.python", b"{")):
            body = {"path": "/Shared/x", "content": b64(data), "format": "DBC"}
            assert door.refuse("POST", "/workspace/import", body)[0] == 400
        assert door.stored() == before

    @pytest.mark.parametrize(
        ("path", "data", "kind", "stored_at"),
        [
            ("/Shared/a.py", SOURCE, "NOTEBOOK", "/Shared/a"),
            ("/Shared/a.ipynb", JUPYTER, "NOTEBOOK", "/Shared/a"),
            ("/Shared/a.py", b"print(1)\n", "FILE", "/Shared/a.py"),
            ("/Shared/a.sql", SOURCE, "FILE", "/Shared/a.sql"),  # another language's header
            ("/Shared/a.txt", SOURCE, "FILE", "/Shared/a.txt"),
        ],
    )
    def test_auto(self, door: Door, path: str, data: bytes, kind: str, stored_at: str) -> None:
        put(door, path, data, format="AUTO", language=None)
        assert status(door, stored_at)["object_type"] == kind

    def test_raw_file(self, door: Door) -> None:
        put(door, "/Shared/data.bin", b"\x00\xff", format="RAW")
        described = status(door, "/Shared/data.bin")
        assert (described["object_type"], described["size"]) == ("FILE", 2)
        assert export(door, "/Shared/data.bin") == (b"\x00\xff", "bin")
        query = {"path": "/Shared/data.bin", "format": "JUPYTER"}
        assert door.refuse("GET", "/workspace/export", query)[0] == 400

    def test_form(self, door: Door) -> None:
        body = door.post(
            "/workspace/import",
            data={"path": "/Shared/n", "language": "PYTHON", "overwrite": "true"},
            files={"content": ("content", SOURCE)},
        )
        assert body == {}
        assert export(door, "/Shared/n")[0] == SOURCE

    def test_direct_download(self, door: Door) -> None:
        put(door, "/Shared/ü n")
        answer = door.client.get(
            "/api/2.0/workspace/export",
            params={"path": "/Shared/ü n", "direct_download": "True"},
            headers={"Authorization": f"Bearer {door.token}"},
        )
        assert answer.content == SOURCE
        assert answer.headers["content-disposition"] == (
            "attachment; filename*=UTF-8''%C3%BC%20n.py"
        )
        assert answer.headers["x-content-type-options"] == "nosniff"

    def test_content_over_10_mb(self, door: Door) -> None:
        limit = 10 * 1024 * 1024
        put(door, "/Shared/most", b"x" * limit, format="RAW")
        body = {"path": "/Shared/more", "content": b64(b"x" * (limit + 1)), "format": "RAW"}
        assert door.refuse("POST", "/workspace/import", body) == (
            400,
            "MAX_NOTEBOOK_SIZE_EXCEEDED",
        )
        body["content"] = "x" * 2 * limit
        assert door.refuse("POST", "/workspace/import", body) == (413, "MALFORMED_REQUEST")

    @pytest.mark.parametrize(
        ("fields", "status_code", "said"),
        [
            ({"path": None}, 400, "path"),
            ({"path": 5}, 400, "path"),
            ({"path": ""}, 400, "path"),
            ({"path": "relative"}, 400, "path"),
            ({"path": "/Shared/../x"}, 400, "path"),
            ({"path": "/Shared/" + "x" * 5000}, 400, "path"),
            ({"path": "/Shared/no/parent"}, 404, "/Shared/no"),
            ({"content": None}, 400, "content"),
            ({"content": 5}, 400, "content"),
            ({"content": "%%%"}, 400, "content"),
            ({"content": "ü"}, 400, "content"),
            ({"content": b64(b"\xff\xfe")}, 400, "content"),
            ({"format": "WORD"}, 400, "SOURCE, JUPYTER"),
            ({"format": 5}, 400, "format"),
            ({"format": "R_MARKDOWN"}, 400, "R Markdown"),
            ({"format": "JUPYTER", "content": b64(b"{}")}, 400, "content"),
            ({"format": "HTML", "content": b64(b"<p>")}, 400, "content"),
            ({"language": None}, 400, "language"),
            ({"language": "COBOL"}, 400, "language"),
            ({"language": 5}, 400, "language"),
            ({"overwrite": "maybe"}, 400, "overwrite"),
            ({"overwrite": 1}, 400, "overwrite"),
        ],
    )
    def test_refusals(
        self, door: Door, fields: dict[str, Any], status_code: int, said: str
    ) -> None:
        before = door.stored()
        body = {"path": "/Shared/n", "content": b64(SOURCE), "language": "PYTHON", **fields}
        assert door.refuse("POST", "/workspace/import", body)[0] == status_code
        assert said in door.said
        assert door.stored() == before


class TestList:
    def test_notebooks_modified_after(self, door: Door) -> None:
        put(door, "/Shared/old")
        now = status(door, "/Shared/old")["modified_at"]
        door.clock.advance(10)
        put(door, "/Shared/new")
        query = {"path": "/Shared", "notebooks_modified_after": now}
        listed = door.get("/workspace/list", query)["objects"]
        assert [each["path"] for each in listed] == ["/Shared/new"]

    def test_of_a_notebook_is_the_notebook(self, door: Door) -> None:
        put(door, "/Shared/n")
        listed = door.get("/workspace/list", {"path": "/Shared/n"})["objects"]
        assert listed == [status(door, "/Shared/n")]

    @pytest.mark.parametrize("path", ["list", "get-status", "export"])
    @pytest.mark.parametrize("value", [None, "", "relative", "/a/../b", "/" + "x" * 5000])
    def test_bad_paths(self, door: Door, path: str, value: str | None) -> None:
        query = {} if value is None else {"path": value}
        assert door.refuse("GET", f"/workspace/{path}", query) == (400, "INVALID_PARAMETER_VALUE")
        assert "path" in door.said


def _zip(name: str, content: bytes = b"{}") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()
