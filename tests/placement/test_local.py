"""The local placement: pool, watch, faults of its processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from quire.placement.base import RunnerIdentity
from quire.placement.local import LocalPlacement
from quire.runner.processes import start_time
from quire.runner.protocol import Assignment
from quire.settings import Settings
from tests.runner.conftest import Bench, Started, make_notebook

SLEEP = "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)"
TREE = """import os, subprocess, time
daemon = subprocess.Popen(["setsid", "sleep", "600"])
print(os.getpid(), daemon.pid, flush=True)
time.sleep(600)"""


@pytest.fixture
def own_bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, pool_size=2)
    yield made
    made.close()


def _pids(started: Started) -> list[int]:
    return [int(pid) for pid in started.wait_for("output")["output"]["text"].split()]


def _gone(pids: list[int]) -> bool:
    return not [pid for pid in pids if start_time(pid) is not None]


def test_a_released_runner_is_given_again(own_bench: Bench) -> None:
    first = own_bench.placement.reserve(60)
    assert first is not None
    first.release()
    again = own_bench.placement.reserve(60)
    assert again is not None
    assert again.identity == first.identity
    again.release()


def test_more_runs_than_the_pool_has_are_served(own_bench: Bench) -> None:
    runs = [own_bench.start(make_notebook("1 + 1")) for _ in range(6)]
    assert len({run.identity for run in runs}) == 6
    assert {run.finish().outcome for run in runs} == {("success", "completed")}


def test_every_departure_is_reported_once(own_bench: Bench) -> None:
    runs = [own_bench.start(make_notebook("1 + 1")) for _ in range(3)]
    gone = [own_bench.departures.get(timeout=60) for _ in runs]
    assert {each.identity for each in gone} == {run.identity for run in runs}
    assert {each.cause for each in gone} == {"exit code 0"}
    assert own_bench.departures.empty()


def test_an_idle_runner_that_dies_is_replaced_without_a_word(own_bench: Bench) -> None:
    reservation = own_bench.placement.reserve(60)
    assert reservation is not None
    reservation.release()
    os.kill(reservation.identity.pid, signal.SIGKILL)
    while True:
        other = own_bench.placement.reserve(60)
        assert other is not None
        other.release()
        if other.identity != reservation.identity:
            break
    assert own_bench.run(make_notebook("1 + 1")).outcome == ("success", "completed")
    assert own_bench.departures.get(timeout=60).identity != reservation.identity


def test_assigning_to_a_dead_runner_fails(own_bench: Bench) -> None:
    reservation = own_bench.placement.reserve(60)
    assert reservation is not None
    own_bench.placement.kill(reservation.identity)
    while Path(f"/proc/{reservation.identity.pid}").exists():
        os.sched_yield()
    assignment = Assignment(1, 1, "http://127.0.0.1:9", "t", "/nowhere", make_notebook(), "/n", "p")
    with pytest.raises(OSError):
        reservation.assign(assignment)
    assert own_bench.departures.empty()


def test_a_killed_runner_takes_everything_with_it(own_bench: Bench) -> None:
    started = own_bench.start(make_notebook(TREE))
    pids = _pids(started)
    os.kill(started.identity.pid, signal.SIGKILL)
    assert own_bench.wait_for_departure(started.identity).cause == "killed by SIGKILL"
    while not _gone(pids):
        os.sched_yield()
    assert own_bench.run(make_notebook("1 + 1")).outcome == ("success", "completed")


def test_kill_ends_the_whole_tree(own_bench: Bench) -> None:
    started = own_bench.start(make_notebook(TREE))
    pids = _pids(started)
    own_bench.placement.kill(started.identity)
    assert own_bench.wait_for_departure(started.identity).cause == "killed by SIGKILL"
    while not _gone(pids):
        os.sched_yield()


def test_runs_survive_their_nursery(own_bench: Bench) -> None:
    started = own_bench.start(make_notebook(SLEEP))
    _pids(started)
    nursery = own_bench.placement._nursery_pid
    assert nursery is not None
    os.kill(nursery, signal.SIGKILL)
    assert own_bench.run(make_notebook("1 + 1")).outcome == ("success", "completed")
    assert start_time(started.identity.pid) == started.identity.started
    os.kill(started.identity.pid, signal.SIGTERM)
    assert started.finish().outcome == ("cancelled", "cancelled_by_user")
    assert own_bench.wait_for_departure(started.identity).cause == "gone"


def test_runs_survive_the_server_and_are_adopted_by_the_next(own_bench: Bench) -> None:
    started = own_bench.start(make_notebook(TREE))
    pids = _pids(started)
    nursery = own_bench.placement._nursery_pid
    own_bench.placement.close()
    own_bench.placement = LocalPlacement(Settings(data_dir=own_bench.folder, pool_size=1))
    own_bench.placement.start(own_bench.departures.put)
    assert own_bench.placement.adopt(started.identity)
    assert own_bench.placement.adopt(started.identity)
    os.kill(started.identity.pid, signal.SIGKILL)
    assert own_bench.wait_for_departure(started.identity).cause == "gone"
    # The earlier server's nursery has stayed to clear up, and leaves now.
    assert nursery is not None
    os.waitpid(nursery, 0)
    assert _gone(pids)


def test_closing_lets_idle_runners_go(tmp_path: Path) -> None:
    bench = Bench(tmp_path, pool_size=2)
    reservation = bench.placement.reserve(60)
    assert reservation is not None
    reservation.release()
    nursery = bench.placement._nursery_pid
    bench.close()
    assert nursery is not None
    assert start_time(nursery) is None
    assert start_time(reservation.identity.pid) is None


def test_who_is_gone_is_not_adopted(own_bench: Bench) -> None:
    host = own_bench.placement.host
    me = RunnerIdentity(host, os.getpid(), start_time(os.getpid()) or "")
    assert not own_bench.placement.adopt(replace(me, started="1"))
    assert not own_bench.placement.adopt(replace(me, host="elsewhere"))
    assert not own_bench.placement.adopt(replace(me, pid=2**22 - 1))
    own_bench.placement.nudge(replace(me, started="1"))
    own_bench.placement.kill(replace(me, started="1"))


def test_room_is_what_memory_is_left(tmp_path: Path) -> None:
    assert LocalPlacement(Settings(data_dir=tmp_path, memory_reserve_bytes=0)).has_room()
    assert not LocalPlacement(Settings(data_dir=tmp_path, memory_reserve_bytes=2**60)).has_room()


def test_an_unknown_kernel_user_is_told_and_done_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = Bench(tmp_path, pool_size=1, kernel_user="nobody-of-that-name")
    run = bench.run(make_notebook("import os\nprint(os.getuid())"))
    assert run.text(0) == f"{os.getuid()}\n"
    bench.close()
    if os.getuid() == 0:
        assert "kernel_user_unknown" in capsys.readouterr().out


def test_the_nursery_has_what_a_kernel_imports(own_bench: Bench) -> None:
    """Whatever a kernel had to import by itself would cost every run."""
    run = own_bench.run(
        make_notebook("1 + 1", "import sys\nprint('\\n'.join(sys.modules))", "1 / 0")
    )
    script = (
        "import importlib, sys\nimport quire.runner.nursery as nursery\n"
        "for name in nursery._MODULES: importlib.import_module(name)\n"
        "print('\\n'.join(sys.modules))"
    )
    imported = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert set(run.text(1).split()) - set(imported.split()) == set()
