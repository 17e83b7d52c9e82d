"""Programs, and those who watch them, that are killed in the middle."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.faults.server import ServerProcess, wait_for

_PROGRAM = """
echo $$
echo before
until test -e "$GO"; do sleep 0.02; done
echo after
"""


def _start(server: ServerProcess, go: Path) -> tuple[int, int]:
    """A program that waits for a file to be there; its run and its process."""
    answer = server.ask(
        "POST",
        "/api/2.0/jobs/runs/submit",
        existing_cluster_id="local",
        shell_command_task={"command": ["bash", "-c", _PROGRAM], "env_vars": {"GO": str(go)}},
    )
    run_id = int(answer["run_id"])
    wait_for("the program to print", lambda: "before" in server.log_text(run_id))
    return run_id, int(server.log_text(run_id).split()[0])


def test_a_killed_server_loses_nothing_of_a_program(server: ServerProcess, place: Path) -> None:
    go = place / "go"
    run_id, pid = _start(server, go)
    server.kill()
    go.touch()
    wait_for("the program to end", lambda: not Path(f"/proc/{pid}").exists())
    server.start()
    run = server.wait_for_end(run_id)
    assert run["state"]["result_state"] == "SUCCESS", run["state"]
    output = server.output(run_id)
    assert output["logs"] == f"{pid}\nbefore\nafter\n"
    assert output["logs_truncated"] is False


def test_a_killed_program_is_told_with_its_signal(server: ServerProcess, place: Path) -> None:
    run_id, pid = _start(server, place / "never")
    os.kill(pid, signal.SIGKILL)
    state = server.wait_for_end(run_id)["state"]
    assert (state["life_cycle_state"], state["result_state"]) == ("TERMINATED", "FAILED")
    assert state["state_message"].startswith("The program was killed by SIGKILL.")
    assert server.output(run_id)["logs"] == f"{pid}\nbefore\n"


def test_a_program_dies_with_its_runner(server: ServerProcess, place: Path) -> None:
    run_id, pid = _start(server, place / "never")
    runner = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(runner, signal.SIGKILL)
    state = server.wait_for_end(run_id)["state"]
    assert (state["life_cycle_state"], state["result_state"]) == ("INTERNAL_ERROR", "FAILED")
    assert not Path(f"/proc/{pid}").exists()
    assert server.output(run_id)["logs"] == f"{pid}\nbefore\n"
