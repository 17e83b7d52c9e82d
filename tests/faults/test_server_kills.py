"""The server is killed with SIGKILL at random moments, again and again, under load.

No run may be lost or executed twice, each must end right, and each journal must be whole.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from pathlib import Path

import httpx2
import nbformat
import pytest

from tests.faults.server import ServerProcess, notebook_of, wait_for

_CELLS = 5
_CONCURRENT = 20
_FIRST = """
import os, time
name = dbutils.widgets.get("name")
shared = dbutils.widgets.get("shared")
def mark(cell):
    handle = os.open(os.path.join(shared, name), os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o666)
    os.write(handle, f"{cell}\\n".encode())
    os.close(handle)
    print(f"{name} cell {cell}")
    time.sleep(0.1 + 0.3 * hash((name, cell)) % 100 / 100)
mark(0)
"""


def _notebook() -> str:
    middle = [f"mark({number})" for number in range(1, _CELLS)]
    return notebook_of(_FIRST, *middle, "dbutils.notebook.exit(name)")


class _Load:
    """Keeps a number of runs under way, as a client that repeats what got no answer."""

    def __init__(self, server: ServerProcess, shared: Path) -> None:
        self._server = server
        self._shared = shared
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.runs: dict[str, int] = {}

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._stopping.is_set():
            try:
                listed = self._server.ask(
                    "GET", "/api/2.0/jobs/runs/list", active_only="true", limit=100
                )
                for _ in range(_CONCURRENT - len(listed.get("runs", []))):
                    name = f"run-{number}"
                    self.runs[name] = self._submit(name)
                    number += 1
            except (httpx2.TransportError, AssertionError):
                pass  # the server is down at the moment; the next round asks again
            time.sleep(0.05)

    def _submit(self, name: str) -> int:
        return self._server.submit(
            "/Shared/marks",
            {"name": name, "shared": str(self._shared)},
            idempotency_token=name,
            run_name=name,
        )


def _campaign(place: Path, kills: int, seed: int) -> None:
    server = ServerProcess(place / "data", slots=str(_CONCURRENT), pool_size="2")
    try:
        _kill_again_and_again(server, place / "shared", kills, seed)
    finally:
        server.close()


def _kill_again_and_again(server: ServerProcess, shared: Path, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    server.start()
    server.put_notebook("/Shared/marks", _notebook())
    load = _Load(server, shared)
    load.start()
    try:
        for _ in range(kills):
            time.sleep(chance.uniform(0.0, 2.0))
            server.kill()
            time.sleep(chance.uniform(0.0, 0.5))
            server.start()
    finally:
        load.stop()
    for run_id in load.runs.values():
        wait_for_outcome(server, run_id)
    outcomes = Counter[str]()
    for name, run_id in load.runs.items():
        outcomes[_check(server, shared, name, run_id)] += 1
    assert outcomes == {"SUCCESS": len(load.runs)}
    started = {path.name for path in shared.iterdir()}
    assert started == set(load.runs), "what ran is what the clients were told of"
    print(f"{kills} kills, {len(load.runs)} runs: {dict(outcomes)}")


def wait_for_outcome(server: ServerProcess, run_id: int) -> None:
    wait_for(
        f"run {run_id} to end",
        lambda: server.run(run_id)["state"].get("result_state") is not None,
    )
    server.wait_for_end(run_id)


def _check(server: ServerProcess, shared: Path, name: str, run_id: int) -> str:
    state = server.run(run_id)["state"]
    assert "result_state" in state
    marks = (shared / name).read_text().split()
    assert marks == [str(number) for number in range(_CELLS)], f"{name} ran cells {marks}: {state}"
    output = server.output(run_id)
    assert output["notebook_output"]["result"] == name, state
    expected = [f"{name} cell {number}" for number in range(_CELLS)]
    assert server.log_text(run_id).splitlines() == expected
    nbformat.validate(nbformat.from_dict(server.notebook(run_id)))
    return str(state["result_state"])


def test_a_few_kills(place: Path) -> None:
    _campaign(place, kills=5, seed=1)


@pytest.mark.whole
@pytest.mark.timeout(2400)
def test_a_hundred_kills(place: Path) -> None:
    _campaign(place, kills=100, seed=2)
