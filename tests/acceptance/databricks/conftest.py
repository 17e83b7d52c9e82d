"""A whole server in a process of its own, as users start it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.acceptance.servers import ADMIN_TOKEN, RunningServer, poll, running_server

__all__ = ["ADMIN_TOKEN", "FAILING", "SOURCE", "Curl", "RunningServer", "wait_for_end"]

Curl = Callable[..., Any]
"""Sends a request and reads the JSON of its answer."""

SOURCE = b"""# Databricks notebook source
dbutils.widgets.text("name", "nobody")
print("hello", dbutils.widgets.get("name"))

# COMMAND ----------

dbutils.notebook.exit(dbutils.widgets.get("name") + " in run " + dbutils.widgets.get("id"))
"""
FAILING = b"# Databricks notebook source\nraise ValueError('message')\n"
_TERMINAL = frozenset({"TERMINATED", "SKIPPED", "INTERNAL_ERROR"})


def wait_for_end(get_run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Ask as clients do, until the run is over; the run as it is then."""
    run = poll(get_run, lambda run: run["state"]["life_cycle_state"] in _TERMINAL)
    assert isinstance(run, dict)
    return run


@pytest.fixture(scope="session")
def server() -> Iterator[RunningServer]:
    with running_server() as server:
        yield server


@pytest.fixture
def curl(server: RunningServer, tmp_path: Path) -> Curl:
    netrc = tmp_path / "netrc"
    host = urlsplit(server.url).hostname
    netrc.write_text(f"machine {host} login token password {server.token}\n")

    def run(*arguments: str, path: str, data: Any = None) -> Any:
        if isinstance(data, dict):
            file = tmp_path / "request.json"
            file.write_text(json.dumps(data, indent=2))
            arguments = (*arguments, "--data", f"@{file}")
        elif data is not None:
            arguments = (*arguments, "--data", data)
        command = ["curl", "--silent", "--show-error", "--netrc-file", str(netrc), *arguments]
        done = subprocess.run(
            [*command, f"{server.url}/api/2.0{path}"], capture_output=True, check=True
        )
        return json.loads(done.stdout)

    return run
