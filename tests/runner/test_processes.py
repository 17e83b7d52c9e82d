from __future__ import annotations

import os
import subprocess
import sys

from quire.runner.processes import cpu_seconds, descendants, is_childless

_BURN = """
import sys, time
while time.process_time() < 0.15: pass
print("done", flush=True)
sys.stdin.read()
"""
_PARENT = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", "import time\\nwhile time.process_time() < 0.15: pass"])
subprocess.run([sys.executable, "-c", {_BURN!r}])
"""


def test_cpu_time_of_a_process_and_all_that_came_from_it() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"done\n"
        used = cpu_seconds([parent.pid])
        again = cpu_seconds([parent.pid])
        parent.communicate()
    assert used[parent.pid] >= 0.25  # what has ended counts too
    assert again[parent.pid] - used[parent.pid] < 0.3  # it waits now
    assert cpu_seconds([parent.pid]) == {}


def test_who_has_children() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"done\n"
        assert not is_childless(parent.pid)
        assert not is_childless(os.getpid())
        (grandchild,) = descendants(parent.pid)
        assert is_childless(parent.pid, but=grandchild)
        parent.communicate()
    assert is_childless(parent.pid)  # it is gone
