from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from quire.clock import ManualClock
from quire.engine.states import State
from quire.identity.run_tokens import RunTokens, RunTokenUse
from quire.ids import PrincipalId, RunId
from quire.store.blobs import BlobStore
from quire.store.database import Database
from tests.quire_runtime.served import Served, serving

PREFIX = "/internal/v1/runtime"
REQUEST_ID = "0" * 32
BROKEN_JSON = {"content": b"{", "headers": {"Content-Type": "application/json"}}


@pytest.fixture
def served(
    sqlite_url: str, blobs: BlobStore, clock: ManualClock, tmp_path: Path
) -> Iterator[Served]:
    database = Database(sqlite_url)
    yield Served(database, blobs, clock, tmp_path)
    database.close()


@pytest.fixture
def client(served: Served) -> Iterator[httpx2.Client]:
    with (
        serving(served.app) as url,
        httpx2.Client(
            base_url=url + PREFIX,
            headers={"Authorization": f"Bearer {served.token}"},
            trust_env=False,
        ) as client,
    ):
        yield client


def child(path: str = "/Shared/child", **more: Any) -> dict[str, Any]:
    return {"path": path, "request_id": REQUEST_ID, **more}


def test_files(client: httpx2.Client) -> None:
    data = bytes(range(256)) * 5000
    put = client.put(
        "/files", params={"path": "/tmp/a b/ü"}, content=iter([data[:999], data[999:]])
    )
    assert put.status_code == 200, put.text
    status = put.json()
    assert (status["path"], status["is_directory"], status["size"]) == (
        "/tmp/a b/ü",
        False,
        len(data),
    )
    assert client.get("/files/status", params={"path": "/tmp/a b/ü"}).json() == status
    whole = client.get("/files", params={"path": "/tmp/a b/ü"})
    assert whole.content == data
    assert whole.headers["content-length"] == str(len(data))
    part = client.get("/files", params={"path": "/tmp/a b/ü", "offset": 255, "length": 3})
    assert part.content == b"\xff\x00\x01"
    beyond = client.get("/files", params={"path": "/tmp/a b/ü", "offset": len(data) + 5})
    assert (beyond.status_code, beyond.content) == (200, b"")
    listed = client.get("/files/list", params={"path": "/tmp"}).json()["files"]
    assert [(each["path"], each["is_directory"]) for each in listed] == [("/tmp/a b", True)]
    moved = client.post("/files/move", json={"source": "/tmp/a b", "destination": "/mnt"})
    assert moved.json()["path"] == "/mnt/a b"
    copied = client.post("/files/copy", json={"source": "/mnt/a b", "destination": "/tmp/c"})
    assert copied.json()["path"] == "/tmp/c"
    assert client.post("/files/directories", json={"path": "/x/y"}).json()["is_directory"] is True
    assert client.delete("/files", params={"path": "/x/y"}).json() == {"deleted": True}
    assert client.delete("/files", params={"path": "/x/y"}).json() == {"deleted": False}


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "code"),
    [
        ("GET", "/files", {"params": {"path": "/nothing"}}, 404, "not_found"),
        ("GET", "/files", {"params": {"path": "/../etc/passwd"}}, 400, "invalid_value"),
        ("GET", "/files", {"params": {"path": "/a\0"}}, 400, "invalid_value"),
        ("GET", "/files", {"params": {"path": "/tmp"}}, 400, "invalid_value"),
        ("GET", "/files", {}, 400, "missing_field"),
        ("GET", "/files", {"params": {"path": "/a", "offset": -1}}, 400, "invalid_value"),
        ("GET", "/files", {"params": {"path": "/a", "length": "x"}}, 400, "invalid_value"),
        ("PUT", "/files", {"params": {"path": "/tmp"}}, 409, "already_exists"),
        ("DELETE", "/files", {"params": {"path": "/user"}}, 409, "not_empty"),
        (
            "POST",
            "/files/directories",
            BROKEN_JSON,
            400,
            "malformed_request",
        ),
        ("POST", "/files/directories", {"json": {}}, 400, "missing_field"),
        ("POST", "/files/directories", {"json": {"path": 1}}, 400, "invalid_value"),
        ("POST", "/files/directories", {"json": {"path": "/a", "b": 1}}, 400, "invalid_value"),
        ("POST", "/files/move", {"json": {"source": "/tmp"}}, 400, "missing_field"),
        ("GET", "/notebooks", {"params": {"path": "/nothing"}}, 404, "not_found"),
        ("GET", "/notebooks", {"params": {"path": "/Shared"}}, 400, "invalid_value"),
        ("POST", "/child-runs", {"json": child("/nothing")}, 404, "not_found"),
        ("POST", "/child-runs", {"json": child("/Shared")}, 400, "invalid_value"),
        ("POST", "/child-runs", {"json": {"path": "/x"}}, 400, "missing_field"),
        ("POST", "/child-runs", {"json": child(request_id="x")}, 400, "invalid_value"),
        ("POST", "/child-runs", {"json": child(timeout_seconds=0)}, 400, "invalid_value"),
        ("POST", "/child-runs", {"json": child(arguments=[1])}, 400, "invalid_value"),
        ("GET", "/child-runs/999", {}, 404, "not_found"),
        ("GET", "/child-runs/x", {}, 400, "invalid_value"),
        ("GET", "/child-runs/1", {"params": {"wait_seconds": 21}}, 400, "invalid_value"),
        ("POST", "/child-runs/999/cancel", {}, 404, "not_found"),
    ],
)
def test_refusals(
    client: httpx2.Client, method: str, path: str, options: dict[str, Any], status: int, code: str
) -> None:
    answer = client.request(method, path, **options)
    assert (answer.status_code, answer.json()["error"]) == (status, code)
    assert set(answer.json()) == {"error", "message"}


