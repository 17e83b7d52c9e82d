"""Cells of a language that has a kernel of its own: here a Python kernel that says it is R."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.quire_runtime.conftest import Kernel


@pytest.fixture
def with_r(kernel: Kernel, tmp_path: Path) -> Kernel:
    folder = tmp_path / "jupyter" / "kernels" / "ir"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(
        json.dumps(
            {
                "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                "display_name": "R",
                "language": "R",
            }
        )
    )
    kernel.configure(
        {"flavour": "databricks", "environment": {"JUPYTER_PATH": str(tmp_path / "jupyter")}}
    )
    return kernel


def test_a_language_without_a_kernel_says_what_to_install(shared_kernel: Kernel) -> None:
    reply = shared_kernel.run("%r\nx <- 1")
    assert reply.ename == "UnsupportedFeature"
    assert reply.evalue is not None
    assert "no Jupyter kernel for R is installed. Install IRkernel" in reply.evalue


def test_output_values_and_errors_come_through(with_r: Kernel) -> None:
    reply = with_r.run("%r\nx = 20\nprint('out')\nimport sys; print('err', file=sys.stderr)\nx + 1")
    assert (reply.status, reply.stdout, reply.stderr) == ("ok", "out\n", "err\n")
    assert reply.displays[-1]["text/plain"] == "21"
    assert with_r.run("x").ename == "NameError"  # a kernel of its own
    assert with_r.run("%r x + 2").displays[-1]["text/plain"] == "22"
    failed = with_r.run("%r 1 / 0")
    assert (failed.status, failed.ename) == ("error", "ZeroDivisionError")
    assert failed.evalue == "division by zero"
    assert "other_kernel" not in failed.traceback
    assert with_r.run("%r").outputs == []


def test_an_interrupt_goes_to_the_kernel(with_r: Kernel) -> None:
    with_r.run("%r kept = 1")
    started = with_r.start("%r\nprint('begun', flush=True)\nimport time\ntime.sleep(600)")
    while True:
        message = with_r.client.get_iopub_msg(timeout=60)
        if message["msg_type"] == "stream":
            break
    with_r.interrupt()
    assert with_r.finish(started).ename == "KeyboardInterrupt"
    assert with_r.run("%r kept").displays[-1]["text/plain"] == "1"


def test_a_kernel_that_dies(with_r: Kernel) -> None:
    reply = with_r.run("%r\nimport os\nos._exit(3)")
    assert (reply.ename, reply.evalue) == ("CommandFailed", "The kernel for R has ended.")
