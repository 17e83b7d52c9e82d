"""A whole server in a process of its own, as users start it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from quire.compute.spark_driver import remove_strangers

__all__ = ["ADMIN_TOKEN", "RunningServer", "poll", "running_server"]

ADMIN_TOKEN = "acceptance-admin-token"
_LISTENS = re.compile(r"Quire listens on (\S+)")
_PATIENCE_SECONDS = 120


@dataclass(frozen=True)
class RunningServer:
    """Where a server answers, and who may ask."""

    url: str
    token: str
    data_dir: Path

    def command(self, *words: str) -> str:
        """What ``quire`` prints for a command on this server's data."""
        answer = subprocess.run(
            [str(_quire()), *words, "--data-dir", str(self.data_dir)],
            capture_output=True,
            text=True,
            check=True,
        )
        return answer.stdout.strip()


@contextmanager
def running_server(**settings: str) -> Iterator[RunningServer]:
    """A server that lives as long as the context; ``settings`` by their names in lower case."""
    # Not below pytest's own directory, which the user that kernels run as may not enter.
    with tempfile.TemporaryDirectory(prefix="quire-", ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o755)
        data_dir = Path(directory) / "data"
        environment = {
            "PATH": os.environ["PATH"],
            "JAVA_HOME": os.environ["JAVA_HOME"],
            "HOME": os.environ.get("HOME", "/"),
            "QUIRE_DATA_DIR": str(data_dir),
            "QUIRE_ADMIN_TOKEN": ADMIN_TOKEN,
            "QUIRE_SPARK_DIR": str(Path(directory) / "spark"),
            **{f"QUIRE_{name.upper()}": value for name, value in settings.items()},
        }
        try:
            yield from _serve(environment, data_dir)
        finally:
            # Clusters outlive their server; here nobody comes after it.
            remove_strangers(Path(directory) / "spark", [])


def _serve(environment: dict[str, str], data_dir: Path) -> Iterator[RunningServer]:
    command = [str(_quire()), "serve", "--port", "0"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            found = _LISTENS.search(line)
            if found:
                break
        else:
            pytest.fail("the server did not start:\n" + "".join(said))
        drain = threading.Thread(target=process.stdout.read, daemon=True)
        drain.start()
        try:
            yield RunningServer(found[1], ADMIN_TOKEN, data_dir)
        finally:
            process.terminate()
            process.wait(30)
            drain.join(30)


def _quire() -> Path:
    return Path(sys.executable).with_name("quire")


def poll(ask: Callable[[], Any], is_over: Callable[[Any], bool]) -> Any:
    """Ask as clients do, until what is asked for is over; the last answer."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    pause = threading.Event()
    while time.monotonic() < deadline:
        answer = ask()
        if is_over(answer):
            return answer
        pause.wait(0.05)
    raise AssertionError(f"it did not end: {answer}")
