"""Runs a cluster's initialization scripts: one after another, with bash, before Spark starts."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from quire.compute.children import Children, Output
from quire.compute.driver_config import DriverConfig
from quire.compute.driver_folder import DriverFolder
from quire.runner.users import write_for

__all__ = ["ScriptFailed", "run_scripts"]

_LOOK_SECONDS = 0.05
_LONGEST_RUN_SECONDS = 3600.0
_SHOWN_BYTES = 2000


class ScriptFailed(Exception):
    """A script ended with something else than 0; the message has the end of its output."""


def run_scripts(
    config: DriverConfig,
    children: Children,
    folder: DriverFolder,
    environment: Mapping[str, str],
    *,
    role: str,
    is_over: Callable[[], bool],
) -> None:
    """Run the scripts for one role: ``driver``, or a worker.

    Returns early when ``is_over`` says that nobody waits any more. Raises ScriptFailed.
    """
    for number, script in enumerate(config.init_scripts, start=1):
        name = f"{role}-{number}-{re.sub(r'[^A-Za-z0-9._-]', '_', script.name)}"
        path = folder.conf / name
        write_for(config.user, path, script.content)
        logs = folder.script_logs
        output = Output(logs / f"{name}.stdout.log", logs / f"{name}.stderr.log")
        child = children.start(
            ["/bin/bash", str(path)], environment=environment, folder=folder.work, output=output
        )
        give_up_at = time.monotonic() + _LONGEST_RUN_SECONDS
        while not child.ended.wait(_LOOK_SECONDS):
            if is_over() or time.monotonic() > give_up_at:
                child.kill_session()
        if is_over():
            return
        if child.status != 0:
            said = _end_of(output.stdout) + _end_of(output.stderr)
            raise ScriptFailed(
                f"Initialization script {script.name} failed ({role}: {child.how}). "
                f"{said.strip()[-_SHOWN_BYTES:]}".strip()
            )


def _end_of(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _SHOWN_BYTES))
        return file.read().decode(errors="replace")
