"""A kernel as its runner holds it: started, signalled, asked to leave, taken down.

Two ways to get one:

* :func:`fork_kernel`: the interpreter of the nursery, by a fork of the runner itself. There is no
  jupyter_client provisioner for it, on purpose: the kernel has to be the runner's own child (its
  death is seen at once by waiting for it, its orphans come to the runner, and Linux kills it when
  the runner dies), while a provisioner would put the kernel under the nursery and a kernel manager
  with its event loop, polling and port allocation between the two.
* :func:`start_kernel`: every other kernelspec the ordinary way, through jupyter_client's kernel
  manager and whatever provisioner the kernelspec names. Signals and death then go by the process
  when the provisioner has one on this machine, and by asking the provisioner when it has not.

The same driver executes notebooks on both.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import zmq

from quire.runner.channels import Channels
from quire.runner.kernel_process import LEFT, READY, KernelSetup, become_kernel
from quire.runner.processes import is_childless, kill_children, send_signal
from quire.runner.users import KernelUser

__all__ = [
    "ForkedKernel",
    "Kernel",
    "KernelHome",
    "KernelNotStarted",
    "ManagedKernel",
    "fork_kernel",
    "start_kernel",
]

_SHUTDOWN_SECONDS = 5.0
_MANAGED_POLL_SECONDS = 0.2


class KernelNotStarted(Exception):
    """The kernel did not come up; the text says why."""


class Kernel(Protocol):
    """What the driver needs of a kernel."""

    name: str
    python: str | None  # the interpreter that was asked for; None: the usual one of its name
    pid: int | None  # None when it does not run on this machine
    language_info: Mapping[str, Any]
    channels: Channels

    def register(self, poller: Any) -> None:
        """Add to a zmq poller what becomes readable when the kernel dies."""
        ...

    @property
    def poll_seconds(self) -> float | None:
        """How often :meth:`has_died` must be asked when polling does not tell."""
        ...

    def has_died(self) -> bool:
        """Whether the kernel is gone."""
        ...

    @property
    def wait_status(self) -> int | None:
        """How it ended, as waitpid tells; None while it lives or when nobody could see."""
        ...

    def set_up(self, code: str) -> bool:
        """Have code run before the next request; False when this kernel has to be asked to.

        When it fails, the reply to that request is the error :data:`NOT_SET_UP`.
        """
        ...

    def send_signal(self, number: int) -> None:
        """Signal the kernel and the processes of its group."""
        ...

    def shut_down(self, interrupted: Callable[[], bool]) -> None:
        """Let the kernel leave by itself for a bounded time; one that does not is killed.

        ``interrupted`` is asked while waiting; True ends the patience. On return a notebook can
        see nothing more of the kernel; :meth:`kill` clears what is left of it.
        """
        ...

    def kill(self) -> None:
        """End the kernel and all that came from it, at once. Again is no error."""
        ...


@dataclass(frozen=True)
class KernelHome:
    """The folder a runner keeps for its kernel, and whom the kernel runs as."""

    folder: Path  # short: socket paths below it must stay under 107 bytes
    user: KernelUser | None
    environment: Mapping[str, str]

    @property
    def setup_file(self) -> Path:
        """What the kernel runs before its next request."""
        return self.folder / "setup.py"

    @property
    def working_dir(self) -> Path:
        """Where the notebook's code finds itself."""
        return self.folder / "work"

    def create(self) -> None:
        """Make the folder; only the kernel's user can enter."""
        self.folder.mkdir(mode=0o700)
        (self.folder / "ipython").mkdir()
        self.working_dir.mkdir()
        if self.user is not None:
            for each in (self.folder, self.folder / "ipython", self.working_dir):
                os.chown(each, self.user.uid, self.user.gid)

    def kernel_environment(self) -> dict[str, str]:
        """Variables of a kernel: few, and none of the server's."""
        return {
            **self.environment,
            "HOME": str(self.working_dir),
            "IPYTHONDIR": str(self.folder / "ipython"),
            "MPLCONFIGDIR": str(self.folder / "ipython"),
        }


