"""What a run does, seen from the server: real kernels, real runners."""

from __future__ import annotations

import gzip
import os
import signal
import time
from pathlib import Path

import pytest

from quire.runner.protocol import Command, Limits
from quire.settings import Settings
from tests.runner.conftest import Bench, make_notebook

EXIT = """from IPython.display import display
display({"application/vnd.quire.exit+json": {"value": "42"}}, raw=True)
raise RuntimeError("left")"""


def test_a_run_reports_each_step_in_order(bench: Bench) -> None:
    run = bench.run(make_notebook("print('hello')", "1 + 1"))
    assert [event["type"] for event in run.events] == [
        "accepted",
        "started",
        "metadata",
        "cell_started",
        "output",
        "cell_finished",
        "cell_started",
        "output",
        "cell_finished",
        "finished",
        "terminated",
    ]
    assert run.outcome == ("success", "completed")
    assert run.text(0) == "hello\n"
    assert run.outputs(1)[0]["data"] == {"text/plain": "2"}
    assert [cell["execution_count"] for cell in run.notebook["cells"]] == [1, 2]
    assert run.finished["last_cell"] == 1
    assert bench.sink.authorizations == {"Bearer secret-of-the-report"}


def test_a_run_leaves_nothing_behind(bench: Bench) -> None:
    started = bench.start(make_notebook("import os\nprint(os.getcwd(), os.getpid())"))
    run = started.finish()
    working_dir, pid = run.text(0).split()
    assert bench.wait_for_departure(started.identity).cause == "exit code 0"
    assert not Path(working_dir).parent.exists()
    assert not (bench.spool_root / str(started.attempt_id)).exists()
    assert not Path(f"/proc/{pid}").exists()


def test_the_first_error_ends_a_run(bench: Bench) -> None:
    run = bench.run(make_notebook("x = 1", "1 / 0", "print('never')"))
    assert run.outcome == ("failed", "cell_error")
    assert run.finished["message"] == "Cell 2 failed: ZeroDivisionError: division by zero"
    assert run.finished["error"] == "ZeroDivisionError: division by zero"
    assert "ZeroDivisionError" in run.finished["error_trace"]
    assert run.outputs(1)[0]["ename"] == "ZeroDivisionError"
    assert run.outputs(2) == []


def test_an_exit_value_ends_a_run_with_success(bench: Bench) -> None:
    run = bench.run(make_notebook("print('before')", EXIT, "print('never')"))
    assert run.outcome == ("success", "exited")
    assert run.exit_value == "42"
    assert run.outputs(1) == []
    assert run.outputs(2) == []
    assert run.events[-3]["status"] == "ok"


def test_the_runtime_is_there(bench: Bench) -> None:
    run = bench.run(make_notebook("dbutils.notebook.exit('done')", "print('never')"))
    assert (run.outcome, run.exit_value) == (("success", "exited"), "done")


def test_parameters_are_injected_and_offered_to_the_runtime(bench: Bench) -> None:
    notebook = make_notebook(
        {"source": "name = 'nobody'", "metadata": {"tags": ["parameters"]}}, "print(name, n)"
    )
    run = bench.run(notebook, parameters={"name": "Zoë", "n": 3, "not a name": 1})
    assert run.text(2) == "Zoë 3\n"
    injected = run.notebook["cells"][1]
    assert injected["source"] == "# Parameters\nname = 'Zoë'\nn = 3"
    assert injected["metadata"]["tags"] == ["injected-parameters"]


def test_a_cell_in_the_notebooks_language_runs_as_a_magic(bench: Bench) -> None:
    notebook = make_notebook(
        {
            "source": "%config InteractiveShell.ast_node_interactivity = 'all'\n"
            "get_ipython().register_magic_function("
            "lambda line, cell: print('SQL:', cell.strip()), 'cell', 'sql')"
        },
        "select 1",
        language_info={"name": "sql"},
    )
    run = bench.run(notebook)
    assert run.text(1) == "SQL: select 1\n"
    assert run.notebook["cells"][1]["source"] == "select 1"
    assert run.notebook["metadata"]["language_info"] == {"name": "sql"}


