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
    leaves in the background is not waited for. On KeyboardInterrupt the command and what
    it started are ended before the interrupt goes on.

    The command has a session of its own, so that an interrupt of the kernel reaches it in one way
    only: through here.
    """
    process = subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=None if environment is None else dict(environment),
        start_new_session=True,
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
    """End the command and what is left of its process group, with more force after each wait."""
    for number, seconds in (
        (signal.SIGINT, INTERRUPT_SECONDS),
        (signal.SIGTERM, TERMINATE_SECONDS),
        (signal.SIGKILL, KILL_SECONDS),
    ):
        deadline = time.monotonic() + seconds
        is_left = _signal_group(process, number)
        while is_left and time.monotonic() < deadline:
            time.sleep(0.01)
            is_left = _signal_group(process, 0)
        if not is_left:
            return


def _signal_group(process: subprocess.Popen[bytes], number: int) -> bool:
    """Signal the command's process group; False when nobody is left in it."""
    process.poll()  # a command that has ended must not count
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return False
    return True
