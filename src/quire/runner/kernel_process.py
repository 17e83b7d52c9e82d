"""What a forked child does to become a Jupyter kernel.

Owns: the child's side of a fork, from the first line after it to its exit. The other side, which
talks to the kernel and takes it down, is ``kernel.py``.

The kernel is ipykernel with what a notebook run never uses left out, because every run pays for it:

* no command line to parse and no configuration files to look for: the settings are known;
* no heartbeat channel and no poller of the parent: the parent sees the kernel's end at once by
  waiting for it, and Linux ends the kernel when its parent dies (``PR_SET_PDEATHSIG``);
* no debugger (debugpy alone costs a kernel more memory than all its other parts);
* no history;
* an exit that does what users can see of one (threads joined, exit handlers run, objects of the
  notebook let go, open files written) and not the taking apart of every imported module.
"""

from __future__ import annotations

import _io
import asyncio
import atexit
import contextlib
import functools
import gc
import io
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NoReturn

import matplotlib
import numpy
import zmq
from ipykernel import ipkernel
from ipykernel.compiler import XCachingCompiler
from ipykernel.iostream import IOPubThread
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
from ipykernel.zmqshell import ZMQInteractiveShell
from IPython.core.profiledir import ProfileDir
from jupyter_client.jsonutil import json_clean, json_default
from jupyter_client.session import json_packer
from traitlets.config import Config
from zmq.eventloop.zmqstream import ZMQStream

from quire.runner.processes import die_with_parent
from quire.runner.users import KernelUser, become_user

__all__ = ["LEFT", "NOT_SET_UP", "READY", "KernelSetup", "become_kernel", "prepare_shell"]

READY = b"k"
LEFT = b"x"
NOT_SET_UP = "QuireKernelNotSetUp"  # name of the error in the reply to the first request


@dataclass(frozen=True)
class KernelSetup:
    """What a child needs to become a kernel."""

    connection_file: str
    setup_file: str  # code to run before the next request, when there is one
    working_dir: str
    profile_dir: str
    log_file: str  # what the kernel says before its output is captured
    environment: Mapping[str, str]
    user: KernelUser | None = None  # None: stay who the parent is


class _Kernel(IPythonKernel):
    """ipykernel's kernel, without what its runner does better."""

    # The pause papers over a lost flush; the runner waits for the idle message, which comes after
    # all output on the same socket, so nothing can be lost.
    _execute_sleep = 0.0

    def __init__(self, **options: Any) -> None:
        # It lists all modules for a debugger that is not here. To look at a module is to copy
        # memory shared with the nursery, and there are two thousand of them.
        module: Any = ipkernel
        module.sys = SimpleNamespace(modules={}, platform=sys.platform)
        try:
            super().__init__(**options)  # type: ignore[no-untyped-call]
        finally:
            module.sys = sys

    async def do_execute(self, code: str, silent: bool, *arguments: Any, **options: Any) -> Any:
        """Set up what waits to be set up, then execute."""
        failure = self._set_up()
        if failure is not None:
            return failure
        execute: Any = super().do_execute
        return await execute(code, silent, *arguments, **options)

    def _set_up(self) -> dict[str, Any] | None:
        """Run the code the runner left, if there is any; the reply that tells of its failure.

        A request of its own would take the runner as long as a cell does.
        """
        try:
            with open(_KernelApp.setup_file, "rb") as file:
                code = file.read()
        except FileNotFoundError:
            return None
        os.unlink(_KernelApp.setup_file)
        try:
            exec(compile(code, "<set-up>", "exec"), {})  # noqa: S102
        except Exception as error:  # noqa: BLE001  (whatever it is, the runner has to hear of it)
            return {
                "status": "error",
                "execution_count": self.execution_count,
                "ename": NOT_SET_UP,
                "evalue": f"{type(error).__name__}: {error}",
                "traceback": traceback.format_exc().splitlines(),
            }
        return None

    async def _progressively_terminate_all_children(self) -> None:
        """The runner ends what is left, and needs no pauses to find it."""


class _OutputThread(IOPubThread):
    """ipykernel's output thread, with a socket file where it has an open port.

    What a notebook's forks print comes in there. A port of the machine would be anybody's to write
    to, and might be the one a server is about to come back to.
    """

    address = ""

    def _setup_pipe_in(self) -> None:
        self._pipe_uuid = os.urandom(16)
        pipe_in = self.socket.context.socket(zmq.PULL)
        pipe_in.linger = 0
        pipe_in.bind(self.address)
        self._pipe_in = ZMQStream(pipe_in, self.io_loop)
        self._pipe_in.on_recv(self._handle_pipe_msg)

    def _setup_pipe_out(self) -> tuple[Any, Any]:
        context: Any = zmq.Context()  # that of the process this one was forked from is not ours
        pipe_out = context.socket(zmq.PUSH)
        pipe_out.linger = 3000
        pipe_out.connect(self.address)
        return context, pipe_out


class _KernelApp(IPKernelApp):
    """ipykernel's application, without command line, configuration files and heartbeat."""

    kernel_class = _Kernel
    setup_file = ""

    def parse_command_line(self, argv: list[str] | None = None) -> None:
        """The settings come as traits."""

    def load_config_file(self, *arguments: Any, **options: Any) -> None:
        """There is none."""

    def init_config_files(self) -> None:
        """There are none."""

    def init_heartbeat(self) -> None:
        """Nobody listens to it."""

    def init_iopub(self, context: Any) -> None:
        socket = context.socket(zmq.XPUB)
        socket.linger = 1000
        socket.sndhwm = 0  # what the runner has not taken yet waits here and is never dropped
        self.iopub_port = self._bind_socket(socket, self.iopub_port)  # type: ignore[no-untyped-call]
        self.configure_tornado_logger()  # type: ignore[no-untyped-call]
        _OutputThread.address = f"ipc://{self.ip}-forks"
        thread: Any = _OutputThread(socket, pipe=True, session=self.session)  # type: ignore[no-untyped-call]
        thread.start()
        self.iopub_thread = thread
        self.iopub_socket = self.iopub_thread.background_socket


