"""Limits of the operating system on a kernel, and the count of what a run has printed."""

from __future__ import annotations

import resource

from quire.runner.protocol import Limits

__all__ = ["OutputCount", "bounds", "limit_process", "limiting_code"]

# A hard bound could not be raised again for the next run.
_FURTHER_CPU_SECONDS = (
    "(lambda r: r.setrlimit(r.RLIMIT_CPU, ("
    "int(sum(r.getrusage(r.RUSAGE_SELF)[:2])) + {seconds}, r.getrlimit(r.RLIMIT_CPU)[1]"
    ")))(__import__('resource'))\n"
)


def bounds(limits: Limits) -> dict[int, tuple[int, int]]:
    """Soft and hard bound of each resource that is limited.

    Memory is bounded by RLIMIT_DATA, not by the address space: an idle kernel maps far more than it
    uses. The hard bound of CPU time is a second later, so that the end is SIGXCPU, which tells why.
    """
    bounds = {}
    if limits.memory_bytes:
        bounds[resource.RLIMIT_DATA] = (limits.memory_bytes, limits.memory_bytes)
    if limits.cpu_seconds:
        bounds[resource.RLIMIT_CPU] = (limits.cpu_seconds, limits.cpu_seconds + 1)
    if limits.processes:
        bounds[resource.RLIMIT_NPROC] = (limits.processes, limits.processes)
    return bounds


def limit_process(pid: int, limits: Limits) -> None:
    """Bound a running process and all it will start.

    Raises OSError when the process is gone, or another user's and the caller may not.
    """
    for number, bound in bounds(limits).items():
        resource.prlimit(pid, number, bound)


def limiting_code(limits: Limits, *, is_kept: bool = False) -> str:
    """Python by which a kernel bounds itself, leaving no name behind.

    What a process may do to itself needs no privilege, while containers often take the one to bound
    another user's process even from root. A kernel that ``is_kept`` for further runs has its CPU
    time bounded anew for each, from what it has used by then.
    """
    lines = [
        f"__import__('resource').setrlimit({number}, {bound})\n"
        for number, bound in bounds(limits).items()
        if number != resource.RLIMIT_CPU or not is_kept
    ]
    if is_kept and limits.cpu_seconds:
        lines.append(_FURTHER_CPU_SECONDS.format(seconds=limits.cpu_seconds))
    return "".join(lines)


class OutputCount:
    """Counts output bytes of the present cell and of the run."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.cell_bytes = 0
        self.run_bytes = 0

    def start_cell(self) -> None:
        """What follows belongs to the next cell."""
        self.cell_bytes = 0

    def room(self) -> int:
        """Bytes that may still be printed."""
        return min(
            self._limits.cell_output_bytes - self.cell_bytes,
            self._limits.run_output_bytes - self.run_bytes,
        )

    def add(self, size: int) -> bool:
        """Count bytes; False when there is no room for them, and they are not counted."""
        if size > self.room():
            return False
        self.cell_bytes += size
        self.run_bytes += size
        return True

    def describe(self, cell_number: int) -> str:
        """Which limit a cell has met, for people."""
        cell_limit = self._limits.cell_output_bytes
        if cell_limit - self.cell_bytes <= self._limits.run_output_bytes - self.run_bytes:
            return (
                f"The output of cell {cell_number} is larger than the limit of "
                f"{_readable(cell_limit)} a cell."
            )
        return (
            f"The output of the run became larger than the limit of "
            f"{_readable(self._limits.run_output_bytes)} a run in cell {cell_number}."
        )


def _readable(size: int) -> str:
    for unit, factor in (("GB", 2**30), ("MB", 2**20), ("kB", 2**10)):
        if size >= factor and size % factor == 0:
            return f"{size // factor} {unit}"
    return f"{size} bytes"
