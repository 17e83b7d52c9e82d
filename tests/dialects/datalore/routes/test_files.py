"""Files of notebooks and workspaces over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from quire.identity.permissions import Right
from tests.dialects.datalore.conftest import Door
from tests.dialects.datalore.routes.test_cells import ROOT, Client


@pytest.fixture
def client(door: Door) -> Client:
    return Client(door)


def _upload(
    door: Door, data: bytes = b"a,b\n1,2\n", name: str = "a.csv", **options: Any
) -> tuple[int, Any]:
    owner, identifier = door.notebook_id.split("/")
    query = {"ownerId": owner, "notebookId": identifier, **options.pop("query", {})}
    files = {options.pop("part", "file"): (name, data)}
    return door.call("POST", f"{ROOT}/file/upload", params=query, files=files, **options)


def _names(client: Client, **fields: Any) -> list[tuple[str, str]]:
    return [(each["name"], each["type"]) for each in client("files", **fields)["files"]]


def _bytes(client: Client, path: str, who: str = "ann") -> Any:
    body = {"notebookId": client.notebook, "filePath": path}
    headers = {"Authorization": f"Bearer {client.door.token_of[who]}"}
    return client.door.client.post(f"{ROOT}/file", json=body, headers=headers)


def test_an_uploaded_file_is_there_and_the_same(client: Client) -> None:
    data = bytes(range(256)) * 1000
    assert _upload(client.door, data, "Größe 1.bin") == (
        200,
        {"fileName": "Größe 1.bin", "status": "uploaded"},
    )
    assert client("files")["files"] == [
        {
            "name": "Größe 1.bin",
            "type": "FILE",
            "fileSize": 256_000,
            "lastModified": 1_772_366_400_000,
        }
    ]
    answer = _bytes(client, "data/notebook_files/Größe 1.bin")
    assert answer.content == data
    assert answer.headers["content-type"] == "application/octet-stream"
    disposition = "attachment; filename*=UTF-8''Gr%C3%B6%C3%9Fe%201.bin"
    assert answer.headers["content-disposition"] == disposition
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("directory", "folder"),
    [
        (None, ""),
        ("data/notebook_files", ""),
        ("/data/notebook_files/", ""),
        ("notebook_files", ""),
        ("data/notebook_files/in/side", "in/side"),
        ("in/side", "in/side"),
        ("data/mine", "data/mine"),
    ],
)
def test_directories(client: Client, directory: str | None, folder: str) -> None:
    query = {} if directory is None else {"directory": directory}
    assert _upload(client.door, query=query)[0] == 200
    path = f"{folder}/a.csv" if folder else "a.csv"
    assert client("file/exists", filePath=f"data/notebook_files/{path}") == {"exists": True}
    assert _names(client, directory=f"data/notebook_files/{folder}") == [("a.csv", "FILE")]


def test_the_data_root(client: Client) -> None:
    expected = [("notebook_files", "FOLDER"), ("workspace_files", "FOLDER")]
    for directory in ("data", "/data/", "/", "."):
        assert _names(client, directory=directory) == expected
    for path in ("data", "data/notebook_files", "data/workspace_files/"):
        assert client("file/exists", filePath=path) == {"exists": True}


def test_files_of_the_workspace(client: Client) -> None:
    door = client.door
    query = {"directory": "data/workspace_files"}
    assert _upload(door, query=query)[0] == 200
    assert _names(client, directory="data/workspace_files") == [("a.csv", "FILE")]
    assert _names(client) == []
    home = door.workspace.get(door.owner, "/Users/ann")
    assert door.attachments.read(door.owner, home.id, "a.csv") == b"a,b\n1,2\n"
    # The notebook is shared with them, its workspace is not.
    assert client.refuse("files", who="editor", directory="data/workspace_files")[0] == 403
    assert _upload(door, query=query, who="editor")[0] == 403
    door.workspace.share(door.owner, "/Users/ann", door.people["viewer"], Right.VIEWER)
    assert _bytes(client, "data/workspace_files/a.csv", "viewer").content == b"a,b\n1,2\n"
    assert _upload(door, query=query, who="viewer")[0] == 403


def test_uploading_again_replaces(client: Client) -> None:
    _upload(client.door, b"old")
    _upload(client.door, b"new")
    assert _bytes(client, "a.csv").content == b"new"


def test_names_of_uploads_lose_their_folders(client: Client) -> None:
    assert _upload(client.door, name="C:\\dir\\b.csv")[1]["fileName"] == "b.csv"
    assert _upload(client.door, name="../../c.csv")[1]["fileName"] == "c.csv"
    assert [name for name, _ in _names(client)] == ["b.csv", "c.csv"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"part": "other"}, "file"),
        ({"name": ".."}, "file.filename"),
        ({"name": "x" * 300}, "file.filename"),
        ({"query": {"directory": "../x"}}, "directory"),
        ({"query": {"directory": "data/notebook_files/../../x"}}, "directory"),
        ({"query": {"directory": "data"}}, "directory"),
        ({"query": {"directory": "a\x00b"}}, "directory"),
    ],
)
def test_bad_uploads_store_nothing(client: Client, options: dict[str, Any], text: str) -> None:
    status, answer = _upload(client.door, **options)
    assert status == 400
    assert text in answer["error"]
    assert _names(client) == []


def test_an_upload_is_a_form(client: Client) -> None:
    owner, identifier = client.door.notebook_id.split("/")
    query = {"ownerId": owner, "notebookId": identifier}
    status, text = client.door.refuse("POST", f"{ROOT}/file/upload", params=query, content=b"x")
    assert status == 400
    assert text
    status, text = client.door.refuse("POST", f"{ROOT}/file/upload", {"file": "text"}, params=query)
    assert (status, "file" in text) == (400, True)


def test_a_folder_is_not_replaced_by_a_file(client: Client) -> None:
    _upload(client.door, query={"directory": "sub"})
    status, answer = _upload(client.door, name="sub")
    assert (status, "sub is a folder" in answer["error"]) == (400, True)
    assert client.refuse("files", directory="sub/a.csv")[0] == 400
    assert _bytes(client, "sub").status_code == 400


def test_files_that_are_not_there(client: Client) -> None:
    assert client("file/exists", filePath="nope") == {"exists": False}
    for path, fields in (
        ("file", {"filePath": "nope"}),
        ("file/read", {"filePath": "nope"}),
        ("file/delete", {"filePath": "nope"}),
        ("files", {"directory": "nope"}),
    ):
        assert client.refuse(path, **fields) == (404, "File nope does not exist."), path


@pytest.mark.parametrize("path", ["../x", "data/../../x", "a\x00", "x" * 256])
def test_paths_do_not_lead_out(client: Client, path: str) -> None:
    for call in ("file", "file/read", "file/exists", "file/delete"):
        status, text = client.refuse(call, filePath=path)
        assert (status, "filePath" in text) == (400, True), call
    assert client.refuse("files", directory=path)[0] == 400


def test_a_root_is_not_deleted(client: Client) -> None:
    for path in ("", "data/notebook_files"):
        assert client.refuse("file/delete", filePath=path)[0] == 400
        assert client.refuse("file", filePath=path)[0] == 400


def test_deletion(client: Client) -> None:
    _upload(client.door)
    _upload(client.door, query={"directory": "sub"})
    client("file/delete", filePath="data/notebook_files/a.csv")
    assert _names(client) == [("sub", "FOLDER")]
    client("file/delete", filePath="sub")
    assert _names(client) == []


@pytest.mark.parametrize(
    ("data", "fields", "expected"),
    [
        (b"a\nb\n", {}, ("a\nb\n", False, 4, 2)),
        ("é\n".encode(), {}, ("é\n", False, 3, 1)),
        (b"\xe9", {"encoding": "latin-1"}, ("é", False, 1, 1)),
        (b"abcdef", {"maxBytes": 4}, ("abcd", True, 4, 1)),
        (b"abcd", {"maxBytes": 4}, ("abcd", False, 4, 1)),
        ("aé".encode(), {"maxBytes": 2}, ("a", True, 1, 1)),  # not half a character
        (b"a\nb\nc", {"maxLines": 2}, ("a\nb\n", True, 4, 2)),
        (b"a\nb\n", {"maxLines": 2}, ("a\nb\n", False, 4, 2)),
        (b"", {}, ("", False, 0, 0)),
    ],
)
def test_texts(
    client: Client, data: bytes, fields: dict[str, Any], expected: tuple[str, bool, int, int]
) -> None:
    _upload(client.door, data, "t.txt")
    answer = client("file/read", filePath="t.txt", **fields)
    found = tuple(answer[name] for name in ("content", "truncated", "bytesRead", "linesRead"))
    assert found == expected
    assert answer["encoding"] == fields.get("encoding", "utf-8")


def test_what_is_no_text(client: Client) -> None:
    _upload(client.door, b"\xff\xfe", "t.bin")
    status, text = client.refuse("file/read", filePath="t.bin")
    assert (status, "latin-1" in text) == (400, True)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"encoding": "utf-16"}, "encoding"),
        ({"maxBytes": 0}, "maxBytes"),
        ({"maxBytes": 10 * 1024 * 1024 + 1}, "maxBytes"),
        ({"maxBytes": "5"}, "maxBytes"),
        ({"maxLines": 0}, "maxLines"),
        ({"filePath": None}, "filePath"),
        ({"filePath": 1}, "filePath"),
    ],
)
def test_bad_fields(client: Client, fields: dict[str, Any], name: str) -> None:
    status, text = client.refuse("file/read", **{"filePath": "t", **fields})
    assert (status, name in text) == (400, True)


def test_who_may_do_what(client: Client) -> None:
    _upload(client.door)
    assert _bytes(client, "a.csv", "viewer").status_code == 200
    assert _upload(client.door, who="viewer")[0] == 403
    assert client.refuse("file/delete", who="viewer", filePath="a.csv")[0] == 403
    for path, fields in (("files", {}), ("file/exists", {"filePath": "a.csv"})):
        assert client.refuse(path, who="stranger", **fields)[0] == 403
    assert _upload(client.door, who="stranger")[0] == 403
    assert _upload(client.door, who="editor")[0] == 200


def test_a_file_that_is_too_large(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    status, answer = _upload(client.door, b"x" * 1_000_001)
    assert status == 400
    assert "1000000 bytes" in answer["error"]
    assert _names(client) == []


def test_nobody_unknown_sends_much(door: Door) -> None:
    answer = door.client.post(f"{ROOT}/file/upload", content=b"x")
    assert answer.status_code == 401
