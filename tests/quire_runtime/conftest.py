from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from jupyter_core.utils import ensure_event_loop

from quire.clock import ManualClock
from quire.store.blobs import BlobStore
from quire.store.database import Database
from quire_runtime.bootstrap import configuration_code
from tests.quire_runtime.served import Served, serving


@pytest.fixture
def served(
    sqlite_url: str, blobs: BlobStore, clock: ManualClock, tmp_path: Path
) -> Iterator[Served]:
    database = Database(sqlite_url)
    served = Served(database, blobs, clock, tmp_path)
    with serving(served.app) as url:
        served.url = url
        yield served
    database.close()


@dataclass
class Reply:
    """What one cell gave."""

    status: str
    ename: str | None
    evalue: str | None
    outputs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def stdout(self) -> str:
        return self._stream("stdout")

    @property
    def stderr(self) -> str:
        return self._stream("stderr")

    @property
    def result(self) -> str:
        """Plain text of the cell's last value."""
        texts: list[str] = [
            each["data"]["text/plain"] for each in self.outputs if each["kind"] == "execute_result"
        ]
        return texts[-1]

    @property
    def displays(self) -> list[dict[str, Any]]:
        return [each["data"] for each in self.outputs if each["kind"] == "display_data"]

    @property
    def traceback(self) -> str:
        """Without colours."""
        lines = [
            line for each in self.outputs if each["kind"] == "error" for line in each["traceback"]
        ]
        return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(lines))

    def _stream(self, name: str) -> str:
        return "".join(
            each["text"]
            for each in self.outputs
            if each["kind"] == "stream" and each["name"] == name
        )


class Kernel:
    """A real kernel."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager = manager
        self.client = client

    def configure(self, settings: dict[str, Any]) -> None:
        message_id = self.client.execute(configuration_code(settings), silent=True)
        reply = self._reply(message_id)
        assert reply["status"] == "ok", reply

    def start(self, code: str) -> str:
        message: str = self.client.execute(code, allow_stdin=False)
        return message

    def finish(self, message_id: str) -> Reply:
        outputs = []
        while True:
            message = self.client.get_iopub_msg(timeout=60)
            if message["parent_header"].get("msg_id") != message_id:
                continue
            if message["content"].get("execution_state") == "idle":
                break
            if message["msg_type"] in ("status", "execute_input"):
                continue
            outputs.append({"kind": message["msg_type"], **message["content"]})
        content = self._reply(message_id)
        return Reply(content["status"], content.get("ename"), content.get("evalue"), outputs)

    def run(self, code: str) -> Reply:
        return self.finish(self.start(code))

    def value(self, expression: str) -> Any:
        """The value of an expression, by way of JSON."""
        reply = self.run(f"print(__import__('json').dumps({expression}))")
        assert reply.status == "ok", reply.evalue
        return json.loads(reply.stdout)

    def interrupt(self) -> None:
        """From any thread, which the manager's own way would leave an event loop to."""
        provisioner = self.manager.provisioner
        assert provisioner is not None
        os.kill(provisioner.pid, signal.SIGINT)  # type: ignore[attr-defined]

    def _reply(self, message_id: str) -> dict[str, Any]:
        while True:
            message = self.client.get_shell_msg(timeout=60)
            if message["parent_header"].get("msg_id") == message_id:
                content: dict[str, Any] = message["content"]
                return content


@contextmanager
def starting(folder: Path) -> Iterator[Kernel]:
    manager = KernelManager(transport="ipc", ip=str(folder / "k"))
    manager.start_kernel(cwd=str(folder))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
        ensure_event_loop().close()  # the blocking client leaves it open


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    with starting(tmp_path) as kernel:
        yield kernel


@pytest.fixture(scope="module")
def shared_kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel of Databricks flavour for tests that leave nothing behind."""
    with starting(tmp_path_factory.mktemp("kernel")) as kernel:
        kernel.configure({"flavour": "databricks"})
        yield kernel
