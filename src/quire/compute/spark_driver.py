"""The server's hold on driver processes: starts them, finds them again, asks and ends them.

What a driver process is and does is in :mod:`quire.compute.driver_main`. It lives on when the
server goes; the next server adopts it by its folder, process number and start time.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from pathlib import Path

from quire.compute.driver_config import (
    DriverConfig,
    DriverEnding,
    DriverPhase,
    DriverStatus,
    EndingCause,
    Gateway,
    ScriptFile,
    SubmitTarget,
)
from quire.compute.driver_control import DriverGone, DriverRefused, ask
from quire.compute.driver_doors import Owner
from quire.compute.driver_folder import MARK_VARIABLE, DriverFolder
from quire.placement.folders import passable_root
from quire.placement.users import plain_environment
from quire.runner.processes import descendants, kill_all, send_signal, start_time
from quire.settings import Settings

__all__ = [
    "DriverConfig",
    "DriverEnding",
    "DriverFailed",
    "DriverGone",
    "DriverPhase",
    "DriverRefused",
    "DriverStatus",
    "EndingCause",
    "Gateway",
    "ScriptFile",
    "SparkDriver",
    "SubmitTarget",
    "remove_strangers",
    "spark_root",
]

_PREFIX = "driver-"
_ANSWER_SECONDS = 10.0
_SLOW_ANSWER_SECONDS = 120.0  # of what waits for Spark or for processes
_LEAVE_SECONDS = 10.0  # beyond the grace
_LOOK_SECONDS = 0.01

# Variables by which programs find an external cluster.
_EXTERNAL_VARIABLES = (
    "HADOOP_CONF_DIR",
    "YARN_CONF_DIR",
    "KUBECONFIG",
    "KRB5_CONFIG",
    "KRB5CCNAME",
)


class DriverFailed(Exception):
    """A driver process ended before it was ready."""

    def __init__(self, ending: DriverEnding) -> None:
        super().__init__(ending.message)
        self.ending = ending


def spark_root(settings: Settings) -> Path:
    """Where driver processes have their folders. Raises OSError when it cannot be made."""
    if not settings.spark_dir:
        return passable_root("quire-spark", settings.data_dir)
    root = Path(settings.spark_dir).absolute()
    root.mkdir(mode=0o711, parents=True, exist_ok=True)
    return root


class SparkDriver:
    """A driver process, started here or by an earlier server."""

    def __init__(self, folder: DriverFolder, pid: int, started: str) -> None:
        self._folder = folder
        self.pid = pid
        self.started = started
        self._status: int | None = None  # wait status, when it was our child and has ended

    @classmethod
    def start(cls, config: DriverConfig, root: Path) -> SparkDriver:
        """Start a driver process with a folder of its own below ``root``, without waiting for it.

        Raises OSError.
        """
        folder = DriverFolder(root / f"{_PREFIX}{secrets.token_hex(4)}")
        environment = plain_environment()
        if config.master is not None:
            names = (name for name in _EXTERNAL_VARIABLES if name in os.environ)
            environment |= {name: os.environ[name] for name in names}
        environment |= {
            name: os.environ[name]
            for name in ("SPARK_HOME", "SPARK_CONF_DIR")
            if name in os.environ
        }
        with folder.create(config) as listener, folder.log.open("ab") as log:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-c",
                    "from quire.compute.driver_main import main; main()",
                    str(folder.path),
                    str(listener.fileno()),
                ],
                env=environment,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[listener.fileno()],
                start_new_session=True,
            )
        process.returncode = 0  # its end is collected by alive(), whoever holds it then
        return cls(folder, process.pid, start_time(process.pid) or "")

    @classmethod
    def adopt(cls, folder: Path) -> SparkDriver | None:
        """The driver process of a folder; None when it is gone, with all that it had."""
        place = DriverFolder(folder)
        identity = place.read_identity()
        if identity is None:
            return None
        driver = cls(place, identity.pid, identity.started)
        if driver.alive():
            return driver
        driver._clear_up()
        return None

    @property
    def folder(self) -> Path:
        return self._folder.path

    @property
    def config(self) -> DriverConfig | None:
        """What it was told at its start; None when it has ended."""
        return self._folder.read_config()

    # -- watching ---------------------------------------------------------------------------

    def alive(self) -> bool:
        """Whether it is there; collects it when it was a child of this process and has ended."""
        if start_time(self.pid) == self.started:
            return True
        if self._status is None:
            with contextlib.suppress(ChildProcessError):
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                self._status = status if pid else None
        return False

    def settle(self) -> DriverEnding:
        """After its end: clear what it may have left behind; how it ended."""
        self._clear_up()
        return self.ending()

    def ending(self) -> DriverEnding:
        """How it ended, as it said itself or as can be seen."""
        said = self._folder.read_ending()
        if said is not None:
            return said
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return DriverEnding(EndingCause.KILLED, "The driver process was killed.", at)

    def wait_ready(self, timeout_seconds: float) -> Gateway | None:
        """Wait until kernels may attach; where to, or None for a cluster without a driver.

        Raises DriverFailed when it ends before, TimeoutError when it takes longer.
        """
        give_up_at = time.monotonic() + timeout_seconds
        while True:
            left = max(0.0, give_up_at - time.monotonic())
            try:
                answer = ask(self._folder, {"do": "wait", "seconds": left}, left + _ANSWER_SECONDS)
            except DriverGone:
                self._await_end(_LEAVE_SECONDS)
                raise DriverFailed(self.settle()) from None
            if answer["ending"] is not None:
                raise DriverFailed(DriverEnding.from_json(answer["ending"]))
            status = DriverStatus.from_json(answer["status"])
            if status.phase is DriverPhase.READY:
                return status.gateway
            if time.monotonic() >= give_up_at:
                raise TimeoutError("The driver did not come up in time.")

    def status(self, timeout_seconds: float = _ANSWER_SECONDS) -> DriverStatus:
        """What it says of itself. Raises DriverGone, TimeoutError."""
        answer = ask(self._folder, {"do": "status"}, timeout_seconds)
        return DriverStatus.from_json(answer["status"])

    # -- asking; all raise DriverGone, DriverRefused, TimeoutError ----------------------------

    def open_gateway(
        self, group: str, session_key: str | None = None, owner: Owner | None = None
    ) -> Gateway:
        """Where one user attaches, the same when asked again: a run, or a session of runs.

        Behind it is a Spark session of its own, or the one that ``session_key`` names. It is
        released when ``owner`` ends, or by :meth:`release`.
        """
        request = {
            "do": "open_gateway",
            "group": group,
            "session_key": session_key,
            "owner": owner,
        }
        return Gateway(**ask(self._folder, request, _SLOW_ANSWER_SECONDS)["gateway"])

    def release(self, group: str, *, keep: bool = False) -> None:
        """End a user's jobs, and unless ``keep`` its gateway; again is no error."""
        request = {"do": "release", "group": group, "keep": keep}
        ask(self._folder, request, _SLOW_ANSWER_SECONDS)

    def gateway(self) -> Gateway | None:
        """The JVM's first gateway; None until Spark is up, and when the cluster has no driver."""
        answer = ask(self._folder, {"do": "status", "jobs": False}, _ANSWER_SECONDS)
        return DriverStatus.from_json(answer["status"]).gateway

    def submit_target(self) -> SubmitTarget:
        """Where programs are submitted."""
        answer = ask(self._folder, {"do": "submit_target"}, _ANSWER_SECONDS)
        return SubmitTarget(answer["master"], answer["conf"])

    def cancel_group(self, group: str, *, future: bool = False) -> None:
        """End the Spark jobs of a group; with ``future`` also those it would start later."""
        ask(
            self._folder,
            {"do": "cancel_group", "group": group, "future": future},
            _SLOW_ANSWER_SECONDS,
        )

    def add_jars(self, paths: Iterable[str]) -> None:
        """Give driver and executors more classes, from files the cluster's user can read."""
        ask(self._folder, {"do": "add_jars", "paths": list(paths)}, _SLOW_ANSWER_SECONDS)

    def add_files(self, paths: Iterable[str]) -> None:
        """Give executors more files, which the cluster's user can read."""
        ask(self._folder, {"do": "add_files", "paths": list(paths)}, _SLOW_ANSWER_SECONDS)

    def set_workers(self, workers: int, max_workers: int = 0) -> None:
        """Change how many workers there are; with ``max_workers`` they come and go up to it.

        Returns when the processes are started or ended. :meth:`status` tells when new ones are
        registered.
        """
        ask(
            self._folder,
            {"do": "set_workers", "workers": workers, "max_workers": max_workers},
            _SLOW_ANSWER_SECONDS,
        )

    # -- ending -----------------------------------------------------------------------------

    def request_stop(self, grace_seconds: float, message: str = "") -> None:
        """Ask it to end, with so long for Spark to end orderly; returns at once.

        Raises DriverGone, TimeoutError.
        """
        request = {"do": "stop", "grace_seconds": grace_seconds, "message": message}
        ask(self._folder, request, _ANSWER_SECONDS)

    def stop(self, grace_seconds: float, message: str = "") -> DriverEnding:
        """End it and all that belongs to it, after Spark had so long to end orderly."""
        with contextlib.suppress(DriverGone, TimeoutError):
            self.request_stop(grace_seconds, message)
            self._await_end(grace_seconds + _LEAVE_SECONDS)
        return self.kill()

    def kill(self) -> DriverEnding:
        """End it and all that belongs to it at once; nothing happens to one that has ended."""
        if self.alive():
            # All of a cluster stays below its driver process while that lives.
            send_signal(self.pid, signal.SIGSTOP)
            kill_all(descendants(self.pid) | {self.pid})
            self._await_end(_LEAVE_SECONDS)
        return self.settle()

    def remove(self) -> None:
        """Remove its folder with its logs, after its end."""
        self._folder.remove()

    def _await_end(self, seconds: float) -> None:
        give_up_at = time.monotonic() + seconds
        while self.alive() and time.monotonic() < give_up_at:
            time.sleep(_LOOK_SECONDS)

    def _clear_up(self) -> None:
        """End what a driver process that was killed could not."""
        give_up_at = time.monotonic() + _LEAVE_SECONDS
        while left := self._left_behind():
            kill_all(left)
            if time.monotonic() > give_up_at:
                break
            time.sleep(_LOOK_SECONDS)
        self._folder.clear()

    def _left_behind(self) -> set[int]:
        """Processes of the cluster, apart from the driver process itself.

        They are known by a variable, or by a user that is the cluster's alone. Who has that user
        now may be another, whose process got the number of the driver process: such are younger.
        """
        mark = f"{MARK_VARIABLE}={self.folder}".encode()
        uid = self._own_uid()
        successor = start_time(self.pid)
        found = set()
        for name in os.listdir("/proc"):
            if not name.isdigit() or int(name) == self.pid:
                continue
            process = Path("/proc") / name
            started = start_time(int(name))
            if started is None:
                continue
            try:
                ours = process.stat().st_uid == uid and (
                    successor is None or int(started) < int(successor)
                )
                if ours or mark in (process / "environ").read_bytes().split(b"\0"):
                    found.add(int(name))
            except OSError:
                continue  # it has just ended, or is another user's
        return found

    def _own_uid(self) -> int | None:
        config = self.config
        if config is None or config.user is None or not config.user.uid_base:
            return None
        return config.user.of_process(self.pid).uid

    # -- logs -------------------------------------------------------------------------------

    @property
    def logs(self) -> DriverFolder:
        """Its folder, whose ``log_names``, ``open_log`` and ``log_tail`` read its logs."""
        return self._folder


def remove_strangers(root: Path, known: Collection[Path]) -> None:
    """End driver processes below ``root`` that nobody knows, and remove their folders."""
    for path in root.glob(f"{_PREFIX}*"):
        if path in known:
            continue
        driver = SparkDriver.adopt(path)
        if driver is not None:
            driver.kill()
        DriverFolder(path).remove()
