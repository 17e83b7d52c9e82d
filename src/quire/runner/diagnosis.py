"""Finds out and words why a run ended: what killed a kernel or program, which error stopped it."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quire.runner.protocol import Limits

__all__ = [
    "Ending",
    "cell_error",
    "kernel_death",
    "last_exception",
    "oom_kills",
    "program_end",
    "succeeded",
]

_LONGEST_MESSAGE = 2000
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_NO_MEMORY = re.compile(r"(numpy\.\S*)?_?(Array)?MemoryError\b|java\.lang\.OutOfMemoryError\b")
_JAVA_EXCEPTION = re.compile(
    r"^Exception in thread \"[^\"\n]*\" (?P<error>[\w.$]+(?::[^\n]*)?)(?P<rest>(?:\n(?:\s+at |\t|"
    r"Caused by: |Suppressed: )[^\n]*)*)",
    re.MULTILINE,
)
_PYTHON_EXCEPTION = re.compile(
    r"^Traceback \(most recent call last\):\n(?:[ \t][^\n]*\n)+"
    r"(?P<error>[A-Za-z_][\w.]*(?::[^\n]*)?)$",
    re.MULTILINE,
)
_PLAIN_ERROR = re.compile(r"^Error: (?P<error>\S[^\n]*)$", re.MULTILINE)


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


def program_end(
    code: int,
    failure: tuple[str, str] | None,
    limits: Limits,
    *,
    oom_killed: bool,
) -> Ending:
    """A task's program ended by itself.

    ``code``: its exit code, or the number of a signal below 0. ``failure``: the last exception and
    its trace, as far as the program told them or :func:`last_exception` found them.
    """
    if code == 0:
        return succeeded(0, exited=False)
    if code < 0:
        name = _signal_name(-code)
        if code == -signal.SIGKILL and oom_killed:
            message = f"The program ran out of memory (killed by {name})."
            return Ending("failed", "out_of_memory", message, last_cell=0)
        message = f"The program was killed by {name}."
        if code == -signal.SIGXCPU and limits.cpu_seconds:
            message += f" Its CPU time limit is {limits.cpu_seconds} seconds."
        return Ending("failed", "program_died", message, last_cell=0)
    how = f"exit code {code}"
    if failure is None:
        message = f"The program ended with {how}."
        return Ending("failed", "program_failed", message, last_cell=0)
    error, trace = failure
    if _NO_MEMORY.match(error):
        message = f"The program ran out of memory: {_shorten(error)}."
        if limits.memory_bytes:
            message += f" Its memory limit is {limits.memory_bytes // 2**20} MiB."
        return Ending("failed", "out_of_memory", message, error, trace, 0)
    message = f"The program failed with {how}: {_shorten(error)}"
    return Ending("failed", "program_failed", message, error, trace, 0)


def last_exception(text: str) -> tuple[str, str] | None:
    """The last error that a program wrote to stderr, and all it said of it; None for none found.

    Knows how a JVM, Python and ``spark-submit`` itself word theirs.
    """
    text = _ANSI.sub("", text)
    found: tuple[int, str, str] | None = None
    for pattern in (_JAVA_EXCEPTION, _PYTHON_EXCEPTION, _PLAIN_ERROR):
        for match in pattern.finditer(text):
            if found is None or match.start() > found[0]:
                found = (match.start(), match["error"], match[0])
    return found[1:] if found is not None else None


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
