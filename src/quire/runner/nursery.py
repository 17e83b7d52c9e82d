"""The nursery: a process that has imported everything a kernel needs and forks runners.

Owns: the imports, and the runners that were forked here until they are gone. One nursery serves one
server; it is started with a clean environment and knows neither the server's settings nor its
secrets.

It talks over one socket (SOCK_SEQPACKET, one JSON message each):

* ``{"fork": n}`` with one descriptor, the runner's assignment socket: forks a runner and answers
  ``{"forked": n, "pid": pid, "started": start time}``; with ``"python": path`` one whose
  kernel is of that interpreter;
* ``{"exited": pid, "started": start time, "cause": text}`` when a runner is gone.

It stays without threads and without a ZeroMQ context, which would not survive a fork. It adopts
what runners leave behind when they are killed, and kills it. At the end of file it forks no more;
it leaves when its last runner has, so that nothing of a run is ever without somebody to clear it.
"""

from __future__ import annotations

import os
import sys
import threading

# Unless told so, these libraries start threads as soon as they are imported.
os.environ.update(
    OPENBLAS_NUM_THREADS="1",
    OMP_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
    JE_ARROW_MALLOC_CONF="background_thread:false",
    MPLBACKEND="module://matplotlib_inline.backend_inline",  # read when matplotlib is imported
)
# A run is never debugged, and ipykernel imports the debugger whenever there is one.
sys.modules["debugpy.server"] = None  # type: ignore[assignment]

import gc  # noqa: E402
import importlib  # noqa: E402
import json  # noqa: E402
import select  # noqa: E402
import signal  # noqa: E402
import socket  # noqa: E402
from typing import Any  # noqa: E402

import ipykernel.debugger  # noqa: E402, F401
import zmq  # noqa: E402

from quire.runner.kernel_process import prepare_shell  # noqa: E402
from quire.runner.main import RunnerConfig, become_runner  # noqa: E402
from quire.runner.processes import (  # noqa: E402
    adopt_orphans,
    describe_status,
    kill_children,
    start_time,
)

__all__ = ["main"]

del sys.modules["debugpy.server"]

_MESSAGE_BYTES = 1 << 16
_STRAYS_SECONDS = 2.0

# These join the shell that exists when they are imported, so a kernel has to import them itself.
_NOT_INHERITED = ("matplotlib_inline.backend_inline", "matplotlib_inline")

# What a kernel imports by itself until its first cell has run, and what most notebooks import.
_MODULES = (
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.debugger_backport",
    "IPython.core.logger",
    "IPython.core.oinspect",
    "IPython.core.pylabtools",
    "IPython.extensions.storemagic",
    "IPython.utils.wildcard",
    "bdb",
    "cmd",
    "code",
    "comm",
    "faulthandler",
    "ipykernel.comm.manager",
    "ipykernel.kernelapp",
    "ipykernel.zmqshell",
    "matplotlib.font_manager",  # reads the list of fonts, or takes a second to make it
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "matplotlib_inline.config",
    "numpy.random",
    "pandas",
    "pdb",
    "pygments.filters",
    "pygments.formatters.html",
    "pygments.formatters.terminal256",
    "pygments.lexers.python",
    "pygments.styles.default",
    "quire_runtime.bootstrap",
    "stack_data",
    "tornado.platform.asyncio",
)


def _format_an_error() -> None:
    """Do once what takes a kernel's first traceback ten times as long as its later ones."""
    from IPython.core.ultratb import AutoFormattedTB

    make: Any = AutoFormattedTB
    formatter = make(mode="Context", theme_name="linux", tb_offset=1)
    try:
        exec(compile("1 / 0", "<cell>", "exec"), {})  # noqa: S102
    except ZeroDivisionError:
        formatter.structured_traceback(*sys.exc_info())


class _Nursery:
    def __init__(self, control: socket.socket, config: RunnerConfig) -> None:
        self._control: socket.socket | None = control
        self._config = config
        self._runners: dict[int, str] = {}
        self._children_ended, wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def run(self) -> None:
        while self._control is not None or self._runners:
            sources: list[socket.socket | int] = [self._children_ended]
            if self._control is not None:
                sources.append(self._control)
            readable = select.select(sources, [], [])[0]
            if self._children_ended in readable:
                os.read(self._children_ended, 4096)
                self._reap()
            if self._control is not None and self._control in readable:
                self._take_request(self._control)
        kill_children()

    def _take_request(self, control: socket.socket) -> None:
        try:
            message, descriptors, _, _ = socket.recv_fds(control, _MESSAGE_BYTES, 1)
        except ConnectionError:
            message, descriptors = b"", []
        if not message:
            control.close()
            self._control = None
            return
        request = json.loads(message)
        pid = os.fork()
        if pid == 0:
            channel = socket.socket(fileno=descriptors[0])
            become_runner(channel, self._config, control.detach, python=request.get("python"))
        os.close(descriptors[0])
        started = start_time(pid) or ""
        self._runners[pid] = started
        self._tell({"forked": request["fork"], "pid": pid, "started": started})

    def _reap(self) -> None:
        gone = []
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            started = self._runners.pop(pid, None)
            if started is not None:
                gone.append((pid, started, status))
        if any(status != 0 for _, _, status in gone):
            # A runner that did not end by itself has left its kernel's processes to this one. They
            # go before its end is told, so that a repeated run never meets them.
            kill_children(keep=list(self._runners), patience_seconds=_STRAYS_SECONDS)
        for pid, started, status in gone:
            self._tell({"exited": pid, "started": started, "cause": describe_status(status)})

    def _tell(self, message: dict[str, object]) -> None:
        if self._control is None:
            return
        try:
            self._control.send(json.dumps(message).encode())
        except OSError:
            self._control.close()
            self._control = None


def main() -> None:
    """Run a nursery. Arguments: the descriptor of the control socket, and the config as JSON."""
    control = socket.socket(fileno=int(sys.argv[1]))
    config = RunnerConfig.from_json(json.loads(sys.argv[2]))
    os.closerange(3, control.fileno())
    os.closerange(control.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
    os.chdir("/")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in _MODULES:
        importlib.import_module(name)
    prepare_shell()
    _format_an_error()
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(1.0)  # a timer of matplotlib's that has been cancelled already
    for name in _NOT_INHERITED:
        sys.modules.pop(name, None)
    adopt_orphans()
    threads = len(os.listdir("/proc/self/task"))
    if threads != 1:
        raise RuntimeError(f"The nursery has {threads} threads; forks of it would not be safe.")
    if zmq.Context._instance is not None:
        raise RuntimeError("The nursery has a ZeroMQ context; forks of it would not be safe.")
    gc.collect()
    gc.disable()
    gc.freeze()
    _Nursery(control, config).run()