def become_kernel(
    setup: KernelSetup, *, parent_pid: int, ready: int, release: Callable[[], object]
) -> NoReturn:
    """Be a kernel from here to the end of the process. Call in a fresh fork only.

    ``ready`` is a descriptor that gets one byte when the kernel's sockets listen, and another when
    all that a notebook can see of the kernel's end is done. ``release`` lets
    go of Python objects that hold the parent's descriptors, which are closed here.
    """
    status = 1
    try:
        release()
        _detach_from_parent(setup, parent_pid, ready)
        app = _start_app(setup)
        os.write(ready, READY)
        app.start()
        status = 0
    except BaseException:  # noqa: BLE001  (whatever it is, the process ends here and says why)
        traceback.print_exc(file=sys.__stderr__)
    finally:
        _leave(status, ready)


def _detach_from_parent(setup: KernelSetup, parent_pid: int, ready: int) -> None:
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # as in every Python program
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    log = os.open(setup.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.dup2(log, 2)
    os.closerange(3, ready)
    os.closerange(ready + 1, os.sysconf("SC_OPEN_MAX"))
    if setup.user is not None:
        become_user(setup.user)
    die_with_parent(parent_pid)
    os.umask(0o022)
    os.environ.clear()
    os.environ.update(setup.environment)
    time.tzset()
    os.chdir(setup.working_dir)
    # The nursery's home, remembered from its import, may be closed to the kernel's user.
    for function in ("get_configdir", "get_cachedir"):
        original = getattr(matplotlib, function).__wrapped__
        setattr(matplotlib, function, functools.cache(original))
    random.seed()
    numpy.random.seed()
    sys.argv = ["ipykernel_launcher", "-f", setup.connection_file]
    gc.enable()


def prepare_shell() -> None:
    """Make the IPython shell that kernels forked from this process find there.

    It needs no socket and no thread, and making it takes half of the time a kernel needs to start.
    """
    config = Config()
    config.HistoryManager.enabled = False
    with tempfile.TemporaryDirectory() as folder:
        ZMQInteractiveShell.instance(
            config=config,
            ipython_dir=folder,
            profile_dir=ProfileDir(location=folder),
            compiler_class=XCachingCompiler,
        )


def _settle_shell(app: Any, setup: KernelSetup) -> None:
    """Tell the shell of :func:`prepare_shell` where it has come to live."""
    shell = app.shell
    shell.parent = shell.kernel = app.kernel
    shell.profile_dir = app.profile_dir
    shell.ipython_dir = setup.profile_dir
    shell.home_dir = setup.environment.get("HOME", setup.working_dir)
    shell.starting_dir = setup.working_dir
    shell.init_environment()  # the variables of the process that made it are gone


def _pack(message: Any) -> bytes:
    """A message as JSON, also with text that UTF-8 cannot hold.

    Jupyter would lose all that is to be sent together with half a surrogate pair. Two halves
    beside each other become their character, others the sign for what cannot be shown.
    """
    try:
        return json_packer(message)
    except UnicodeEncodeError:
        text = json.dumps(json_clean(message), default=json_default, ensure_ascii=False)
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def _start_app(setup: KernelSetup) -> Any:
    app = _KernelApp.instance()
    app.connection_file = setup.connection_file
    _KernelApp.setup_file = setup.setup_file
    app.log_level = 50
    app.config.ProfileDir.location = setup.profile_dir
    app.initialize([])  # type: ignore[no-untyped-call]
    app.session.pack = _pack
    _settle_shell(app, setup)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        # Captured output is also echoed to where it went before; nobody reads it there.
        os.dup2(nothing, stream._original_stdstream_copy)  # type: ignore[union-attr]
    os.close(nothing)
    # Nobody waits for the sockets' orderly end: all output was taken before the kernel was asked
    # to leave.
    atexit.unregister(app.close)
    atexit.unregister(app.iopub_thread.stop)
    gc.freeze()  # what is here now is not the notebook's, and need not be looked at when it ends
    return app


def _leave(status: int, ready: int) -> NoReturn:
    """End like an interpreter does, as far as a notebook can tell."""
    try:
        asyncio.set_event_loop(None)
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        gc.collect()
        _close_files()
    except BaseException:  # noqa: BLE001  (an exit handler's error must not keep the process)
        status = status or 1
    finally:
        # What is left, the release of its memory, takes the system longer than all of the above.
        with contextlib.suppress(OSError):
            os.write(ready, LEFT)
        os._exit(status)


def _close_files() -> None:
    """Write out what open files still hold; text first, since it sits on top of bytes."""
    files = [each for each in gc.get_objects() if _is_file(type(each))]
    files.sort(key=lambda each: not isinstance(each, io.TextIOBase))
    for each in files:
        try:
            each.close()
        except (OSError, ValueError):
            continue  # as the interpreter does at its own exit


def _is_file(kind: type) -> bool:
    # The plain bases of the classes in io, whose own bases are abstract and far slower to ask.
    return issubclass(kind, _io._IOBase) and not issubclass(kind, _io._RawIOBase)
