"""Kernels of other kernelspecs, started the ordinary way."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runner.conftest import Bench, make_notebook


@pytest.fixture(scope="module")
def spec_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    specs = tmp_path_factory.mktemp("specs")
    folders = {
        "other": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "broken": [sys.executable, "-c", "raise SystemExit(3)", "{connection_file}"],
    }
    for name, argv in folders.items():
        folder = specs / "kernels" / name
        folder.mkdir(parents=True)
        spec = {"argv": argv, "display_name": name, "language": "python"}
        (folder / "kernel.json").write_text(json.dumps(spec))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(specs))
        made = Bench(tmp_path_factory.mktemp("bench"), pool_size=1)
    yield made
    made.close()


def test_a_kernel_of_another_kernelspec_runs_a_notebook(spec_bench: Bench) -> None:
    run = spec_bench.run(
        make_notebook(
            "import os\nprint(os.getuid(), os.path.basename(os.getcwd()), 'JUPYTER_PATH' in "
            "os.environ)",
            "dbutils.notebook.exit('left')",
        ),
        kernel_name="other",
    )
    assert (run.outcome, run.exit_value) == (("success", "exited"), "left"), run.finished
    assert run.events[1]["kernel_name"] == "other"
    uid, _, rest = run.text(0).partition(" ")
    assert rest == "work False\n"
    assert (int(uid) == os.getuid()) == (os.getuid() != 0)


def test_its_death_has_a_cause(spec_bench: Bench) -> None:
    run = spec_bench.run(make_notebook("import os\nos._exit(9)"), kernel_name="other")
    assert run.outcome == ("failed", "kernel_died")
    assert run.finished["message"] == "The kernel died in cell 1 (exit code 9)."


def test_it_can_be_cancelled(spec_bench: Bench) -> None:
    started = spec_bench.start(
        make_notebook("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)"),
        kernel_name="other",
    )
    pid = started.wait_for("output")["output"]["text"].strip()
    os.kill(started.identity.pid, signal.SIGTERM)
    run = started.finish()
    assert run.outcome == ("cancelled", "cancelled_by_user")
    assert not Path(f"/proc/{pid}").exists()


def test_a_kernel_that_does_not_start_is_told(spec_bench: Bench) -> None:
    run = spec_bench.run(make_notebook("1"), kernel_name="broken")
    assert run.outcome == ("internal_error", "kernel_not_started")
    assert run.finished["message"] == "The kernel 'broken' ended while it started."
