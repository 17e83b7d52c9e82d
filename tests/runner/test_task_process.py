"""What becomes of programs: real processes of real runners, seen from the server."""

from __future__ import annotations

import base64
import os
import shlex
import signal
from pathlib import Path
from typing import Any

from quire.runner.protocol import Command, Limits
from tests.runner.conftest import Bench, Finished, Started, make_notebook


def shell(*command: str, **environment: str) -> dict[str, Any]:
    return {"kind": "shell", "command": list(command), "environment": environment}


def python(source: str, *arguments: str, path: str = "/Shared/job.py") -> dict[str, Any]:
    content = base64.b64encode(source.encode()).decode()
    return {"kind": "python_file", "path": path, "arguments": list(arguments), "content": content}


def start(bench: Bench, task: dict[str, Any], **given: Any) -> Started:
    return bench.start(make_notebook("what is shown"), task=task, **given)


def run(bench: Bench, task: dict[str, Any], **given: Any) -> Finished:
    return start(bench, task, **given).finish()


class TestShell:
    def test_reports_each_step_in_order(self, bench: Bench) -> None:
        ran = run(bench, shell("bash", "-c", "echo $GREETING; echo problem >&2", GREETING="hello"))
        assert ran.outcome == ("success", "completed")
        assert [event["type"] for event in ran.events if event["type"] != "output"] == [
            "accepted",
            "started",
            "cell_started",
            "cell_finished",
            "finished",
            "terminated",
        ]
        assert (ran.text(0), ran.text(0, "stderr")) == ("hello\n", "problem\n")
        assert ran.notebook["cells"][0]["execution_count"] == 1

    def test_takes_words_as_they_are_without_a_shell(self, bench: Bench) -> None:
        ran = run(bench, shell("printf", "%s|", "a b", "$HOME", "*"))
        assert ran.text(0) == "a b|$HOME|*|"

    def test_exit_code_is_the_outcome(self, bench: Bench) -> None:
        ran = run(bench, shell("bash", "-c", "exit 3"))
        assert ran.outcome == ("failed", "program_failed")
        assert ran.finished["message"] == "The program ended with exit code 3."

    def test_signal_is_named(self, bench: Bench) -> None:
        ran = run(bench, shell("bash", "-c", "kill -KILL $$"))
        assert ran.outcome == ("failed", "program_died")
        assert ran.finished["message"] == "The program was killed by SIGKILL."

    def test_unknown_program(self, bench: Bench) -> None:
        ran = run(bench, shell("no-such-program"))
        assert ran.outcome == ("failed", "program_not_started")
        assert "'no-such-program'" in ran.finished["message"]

    def test_output_comes_live_and_cancel_ends_the_whole_tree(self, bench: Bench) -> None:
        script = "trap '' INT; setsid sleep 1000 & echo $! $$; sleep 1000"
        started = start(bench, shell("bash", "-c", script), interrupt_grace_seconds=0.1)
        event = started.wait_for("output")
        pids = event["output"]["text"].split()
        bench.sink.commands[started.attempt_id] = Command.CANCEL
        os.kill(started.identity.pid, signal.SIGUSR1)
        ran = started.finish()
        assert ran.outcome == ("cancelled", "cancelled_by_user")
        assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]

    def test_program_may_say_goodbye_to_an_interrupt(self, bench: Bench) -> None:
        script = "trap 'echo bye; exit 0' INT; echo up; while true; do sleep 0.05; done"
        started = start(bench, shell("bash", "-c", script), timeout_seconds=3600)
        started.wait_for("output")
        bench.sink.timeouts[started.attempt_id] = 0.1
        os.kill(started.identity.pid, signal.SIGUSR1)
        ran = started.finish()
        assert ran.outcome == ("timed_out", "timeout")
        assert ran.text(0) == "up\nbye\n"

    def test_too_much_output_ends_it(self, bench: Bench) -> None:
        limits = Limits(cell_output_bytes=1024 * 1024)
        ran = run(bench, shell("yes"), limits=limits)
        assert ran.outcome == ("failed", "output_limit")
        assert ran.finished["message"] == "The program printed more than the limit of 1 MB."
        assert len(ran.text(0)) == 1024 * 1024

    def test_what_it_leaves_in_the_background_is_not_waited_for(self, bench: Bench) -> None:
        ran = run(bench, shell("bash", "-c", "sleep 1000 & echo $!"))
        assert ran.outcome == ("success", "completed")
        assert not Path(f"/proc/{ran.text(0).strip()}").exists()

    def test_text_in_pieces_and_what_is_no_text(self, bench: Bench) -> None:
        ran = run(bench, shell("bash", "-c", r"printf '\xc3'; sleep 0.2; printf '\xbc\xff\n'"))
        assert ran.text(0) == "ü\ufffd\n"

    def test_runs_as_its_own_user_and_inherits_nothing(self, bench: Bench) -> None:
        ran = run(bench, shell("bash", "-c", "id -u; pwd; env; ls -l /proc/self/fd"))
        uid, folder = ran.text(0).split("\n")[:2]
        assert (uid == "0") is False
        assert folder.endswith("/work")
        assert "QUIRE_HOME" not in ran.text(0)

    def test_packages_of_the_run_are_found(self, bench: Bench) -> None:
        folder = "/opt/packages/lib/python3.11/site-packages"
        bench.sink.compute = [
            {
                "state": "ready",
                "message": "",
                "environment": {"OF_CLUSTER": "1", "BOTH": "cluster"},
                "site_packages": [folder],
                "python": "/opt/python/bin/python3",
            }
        ]
        script = "echo $OF_CLUSTER $BOTH; echo $PYTHONPATH; echo $PATH"
        ran = run(bench, shell("bash", "-c", script, BOTH="task"), compute={"state": "pending"})
        first, packages, path = ran.text(0).splitlines()
        assert (first, packages) == ("1 task", folder)
        assert path.startswith("/opt/packages/bin:/opt/python/bin:")

    def test_closing_its_pipes_is_not_its_end(self, bench: Bench) -> None:
        ran = run(bench, shell("bash", "-c", "exec >&- 2>&-; sleep 0.3; exit 4"))
        assert ran.finished["message"] == "The program ended with exit code 4."

    def test_limits_hold(self, bench: Bench) -> None:
        code = "x = bytearray(600 * 2**20)"
        ran = run(
            bench,
            shell("python", "-c", code),
            limits=Limits(memory_bytes=400 * 2**20),
        )
        assert ran.outcome == ("failed", "out_of_memory")
        assert "400 MiB" in ran.finished["message"]
        ran = run(bench, shell("bash", "-c", "while :; do :; done"), limits=Limits(cpu_seconds=1))
        assert "SIGXCPU" in ran.finished["message"]


