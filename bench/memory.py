"""How much memory processes use, as Linux counts it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import psutil

__all__ = ["family", "pss_bytes", "rss_bytes"]


def pss_bytes(pids: Iterable[int]) -> int:
    """Proportional set size: shared pages count by how many share them."""
    return sum(_rollup(pid, "Pss") for pid in pids)


def rss_bytes(pids: Iterable[int]) -> int:
    return sum(_rollup(pid, "Rss") for pid in pids)


def family(server_pid: int, data_dir: Path) -> set[int]:
    """The server's processes: what descends from it, and what works in its data directory."""
    found = {server_pid}
    for process in psutil.process_iter():
        try:
            ancestors = {each.pid for each in process.parents()}
            if server_pid in ancestors or _mentions(process, data_dir):
                found.add(process.pid)
        except psutil.Error:
            continue
    return found


def _mentions(process: psutil.Process, data_dir: Path) -> bool:
    if process.pid == psutil.Process().pid:
        return False
    return any(str(data_dir) in part for part in process.cmdline())


def _rollup(pid: int, name: str) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = re.search(rf"^{name}:\s+([0-9]+) kB", text, re.MULTILINE)
    return int(found.group(1)) * 1024 if found else 0
