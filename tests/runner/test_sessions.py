"""Runners that keep their kernel for a session: real kernels, one after another's run."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quire.placement.local import LocalPlacement
from quire.runner.processes import start_time
from quire.runner.protocol import Command, Limits
from tests.runner.conftest import Bench, Finished, Started, make_notebook

SESSION = "7"
WAITS = """import os, time
print(os.getcwd(), flush=True)
while not os.path.exists("go"): time.sleep(0.01)
print("off")"""


@pytest.fixture
def own_bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, pool_size=1)
    yield made
    made.close()


def _start(bench: Bench, *cells: Any, **given: Any) -> Started:
    """A run in the session: in its kernel once that is free, in a new one when there is none."""
    return bench.start(make_notebook(*cells), session=SESSION, **given)


def _run(bench: Bench, *cells: Any, **given: Any) -> Finished:
    return _start(bench, *cells, **given).finish()


def test_runs_of_a_session_share_variables_and_one_process(own_bench: Bench) -> None:
    first = _start(own_bench, "import os\nx = 41\nprint(os.getpid())")
    pid = first.finish().text(0)
    second = _start(own_bench, "x += 1\nprint(os.getpid(), x)")
    assert second.finish().text(0) == f"{pid.strip()} 42\n"
    assert second.identity == first.identity
    assert own_bench.departures.empty()


def test_the_working_folder_stays(own_bench: Bench) -> None:
    _run(own_bench, "open('kept.txt', 'w').write('here')")
    assert _run(own_bench, "print(open('kept.txt').read())").text(0) == "here\n"


def test_cells_are_counted_on(own_bench: Bench) -> None:
    _run(own_bench, "1", "2")
    run = _run(own_bench, "3")
    assert run.notebook["cells"][0]["execution_count"] == 3
    assert run.outputs(0)[0]["execution_count"] == 3


def test_an_error_ends_the_run_and_not_the_session(own_bench: Bench) -> None:
    run = _run(own_bench, "y = 1\n1 / 0", "y = 2")
    assert run.outcome == ("failed", "cell_error")
    assert _run(own_bench, "print(y)").text(0) == "1\n"


def test_other_runs_have_kernels_of_their_own(own_bench: Bench) -> None:
    _run(own_bench, "z = 1")
    assert own_bench.run(make_notebook("print('z' in globals())")).text(0) == "False\n"
    other = own_bench.start(make_notebook("print('z' in globals())"), session="8")
    assert other.finish().text(0) == "False\n"
    assert set(own_bench.placement.sessions()) == {SESSION, "8"}


def test_chosen_cells_run_in_the_order_given(own_bench: Bench) -> None:
    cells = ["print('a')", "print('b')", "print('c')"]
    run = _run(own_bench, *cells, cells=["cell2", "cell0"])
    assert [run.text(index) for index in range(3)] == ["a\n", "", "c\n"]
    assert [e["index"] for e in run.events if e["type"] == "cell_started"] == [2, 0]


def test_parameters_come_before_chosen_cells(own_bench: Bench) -> None:
    run = _run(own_bench, "print(name)", "1 / 0", cells=["cell0"], parameters={"name": "Ada"})
    assert run.outcome == ("success", "completed")
    assert run.text(1) == "Ada\n"


def test_no_cells_start_the_kernel(own_bench: Bench) -> None:
    run = _run(own_bench, "1 / 0", cells=[])
    assert run.outcome == ("success", "completed")
    assert _is_idle(own_bench)


def test_cells_run_in_a_kernel_that_a_run_of_none_has_started(own_bench: Bench) -> None:
    _run(own_bench, "1 / 0", cells=[])
    _run(own_bench, "1 / 0", cells=[])
    assert _run(own_bench, "print('ran')").text(0) == "ran\n"


def test_cells_after_an_error_run_when_that_is_wanted(own_bench: Bench) -> None:
    run = _run(own_bench, "1 / 0", "print('on')", "1 + ''", stop_on_error=False)
    assert run.outcome == ("failed", "cell_error")
    assert run.finished["error"] == "ZeroDivisionError: division by zero"
    assert run.text(1) == "on\n"
    assert run.outputs(2)[0]["ename"] == "TypeError"


def test_an_emptied_cell_shows_nothing_any_more(own_bench: Bench) -> None:
    output = {"output_type": "stream", "name": "stdout", "text": "old"}
    run = _run(own_bench, {"source": "", "outputs": [output], "execution_count": 9})
    assert run.outputs(0) == []
    assert run.notebook["cells"][0]["execution_count"] is None


def test_a_cancelled_run_leaves_its_kernel(own_bench: Bench) -> None:
    started = _start(own_bench, "kept = 5\nprint('on', flush=True)\nimport time\ntime.sleep(600)")
    started.wait_for("output")
    own_bench.sink.commands[started.attempt_id] = Command.CANCEL
    own_bench.placement.nudge(started.identity)
    assert started.finish().outcome == ("cancelled", "cancelled_by_user")
    assert _run(own_bench, "print(kept)").text(0) == "5\n"


def test_a_kernel_that_ignores_its_interrupt_is_not_kept(own_bench: Bench) -> None:
    stubborn = (
        "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "print('on', flush=True)\ntime.sleep(600)"
    )
    started = _start(own_bench, stubborn, interrupt_grace_seconds=0.1)
    started.wait_for("output")
    own_bench.sink.commands[started.attempt_id] = Command.CANCEL
    own_bench.placement.nudge(started.identity)
    assert started.finish().outcome == ("cancelled", "cancelled_by_user")
    assert own_bench.wait_for_departure(started.identity).cause == "exit code 0"
    assert _run(own_bench, "print('stubborn' in globals())").outcome == ("success", "completed")


def test_a_kernel_that_dies_ends_run_and_session(own_bench: Bench) -> None:
    started = _start(own_bench, "import os\nos.kill(os.getpid(), 9)")
    assert started.finish().outcome == ("failed", "kernel_died")
    own_bench.wait_for_departure(started.identity)
    assert own_bench.placement.sessions() == {}


def test_an_idle_kernel_that_dies_ends_the_session(own_bench: Bench) -> None:
    started = _start(own_bench, "import os\nprint(os.getpid())")
    os.kill(int(started.finish().text(0)), signal.SIGKILL)
    own_bench.wait_for_departure(started.identity)
    assert own_bench.placement.sessions() == {}
    assert _run(own_bench, "print('started' in globals())").text(0) == "False\n"


def test_an_ended_session_leaves(own_bench: Bench) -> None:
    started = _start(own_bench, "1")
    started.finish()
    own_bench.placement.end_session(SESSION)
    assert own_bench.wait_for_departure(started.identity).cause == "exit code 0"
    assert own_bench.placement.sessions() == {}
    own_bench.placement.end_session(SESSION)


def test_a_session_ended_at_work_finishes_its_run(own_bench: Bench) -> None:
    started = _start(own_bench, WAITS)
    folder = _wait_for_folder(started)
    own_bench.placement.end_session(SESSION)
    (folder / "go").touch()
    assert started.finish().text(0) == f"{folder}\noff\n"
    own_bench.wait_for_departure(started.identity)


def test_an_idle_session_ends_with_its_server(own_bench: Bench) -> None:
    started = _start(own_bench, "1")
    started.finish()
    assert _is_idle(own_bench)
    nursery = own_bench.placement._nursery_pid
    own_bench.placement.close()
    assert start_time(started.identity.pid) is None
    assert nursery is not None
    assert start_time(nursery) is None


def test_a_session_at_work_outlives_its_server_to_the_end_of_its_run(own_bench: Bench) -> None:
    started = _start(own_bench, WAITS)
    folder = _wait_for_folder(started)
    own_bench.placement.close()
    own_bench.placement = LocalPlacement(own_bench.settings)
    own_bench.placement.start(own_bench.departures.put)
    assert own_bench.placement.adopt(started.identity)
    (folder / "go").touch()
    assert started.finish().outcome == ("success", "completed")
    assert own_bench.wait_for_departure(started.identity).cause == "gone"
    assert own_bench.placement.sessions() == {}


def _wait_for_folder(started: Started) -> Path:
    """The working folder that a cell told before it waits."""
    return Path(started.wait_for("output")["output"]["text"].strip())


def test_nothing_of_an_earlier_run_is_left_in_the_runtime(own_bench: Bench) -> None:
    look = (
        "import os\n"
        "print(os.environ.get('ONLY_FIRST'), os.environ.get('BOTH'), dbutils.widgets.getAll())"
    )
    first = {"runtime_token": "token-of-the-first-run", "flavour": "databricks"}
    _run(
        own_bench,
        "1",
        runtime=first,
        environment={"ONLY_FIRST": "1", "BOTH": "1"},
        parameters={"p": "1"},
    )
    second = {"runtime_token": "token-of-the-second-run", "flavour": "databricks"}
    run = _run(own_bench, look, runtime=second, environment={"BOTH": "2"})
    assert run.text(0) == "None 2 {}\n"
    search = (
        "import gc\n"
        "def holds(each, text):\n"
        "    return any(isinstance(v, str) and v.startswith(text) for v in list(each.values()))\n"
        "found = {t: sum(holds(each, 'token-of-the-' + t) for each in gc.get_objects()\n"
        "         if type(each) is dict) for t in ('first', 'second')}\n"
        "print(found['first'], found['second'] > 0)"
    )
    assert _run(own_bench, search, runtime=second).text(0).split()[0] == "0"


def test_what_threads_print_between_runs_belongs_to_no_run(own_bench: Bench) -> None:
    thread = (
        "import threading, time\n"
        "def work():\n"
        "    while True: print('x' * 1000); time.sleep(0.001)\n"
        "threading.Thread(target=work, daemon=True).start()"
    )
    _run(own_bench, thread)
    run = _run(own_bench, "print('mine')")
    assert "mine" in run.text(0)
    assert run.outcome == ("success", "completed")


def _is_idle(bench: Bench) -> bool:
    """Waits, without a limit of its own, until the session's kernel is free."""
    while True:
        kept = bench.placement.sessions()
        if kept.get(SESSION, 0.0) is not None:
            return SESSION in kept
        os.sched_yield()