class TestPythonFile:
    def test_is_main_with_its_arguments(self, bench: Bench) -> None:
        source = (
            "import os, sys\n"
            "print(__name__, sys.argv[1:], os.path.basename(sys.argv[0]))\n"
            "print(os.path.basename(__file__), sys.modules['__main__'].__file__ == __file__)\n"
            "print(sys.path[0] == os.path.dirname(__file__))\n"
        )
        ran = run(bench, python(source, "a b", "", "--x=ü"))
        assert ran.outcome == ("success", "completed")
        assert ran.text(0).splitlines() == [
            "__main__ ['a b', '', '--x=ü'] job.py",
            "job.py True",
            "True",
        ]

    def test_an_exception_is_told_as_python_tells_it(self, bench: Bench) -> None:
        source = "def f():\n    raise ValueError('no\\nsuch')\nf()\n"
        ran = run(bench, python(source))
        assert ran.outcome == ("failed", "program_failed")
        assert ran.finished["error"] == "ValueError: no\nsuch"
        trace = ran.text(0, "stderr")
        assert trace == ran.finished["error_trace"]
        assert trace.startswith("Traceback (most recent call last):\n  File ")
        assert "quire_runtime" not in trace
        assert "raise ValueError" in trace

    def test_leaving(self, bench: Bench) -> None:
        assert run(bench, python("import sys\nsys.exit(0)")).outcome == ("success", "completed")
        ran = run(bench, python("import sys\nsys.exit(7)"))
        assert (ran.outcome, ran.finished["error"]) == (
            ("failed", "program_failed"),
            "SystemExit: 7",
        )
        assert "exit code 7" in ran.finished["message"]
        ran = run(bench, python("raise SystemExit('not today')"))
        assert ran.finished["error"] == "SystemExit: not today"
        assert ran.text(0, "stderr") == "not today\n"

    def test_syntax_error(self, bench: Bench) -> None:
        ran = run(bench, python("print('never')\nx = = 1\n"))
        assert ran.finished["error"].startswith("SyntaxError: invalid syntax")
        assert "x = = 1" in ran.text(0, "stderr")
        assert ran.text(0) == ""

    def test_names_of_notebooks_are_there(self, bench: Bench) -> None:
        source = "dbutils.widgets.text('a', 'b')\nprint(dbutils.widgets.get('a'))\n"
        source += "dbutils.notebook.exit('42')\nprint('never')\n"
        ran = run(bench, python(source))
        assert ran.text(0) == "b\n"
        assert (ran.outcome, ran.exit_value) == (("success", "completed"), "42")

    def test_output_comes_line_by_line(self, bench: Bench) -> None:
        started = start(bench, python("import time\nprint('first')\ntime.sleep(1000)"))
        assert started.wait_for("output")["output"]["text"] == "first\n"
        bench.sink.commands[started.attempt_id] = Command.CANCEL
        os.kill(started.identity.pid, signal.SIGUSR1)
        ran = started.finish()
        assert ran.outcome == ("cancelled", "cancelled_by_user")
        assert "KeyboardInterrupt" in ran.text(0, "stderr")

    def test_processes_it_starts_can_import_it(self, bench: Bench) -> None:
        source = (
            "import multiprocessing\n"
            "def double(x): return 2 * x\n"
            "if __name__ == '__main__':\n"
            "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
            "        print(pool.map(double, [1, 2]))\n"
        )
        ran = run(bench, python(source))
        assert ran.text(0) == "[2, 4]\n", ran.text(0, "stderr")

    def test_declared_encoding_holds(self, bench: Bench) -> None:
        source = "# -*- coding: latin-1 -*-\nprint('grüße')\n".encode("latin-1")
        task = python("")
        task["content"] = base64.b64encode(source).decode()
        assert run(bench, task).text(0) == "grüße\n"


def test_nothing_is_left(bench: Bench) -> None:
    started = start(bench, shell("bash", "-c", f"pwd; {shlex.quote('ls')} .."))
    ran = started.finish()
    folder = Path(ran.text(0).split("\n")[0])
    assert bench.wait_for_departure(started.identity).cause == "exit code 0"
    assert not folder.parent.exists()


def test_a_dead_program_of_a_dead_runner(bench: Bench) -> None:
    started = start(bench, shell("bash", "-c", "echo $$; sleep 1000"))
    pid = started.wait_for("output")["output"]["text"].strip()
    os.kill(started.identity.pid, signal.SIGKILL)
    bench.wait_for_departure(started.identity)
    assert not Path(f"/proc/{pid}").exists()