def test_who_may_ask(served: Served, client: httpx2.Client) -> None:
    def status(token: str | None, scheme: str = "Bearer") -> int:
        headers = {"Authorization": f"{scheme} {token}"} if token is not None else {}
        request = client.build_request("GET", "/files/list", params={"path": "/"})
        del request.headers["Authorization"]
        request.headers.update(headers)
        return client.send(request).status_code

    user = served.parts.user.id
    assert status(served.token) == 200
    assert status(None) == 401
    assert status(served.token, "Basic") == 401
    assert status("nonsense") == 401
    assert status(served.token_of(served.run_id, RunTokenUse.REPORT)) == 401
    foreign = RunTokens(b"another secret of many bytes")
    for tokens, run_id, attempt_id, principal_id in (
        (foreign, RunId(served.run_id), served.run_id, user),
        (served.run_tokens, RunId(999), served.run_id, user),
        (served.run_tokens, RunId(served.run_id), served.run_id, PrincipalId(999)),
        (served.run_tokens, RunId(served.run_id), served.run_id, served.parts.stranger.id),
    ):
        issued = tokens.issue(RunTokenUse.RUNTIME, run_id, attempt_id, principal_id)
        assert status(issued) == 401
    served.parts.finish(served.run_id)
    assert status(served.token) == 401


def test_a_disabled_user_is_refused(served: Served, client: httpx2.Client) -> None:
    served.parts.principals.disable(served.parts.user.name)
    assert client.get("/files/list", params={"path": "/"}).status_code == 401


def test_a_notebook_is_read_with_the_rights_of_the_run(
    served: Served, client: httpx2.Client
) -> None:
    served.store("/Shared/lib", "x = 1")
    answer = client.get("/notebooks", params={"path": "/Shared/lib"}).json()
    assert answer["path"] == "/Shared/lib"
    assert [cell["source"] for cell in answer["notebook"]["cells"]] == ["x = 1"]
    served.workspace.import_notebook(
        served.parts.admin,
        "/Users/root@example.com/n",
        {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []},
    )
    for path in ("/notebooks?path=/Users/root@example.com/n",):
        assert client.get(path).status_code == 404
    hidden = client.post("/child-runs", json=child("/Users/root@example.com/n"))
    assert hidden.status_code == 404


def test_a_child_run_from_start_to_end(served: Served, client: httpx2.Client) -> None:
    served.store("/Shared/child", "1")
    body = child(timeout_seconds=5, arguments={"a": "1"})
    started = client.post("/child-runs", json=body).json()
    assert (started["state"], started["done"], started["outcome"]) == ("queued", False, None)
    assert client.post("/child-runs", json=body).json()["run_id"] == started["run_id"]
    (view,) = served.children()
    assert view.run.parent_run_id == served.run_id
    assert view.run.definition.task.parameters == {"a": "1"}
    assert view.run.definition.timeout_seconds == 5
    at_once = client.get(f"/child-runs/{started['run_id']}").json()
    assert at_once["state"] == "queued"

    answers: list[dict[str, Any]] = []
    waiting = threading.Thread(
        target=lambda: answers.append(
            client.get(
                f"/child-runs/{started['run_id']}", params={"wait_seconds": 20}, timeout=60
            ).json()
        )
    )
    waiting.start()
    served.parts.start(view.attempt.id)
    served.parts.report(view.attempt.id, {"type": "exit_value", "value": "42"})
    served.parts.finish(view.attempt.id)
    waiting.join()
    assert answers == [
        {
            "run_id": view.attempt.id,
            "state": "terminated",
            "done": True,
            "outcome": "success",
            "exit_value": "42",
            "error": None,
            "message": answers[0]["message"],
        }
    ]


def test_a_child_is_cancelled(served: Served, client: httpx2.Client) -> None:
    served.store("/Shared/child", "1")
    run_id = client.post("/child-runs", json=child()).json()["run_id"]
    cancelled = client.post(f"/child-runs/{run_id}/cancel").json()
    assert (cancelled["done"], cancelled["outcome"]) == (True, "cancelled")
    assert client.post(f"/child-runs/{run_id}/cancel").json() == cancelled


def test_a_run_sees_its_own_children_alone(served: Served, client: httpx2.Client) -> None:
    other = served.start_run()
    assert client.get(f"/child-runs/{other}").status_code == 404
    assert client.post(f"/child-runs/{other}/cancel").status_code == 404
    assert served.parts.view(other).attempt.state is State.RUNNING


def test_a_broken_upload_leaves_nothing(served: Served, client: httpx2.Client) -> None:
    def body() -> Iterator[bytes]:
        yield b"x" * 1000
        raise RuntimeError

    with pytest.raises(RuntimeError):
        client.put("/files", params={"path": "/tmp/a"}, content=body())
    again = client.put("/files", params={"path": "/tmp/a"}, content=b"whole")
    assert again.status_code == 200
    assert served.files.read("/tmp/a") == b"whole"