def test_the_kernel_inherits_nothing_of_the_server(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = bench.run(
        make_notebook(
            "import os\nfor name in sorted(os.environ): print(name)",
            "for fd in sorted(map(int, os.listdir('/proc/self/fd'))):\n"
            "    try: print(os.readlink(f'/proc/self/fd/{fd}'))\n"
            "    except FileNotFoundError: pass",
        ),
        environment={"GREETING": "hello"},
    )
    names = set(run.text(0).split())
    assert names >= {"PATH", "HOME", "GREETING"}
    assert not [name for name in names if name.startswith(("QUIRE", "PYTEST", "JPY"))]
    files = run.text(1).split()
    assert [f for f in files if f.startswith("/") and not f.startswith("/dev/")] == []


def test_the_kernel_runs_as_the_kernel_user(bench: Bench) -> None:
    run = bench.run(make_notebook("import os\nprint(os.getuid(), *os.getgroups())"))
    uid, *groups = map(int, run.text(0).split())
    if os.getuid() == 0:
        assert uid > Settings().kernel_uid_base  # a number of its own
        assert groups == [uid]
    else:
        assert uid == os.getuid()


# Output leaves a kernel from a thread of its own, which needs a moment that death would not give.
LAST_WORDS = "import time\nprint('last words', flush=True)\ntime.sleep(0.1)"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os; os._exit(7)", "The kernel died in cell 2 (exit code 7)."),
        (
            "import ctypes; ctypes.string_at(0)",
            "The kernel died in cell 2 (killed by SIGSEGV).",
        ),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            "The kernel died in cell 2 (killed by SIGKILL).",
        ),
    ],
)
def test_a_dead_kernel_is_reported_with_its_cause(bench: Bench, code: str, message: str) -> None:
    run = bench.run(make_notebook("print('first')", f"{LAST_WORDS}\n{code}"))
    assert run.outcome == ("failed", "kernel_died")
    assert run.finished["message"] == message
    assert run.finished["last_cell"] == 1
    assert run.text(1) == "last words\n"


def test_allocating_past_the_limit_is_an_error_of_the_cell(bench: Bench) -> None:
    run = bench.run(
        make_notebook("x = bytearray(4 << 30)"), limits=Limits(memory_bytes=1024 * 2**20)
    )
    assert run.outcome == ("failed", "out_of_memory")
    assert run.finished["message"] == (
        "Cell 1 ran out of memory: MemoryError. The memory limit of a kernel is 1024 MiB."
    )


def test_a_cpu_limit_kills_the_kernel_and_says_so(bench: Bench) -> None:
    run = bench.run(make_notebook("while True: pass"), limits=Limits(cpu_seconds=1))
    assert run.outcome == ("failed", "kernel_died")
    assert run.finished["message"] == (
        "The kernel died in cell 1 (killed by SIGXCPU). Its CPU time limit is 1 seconds."
    )


def test_everything_a_notebook_started_is_gone_at_the_end(bench: Bench) -> None:
    code = """import os, signal, subprocess, sys
daemon = "import os, signal, time\\nos.setsid()\\n" \\
    "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\\n" \\
    "if os.fork(): os._exit(0)\\nos.setsid()\\nprint(os.getpid(), flush=True)\\ntime.sleep(600)"
a = subprocess.Popen([sys.executable, "-c", daemon], stdout=subprocess.PIPE, text=True)
print(a.stdout.readline().strip(), subprocess.Popen(["sleep", "600"]).pid)"""
    run = bench.run(make_notebook(code))
    assert run.outcome == ("success", "completed")
    pids = run.text(0).split()
    assert len(pids) == 2
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_what_forks_print_is_output_and_no_port_is_open_for_it(bench: Bench) -> None:
    code = """import os, psutil
if os.fork() == 0:
    print("from the fork", flush=True)
    os._exit(0)
os.wait()"""
    listening = "[c for c in psutil.Process().net_connections('inet') if c.status == 'LISTEN']"
    # What a fork prints takes a way of its own and may come with a later cell.
    run = bench.run(make_notebook(code, f"print({listening})", "import time; time.sleep(0.3)"))
    assert run.outcome == ("success", "completed")
    assert sorted("".join(run.text(index) for index in range(3)).splitlines()) == [
        "[]",
        "from the fork",
    ]


