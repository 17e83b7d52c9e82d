"""A real server in a process of its own, for tests that kill it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx2

from quire.compute.spark_driver import remove_strangers

__all__ = ["TOKEN", "ServerProcess", "notebook_of", "wait_for"]

TOKEN = "quire_test_administrator"
_PATIENCE_SECONDS = 120.0


def wait_for(what: str, ready: Callable[[], Any], seconds: float = _PATIENCE_SECONDS) -> Any:
    """Ask until the answer is true. This waits for another process; nothing is assumed of speed."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := ready():
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited in vain for {what}")


def notebook_of(*cells: str) -> str:
    """A notebook in the vendor's source form."""
    separator = "\n\n# COMMAND ----------\n\n"
    return "# Databricks notebook source\n" + separator.join(cells) + "\n"


def _free_port() -> int:
    """A port outside the range from which the system gives ports to whoever asks.

    A server that is down for a moment must find its port free when it comes back.
    """
    for port in random.sample(range(20_000, 30_000), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port is free")


class ServerProcess:
    """``quire serve`` on a data directory, started again after each kill on the same port."""

    def __init__(self, data_dir: Path, **settings: str) -> None:
        self.data_dir = data_dir
        self.log = data_dir.parent / f"{data_dir.name}.log"
        self.spark_dir = data_dir.parent / f"{data_dir.name}-spark"
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._settings = {f"QUIRE_{name.upper()}": value for name, value in settings.items()}
        self._process: subprocess.Popen[bytes] | None = None
        self.http = httpx2.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60
        )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the server and wait until it is ready."""
        environment = {
            **os.environ,
            "QUIRE_DATA_DIR": str(self.data_dir),
            "QUIRE_ADMIN_TOKEN": TOKEN,
            "QUIRE_SPARK_DIR": str(self.spark_dir),
            **self._settings,
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [Path(sys.executable).with_name("quire"), "serve", "--port", str(self.port)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for("the server to come up", self._is_ready)

    def _is_ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"the server ended: {self.log.read_text()[-2000:]}")
        try:
            return self.http.get("/healthz").status_code == 200
        except httpx2.TransportError:
            return False

    def kill(self) -> None:
        """End the server as ``kill -9`` does."""
        self.stop(signal.SIGKILL)

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=60)
            self._process = None

    def close(self) -> None:
        self.stop()
        self.http.close()
        # Clusters outlive their server; here nobody comes after it.
        remove_strangers(self.spark_dir, [])

    def ask(self, method: str, path: str, /, **fields: Any) -> dict[str, Any]:
        """One call of the API that must succeed."""
        if method == "GET":
            response = self.http.get(path, params=fields)
        else:
            response = self.http.request(method, path, json=fields)
        assert response.status_code == 200, f"{path}: {response.status_code} {response.text}"
        answer: dict[str, Any] = response.json()
        return answer

    def put_notebook(self, path: str, source: str) -> None:
        self.ask(
            "POST",
            "/api/2.0/workspace/import",
            path=path,
            format="SOURCE",
            language="PYTHON",
            content=base64.b64encode(source.encode()).decode(),
            overwrite=True,
        )

    def submit(self, path: str, parameters: Mapping[str, str] | None = None, **fields: Any) -> int:
        task = {"notebook_path": path, "base_parameters": dict(parameters or {})}
        answer = self.ask(
            "POST",
            "/api/2.0/jobs/runs/submit",
            existing_cluster_id="local",
            notebook_task=task,
            **fields,
        )
        return int(answer["run_id"])

    def run(self, run_id: int) -> dict[str, Any]:
        return self.ask("GET", "/api/2.0/jobs/runs/get", run_id=run_id)

    def output(self, run_id: int) -> dict[str, Any]:
        return self.ask("GET", "/api/2.0/jobs/runs/get-output", run_id=run_id)

    def wait_for_state(self, run_id: int, *states: str) -> dict[str, Any]:
        def there() -> dict[str, Any] | None:
            run = self.run(run_id)
            return run if run["state"]["life_cycle_state"] in states else None

        found: dict[str, Any] = wait_for(f"run {run_id} to be {' or '.join(states)}", there)
        return found

    def wait_for_end(self, run_id: int) -> dict[str, Any]:
        return self.wait_for_state(run_id, "TERMINATED", "INTERNAL_ERROR", "SKIPPED")

    def notebook(self, run_id: int) -> dict[str, Any]:
        """The executed notebook."""
        response = self.http.get(f"/runs/{run_id}/notebook.ipynb")
        assert response.status_code == 200, response.text
        found: dict[str, Any] = json.loads(response.text)
        return found

    def log_text(self, run_id: int) -> str:
        response = self.http.get(f"/runs/{run_id}/log")
        assert response.status_code == 200, response.text
        return response.text
