"""Finds out and words why the processes of a cluster ended."""

from __future__ import annotations

import os
import re
import signal

from quire.compute.driver_config import EndingCause
from quire.compute.driver_folder import DriverFolder
from quire.runner.processes import describe_status

__all__ = ["explain_jvm_end", "last_words"]

_HEAP_ERROR = "java.lang.OutOfMemoryError"
_LONGEST_WORDS = 1000
_SAID = re.compile(r"^(Exception in thread|Caused by:|Error[: ]|java: |\S*(Exception|Error): )")


def explain_jvm_end(
    what: str, status: int, folder: DriverFolder, killed_for_memory: bool
) -> tuple[EndingCause, str]:
    """Cause and message of the end of a process the cluster cannot be without.

    ``killed_for_memory``: whether the machine has killed anything for want of memory meanwhile.
    """
    how = describe_status(status)
    code = os.waitstatus_to_exitcode(status)
    said = "".join(folder.log_tail(f"driver/{name}") for name in ("stdout", "stderr"))
    if code == -signal.SIGKILL and killed_for_memory:
        return (
            EndingCause.OUT_OF_MEMORY,
            f"{what} was killed because the machine had no memory left.",
        )
    if code != -signal.SIGKILL and _HEAP_ERROR in said:
        return EndingCause.OUT_OF_MEMORY, f"{what} ran out of memory ({how})."
    words = last_words(said)
    return EndingCause.CRASHED, f"{what} died ({how}).{f' {words}' if words else ''}"


def last_words(said: str) -> str:
    """The lines of a process' output that say what went wrong; empty when none does."""
    lines = [line.strip() for line in said.splitlines()]
    found = [number for number, line in enumerate(lines) if _SAID.match(line)][-3:]
    told = [lines[number] for number in found]
    if found and told[-1].startswith("Error occurred"):
        told += lines[found[-1] + 1 : found[-1] + 2]  # the next line says which
    return " ".join(told)[:_LONGEST_WORDS]
