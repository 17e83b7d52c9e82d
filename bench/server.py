"""A Quire server of our own, and a client for it."""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

__all__ = ["FOLDER", "Client", "ServerProcess", "running_server"]

FOLDER = "/Shared/bench"
_ENDED = frozenset({"TERMINATED", "SKIPPED", "INTERNAL_ERROR"})
_START_SECONDS = 120.0
_IDLE_SECONDS = 2.0


class Client:
    """One connection, kept open."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=120)
        self._used_at = time.monotonic()
        self._headers = {"Authorization": f"Bearer {token}"}
        self._cookie = {"Cookie": f"quire_session={token}"}

    def get(self, endpoint: str, /, **query: Any) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.get_raw(endpoint, **query))
        return answer

    def get_raw(self, endpoint: str, /, **query: Any) -> bytes:
        return self._send("GET", f"/api/2.0/{endpoint}?{urlencode(query)}", None, self._headers)

    def page(self, path: str) -> bytes:
        return self._send("GET", path, None, self._cookie)

    def post(self, endpoint: str, /, **fields: Any) -> dict[str, Any]:
        body = json.dumps(fields).encode()
        answer: dict[str, Any] = json.loads(
            self._send("POST", f"/api/2.0/{endpoint}", body, self._headers)
        )
        return answer

    def store(self, name: str, notebook: dict[str, Any]) -> str:
        """Import a notebook; the path it has then."""
        path = f"{FOLDER}/{name}"
        self.post("workspace/mkdirs", path=FOLDER)
        content = base64.b64encode(json.dumps(notebook).encode()).decode()
        self.post("workspace/import", path=path, format="JUPYTER", content=content, overwrite=True)
        return path

    def submit(self, path: str) -> int:
        answer = self.post(
            "jobs/runs/submit",
            run_name="bench",
            existing_cluster_id="local",
            notebook_task={"notebook_path": path},
        )
        return int(answer["run_id"])

    def wait(self, run_id: int, pause_seconds: float = 0.004) -> dict[str, Any]:
        """Poll until the run is over. Raises RuntimeError unless it succeeded."""
        while True:
            run = self.get("jobs/runs/get", run_id=run_id)
            if run["state"]["life_cycle_state"] in _ENDED:
                if run["state"].get("result_state") != "SUCCESS":
                    raise RuntimeError(f"run {run_id} ended as {run['state']}")
                return run
            time.sleep(pause_seconds)

    def close(self) -> None:
        self._connection.close()

    def _send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> bytes:
        if time.monotonic() - self._used_at > _IDLE_SECONDS:
            self._connection.close()  # the server closes idle connections; the next use opens one
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        self._used_at = time.monotonic()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:500]!r}")
        return content


class ServerProcess:
    """A started ``quire serve``."""

    def __init__(self, data_dir: Path, environment: dict[str, str] | None = None) -> None:
        self.data_dir = data_dir
        self.token = f"bench-{secrets.token_hex(16)}"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        command = [str(Path(sys.executable).parent / "quire"), "serve", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--data-dir", str(data_dir)]
        data_dir.mkdir(parents=True, exist_ok=True)
        token_file = data_dir / "bench-token"
        if token_file.exists():
            self.token = token_file.read_text()
        token_file.write_text(self.token)
        self.log = data_dir / "server.log"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env={
                    **os.environ,
                    "QUIRE_ADMIN_TOKEN": self.token,
                    "QUIRE_LOG_LEVEL": os.environ.get("QUIRE_LOG_LEVEL", "warning"),
                    **(environment or {}),
                },
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.pid = self._process.pid
        self._clients: list[Client] = []

    def client(self) -> Client:
        """A client, closed when the server is stopped."""
        client = Client(self.port, self.token)
        self._clients.append(client)
        return client

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"the server stopped:\n{self.log.read_text()}")
            connection = HTTPConnection("127.0.0.1", self.port, timeout=5)
            try:
                connection.request("GET", "/healthz")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                pass
            finally:
                connection.close()
            time.sleep(0.05)
        raise RuntimeError(f"the server did not come up:\n{self.log.read_text()}")

    def describe(self) -> str:
        """Whether it runs, and the end of its log: what a failure's reader wants to know."""
        code = self._process.poll()
        state = "runs" if code is None else f"ended with code {code}"
        return f"The server {state}. Its log ends with:\n{self.log.read_text()[-3000:]}"

    def stop(self) -> None:
        for client in self._clients:
            client.close()
        self._clients.clear()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


@contextmanager
def running_server(
    data_dir: Path, environment: dict[str, str] | None = None
) -> Iterator[ServerProcess]:
    """A server that is ready, stopped at the end."""
    server = ServerProcess(data_dir, environment)
    try:
        server.wait_until_ready()
        try:
            yield server
        except BaseException as error:
            error.add_note(server.describe())
            raise
    finally:
        server.stop()