def test_each_run_has_its_own_cpu_seconds(own_bench: Bench) -> None:
    burn = (
        "import resource, time\n"
        "end = time.process_time() + 0.7\n"
        "while time.process_time() < end: pass\n"
        "print(resource.getrlimit(resource.RLIMIT_CPU)[0])"
    )
    bounds = [int(_run(own_bench, burn, limits=Limits(cpu_seconds=2)).text(0)) for _ in range(4)]
    assert bounds == sorted(bounds)
    assert bounds[-1] > bounds[0]
    endless = _run(own_bench, "while True: pass", limits=Limits(cpu_seconds=1))
    assert endless.outcome == ("failed", "kernel_died")
    assert "SIGXCPU" in endless.finished["message"]


def test_what_a_notebook_has_made_of_its_surroundings_stays(own_bench: Bench) -> None:
    made = (
        "import os\nos.mkdir('below')\nos.chdir('below')\n"
        "os.environ['GIVEN'] = 'changed'\nos.environ['OWN'] = 'mine'\nspark = 'my own'"
    )
    _run(own_bench, made, environment={"GIVEN": "1"})
    look = "print(os.path.basename(os.getcwd()), os.environ['GIVEN'], os.environ['OWN'], spark)"
    assert _run(own_bench, look).text(0) == "below changed mine my own\n"
    assert _run(own_bench, look).text(0) == "below changed mine my own\n"
    assert _run(own_bench, "del spark, dbutils", "1").outcome == ("success", "completed")
    assert _run(own_bench, "print(dbutils is not None)").text(0) == "True\n"
