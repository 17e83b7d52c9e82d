"""Finds out and words why a run ended: what killed a kernel, which error stopped a notebook."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quire.runner.protocol import Limits

__all__ = ["Ending", "cell_error", "kernel_death", "oom_kills", "succeeded"]

_LONGEST_MESSAGE = 2000
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True)
class Ending:
    """How a run ended, in the engine's words (``quire.engine.states``)."""

    outcome: str
    cause: str
    message: str = ""
    error: str | None = None  # "ValueError: text"
    error_trace: str | None = None
    last_cell: int | None = None  # index of the last cell that was begun


def succeeded(last_cell: int | None, *, exited: bool) -> Ending:
    """All cells ran, or the notebook asked to stop."""
    return Ending("success", "exited" if exited else "completed", last_cell=last_cell)


def cell_error(index: int, reply: Mapping[str, Any], limits: Limits) -> Ending:
    """A cell raised. ``reply`` holds ename, evalue and traceback as a kernel gives them."""
    name = reply.get("ename", "Error")
    value = _ANSI.sub("", reply.get("evalue", ""))
    error = f"{name}: {value}" if value else name
    trace = "\n".join(reply.get("traceback", []))
    if name in {"MemoryError", "_ArrayMemoryError"}:
        message = f"Cell {index + 1} ran out of memory: {_shorten(error)}."
        if limits.memory_bytes:
            message += f" The memory limit of a kernel is {limits.memory_bytes // 2**20} MiB."
        return Ending("failed", "out_of_memory", message, error, trace, index)
    message = f"Cell {index + 1} failed: {_shorten(error)}"
    return Ending("failed", "cell_error", message, error, trace, index)


def kernel_death(
    status: int | None, index: int | None, limits: Limits, *, oom_killed: bool
) -> Ending:
    """The kernel ended by itself. ``status``: its wait status, None when nobody could see it."""
    where = f" in cell {index + 1}" if index is not None else ""
    code = os.waitstatus_to_exitcode(status) if status is not None else None
    if code == -signal.SIGKILL and oom_killed:
        message = f"The kernel ran out of memory{where} (killed by SIGKILL)."
        return Ending("failed", "out_of_memory", message, last_cell=index)
    if code is None:
        how = "how is not known"
    elif code >= 0:
        how = f"exit code {code}"
    else:
        how = f"killed by {_signal_name(-code)}"
    message = f"The kernel died{where} ({how})."
    if code == -signal.SIGXCPU and limits.cpu_seconds:
        message += f" Its CPU time limit is {limits.cpu_seconds} seconds."
    return Ending("failed", "kernel_died", message, last_cell=index)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST_MESSAGE else text[: _LONGEST_MESSAGE - 1] + "…"


def oom_kills() -> int:
    """How many processes this machine has killed for want of memory since it started."""
    try:
        for line in Path("/proc/vmstat").read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    except OSError:
        pass  # not every container shows it; a kill then stays a kill
    return 0
