"""A runner: one process that carries out one attempt, and the kernel it holds ready for it.

Owns: the life of the process, from the nursery's fork to its exit:

1. It forks its kernel, or starts that of another interpreter, connects, and says ``R`` on its
   assignment socket.
2. It waits for one assignment (eight bytes of length, then JSON). End of file before a whole one
   means that nobody will send one: kernel and runner leave.
3. From a whole assignment on it depends on nobody. It writes the event ``accepted`` to its spool,
   executes, and leaves when the server has every event, however long that takes.
4. For a run of a session it keeps its kernel instead of leaving, says ``R`` again when the kernel
   is free, and goes back to 2. It leaves when its server has closed the socket or is gone.
"""

from __future__ import annotations

import gc
import json
import os
import select
import shutil
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import zmq

from quire.runner.channels import Channels
from quire.runner.compute import Compute
from quire.runner.diagnosis import Ending
from quire.runner.execute import Execution
from quire.runner.fetch import Fetcher
from quire.runner.kernel import (
    Kernel,
    KernelHome,
    KernelNotStarted,
    fork_kernel,
    start_kernel,
)
from quire.runner.orders import Orders
from quire.runner.processes import adopt_orphans, kill_children, start_time
from quire.runner.protocol import Assignment, EventType, ReportAnswer
from quire.runner.report import Reporter, rehearse
from quire.runner.server import NotWanted, Server
from quire.runner.spool import Spool, StorageFull
from quire.runner.stopping import Stopped
from quire.runner.task_process import TaskExecution
from quire.runner.task_program import Program, files_folder, prepare_program
from quire.runner.users import KernelUser
from quire.runner.working_files import WorkingFolder
from quire_runtime.bootstrap import configuration_code

__all__ = ["READY", "RunnerConfig", "become_runner", "home_folder", "send_assignment"]

READY = b"R"
_PRINT_NOTHING = "print(end='')"
_LENGTH_BYTES = 8
_ASK_AGAIN_SECONDS = 0.2
_UNDISTURBED_SECONDS = 0.05
_DEFAULT_KERNELS = frozenset({"", "python3"})


@dataclass(frozen=True)
class RunnerConfig:
    """What all runners of a nursery share."""

    runtime_root: str  # holds one folder a runner; short, and every user may pass through it
    user: KernelUser | None
    environment: dict[str, str]  # what a kernel's environment starts from
    kernel_start_seconds: float

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> RunnerConfig:
        """From what :meth:`to_json` gave. Raises KeyError or TypeError on anything else."""
        user = value["user"]
        return cls(**{**value, "user": KernelUser(**user) if user is not None else None})


class _NotNeeded(Exception):
    """Nobody will send an assignment."""


def home_folder(runtime_root: str, pid: int, started: str) -> Path:
    """The folder of one runner."""
    return Path(runtime_root) / f"{pid}-{started}"


def send_assignment(channel: socket.socket, assignment: Assignment) -> None:
    """Give a ready runner its work. Raises OSError when it is gone."""
    data = json.dumps(assignment.to_json()).encode()
    channel.sendall(len(data).to_bytes(_LENGTH_BYTES, "big") + data)


def become_runner(
    channel: socket.socket,
    config: RunnerConfig,
    release: Callable[[], object],
    *,
    python: str | None = None,
) -> NoReturn:
    """Be a runner from here to the end of the process. Call in a fresh fork only.

    ``release`` lets go of Python objects that hold the nursery's descriptors. ``python``: the
    interpreter of the kernel it holds ready; None: that of the nursery.
    """
    status = 1
    try:
        release()
        _detach_from_nursery(channel.fileno())
        _Runner(channel, config, python).run()
        status = 0
    except _NotNeeded:
        status = 0
    except BaseException:  # noqa: BLE001  (whatever it is, the process ends here and says why)
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _detach_from_nursery(keep: int) -> None:
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.closerange(3, keep)
    os.closerange(keep + 1, os.sysconf("SC_OPEN_MAX"))
    adopt_orphans()
    gc.enable()