class ForkedKernel:
    """A kernel that is this process's own child."""

    name = "python3"
    python: str | None = None
    poll_seconds = None

    def __init__(
        self, pid: int, connection: Mapping[str, Any], ready: int, home: KernelHome
    ) -> None:
        """``ready`` is the other end of what :func:`become_kernel` tells its states by."""
        from ipykernel.ipkernel import IPythonKernel

        self._ready = ready
        self._home = home
        self._cleared = False
        self.pid: int | None = pid
        self._child = pid
        self._pidfd = os.pidfd_open(pid)
        self._status: int | None = None
        self.language_info: Mapping[str, Any] = dict(IPythonKernel.language_info)
        self.channels = Channels(connection)

    def register(self, poller: Any) -> None:
        poller.register(self._pidfd, zmq.POLLIN)

    def has_died(self) -> bool:
        if self._status is None:
            pid, status = os.waitpid(self._child, os.WNOHANG)
            if pid != 0:
                self._status = status
        return self._status is not None

    @property
    def wait_status(self) -> int | None:
        return self._status

    def set_up(self, code: str) -> bool:
        with suppress(FileNotFoundError):  # of a run before that executed nothing
            self._home.setup_file.unlink()
        _write_private(self._home.setup_file, code, self._home.user)
        return True

    def send_signal(self, number: int) -> None:
        if not self.has_died():
            try:
                os.killpg(self._child, number)
            except ProcessLookupError:
                return  # it died in this moment, which the next look will tell

    def shut_down(self, interrupted: Callable[[], bool]) -> None:
        if not self.has_died():
            channels = self.channels
            channels.send(channels.control, "shutdown_request", {"restart": False})
            give_up_at = time.monotonic() + _SHUTDOWN_SECONDS
            while not self._has_left(0.05):
                if interrupted() or time.monotonic() > give_up_at:
                    self.kill()
                    return
            alone = is_childless(os.getpid(), but=self._child) and is_childless(self._child)
            if not alone:
                self.kill()

    def _has_left(self, seconds: float) -> bool:
        """Whether the kernel says it is done, or has died; looks for so long."""
        readable = select.select([self._ready, self._pidfd], [], [], seconds)[0]
        if self._ready in readable and os.read(self._ready, 1) == LEFT:
            return True
        return self.has_died()

    def _wait(self, seconds: float) -> bool:
        select.select([self._pidfd], [], [], seconds)
        return self.has_died()

    def kill(self) -> None:
        if self._cleared:
            return
        self._cleared = True
        if not self.has_died():
            send_signal(self._child, signal.SIGKILL)
            while not self._wait(1.0):
                pass
        os.close(self._ready)
        kill_children()
        self.channels.close()


def fork_kernel(
    home: KernelHome, *, release: Callable[[], object], wait: Callable[[int], None]
) -> ForkedKernel:
    """Fork a kernel and connect to it. The caller must have no threads and no zmq context.

    ``wait(descriptor)`` returns when the descriptor is readable, and may raise to give up.
    Raises KernelNotStarted.
    """
    connection = {
        "transport": "ipc",
        "ip": str(home.folder / "k"),
        "shell_port": 1,
        "iopub_port": 2,
        "stdin_port": 3,
        "control_port": 4,
        "hb_port": 5,
        "key": secrets.token_hex(16),
        "signature_scheme": "hmac-sha256",
        "kernel_name": "python3",
    }
    connection_file = home.folder / "connection.json"
    _write_private(connection_file, json.dumps(connection), home.user)
    log_file = home.folder / "kernel.log"
    setup = KernelSetup(
        connection_file=str(connection_file),
        setup_file=str(home.setup_file),
        working_dir=str(home.working_dir),
        profile_dir=str(home.folder / "ipython"),
        log_file=str(log_file),
        environment=home.kernel_environment(),
        user=home.user,
    )
    ready, ready_of_child = os.pipe()
    parent_pid = os.getpid()
    pid = os.fork()
    if pid == 0:
        become_kernel(setup, parent_pid=parent_pid, ready=ready_of_child, release=release)
    os.close(ready_of_child)
    try:
        wait(ready)
        if os.read(ready, 1) != READY:
            os.waitpid(pid, 0)
            raise KernelNotStarted(f"The kernel did not come up.\n{_tail(log_file)}".strip())
    except BaseException:
        os.close(ready)
        raise
    return ForkedKernel(pid, connection, ready, home)


def _write_private(path: Path, text: str, user: KernelUser | None) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(file, text.encode())
        if user is not None:
            os.fchown(file, user.uid, user.gid)
    finally:
        os.close(file)


def _tail(path: Path) -> str:
    try:
        return path.read_text(errors="replace")[-2000:]
    except FileNotFoundError:
        return ""


