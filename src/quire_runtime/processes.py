"""Commands whose output a notebook shows as it comes, and that an interrupt ends."""

from __future__ import annotations

import codecs
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["run_streaming"]

BLOCK_BYTES = 64 * 1024
QUIET_SECONDS = 0.1
INTERRUPT_SECONDS = 0.4
TERMINATE_SECONDS = 0.3
KILL_SECONDS = 0.3


def run_streaming(command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> int:
    """Run a command, copying its output to this cell's as it comes; return its exit code.

    A negative code is the number of the signal that ended it. Without input. What the command
    leaves in the background is not waited for. On KeyboardInterrupt the command and its
    descendants are ended before the interrupt goes on.

    The command stays in the kernel's process group, so that whoever ends the kernel's group ends
    it too.
    """
    process = subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=None if environment is None else dict(environment),
    )
    try:
        _copy(process)
        return process.wait()
    except BaseException:
        _end(process)
        raise
    finally:
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def _copy(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    assert process.stderr is not None
    new_decoder = codecs.getincrementaldecoder("utf-8")
    with selectors.DefaultSelector() as selector:
        for pipe, target in ((process.stdout, sys.stdout), (process.stderr, sys.stderr)):
            selector.register(pipe, selectors.EVENT_READ, (target, new_decoder("replace")))
        while selector.get_map():
            ready = selector.select(QUIET_SECONDS)
            if not ready and process.poll() is not None:
                return  # something in the background holds the pipes open
            for key, _ in ready:
                block = os.read(key.fd, BLOCK_BYTES)
                target, decoder = key.data
                _write(target, decoder.decode(block, final=not block))
                if not block:
                    selector.unregister(key.fileobj)


def _write(target: Any, text: str) -> None:
    if text:
        target.write(text)
        target.flush()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the command and all that came from it, with more force after each wait."""
    tree = [*_descendants(process.pid), process.pid]
    for number, seconds in (
        (signal.SIGINT, INTERRUPT_SECONDS),
        (signal.SIGTERM, TERMINATE_SECONDS),
        (signal.SIGKILL, KILL_SECONDS),
    ):
        for pid in tree:
            try:
                os.kill(pid, number)
            except (ProcessLookupError, PermissionError):
                continue  # it ended by itself, or runs as somebody else
        deadline = time.monotonic() + seconds
        while tree and time.monotonic() < deadline:
            process.poll()
            tree = [pid for pid in tree if _is_alive(pid)]
            if tree:
                time.sleep(0.01)
        if not tree:
            return


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    fields = _read_stat(pid)
    return fields is None or fields[0] != b"Z"


def _read_stat(pid: int) -> list[bytes] | None:
    """State, parent and so on of a process; None where /proc does not tell."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return None


def _descendants(pid: int) -> list[int]:
    """Processes that came from ``pid``, deepest first; empty where /proc does not tell."""
    parents: dict[int, int] = {}
    try:
        entries = os.listdir("/proc")
    except OSError:
        return []
    for entry in entries:
        if not entry.isdigit():
            continue
        fields = _read_stat(int(entry))
        if fields is not None:
            parents[int(entry)] = int(fields[1])
    found = [pid]
    for parent in found:
        found.extend(child for child, of in parents.items() if of == parent)
    return found[:0:-1]
