"""A server with two slots, a notebook, and the people who share it; everything over HTTP."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
import requests

from quire.workspace.formats.document import code_cell, new_notebook
from tests.acceptance.servers import RunningServer, poll, running_server

PEOPLE = ("ann", "editor", "viewer", "stranger")


@dataclass(frozen=True)
class Client:
    """A program that uses the vendor's API, and Databricks' to put notebooks in."""

    url: str
    token: str | None

    def call(self, method: str, path: str, body: Any = None) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return requests.request(method, self.url + path, headers=headers, json=body, timeout=60)

    def put_in(self, path: str, *cells: dict[str, Any]) -> str:
        """Import a notebook through Databricks' API; its id in Datalore's."""
        content = json.dumps(new_notebook("python", "plain", cells)).encode()
        answer = self.call(
            "POST",
            "/api/2.0/workspace/import",
            {
                "path": path,
                "format": "JUPYTER",
                "language": "PYTHON",
                "overwrite": True,
                "content": base64.b64encode(content).decode(),
            },
        )
        assert answer.ok, answer.text
        return self.find(path.rpartition("/")[2])

    def find(self, name: str) -> str:
        """The id of a notebook in the user's workspace."""
        (own,) = [
            each
            for each in self.call("GET", "/api/user_public/v1/workspaces").json()
            if each["workspace"]["isDefault"]
        ]
        workspace = own["workspace"]["id"]
        query = quote(f"{workspace['ownerId']}/{workspace['internalId']}", safe="")
        entries = self.call("GET", f"/api/workspaces/v1/entries?workspaceId={query}").json()
        (found,) = [each["entity"]["id"] for each in entries if each["entity"]["name"] == name]
        return f"{found['ownerId']}/{found['id']}"

    def start(self, notebook_id: str, **options: Any) -> str:
        answer = self.call("POST", "/api/run/v1/notebook", {"notebookId": notebook_id, **options})
        assert answer.ok, answer.text
        return str(answer.json()["runId"])

    def wait(self, run_id: str) -> dict[str, Any]:
        """Poll a run as the vendor's example does; its status when it is over."""
        ended = poll(
            lambda: self.call("GET", f"/api/run/v1/{run_id}").json(),
            lambda run: run.get("endTime") is not None,
        )
        assert isinstance(ended, dict)
        return ended

    def run(self, notebook_id: str, **options: Any) -> dict[str, Any]:
        return self.wait(self.start(notebook_id, **options))

    def download(self, run: dict[str, Any], name: str) -> bytes:
        """An artifact, asked for as the vendor's example does."""
        (path,) = [each["path"] for each in run["artifacts"] if each["name"] == name]
        answer = self.call("GET", quote(path))
        assert answer.ok, answer.text
        return answer.content

    def executed(self, run: dict[str, Any]) -> dict[str, Any]:
        """The executed notebook."""
        notebook = json.loads(self.download(run, run["artifacts"][0]["name"]))
        assert isinstance(notebook, dict)
        return notebook


@dataclass(frozen=True)
class World:
    """A server and its users."""

    server: RunningServer
    people: dict[str, Client]
    expired: Client
    nobody: Client

    @property
    def ann(self) -> Client:
        return self.people["ann"]


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    with running_server(slots="2") as server:

        def client(*words: str) -> Client:
            return Client(server.url, server.command("token", "create", *words))

        expired = None
        people = {}
        for name in PEOPLE:
            server.command("user", "create", name)
            people[name] = client("--user", name)
            expired = expired or client("--user", name, "--expires-in", "1s")
        assert expired is not None
        yield World(server, people, expired, Client(server.url, None))


def text_of(notebook: dict[str, Any], index: int) -> str:
    """What a cell printed."""
    outputs = notebook["cells"][index]["outputs"]
    return "".join(
        "".join(output["text"]) for output in outputs if output["output_type"] == "stream"
    )


def cell(source: str, **metadata: Any) -> dict[str, Any]:
    return code_cell(source, metadata=metadata)
