"""Kernels of other interpreters, kept ready: real layers in which a package is replaced."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quire.compute.package_builder import PackageBuilder, PipRequest
from quire.identity.models import Principal, PrincipalKind, Role
from quire.ids import PrincipalId
from quire.placement.base import Reservation
from quire.runner.processes import descendants, start_time
from quire.settings import Settings
from tests.compute.wheels import add_to_index
from tests.runner.conftest import Bench, Started, make_notebook

ADA = Principal(PrincipalId(7), PrincipalKind.USER, "ada@example.com", Role.MEMBER)
WHO = "import os, pandas\nprint(pandas.VERSION, os.getpid(), os.getuid())"


@pytest.fixture(scope="module")
def pythons() -> Iterator[list[str]]:
    """Interpreters that have two versions of a package other than the server's."""
    # Not below pytest's own directory, which the user that kernels run as may not enter.
    with tempfile.TemporaryDirectory(prefix="quire-layers-") as directory:
        folder = Path(directory)
        folder.chmod(0o755)
        for version in ("0.1", "0.2"):
            modules = {"pandas/__init__.py": f"VERSION = '{version}'\n"}
            index = add_to_index(folder / "index", "pandas", version, modules)
        builder = PackageBuilder(
            Settings(
                data_dir=folder / "data",
                environments_dir=str(folder / "environments"),
                package_index_url=index,
            )
        )
        made = [
            builder.build((f"pandas=={version}",), PipRequest(), ADA) for version in ("0.1", "0.2")
        ]
        assert all(each.replaces for each in made)
        yield [each.python for each in made]


@pytest.fixture
def own_bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, pool_size=1)
    yield made
    made.close()


def take(bench: Bench, python: str) -> Reservation:
    """The runner of an interpreter, as soon as it is ready."""
    while True:
        reservation = bench.placement.reserve_interpreter(python)
        if reservation is not None:
            return reservation
        os.sched_yield()


def start(bench: Bench, reservation: Reservation, source: str, python: str | None) -> Started:
    answer: dict[str, Any] = {"state": "ready", "message": "", "cause": None, "lazy": True}
    bench.sink.compute = [{**answer, "python": python}]
    return bench.start(make_notebook(source), compute={"state": "pending"}, reservation=reservation)


def test_a_run_gets_the_kernel_that_is_ready(own_bench: Bench, pythons: list[str]) -> None:
    own_bench.placement.keep_ready(pythons)
    for python, version in zip(pythons, ("0.1", "0.2"), strict=True):
        reservation = take(own_bench, python)
        ready = descendants(reservation.identity.pid)
        run = start(own_bench, reservation, WHO, python).finish()
        assert run.outcome == ("success", "completed")
        found, pid, uid = run.text(0).split()
        assert found == version
        assert int(pid) in ready  # it was there before it had work
        assert (int(uid) == os.getuid()) == (os.getuid() != 0)
        next_one = take(own_bench, python)  # another is made
        assert next_one.identity != reservation.identity
        next_one.release()


def test_a_run_that_turns_out_to_need_another_gets_it(own_bench: Bench, pythons: list[str]) -> None:
    own_bench.placement.keep_ready(pythons[:1])
    other = start(own_bench, take(own_bench, pythons[0]), WHO, pythons[1]).finish()
    assert other.text(0).split()[0] == "0.2"
    source = "import pandas\nprint(hasattr(pandas, 'VERSION'))"
    usual = start(own_bench, take(own_bench, pythons[0]), source, None).finish()
    assert usual.text(0) == "False\n"


@pytest.mark.parametrize(
    ("last_words", "cause"),
    [("os._exit(9)", "exit code 9"), ("os.kill(os.getpid(), 9)", "SIGKILL")],
)
def test_the_death_of_its_kernel_has_a_cause(
    own_bench: Bench, pythons: list[str], last_words: str, cause: str
) -> None:
    own_bench.placement.keep_ready(pythons[:1])
    reservation = take(own_bench, pythons[0])
    run = start(own_bench, reservation, f"import os\n{last_words}", pythons[0]).finish()
    assert run.outcome == ("failed", "kernel_died")
    assert cause in run.finished["message"]
    assert own_bench.wait_for_departure(reservation.identity).cause == "exit code 0"


