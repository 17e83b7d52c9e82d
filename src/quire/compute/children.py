"""The child processes of a driver process: started as the cluster's user, collected when they end.

Owns: starting, output files, exit statuses. One thread, the one that calls :meth:`Children.run`,
starts and collects all of them, because Linux ends a child when the *thread* that started it ends;
other threads ask it to.
"""

from __future__ import annotations

import contextlib
import functools
import os
import queue
import select
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from quire.runner.processes import (
    describe_status,
    die_with_parent,
    kill_all,
    send_signal,
    session_members,
)
from quire.runner.users import KernelUser, become_user

__all__ = ["Child", "Children", "Output"]

_OPEN_LOG = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW


@dataclass
class Child:
    """A child process, the leader of a session of its own."""

    pid: int
    stdin: int | None  # our end of its standard input, where it was given one
    status: int | None = None  # wait status, once it has ended
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def how(self) -> str:
        """How it ended, for people."""
        return describe_status(self.status) if self.status is not None else "still there"

    def signal(self, number: int) -> None:
        """Signal it, unless it has ended."""
        if not self.ended.is_set():
            send_signal(self.pid, number)

    def close_stdin(self) -> None:
        """End its standard input."""
        if self.stdin is not None:
            os.close(self.stdin)
            self.stdin = None

    def kill_session(self) -> None:
        """End it and all that it has started and that has not made itself independent."""
        kill_all(session_members(self.pid))


@dataclass(frozen=True)
class Output:
    """Files a child writes to; each is appended to."""

    stdout: Path
    stderr: Path


class Children:
    """Starts and collects the children of this process."""

    def __init__(self, user: KernelUser | None) -> None:
        self._user = user
        self._orders: queue.SimpleQueue[tuple[Callable[[], Child], Future[Child]]] = (
            queue.SimpleQueue()
        )
        self._alive: dict[int, Child] = {}
        self._wake, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._thread = threading.get_ident()
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def run(self, until: Callable[[], bool]) -> None:
        """Start and collect children until the condition holds, looked at after each wake-up."""
        while not until():
            select.select([self._wake], [], [])
            self.drain()

    def wake(self) -> None:
        """Let :meth:`run` look at its condition."""
        os.write(self._waker, b".")

    def drain(self) -> None:
        """Do what waits to be done, without waiting for anything."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake, 4096)
        while True:
            try:
                make, future = self._orders.get_nowait()
            except queue.Empty:
                break
            try:
                future.set_result(make())
            except Exception as error:  # noqa: BLE001 - who asked is told
                future.set_exception(error)
        self._collect()

    def start(
        self,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: Path,
        output: Output,
        holds_stdin: bool = False,
    ) -> Child:
        """Start a child as the cluster's user. Raises OSError when it cannot be.

        With ``holds_stdin`` its standard input stays open and empty until it is closed.
        """
        make = functools.partial(
            self._start, list(arguments), dict(environment), folder, output, holds_stdin
        )
        if threading.get_ident() == self._thread:
            return make()
        future: Future[Child] = Future()
        self._orders.put((make, future))
        self.wake()
        return future.result()

    def _start(
        self,
        arguments: list[str],
        environment: dict[str, str],
        folder: Path,
        output: Output,
        holds_stdin: bool,
    ) -> Child:
        stdout = os.open(output.stdout, _OPEN_LOG, 0o600)
        stderr = os.open(output.stderr, _OPEN_LOG, 0o600)
        try:
            process = subprocess.Popen(
                arguments,
                env=environment,
                cwd=folder,
                stdin=subprocess.PIPE if holds_stdin else subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
                # Takes no lock and imports nothing, so other threads cannot hold it up.
                preexec_fn=functools.partial(_settle, self._user, os.getpid()),
            )
        finally:
            os.close(stdout)
            os.close(stderr)
        process.returncode = 0  # its end is collected here, with that of what it leaves behind
        stdin = os.dup(process.stdin.fileno()) if process.stdin is not None else None
        if process.stdin is not None:
            process.stdin.close()
        child = Child(process.pid, stdin)
        self._alive[child.pid] = child
        return child

    def _collect(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._alive.pop(pid, None)
            if child is None:
                continue  # left behind by a child, and adopted
            child.status = status
            child.close_stdin()
            child.ended.set()


def _settle(user: KernelUser | None, parent_pid: int) -> None:
    """In the child, before its program: become the user, and die with the parent."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    if user is not None:
        become_user(user)
    die_with_parent(parent_pid)
    os.umask(0o022)
