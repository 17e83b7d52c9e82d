"""A whole server in a process of its own, as users start it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ADMIN_TOKEN = "acceptance-admin-token"
_LISTENS = re.compile(r"Quire listens on (\S+)")


SOURCE = b"""# Databricks notebook source
dbutils.widgets.text("name", "nobody")
print("hello", dbutils.widgets.get("name"))

# COMMAND ----------

dbutils.notebook.exit(dbutils.widgets.get("name") + " in run " + dbutils.widgets.get("id"))
"""
FAILING = b"# Databricks notebook source\nraise ValueError('message')\n"
_TERMINAL = frozenset({"TERMINATED", "SKIPPED", "INTERNAL_ERROR"})
_PATIENCE_SECONDS = 120


def wait_for_end(get_run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Ask as clients do, until the run is over; the run as it is then."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    pause = threading.Event()
    while time.monotonic() < deadline:
        run = get_run()
        if run["state"]["life_cycle_state"] in _TERMINAL:
            return run
        pause.wait(0.05)
    raise AssertionError(f"the run did not end: {run['state']}")


@dataclass(frozen=True)
class RunningServer:
    """Where a server answers, and who may ask."""

    url: str
    token: str
    data_dir: Path


@pytest.fixture(scope="session")
def server() -> Iterator[RunningServer]:
    # Not below pytest's own directory, which the user that kernels run as may not enter.
    with tempfile.TemporaryDirectory(prefix="quire-", ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o755)
        yield from _serve(Path(directory) / "data")


def _serve(data_dir: Path) -> Iterator[RunningServer]:
    command = [str(Path(sys.executable).with_name("quire")), "serve", "--port", "0"]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "QUIRE_DATA_DIR": str(data_dir),
        "QUIRE_ADMIN_TOKEN": ADMIN_TOKEN,
    }
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            found = _LISTENS.search(line)
            if found:
                break
        else:
            pytest.fail("the server did not start:\n" + "".join(said))
        drain = threading.Thread(target=process.stdout.read, daemon=True)
        drain.start()
        try:
            yield RunningServer(found[1], ADMIN_TOKEN, data_dir)
        finally:
            process.terminate()
            process.wait(30)
            drain.join(30)