def test_a_killed_runner_takes_its_kernel_with_it(own_bench: Bench, pythons: list[str]) -> None:
    own_bench.placement.keep_ready(pythons[:1])
    reservation = take(own_bench, pythons[0])
    started = start(own_bench, reservation, f"{WHO}\nimport time\ntime.sleep(600)", pythons[0])
    pid = int(started.wait_for("output")["output"]["text"].split()[1])
    own_bench.placement.kill(reservation.identity)
    assert own_bench.wait_for_departure(reservation.identity).cause == "killed by SIGKILL"
    _wait_for_end_of({pid})


def test_what_is_not_kept_any_more_goes(own_bench: Bench, pythons: list[str]) -> None:
    own_bench.placement.keep_ready(pythons[:1])
    reservation = take(own_bench, pythons[0])
    own_bench.placement.keep_ready(pythons[1:])
    processes = {reservation.identity.pid} | descendants(reservation.identity.pid)
    reservation.release()  # it has no place to come back to
    _wait_for_end_of(processes)
    idle = take(own_bench, pythons[1])
    processes = {idle.identity.pid} | descendants(idle.identity.pid)
    idle.release()
    own_bench.placement.keep_ready([])
    assert own_bench.placement.reserve_interpreter(pythons[1]) is None
    _wait_for_end_of(processes)


def test_closing_lets_them_go(tmp_path: Path, pythons: list[str]) -> None:
    bench = Bench(tmp_path, pool_size=1)
    bench.placement.keep_ready(pythons[:1])
    reservation = take(bench, pythons[0])
    processes = {reservation.identity.pid} | descendants(reservation.identity.pid)
    reservation.release()
    bench.close()
    assert [pid for pid in processes if start_time(pid) is not None] == []


def test_one_that_dies_is_made_again_when_it_is_told(own_bench: Bench, pythons: list[str]) -> None:
    own_bench.placement.keep_ready(pythons[:1])
    reservation = take(own_bench, pythons[0])
    kernels = descendants(reservation.identity.pid)
    reservation.release()
    for pid in kernels:
        os.kill(pid, signal.SIGKILL)
    _wait_for_end_of({reservation.identity.pid})
    while (left := own_bench.placement.reserve_interpreter(pythons[0])) is not None:
        left.release()  # its end has not been heard of
    own_bench.placement.keep_ready(pythons[:1])
    again = take(own_bench, pythons[0])
    assert again.identity != reservation.identity
    again.release()


def test_they_come_back_after_their_nursery(own_bench: Bench, pythons: list[str]) -> None:
    own_bench.placement.keep_ready(pythons[:1])
    reservation = take(own_bench, pythons[0])
    reservation.release()
    nursery = own_bench.placement._nursery_pid
    assert nursery is not None
    os.kill(nursery, signal.SIGKILL)
    _wait_for_end_of({reservation.identity.pid})
    while (left := own_bench.placement.reserve_interpreter(pythons[0])) is not None:
        left.release()
    own_bench.placement.keep_ready(pythons[:1])
    take(own_bench, pythons[0]).release()


def test_an_interpreter_without_kernels_is_told_once(
    own_bench: Bench, pythons: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    own_bench.placement.keep_ready(["/bin/false", pythons[0]])
    take(own_bench, pythons[0]).release()
    own_bench.placement.keep_ready(["/bin/false", pythons[0]])
    assert own_bench.placement.reserve_interpreter("/bin/false") is None
    assert own_bench.run(make_notebook("1 + 1")).outcome == ("success", "completed")
    told = capsys.readouterr().out
    assert told.count("placement.interpreter_not_ready") == 1
    assert "/bin/false" in told


def _wait_for_end_of(pids: set[int]) -> None:
    while [pid for pid in pids if start_time(pid) is not None]:
        os.sched_yield()