class _Runner:
    def __init__(self, channel: socket.socket, config: RunnerConfig, python: str | None) -> None:
        self._python = python
        self._channel = channel
        self._config = config
        self._home = KernelHome(
            home_folder(config.runtime_root, os.getpid(), start_time(os.getpid()) or ""),
            config.user.of_process(os.getpid()) if config.user is not None else None,
            config.environment,
        )

    def run(self) -> None:
        try:
            self._home.create()
            folder = WorkingFolder(self._home.working_dir, self._home.user)
            kernel: Kernel | None = self._make_ready()
            while kernel is not None:
                try:
                    assignment = self._receive_assignment(kernel)
                except BaseException:
                    kernel.kill()
                    raise
                kernel = _Attempt(
                    assignment, kernel, self._home, folder, self._config, self._channel
                ).run()
        finally:
            kill_children()
            shutil.rmtree(self._home.folder, ignore_errors=True)

    def _make_ready(self) -> Kernel:
        if self._python is not None:
            kernel: Kernel = self._start_kernel()
            self._warm_up(kernel.channels, _PRINT_NOTHING)
        else:
            kernel = self._fork_kernel()
            # Set up for nobody, which leaves little to do when it is known for whom.
            self._warm_up(kernel.channels, f"{configuration_code({})}\n{_PRINT_NOTHING}")
        rehearse()
        self._channel.sendall(READY)
        return kernel

    def _start_kernel(self) -> Kernel:
        seconds = self._config.kernel_start_seconds
        return start_kernel("python3", self._home, seconds, python=self._python)

    def _fork_kernel(self) -> Kernel:
        give_up_at = time.monotonic() + self._config.kernel_start_seconds

        def wait(descriptor: int) -> None:
            left = max(0.0, give_up_at - time.monotonic())
            channel = self._channel.fileno()
            readable = select.select([descriptor, channel], [], [], left)[0]
            if channel in readable:
                raise _NotNeeded
            if not readable:
                raise KernelNotStarted("The kernel did not come up in time.")

        return fork_kernel(self._home, release=self._channel.detach, wait=wait)

    def _warm_up(self, channels: Channels, code: str) -> None:
        """Run code that prints nothing, until its output comes through; makes the first cell fast.

        Any message on the output channel proves the subscription. ipykernel's welcome message alone
        would not do: it is lost now and then when the kernel sends at the same moment.
        """
        poller = zmq.Poller()
        poller.register(channels.shell, zmq.POLLIN)
        poller.register(channels.iopub, zmq.POLLIN)
        poller.register(self._channel, zmq.POLLIN)
        give_up_at = time.monotonic() + self._config.kernel_start_seconds
        heard = answered = False
        while not heard or not answered:
            request_id = channels.execute(code, remember=False)
            ask_again_at = time.monotonic() + _ASK_AGAIN_SECONDS
            while (not heard or not answered) and time.monotonic() < ask_again_at:
                ready = dict(poller.poll(int(_ASK_AGAIN_SECONDS * 1000)))
                if self._channel.fileno() in ready:
                    raise _NotNeeded
                while channels.receive(channels.iopub) is not None:
                    heard = True
                while (message := channels.receive(channels.shell)) is not None:
                    answered = answered or message.parent_id == request_id
            if time.monotonic() > give_up_at:
                raise KernelNotStarted("The kernel did not answer in time.")

    def _receive_assignment(self, kernel: Kernel) -> Assignment:
        poller = zmq.Poller()
        poller.register(self._channel, zmq.POLLIN)
        poller.register(kernel.channels.iopub, zmq.POLLIN)
        kernel.register(poller)
        patience = None if kernel.poll_seconds is None else int(kernel.poll_seconds * 1000)
        data = bytearray()
        length: int | None = None
        while length is None or len(data) < length:
            ready = dict(poller.poll(patience))
            if kernel.has_died():
                raise KernelNotStarted("The kernel died before it had work.")
            while kernel.channels.receive(kernel.channels.iopub) is not None:
                pass  # a kept kernel's threads go on printing, which belongs to no run
            if self._channel.fileno() not in ready:
                continue
            part = self._channel.recv(1 << 20)
            if not part:
                raise _NotNeeded
            data += part
            if length is None and len(data) >= _LENGTH_BYTES:
                length = int.from_bytes(data[:_LENGTH_BYTES], "big")
                del data[:_LENGTH_BYTES]
        assignment = Assignment.from_json(json.loads(data))
        if not assignment.session:
            self._channel.close()
        return assignment


