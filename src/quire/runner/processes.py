"""What the runner's parts ask of Linux about processes.

Owns: process identity (pid with start time), trees of processes and their end. Knows nothing of
runs. Process tables are read from ``/proc``; nothing here needs more than the rights of the caller.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

__all__ = [
    "adopt_orphans",
    "cpu_seconds",
    "descendants",
    "describe_status",
    "die_with_parent",
    "host_identity",
    "is_childless",
    "kill_all",
    "kill_children",
    "send_signal",
    "session_members",
    "start_time",
]

_STAT_BYTES = 4096
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent_pid: int) -> None:
    """Be killed when the parent dies; leave at once when it is dead already.

    Call after a change of user, which clears the wish. That change also makes ``/proc/self``
    root's, as no fresh program would find it; this is put right here.
    """
    _prctl(_PR_SET_DUMPABLE, 1)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(1)


def host_identity() -> str:
    """Names this boot of this machine and the process numbers visible here."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{socket.gethostname()}/{boot}/{os.stat('/proc/self/ns/pid').st_ino}"


def _stat(pid: int) -> list[bytes] | None:
    """Fields of ``/proc/<pid>/stat`` from the third (state) on; None without such a process."""
    try:
        file = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return os.read(file, _STAT_BYTES).rpartition(b")")[2].split()
    except ProcessLookupError:
        return None
    finally:
        os.close(file)


def start_time(pid: int) -> str | None:
    """When a process began, in the kernel's ticks since boot; None for one that is gone.

    A process that has ended and was not reaped yet counts as gone.
    """
    fields = _stat(pid)
    if fields is None or fields[0] in (b"Z", b"X"):
        return None
    return fields[19].decode()


def _parents() -> dict[int, int]:
    """The parent of every process, by pid; ended ones that were not reaped are among them."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = _stat(int(name))
            if fields is not None:
                parents[int(name)] = int(fields[1])
    return parents


def descendants(root: int) -> set[int]:
    """Every process that comes from one, without that one."""
    return _descendants([root], _parents())


def is_childless(pid: int, *, but: int | None = None) -> bool:
    """Whether a process has no children, or none but one.

    Asks for these alone, where :func:`descendants` looks at every process of the machine. The
    system may leave a child out while another one ends, so it is asked twice.
    """
    allowed = {but} if but is not None else set()
    return all(_children(pid) <= allowed for _ in range(2))


def _children(pid: int) -> set[int]:
    found: set[int] = set()
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found.update(int(child) for child in file.read().split())
    except (FileNotFoundError, ProcessLookupError):  # it, or that thread, has just ended
        return {each for each, parent in _parents().items() if parent == pid}
    return found


def cpu_seconds(roots: Collection[int]) -> dict[int, float]:
    """CPU time that each process, all that came from it and what of that has ended, have used.

    A process that is gone is left out.
    """
    parents: dict[int, int] = {}
    used: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := _stat(int(name))) is not None:
            parents[int(name)] = int(fields[1])
            used[int(name)] = sum(int(field) for field in fields[11:15])
    tick = os.sysconf("SC_CLK_TCK")
    return {
        root: sum(used.get(pid, 0) for pid in {root} | _descendants([root], parents)) / tick
        for root in roots
        if root in used
    }


def _descendants(roots: Iterable[int], parents: Mapping[int, int]) -> set[int]:
    found: set[int] = set()
    grown = set(roots)
    while grown:
        grown = {pid for pid, parent in parents.items() if parent in grown} - found
        found |= grown
    return found


def session_members(leader: int) -> set[int]:
    """Every process of one session, its leader among them."""
    members = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = _stat(int(name))
            if fields is not None and int(fields[3]) == leader:
                members.add(int(name))
    return members


def send_signal(pid: int, number: int) -> bool:
    """Signal one process; False when it is gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def kill_all(pids: Collection[int]) -> None:
    """Stop, then kill: stopped processes cannot fork away from the count."""
    for pid in pids:
        send_signal(pid, signal.SIGSTOP)
    for pid in pids:
        send_signal(pid, signal.SIGKILL)


def kill_children(keep: Collection[int] = (), *, patience_seconds: float = 10.0) -> bool:
    """Kill all children of this process except ``keep``, and everything that comes from them.

    For a process that adopts orphans. Whether nothing is left; a process that the system itself
    holds (waiting for a device) may outlast the patience.
    """
    own = os.getpid()
    give_up_at = time.monotonic() + patience_seconds
    while _kill_strays(own, keep) if keep else _reap_all() and _kill_strays(own, keep):
        if time.monotonic() > give_up_at:
            return False
    return True


def _reap_all() -> bool:
    """Collect all children that have ended; whether others are left."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True


def _kill_strays(own: int, keep: Collection[int]) -> bool:
    """One round of killing; whether there may be more to do."""
    parents = _parents()
    strays = {pid for pid, parent in parents.items() if parent == own} - set(keep)
    alive = set()
    for pid in strays:
        try:
            if os.waitpid(pid, os.WNOHANG)[0] == 0:
                alive.add(pid)
        except ChildProcessError:
            continue  # reaped in an earlier round
    kill_all(alive | _descendants(alive, parents))
    if alive:
        time.sleep(0.001)
    return bool(strays)


def describe_status(status: int) -> str:
    """A wait status for people: "killed by SIGKILL", "exit code 1"."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