def test_text_that_utf8_cannot_hold_is_output_with_what_it_stands_beside(bench: Bench) -> None:
    run = bench.run(
        make_notebook(
            "print('before'); print('a\\ud800b', '\\ud83d\\ude00'); print('after')",
            "'\\udc80'",
            "raise ValueError('c\\ud800d')",
        )
    )
    assert run.text(0) == "before\na\ufffdb \U0001f600\nafter\n"
    assert run.outputs(1)[0]["data"] == {"text/plain": "'\\udc80'"}
    assert run.finished["error"] == "ValueError: c\ufffdd"


def test_a_value_that_utf8_cannot_hold_is_given_back(bench: Bench) -> None:
    run = bench.run(make_notebook("dbutils.notebook.exit('a\\ud800b')"))
    assert run.outcome == ("success", "exited")
    assert run.exit_value == "a\ufffdb"


def test_exit_handlers_run_and_files_are_written(bench: Bench, tmp_path: Path) -> None:
    folder = bench.folder / "written"
    folder.mkdir()
    folder.chmod(0o777)
    for parent in [*folder.parents][:4]:
        if parent.stat().st_uid == os.getuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    code = f"""import atexit, gzip
plain = open("{folder}/plain.txt", "w")
plain.write("not closed")
packed = gzip.open("{folder}/packed.gz", "wt")
packed.write("not closed either")
class Holder:
    pass
holder = Holder()
holder.me, holder.file = holder, open("{folder}/cycle.txt", "w")
holder.file.write("in a cycle")
atexit.register(lambda: open("{folder}/handler.txt", "w").write("ran"))"""
    run = bench.run(make_notebook(code))
    assert run.outcome == ("success", "completed"), run.finished
    assert (folder / "plain.txt").read_text() == "not closed"
    with gzip.open(folder / "packed.gz", "rt") as packed:
        assert packed.read() == "not closed either"
    assert (folder / "cycle.txt").read_text() == "in a cycle"
    assert (folder / "handler.txt").read_text() == "ran"


SLEEP = "print('begun', flush=True)\nimport time\ntime.sleep(600)"


def _begun(event: dict[str, object]) -> bool:
    return event["type"] == "output"


def test_cancel_interrupts_the_notebook(bench: Bench) -> None:
    started = bench.start(make_notebook(SLEEP, "print('never')"))
    started.wait_for(_begun)
    bench.sink.commands[started.attempt_id] = Command.CANCEL
    bench.placement.nudge(started.identity)
    run = started.finish()
    assert run.outcome == ("cancelled", "cancelled_by_user")
    assert run.finished["message"] == "Cancelled by user."
    assert [o.get("ename") for o in run.outputs(0)] == [None, "KeyboardInterrupt"]
    assert run.finished["last_cell"] == 0


def test_a_termination_signal_to_the_runner_cancels(bench: Bench) -> None:
    started = bench.start(make_notebook(SLEEP))
    started.wait_for(_begun)
    os.kill(started.identity.pid, signal.SIGTERM)
    assert started.finish().outcome == ("cancelled", "cancelled_by_user")


@pytest.mark.parametrize(
    "code",
    [
        # catches its interrupts
        "while True:\n    try: time.sleep(600)\n    except KeyboardInterrupt: pass",
        # blocks every signal, in a forked child too
        "import os, signal\nos.fork()\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n"
        "while True: pass",
    ],
)
def test_a_notebook_that_resists_is_killed(bench: Bench, code: str) -> None:
    started = bench.start(
        make_notebook(f"import time\nprint('begun', flush=True)\n{code}"),
        interrupt_grace_seconds=0.2,
        terminate_grace_seconds=0.2,
    )
    started.wait_for(_begun)
    bench.sink.commands[started.attempt_id] = Command.CANCEL
    bench.placement.nudge(started.identity)
    run = started.finish()
    assert run.outcome == ("cancelled", "cancelled_by_user")


def test_a_timeout_ends_a_run(bench: Bench) -> None:
    started = bench.start(make_notebook(SLEEP), timeout_seconds=0.3)
    bench.sink.timeouts[started.attempt_id] = 0.3
    run = started.finish()
    assert run.outcome == ("timed_out", "timeout")
    assert run.finished["message"] == "The run took longer than its timeout of 0.3 seconds."