class _Attempt:
    """One attempt: the only one of its runner, or one of several in a session."""

    def __init__(
        self,
        assignment: Assignment,
        kernel: Kernel,
        home: KernelHome,
        folder: WorkingFolder,
        config: RunnerConfig,
        channel: socket.socket,
    ) -> None:
        self._assignment = assignment
        self._folder = folder
        self._channel = channel
        self._sound = False  # the kernel has come through the run
        self._kernel: Kernel | None = kernel
        self._home = home
        self._config = config
        self._orders = Orders(assignment.timeout_seconds)
        self._compute = Compute(assignment, self._orders)
        self._sequence = 0
        self._spool = Spool(assignment.spool_root, assignment.attempt_id)
        self._reporter = Reporter(
            assignment,
            self._spool,
            on_answer=self._take_answer,
            on_dismissed=self._orders.dismiss,
        )

    def run(self) -> Kernel | None:
        """Carry the attempt out and deliver it; the kernel, when it is kept for the next one."""
        signal.signal(signal.SIGTERM, lambda *_: self._orders.cancel())
        signal.signal(signal.SIGUSR1, lambda *_: self._reporter.nudge())
        self._emit(EventType.ACCEPTED, pid=os.getpid())
        self._reporter.start()
        ending = self._execute()
        if not self._orders.dismissed:
            self._emit(
                EventType.FINISHED,
                outcome=ending.outcome,
                cause=ending.cause,
                message=ending.message,
                error=ending.error,
                error_trace=ending.error_trace,
                last_cell=ending.last_cell,
            )
        unkept = self._carry_files_out() if self._sound and self._assignment.session else ""
        kept = self._kernel if self._sound and self._offer_again() else None
        if kept is None:
            self._channel.close()  # told before the end of the run, so that nobody counts on it
            if self._kernel is not None:
                self._kernel.shut_down(lambda: self._orders.cancelled or self._orders.dismissed)
            unkept = self._carry_files_out() or unkept
        self._compute.release()
        if unkept:
            self._emit(EventType.TERMINATED, message=f"{ending.message} {unkept}".strip())
        else:
            self._emit(EventType.TERMINATED)
        self._reporter.hurry(_UNDISTURBED_SECONDS)
        if kept is None:
            if self._kernel is not None:
                self._kernel.kill()
            shutil.rmtree(self._home.folder, ignore_errors=True)
        self._reporter.finish()
        self._spool.remove()
        if kept is not None:
            self._let_go()
        return kept

    def _offer_again(self) -> bool:
        """Say that the kernel is free for its session; False when nobody listens any more.

        Said before the end of the run is delivered, so that the next run finds it ready.
        """
        if not self._assignment.session or self._orders.dismissed or self._orders.storage_failed:
            return False
        try:
            self._channel.sendall(READY)
        except OSError:
            return False
        return True

    def _let_go(self) -> None:
        """Leave nothing to the next attempt: a late nudge is ignored, and SIGTERM ends."""
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._reporter.close()
        self._orders.close()

    def _execute(self) -> Ending:
        try:
            compute = self._compute.acquire()
            if self._assignment.task is not None:
                return self._execute_program(compute)
            return self._execute_notebook(compute)
        except Stopped as stopped:
            return stopped.ending
        except Exception as error:  # noqa: BLE001  (a defect here must end the run, and be told)
            traceback.print_exc()
            return Ending(
                "internal_error",
                "runner_lost",
                f"The runner failed: {type(error).__name__}: {error}",
                error_trace=traceback.format_exc(),
            )

    def _execute_notebook(self, compute: Mapping[str, Any] | None) -> Ending:
        try:
            kernel = self._kernel = self._choose_kernel((compute or {}).get("python"))
        except KernelNotStarted as error:
            return Ending("internal_error", "kernel_not_started", str(error))
        try:
            self._bring_files_in()
        except NotWanted:
            return Ending("abandoned", "runner_lost")
        except OSError as error:
            why = f"The notebook's files could not be put into its working folder: {error}"
            return Ending("internal_error", "storage_failed", why)
        execution = Execution(
            self._assignment, kernel, self._orders, self._emit, self._home.working_dir, compute
        )
        ending = self._compute.explain(execution.run(), got_spark=execution.has_spark)
        set_up = ending.cause != "kernel_not_started"
        self._sound = set_up and execution.left_kernel_sound
        return ending

    def _bring_files_in(self) -> None:
        server = Server(self._assignment, self._orders)
        try:
            self._folder.bring_in(self._assignment.files, server)
        finally:
            server.close()

    def _carry_files_out(self) -> str:
        """Deliver what the run made of its files; in words for people, what is not kept."""
        files = self._assignment.files
        if not files.keeps or self._assignment.task is not None or self._orders.dismissed:
            return ""
        server = Server(self._assignment, self._orders)
        try:
            return self._folder.carry_out(files, server)
        except NotWanted:
            return ""
        finally:
            server.close()

    def _execute_program(self, compute: Mapping[str, Any] | None) -> Ending:
        """Run the task's program in the place of the kernel, which is not needed."""
        assignment, home = self._assignment, self._home
        if self._kernel is not None:
            self._kernel.kill()
            self._kernel = None

        def prepare(give_up: Callable[[], None]) -> Program:
            server = Server(assignment, self._orders, give_up=give_up)
            try:
                fetcher = Fetcher(server, files_folder(home))
                return prepare_program(assignment, home, fetcher, compute)
            finally:
                server.close()

        execution = TaskExecution(assignment, home, self._orders, self._emit, prepare)
        return self._compute.explain(execution.run(), got_spark=execution.has_spark)

    def _choose_kernel(self, python: str | None) -> Kernel:
        """The kernel that is ready, or one of another kernelspec or interpreter."""
        name = self._assignment.kernel_name
        kernel = self._kernel
        assert kernel is not None
        if name not in _DEFAULT_KERNELS:
            python = None  # the kernelspec says which program it is
        if kernel.python == python and (
            name == kernel.name or (name in _DEFAULT_KERNELS and kernel.name in _DEFAULT_KERNELS)
        ):
            return kernel
        kernel.kill()
        self._kernel = None
        seconds = self._config.kernel_start_seconds
        return start_kernel(name or "python3", self._home, seconds, python=python)

    def _take_answer(self, answer: ReportAnswer) -> None:
        if answer.command is not None:
            self._orders.cancel()
        self._orders.change_timeout(answer.timeout_seconds)

    def _emit(self, kind: EventType, **fields: Any) -> None:
        self._sequence += 1
        event = {
            "sequence": self._sequence,
            "at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "type": kind,
            **fields,
        }
        line = json.dumps(event, ensure_ascii=False).encode(errors="surrogatepass") + b"\n"
        try:
            self._spool.append(line)
        except StorageFull:
            self._orders.fail_storage()
        self._reporter.wake()
