"""The notebook's kernel over HTTP, as far as it needs none; the rest is in the acceptance."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dialects.datalore.conftest import Door
from tests.dialects.datalore.routes.test_cells import ROOT, Client


@pytest.fixture
def client(door: Door) -> Client:
    return Client(door)


def test_a_notebook_without_a_kernel(client: Client) -> None:
    for who in ("ann", "editor", "viewer"):
        expected = {"state": "NOT_STARTED", "runningCellId": None}
        assert client("kernel/status", who=who) == expected
    for path in ("kernel/interrupt", "kernel/restart"):
        body = {"notebookId": client.notebook}
        status, answer = client.door.call("POST", f"{ROOT}/{path}", body)
        assert (status, set(answer), answer["state"]) == (409, {"error", "state"}, "NOT_STARTED")
    client("agent/stop")
    assert client.door.stored()["runs"] == 0


def test_a_queued_run_makes_it_busy(client: Client) -> None:
    door = client.door
    run = door.services.sessions.run(door.owner, door.node.path)
    assert client("kernel/status")["state"] == "BUSY"
    assert client("kernel/interrupt") == {"interrupted": True}
    assert door.runs.get(door.owner, run.attempt.id).attempt.cancel_requested_at is not None


@pytest.mark.parametrize("path", ["kernel/interrupt", "kernel/restart", "agent/stop"])
@pytest.mark.parametrize("who", ["viewer", "stranger"])
def test_who_may_not(client: Client, path: str, who: str) -> None:
    assert client.refuse(path, who=who)[0] == 403


def test_strangers_see_no_state(client: Client) -> None:
    assert client.refuse("kernel/status", who="stranger")[0] == 403


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"reinstallEnvironment": True}, "reinstallEnvironment"),
        ({"reinstallEnvironment": "x"}, "reinstallEnvironment"),
        ({"waitUntilReady": 1}, "waitUntilReady"),
        ({"waitTimeoutMs": 999}, "waitTimeoutMs"),
        ({"waitTimeoutMs": 120_001}, "waitTimeoutMs"),
    ],
)
def test_bad_restarts(client: Client, fields: dict[str, Any], text: str) -> None:
    status, message = client.refuse("kernel/restart", **fields)
    assert (status, text in message) == (400, True)
