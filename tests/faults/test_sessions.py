"""Notebooks at work in their own kernel, while servers, kernels and runners are killed."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from quire.runner.processes import start_time
from tests.faults.server import ServerProcess, wait_for

_TELLS_PID = "import os\nprint(os.getpid(), flush=True)"


class Notebook:
    """A notebook of code cells, by the API of Datalore."""

    def __init__(self, server: ServerProcess, *sources: str) -> None:
        self._server = server
        workspace = server.http.get("/api/user_public/v1/workspaces").json()[0]
        owner = workspace["workspace"]["id"]
        response = server.http.post(
            "/api/workspaces/v1/notebook",
            params={
                "workspaceId": f"{owner['ownerId']}/{owner['internalId']}",
                "name": "at work",
                "language": "PYTHON",
            },
        )
        assert response.status_code == 200, response.text
        self.id = response.json()
        (first,) = self.ask("cells")["cells"]
        self.ask("cell/edit", cellId=first["cellId"], newContent=sources[0])
        for source in sources[1:]:
            self.ask("cell/create", cellType="CODE", source=source)

    def ask(self, what: str, **fields: Any) -> dict[str, Any]:
        return self._server.ask("POST", f"/api/notebook/v1/{what}", notebookId=self.id, **fields)

    def run(self) -> None:
        identifier = f"{self.id['ownerId']}/{self.id['id']}"
        self._server.ask("POST", "/api/computation/v1/notebook", notebookId=identifier)

    @property
    def state(self) -> str:
        return str(self.ask("kernel/status")["state"])

    def wait(self) -> None:
        """Until nothing runs in the notebook."""
        wait_for("the runs to end", lambda: self.state != "BUSY")

    def cells(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("cells", includeOutputs=True)["cellsWithOutputs"]
        return found

    def text(self, index: int) -> str:
        return "".join(each["text"] or "" for each in self.cells()[index]["outputs"])

    def wait_for_pid(self, index: int = 0) -> int:
        """The process number a cell prints while its run goes on."""
        return int(wait_for("a cell to tell its process", lambda: self.text(index).strip()))


def _waits(place: Path, name: str = "go") -> str:
    file = str(place / "shared" / name)
    return (
        f"import os, time\nwhile not os.path.exists({file!r}): time.sleep(0.01)\nprint('went on')"
    )


def test_a_run_in_place_outlives_its_server_and_leaves_its_outputs(
    server: ServerProcess, place: Path
) -> None:
    notebook = Notebook(server, _TELLS_PID, _waits(place), "print('after')")
    notebook.run()
    kernel = notebook.wait_for_pid()
    runner = psutil.Process(kernel).ppid()
    started = start_time(runner)
    server.kill()
    server.start()
    assert notebook.state == "BUSY"
    notebook.run()  # behind the first, in another kernel, since this one ends with its run
    (place / "shared" / "go").touch()
    wait_for("the runner to leave", lambda: start_time(runner) != started)
    notebook.wait()
    assert [notebook.text(index) for index in (1, 2)] == ["went on\n", "after\n"]
    assert notebook.state == "READY"
    assert int(notebook.text(0)) != kernel


def test_outputs_of_before_and_after_a_kill_are_both_stored(
    server: ServerProcess, place: Path
) -> None:
    notebook = Notebook(server, _TELLS_PID, _waits(place), "print('after')")
    notebook.run()
    kernel = notebook.wait_for_pid()
    server.kill()
    (place / "shared" / "go").touch()
    server.start()
    wait_for("the last cell", lambda: notebook.text(2))
    notebook.wait()
    assert int(notebook.text(0)) == kernel
    assert {each["executionStatus"] for each in notebook.cells()} == {"VALID"}
    wait_for("the kernel to end", lambda: notebook.state == "NOT_STARTED")


def test_an_idle_kernel_ends_with_its_server(server: ServerProcess) -> None:
    notebook = Notebook(server, _TELLS_PID)
    notebook.run()
    notebook.wait()
    assert notebook.state == "READY"
    kernel = int(notebook.text(0))
    started = start_time(kernel)
    server.kill()
    wait_for("the kernel to end", lambda: start_time(kernel) != started)
    server.start()
    assert notebook.state == "NOT_STARTED"
    notebook.run()
    notebook.wait()
    assert int(notebook.text(0)) != kernel


def test_a_kernel_that_is_killed_ends_its_run_and_the_next_has_another(
    server: ServerProcess, place: Path
) -> None:
    notebook = Notebook(server, _TELLS_PID, _waits(place), "print('after')")
    notebook.run()
    kernel = notebook.wait_for_pid()
    notebook.run()
    os.kill(kernel, signal.SIGKILL)
    wait_for("the second run", lambda: notebook.wait_for_pid() != kernel)
    (place / "shared" / "go").touch()
    notebook.wait()
    assert notebook.text(2) == "after\n"
    assert notebook.state == "READY"


def test_an_idle_runner_that_is_killed_is_replaced(server: ServerProcess) -> None:
    notebook = Notebook(server, _TELLS_PID)
    notebook.run()
    notebook.wait()
    kernel = int(notebook.text(0))
    os.kill(psutil.Process(kernel).ppid(), signal.SIGKILL)
    notebook.run()
    notebook.wait()
    assert int(notebook.text(0)) != kernel


def test_a_runner_that_is_killed_leaves_what_was_shown(server: ServerProcess, place: Path) -> None:
    notebook = Notebook(server, "print('before')", _TELLS_PID, _waits(place, "never"))
    notebook.run()
    kernel = notebook.wait_for_pid(1)
    os.kill(psutil.Process(kernel).ppid(), signal.SIGKILL)
    notebook.wait()
    assert notebook.text(0) == "before\n"
    assert notebook.text(1) == f"{kernel}\n"


def test_runs_asked_for_at_once_never_interleave(server: ServerProcess, place: Path) -> None:
    log = place / "shared" / "log"
    log.touch()
    log.chmod(0o666)
    write = f"open({str(log)!r}, 'a').write"
    notebook = Notebook(
        server,
        "n = globals().get('n', 0) + 1",
        f"{write}(f'begin {{n}}\\n')",
        f"{write}(f'end {{n}}\\n')",
    )
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda _: notebook.run(), range(6)))
    notebook.wait()
    expected = [f"{what} {number}" for number in range(1, 7) for what in ("begin", "end")]
    assert log.read_text().splitlines() == expected


@pytest.mark.parametrize("kills", [2, pytest.param(12, marks=pytest.mark.whole)])
def test_runs_queued_in_a_session_each_execute_once_through_kills(
    server: ServerProcess, place: Path, kills: int
) -> None:
    log = place / "shared" / "log"
    log.touch()
    log.chmod(0o666)
    write = f"open({str(log)!r}, 'a').write"
    notebook = Notebook(
        server,
        f"import os, time, uuid\nmark = uuid.uuid4().hex\n{write}(f'begin {{mark}}\\n')",
        f"time.sleep(0.2)\n{write}(f'end {{mark}}\\n')",
        "print(mark)",
    )
    number = 4 * kills
    for _ in range(number):
        notebook.run()
    for kill in range(kills):
        wait_for("runs to go on", partial(_has_lines, log, 6 * kill))
        server.kill()
        server.start()
    notebook.wait()
    lines = [line.split() for line in log.read_text().splitlines()]
    begun = [mark for what, mark in lines if what == "begin"]
    assert len(begun) == len(set(begun)) == number
    assert lines == [[what, mark] for mark in begun for what in ("begin", "end")]
    assert notebook.text(2) == f"{begun[-1]}\n"


def _has_lines(log: Path, number: int) -> bool:
    return len(log.read_text().splitlines()) >= number
