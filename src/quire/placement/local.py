"""Runners on this machine: a nursery that forks them, and a pool of ready ones.

Owns: the nursery's life, the pool, and the watch over runners that were given work. A runner of an
earlier server is watched by its process id and start time.

A runner is used once, unless its run belongs to a session: then it keeps its kernel, and its socket
stays open, until the session is ended here or this server is gone. One that is taken from the pool
is replaced: at once when none is left, else when a run has ended or a moment has passed, so as not
to compete with a run that has just begun.

Beside the pool it keeps a runner with a kernel of each interpreter it is told. One of those that
cannot be made, or dies, costs the pool nothing and is not tried again until it is told anew.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import structlog

from quire.placement.base import Departure, Reservation, RunnerIdentity
from quire.placement.folders import passable_root
from quire.placement.users import choose_user, plain_environment
from quire.runner.main import READY, RunnerConfig, home_folder, send_assignment
from quire.runner.processes import (
    cpu_seconds,
    descendants,
    describe_status,
    host_identity,
    kill_all,
    send_signal,
    start_time,
)
from quire.runner.protocol import Assignment
from quire.settings import Settings

__all__ = ["LocalPlacement"]

_LOG = structlog.get_logger(__name__)

_REFILL_DELAY_SECONDS = 0.15
_NURSERY_PATIENCE_SECONDS = 10.0
_SHORTEST_RESTART_SECONDS = 0.1
_LONGEST_RESTART_SECONDS = 5.0


class _Runner:
    """A runner that has no work yet."""

    def __init__(self, channel: socket.socket, python: str | None) -> None:
        self.channel = channel
        self.python = python  # the interpreter its kernel was made for; None: the pool's
        self.identity: RunnerIdentity | None = None  # unknown until the nursery has answered
        self.ready = False  # its kernel is up
        self.session: str | None = None  # the session it keeps its kernel for
        self.idle_since: float | None = None  # since when that kernel is free; None: it is not

    @property
    def can_be_taken(self) -> bool:
        """Whether it is ready and known by name."""
        return self.ready and self.identity is not None


class _Reservation:
    """A runner that was taken from the pool."""

    def __init__(self, placement: LocalPlacement, runner: _Runner) -> None:
        assert runner.identity is not None
        self._placement = placement
        self._runner = runner
        self._identity = runner.identity

    @property
    def identity(self) -> RunnerIdentity:
        return self._identity

    def assign(self, assignment: Assignment) -> None:
        self._placement._assign(self._runner, assignment)

    def release(self) -> None:
        self._placement._release(self._runner)


class LocalPlacement:
    """Starts runners on this machine. Implements :class:`quire.placement.base.Placement`."""

    def __init__(self, settings: Settings, *, slots: int | None = None) -> None:
        """``slots``: how many runs execute at once here; None: one per core."""
        self._settings = settings
        cores = os.cpu_count() or 1
        self._cores = cores
        self._pool_size = settings.pool_size or max(2, slots or settings.slots or cores)
        self._host = host_identity()
        self._lock = threading.Condition()
        self._on_departure: Callable[[Departure], None] = _ignore
        self._on_session: Callable[[], None] = _pass
        self._selector = selectors.DefaultSelector()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread: threading.Thread | None = None
        self._closing = False
        self._config: RunnerConfig | None = None
        # The nursery.
        self._control: socket.socket | None = None
        self._nursery_pid: int | None = None
        self._nursery_started_at = 0.0
        self._restart_at = 0.0
        self._restart_seconds = _SHORTEST_RESTART_SECONDS
        # Runners, by what they wait for.
        self._next_number = 0
        self._forking: dict[int, _Runner] = {}
        self._warming: set[_Runner] = set()
        self._ready: deque[_Runner] = deque()
        self._reserved: set[_Runner] = set()
        self._working: set[RunnerIdentity] = set()  # forked here, exits told by the nursery
        self._adopted: dict[RunnerIdentity, int] = {}  # by pidfd
        self._sessions: dict[str, _Runner] = {}  # at work, reserved or idle
        self._interpreters: dict[str, _Runner | None] = {}  # None: one has to be made
        self._unusable: set[str] = set()  # interpreters whose kernels do not start
        self._waiting = 0
        self._refill_at = 0.0

    @property
    def host(self) -> str:
        """The host part of every identity given out here."""
        return self._host

    # -- the interface ----------------------------------------------------------------------

    def start(
        self,
        on_departure: Callable[[Departure], None],
        on_session: Callable[[], None] | None = None,
    ) -> None:
        """Start the nursery and fill the pool. Raises OSError when a folder cannot be made."""
        self._on_departure = on_departure
        self._on_session = on_session or _pass
        self._config = RunnerConfig(
            runtime_root=str(passable_root("quire", self._settings.data_dir)),
            user=choose_user(self._settings.kernel_user, self._settings.kernel_uid_base),
            environment=plain_environment(),
            kernel_start_seconds=self._settings.kernel_start_seconds,
        )
        _sweep(Path(self._config.runtime_root))
        self._selector.register(self._wake, selectors.EVENT_READ)
        with self._lock:
            self._start_nursery()
        self._thread = threading.Thread(target=self._watch, name="placement", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let idle runners go, those of sessions too.

        Runners at work go on, and their nursery with them.
        """
        with self._lock:
            if self._closing or self._thread is None:
                return
            self._closing = True
            self._lock.notify_all()
        self._poke()
        self._thread.join()
        with self._lock:
            kept = self._sessions.values()
            idle = {runner.identity for runner in kept if runner.idle_since is not None}
            busy = bool(self._working - idle)
            waiting = [*self._forking.values(), *self._warming, *self._ready, *self._reserved]
            waiting += [each for each in self._interpreters.values() if each is not None]
            for runner in [*waiting, *kept]:
                runner.channel.close()
            for pidfd in self._adopted.values():
                os.close(pidfd)
            if self._control is not None:
                self._control.close()
            self._selector.close()
            os.close(self._wake)
        if self._nursery_pid is not None and not busy:
            _wait_for_exit(self._nursery_pid, _NURSERY_PATIENCE_SECONDS)
            if self._config is not None:
                with contextlib.suppress(OSError):  # something is left there to be swept later
                    os.rmdir(self._config.runtime_root)

    def reserve(self, timeout_seconds: float) -> Reservation | None:
        """A ready runner, or None when none came up in time."""
        with self._lock:
            self._waiting += 1
            try:
                if not self._ready:
                    self._poke()
                if not self._lock.wait_for(lambda: self._ready or self._closing, timeout_seconds):
                    return None
                if self._closing:
                    return None
                runner = self._ready.popleft()
                self._selector.unregister(runner.channel)
                self._reserved.add(runner)
            finally:
                self._waiting -= 1
        return _Reservation(self, runner)

    def reserve_session(self, session: str) -> Reservation | None:
        """The runner that keeps the kernel of a session, or None when it is not free."""
        with self._lock:
            runner = self._sessions.get(session)
            if runner is None or runner.idle_since is None or self._closing:
                return None
            runner.idle_since = None
            return _Reservation(self, runner)

    def keep_ready(self, interpreters: Collection[str]) -> None:
        """Keep a runner with a kernel of each of these interpreters, and of no others."""
        with self._lock:
            if self._closing:
                return
            for python in [each for each in self._interpreters if each not in interpreters]:
                runner = self._interpreters.pop(python)
                if runner is not None:
                    self._drop(runner)
            for python in interpreters:
                if python not in self._unusable:
                    self._interpreters.setdefault(python, None)
        self._poke()

    def reserve_interpreter(self, python: str) -> Reservation | None:
        """A runner that :meth:`keep_ready` has made ready, or None when there is none now."""
        with self._lock:
            runner = self._interpreters.get(python)
            if runner is None or not runner.can_be_taken or self._closing:
                return None
            self._interpreters[python] = None
            self._selector.unregister(runner.channel)
            self._reserved.add(runner)
            return _Reservation(self, runner)

    def sessions(self) -> Mapping[str, float | None]:
        """The sessions kept here, with the seconds they have been idle; None: at work."""
        now = time.monotonic()
        with self._lock:
            return {
                session: None if runner.idle_since is None else now - runner.idle_since
                for session, runner in self._sessions.items()
            }

    def end_session(self, session: str) -> None:
        """Let a session's runner go, at once or when its run is over. Without one, nothing."""
        with self._lock:
            runner = self._sessions.get(session)
            if runner is not None and not self._closing:
                self._drop(runner)

    def cpu_seconds(self, runners: Collection[RunnerIdentity]) -> Mapping[RunnerIdentity, float]:
        """CPU time each runner has used with all that came from it; unknown ones are left out."""
        alive = {each.pid: each for each in runners if self._is_alive(each)}
        return {alive[pid]: seconds for pid, seconds in cpu_seconds(alive).items()}

    def has_room(self) -> bool:
        """Whether memory allows one more run."""
        return bool(psutil.virtual_memory().available >= self._settings.memory_reserve_bytes)

    def adopt(self, identity: RunnerIdentity) -> bool:
        """Watch a runner an earlier server started. False when it is gone already."""
        with self._lock:
            if identity in self._adopted or identity in self._working:
                return True
            return self._watch_process(identity)

    def nudge(self, identity: RunnerIdentity) -> None:
        """Make a runner report at once; nothing happens when it is gone."""
        if self._is_alive(identity):
            send_signal(identity.pid, signal.SIGUSR1)

    def kill(self, identity: RunnerIdentity) -> None:
        """End a runner, its kernel and all that came from them; nothing happens when it is gone."""
        if not self._is_alive(identity):
            return
        # Everything that came from a runner stays below it while it lives, because it adopts
        # orphans; so nothing is missed here, and what is forked meanwhile falls to the nursery.
        send_signal(identity.pid, signal.SIGSTOP)
        kill_all({identity.pid} | descendants(identity.pid))

    # -- reservations -----------------------------------------------------------------------

    def _assign(self, runner: _Runner, assignment: Assignment) -> None:
        identity = runner.identity
        assert identity is not None
        with self._lock:
            if runner not in self._reserved and not self._keeps(runner):
                raise BrokenPipeError("The runner is gone.")
            self._reserved.discard(runner)
            self._working.add(identity)
            if assignment.session and runner.session is None:
                self._keep(runner, assignment.session)
        try:
            send_assignment(runner.channel, assignment)
        except OSError:
            with self._lock:
                # Whoever is told here that the runner is gone is not told again.
                self._working.discard(identity)
                if self._keeps(runner):
                    self._drop(runner)
            raise
        finally:
            if not assignment.session:
                runner.channel.close()
            with self._lock:
                self._refill_at = time.monotonic() + _REFILL_DELAY_SECONDS
            self._poke()

    def _keep(self, runner: _Runner, session: str) -> None:
        """From now on the runner is its session's, and is heard when its kernel becomes free."""
        earlier = self._sessions.get(session)
        if earlier is not None:
            self._drop(earlier)
        runner.session = session
        self._sessions[session] = runner
        self._selector.register(runner.channel, selectors.EVENT_READ, runner)

    def _keeps(self, runner: _Runner) -> bool:
        return runner.session is not None and self._sessions.get(runner.session) is runner

    def _release(self, runner: _Runner) -> None:
        with self._lock:
            if self._keeps(runner):
                runner.idle_since = time.monotonic()
            if runner in self._reserved:
                self._reserved.discard(runner)
                if self._closing or not self._is_wanted(runner):
                    runner.channel.close()
                    return
                if runner.python is not None:
                    self._interpreters[runner.python] = runner
                else:
                    self._ready.appendleft(runner)
                self._selector.register(runner.channel, selectors.EVENT_READ, runner)
                self._lock.notify()
        self._poke()

    # -- the watching thread ----------------------------------------------------------------

    def _poke(self) -> None:
        os.eventfd_write(self._wake, 1)

    def _watch(self) -> None:
        while not self._closing:
            try:
                self._look()
            except Exception:  # noqa: BLE001 - a defect in one look must not end the watch
                _LOG.exception("placement.failed")
                time.sleep(_SHORTEST_RESTART_SECONDS)

    def _look(self) -> None:
        """Refill the pool, wait for something to happen, and take it in."""
        with self._lock:
            if self._closing:
                return
            timeout = self._refill()
        departures = []
        for key, _ in self._selector.select(timeout):
            with self._lock:
                departures += self._handle(key)
        for departure in departures:
            self._report(departure)

    def _handle(self, key: selectors.SelectorKey) -> list[Departure]:
        if self._selector.get_map().get(key.fd) is not key:
            return []  # let go of since it became readable
        if key.fileobj == self._wake:
            os.eventfd_read(self._wake)
            return []
        if key.fileobj is self._control:
            return self._hear_nursery()
        if isinstance(key.data, _Runner):
            self._hear_runner(key.data)
            return []
        if isinstance(key.data, RunnerIdentity) and key.data in self._adopted:
            self._selector.unregister(key.fileobj)
            os.close(self._adopted.pop(key.data))
            return [Departure(key.data, "gone")]
        return []

    def _report(self, departure: Departure) -> None:
        assert self._config is not None
        identity = departure.identity
        folder = home_folder(self._config.runtime_root, identity.pid, identity.started)
        shutil.rmtree(folder, ignore_errors=True)
        self._on_departure(departure)

    def _refill(self) -> float | None:
        """Fork what is missing; how long until the next look, None: until something happens."""
        now = time.monotonic()
        if self._control is None:
            if now < self._restart_at:
                return self._restart_at - now
            self._start_nursery()
        coming = _count([*self._forking.values(), *self._warming])
        wanted = max(self._pool_size, self._waiting)
        missing = wanted - len(self._ready) - _count(self._reserved) - coming
        if missing <= 0:
            return self._refill_interpreters(now)
        if self._ready and not self._waiting and now < self._refill_at:
            return self._refill_at - now
        for _ in range(min(missing, self._cores - coming)):
            if not self._fork():
                break
        return None

    def _refill_interpreters(self, now: float) -> float | None:
        """Fork one runner for an interpreter that has none, when nothing else is to be done."""
        missing = [python for python, runner in self._interpreters.items() if runner is None]
        if not missing or self._forking or self._warming:
            return None
        if now < self._refill_at:
            return self._refill_at - now
        self._fork(missing[0])
        return None

    def _is_wanted(self, runner: _Runner) -> bool:
        """Whether a runner that comes back unused has a place."""
        return runner.python is None or self._interpreters.get(runner.python, runner) is None

    def _fork(self, python: str | None = None) -> bool:
        control = self._control
        assert control is not None
        ours, theirs = socket.socketpair()
        with theirs:
            self._next_number += 1
            request: dict[str, object] = {"fork": self._next_number}
            if python is not None:
                request["python"] = python
            try:
                socket.send_fds(control, [json.dumps(request).encode()], [theirs.fileno()])
            except OSError:
                ours.close()
                self._lose_nursery()
                return False
        runner = _Runner(ours, python)
        self._forking[self._next_number] = runner
        if python is not None:
            self._interpreters[python] = runner
        self._selector.register(ours, selectors.EVENT_READ, runner)
        return True

    def _hear_runner(self, runner: _Runner) -> None:
        """A runner has said that it is ready for work, or it has gone."""
        try:
            word = runner.channel.recv(1)
        except OSError:
            word = b""
        if word == READY and runner.session is not None:
            runner.idle_since = time.monotonic()
            self._on_session()
            return
        if word == READY:
            runner.ready = True
            self._warming.discard(runner)
            self._offer(runner)
            return
        self._drop(runner)
        if runner.session is not None:
            self._on_session()
        if runner.python is not None:
            self._lose_interpreter(runner, runner.python)
        elif not runner.ready:
            # One that never came up would be replaced at once by the next that cannot.
            self._refill_at = self._restart_at = time.monotonic() + 1.0
            _LOG.warning("placement.runner_not_started", log=str(self._log_file()))

    def _lose_interpreter(self, runner: _Runner, python: str) -> None:
        """A runner of an interpreter is gone, or was none: its runs start their kernels cold."""
        if not runner.ready and python not in self._unusable:
            self._unusable.add(python)
            _LOG.warning(
                "placement.interpreter_not_ready",
                python=python,
                consequence="runs start a kernel of it when they begin",
                log=str(self._log_file()),
            )

    def _offer(self, runner: _Runner) -> None:
        if runner.can_be_taken and runner.python is None:
            self._ready.append(runner)
            self._lock.notify()

    def _drop(self, runner: _Runner) -> None:
        self._selector.unregister(runner.channel)
        runner.channel.close()
        self._warming.discard(runner)
        self._reserved.discard(runner)
        if runner.session is not None and self._keeps(runner):
            del self._sessions[runner.session]
        if runner.python is not None and self._interpreters.get(runner.python) is runner:
            del self._interpreters[runner.python]
        if runner in self._ready:
            self._ready.remove(runner)
        for number, each in list(self._forking.items()):
            if each is runner:
                del self._forking[number]

    # -- the nursery ------------------------------------------------------------------------

    def _log_file(self) -> Path:
        return self._settings.data_dir / "runners.log"

    def _start_nursery(self) -> None:
        assert self._config is not None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._settings.data_dir.mkdir(parents=True, exist_ok=True)
        with theirs:
            os.set_inheritable(theirs.fileno(), True)
            arguments = [
                sys.executable,
                "-I",
                "-c",
                "from quire.runner.nursery import main; main()",
                str(theirs.fileno()),
                json.dumps(asdict(self._config)),
            ]
            log = str(self._log_file())
            self._nursery_pid = os.posix_spawn(
                sys.executable,
                arguments,
                {**self._config.environment, **_kernelspec_environment()},
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 2, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                ],
                setsid=True,
                setsigmask=[],
                setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGCHLD],
            )
        self._nursery_started_at = time.monotonic()
        self._control = ours
        self._selector.register(ours, selectors.EVENT_READ)

    def _hear_nursery(self) -> list[Departure]:
        assert self._control is not None
        try:
            data = self._control.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            return self._lose_nursery()
        message: dict[str, Any] = json.loads(data)
        if "forked" in message:
            runner = self._forking.pop(message["forked"], None)
            if runner is not None:
                runner.identity = RunnerIdentity(self._host, message["pid"], message["started"])
                if runner.ready:
                    self._offer(runner)
                else:
                    self._warming.add(runner)
            return []
        identity = RunnerIdentity(self._host, message["exited"], message["started"])
        if identity in self._working:
            self._working.discard(identity)
            self._refill_at = 0.0
            return [Departure(identity, message["cause"])]
        return []

    def _lose_nursery(self) -> list[Departure]:
        """The nursery has died. Runners at work go on and are watched from here."""
        assert self._control is not None
        assert self._nursery_pid is not None
        self._selector.unregister(self._control)
        self._control.close()
        self._control = None
        status = _wait_for_exit(self._nursery_pid, _NURSERY_PATIENCE_SECONDS)
        cause = describe_status(status) if status is not None else "still there"
        _LOG.error("placement.nursery_died", cause=cause, log=str(self._log_file()))
        now = time.monotonic()
        if now - self._nursery_started_at > _LONGEST_RESTART_SECONDS:
            self._restart_seconds = _SHORTEST_RESTART_SECONDS
        self._restart_at = now + self._restart_seconds
        self._restart_seconds = min(self._restart_seconds * 2, _LONGEST_RESTART_SECONDS)
        kept = [each for each in self._interpreters.values() if each is not None]
        for runner in {*self._forking.values(), *self._warming, *self._ready, *kept}:
            self._drop(runner)
        gone = []
        for identity in list(self._working):
            self._working.discard(identity)
            if not self._watch_process(identity):
                gone.append(Departure(identity, "gone"))
        return gone

    def _watch_process(self, identity: RunnerIdentity) -> bool:
        if not self._is_alive(identity):
            return False
        try:
            pidfd = os.pidfd_open(identity.pid)
        except ProcessLookupError:
            return False
        if not self._is_alive(identity):
            os.close(pidfd)
            return False
        self._adopted[identity] = pidfd
        self._selector.register(pidfd, selectors.EVENT_READ, identity)
        self._poke()
        return True

    def _is_alive(self, identity: RunnerIdentity) -> bool:
        return identity.host == self._host and start_time(identity.pid) == identity.started


def _count(runners: Collection[_Runner]) -> int:
    """How many of them are the pool's."""
    return sum(runner.python is None for runner in runners)


def _ignore(departure: Departure) -> None:
    """Nobody listens before the start."""
    del departure


def _pass() -> None:
    """Nobody listens."""


def _wait_for_exit(pid: int, seconds: float) -> int | None:
    """Reap a child within a time; its wait status, None when it is still there."""
    give_up_at = time.monotonic() + seconds
    while True:
        try:
            reaped, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            return None
        if reaped:
            return status
        if time.monotonic() > give_up_at:
            return None
        time.sleep(0.005)


def _sweep(root: Path) -> None:
    """Remove folders of runners that are gone."""
    for folder in root.iterdir():
        pid, _, started = folder.name.partition("-")
        if not pid.isdigit() or start_time(int(pid)) != started:
            shutil.rmtree(folder, ignore_errors=True)


def _kernelspec_environment() -> dict[str, str]:
    """Where the server's user has kernelspecs; runners look there, kernels are not told."""
    names = ("HOME", "JUPYTER_PATH", "JUPYTER_DATA_DIR")
    return {name: os.environ[name] for name in names if name in os.environ}