def test_a_timeout_may_come_later(bench: Bench) -> None:
    started = bench.start(make_notebook(SLEEP))
    started.wait_for(_begun)
    bench.sink.timeouts[started.attempt_id] = 0.1
    bench.placement.nudge(started.identity)
    assert started.finish().outcome == ("timed_out", "timeout")


def test_too_much_output_ends_a_run(bench: Bench) -> None:
    code = "for i in range(100000): print('x' * 1000)"
    run = bench.run(
        make_notebook("print('fine')", code, "print('never')"),
        limits=Limits(cell_output_bytes=2**20),
    )
    assert run.outcome == ("failed", "output_limit")
    assert run.finished["message"] == (
        "The output of cell 2 is larger than the limit of 1 MB a cell."
    )
    assert len(run.text(1).encode()) == 2**20
    assert run.outputs(2) == []


def test_one_huge_message_ends_a_run(bench: Bench) -> None:
    run = bench.run(make_notebook("print('x' * 100_000_000)"))
    assert run.outcome == ("failed", "output_limit")


def test_the_runs_output_is_limited_too(bench: Bench) -> None:
    run = bench.run(
        make_notebook("print('x' * 700)", "print('x' * 700)"),
        limits=Limits(run_output_bytes=1024),
    )
    assert run.outcome == ("failed", "output_limit")
    assert run.finished["message"] == (
        "The output of the run became larger than the limit of 1 kB a run in cell 2."
    )


def test_much_output_below_the_limit_arrives_whole_and_needs_little_memory(bench: Bench) -> None:
    cells = ["for i in range(5000): print('%06d' % i, 'x' * 993)"] * 20
    started = bench.start(
        make_notebook(*cells, "import os\nprint(open(f'/proc/{os.getppid()}/status').read())")
    )
    run = started.finish()
    assert run.outcome == ("success", "completed")
    expected = "".join(f"{i:06d} {'x' * 993}\n" for i in range(5000))
    assert all(run.text(index) == expected for index in range(20))
    lines = dict(line.split(":", 1) for line in run.text(20).splitlines() if ":" in line)
    assert int(lines["VmHWM"].split()[0]) < 250_000, lines["VmHWM"]


def test_a_kernel_that_cannot_be_set_up_ends_the_run_and_says_why(bench: Bench) -> None:
    run = bench.run(make_notebook("print('never')"), environment={"NAME": "a\0b"})
    assert run.outcome == ("internal_error", "kernel_not_started")
    assert run.finished["message"] == (
        "The kernel could not be set up: ValueError: embedded null byte"
    )
    assert run.finished["error_trace"].endswith("ValueError: embedded null byte")
    assert run.text(0) == ""


def test_an_unknown_kernel_is_refused_by_name(bench: Bench) -> None:
    run = bench.run(make_notebook("1"), kernel_name="klingon")
    assert run.outcome == ("internal_error", "kernel_not_started")
    assert run.finished["message"].startswith("There is no kernel named 'klingon'")
    assert "python3" in run.finished["message"]


def test_a_run_without_cells_succeeds(bench: Bench) -> None:
    run = bench.run(make_notebook({"cell_type": "markdown", "source": "# hello"}))
    assert run.outcome == ("success", "completed")
    assert run.finished["last_cell"] is None


def test_a_silent_run_sends_heartbeats(bench: Bench) -> None:
    before = bench.sink.heartbeats
    started = bench.start(make_notebook(SLEEP))
    started.wait_for(_begun)
    with bench.sink.condition:
        assert bench.sink.condition.wait_for(lambda: bench.sink.heartbeats >= before + 2, 30)
    os.kill(started.identity.pid, signal.SIGTERM)
    started.finish()


def test_timing_is_recorded_as_nbclient_does(bench: Bench) -> None:
    run = bench.run(make_notebook("1"))
    timing = run.notebook["cells"][0]["metadata"]["execution"]
    assert set(timing) == {
        "iopub.status.busy",
        "iopub.execute_input",
        "shell.execute_reply",
        "iopub.status.idle",
    }
    assert all(value.endswith("Z") for value in timing.values())
    assert timing["iopub.status.busy"] <= timing["iopub.status.idle"]
    assert time.strftime("%Y") == timing["iopub.status.busy"][:4]