class ManagedKernel:
    """A kernel that a jupyter_client kernel manager started."""

    def __init__(self, name: str, manager: Any, python: str | None = None) -> None:
        self.name = name
        self.python = python
        self._manager = manager
        self.pid: int | None = getattr(manager.provisioner, "pid", None)
        process = getattr(manager.provisioner, "process", None)
        self._pidfd = os.pidfd_open(process.pid) if process is not None else None
        self._status: int | None = None
        self._gone = False
        self._cleared = False
        self.language_info: Mapping[str, Any] = {}
        self.channels = Channels(manager.get_connection_info())

    def register(self, poller: Any) -> None:
        if self._pidfd is not None:
            poller.register(self._pidfd, zmq.POLLIN)

    @property
    def poll_seconds(self) -> float | None:
        return _MANAGED_POLL_SECONDS if self._pidfd is None else None

    def has_died(self) -> bool:
        if not self._gone:
            code = getattr(self._manager.provisioner, "process", None)
            returned = code.poll() if code is not None else None
            if returned is not None:
                self._gone = True
                self._status = returned << 8 if returned >= 0 else -returned
            elif code is None and not self._manager.is_alive():
                self._gone = True
        return self._gone

    @property
    def wait_status(self) -> int | None:
        return self._status

    def set_up(self, code: str) -> bool:
        del code
        return False

    def send_signal(self, number: int) -> None:
        if self.has_died():
            return
        if number == signal.SIGINT:
            self._manager.interrupt_kernel()
        else:
            self._manager.signal_kernel(number)

    def shut_down(self, interrupted: Callable[[], bool]) -> None:
        if not self.has_died():
            self._manager.request_shutdown()
            give_up_at = time.monotonic() + _SHUTDOWN_SECONDS
            while not self.has_died():
                if interrupted() or time.monotonic() > give_up_at:
                    self.kill()
                    return
                time.sleep(0.01)

    def kill(self) -> None:
        if self._cleared:
            return
        self._cleared = True
        if not self.has_died():
            self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_resources()
        kill_children()
        if self._pidfd is not None:
            os.close(self._pidfd)
        self.channels.close()


def start_kernel(
    name: str, home: KernelHome, start_seconds: float, *, python: str | None = None
) -> ManagedKernel:
    """Start the kernel of a kernelspec, or ipykernel of another interpreter.

    Raises KernelNotStarted, naming the kernels there are.
    """
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel
    from jupyter_client.manager import KernelManager

    specs = KernelSpecManager(ensure_native_kernel=True)
    try:
        specs.get_kernel_spec(name)
    except NoSuchKernel:
        available = ", ".join(sorted(specs.find_kernel_specs())) or "none"
        raise KernelNotStarted(
            f"There is no kernel named {name!r} on this machine. Available kernels: {available}."
        ) from None
    manager = KernelManager(
        kernel_name=name,
        kernel_spec_manager=specs,
        transport="ipc",
        ip=str(home.folder / "m"),
        connection_file=str(home.folder / "managed.json"),
    )
    environment = dict(home.kernel_environment())
    if python is not None:
        program = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        manager._kernel_spec = KernelSpec(argv=program, display_name=python, language="python")
        environment["PATH"] = f"{Path(python).parent}:{environment.get('PATH', os.defpath)}"
    user: dict[str, Any] = {}
    if home.user is not None:
        user = {"user": home.user.uid, "group": home.user.gid, "extra_groups": []}
    try:
        manager.write_connection_file()  # before the start, or the kernel's user cannot read it
        if home.user is not None:
            os.chown(manager.connection_file, home.user.uid, home.user.gid)
        manager.start_kernel(cwd=str(home.working_dir), env=environment, **user)
        kernel = ManagedKernel(name, manager, python)
    except Exception as error:
        raise KernelNotStarted(f"The kernel {name!r} did not start: {error}") from error
    give_up_at = time.monotonic() + start_seconds
    try:
        kernel.language_info = _wait_for_kernel_info(kernel, give_up_at)
    except KernelNotStarted:
        kernel.kill()
        raise
    return kernel


def _wait_for_kernel_info(kernel: ManagedKernel, give_up_at: float) -> Mapping[str, Any]:
    """Ask who the kernel is until it answers, and until its output comes through.

    A kernel without a welcome message proves its output channel by the status messages of the
    same requests.
    """
    channels = kernel.channels
    poller = zmq.Poller()
    poller.register(channels.shell, zmq.POLLIN)
    poller.register(channels.iopub, zmq.POLLIN)
    info: Mapping[str, Any] | None = None
    hears_output = False
    while info is None or not hears_output:
        if kernel.has_died():
            raise KernelNotStarted(f"The kernel {kernel.name!r} ended while it started.")
        if time.monotonic() > give_up_at:
            raise KernelNotStarted(f"The kernel {kernel.name!r} did not answer in time.")
        channels.send(channels.shell, "kernel_info_request", {})
        poller.poll(200)
        while (message := channels.receive(channels.shell)) is not None:
            if message.type == "kernel_info_reply":
                info = message.content.get("language_info", {})
        while channels.receive(channels.iopub) is not None:
            hears_output = True
    return info
