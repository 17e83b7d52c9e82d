"""The folder of one driver process: what is where in it, who may read it, and how to talk to it.

::

    holder/      0700    the driver process' own:
                         config.json    what it was told (holds secrets)
                         state.json     who it is: process number, start time, user
                         ending.json    how it ended, once it has
                         control        its control socket
                         log            what it says itself
    conf/        Spark's configuration and scripts: files that only the cluster's user can read
    logs/        driver/, executor/, init_scripts/
    work/        working folder, home and warehouse; tmp/: temporary files
    classes/     what Scala cells define, for executors

Server and driver process are one user; everything else of a cluster is another, when the server is
root, and may write only in ``work``, ``tmp`` and its own folders of ``logs``. What it leaves there
is read without following links, which could lead anywhere.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from quire.compute.driver_config import DriverConfig, DriverEnding
from quire.runner.users import KernelUser

__all__ = ["MARK_VARIABLE", "DriverFolder", "DriverIdentity"]

MARK_VARIABLE = "QUIRE_DRIVER_FOLDER"
"""Set in every process of a cluster; tells whose it is when all else is gone."""

_JVM_LOGS = "jvm"  # the folder that the JVM itself may write to
_OUTPUTS = ("stdout", "stderr")


@dataclass(frozen=True)
class DriverIdentity:
    """Names a driver process for as long as the machine is up."""

    pid: int
    started: str  # start time of the process as the kernel counts it; guards against reused pids


class DriverFolder:
    """One driver process' folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.holder = path / "holder"
        self.log = self.holder / "log"
        self.conf = path / "conf"
        self.daemon_conf = path / "conf" / "workers"
        self.logs = path / "logs"
        self.driver_logs = self.logs / "driver"
        self.jvm_logs = self.driver_logs / _JVM_LOGS
        self.executor_logs = self.logs / "executor"
        self.script_logs = self.logs / "init_scripts"
        self.work = path / "work"
        self.temporary = path / "tmp"
        self.classes = path / "classes"

    def create(self, config: DriverConfig) -> socket.socket:
        """Make the folder and a listening control socket. Raises OSError."""
        self.path.mkdir(mode=0o711)
        self.path.chmod(0o711)
        self.holder.mkdir(mode=0o700)
        self._write("config.json", config.to_json())
        listener = socket.socket(socket.AF_UNIX)
        try:
            with self._control_path() as path:
                listener.bind(path)
            listener.listen(64)
        except BaseException:
            listener.close()
            raise
        return listener

    def furnish(self, user: KernelUser | None) -> None:
        """Make what is inside, for the cluster's user."""
        ours = (self.conf, self.daemon_conf, self.logs, self.driver_logs, self.script_logs)
        for folder in ours:
            folder.mkdir()
            folder.chmod(0o755)
        for folder in (self.jvm_logs, self.executor_logs, self.temporary, self.work, self.classes):
            folder.mkdir(mode=0o700)
            if user is not None:
                os.chown(folder, user.uid, user.gid)
        self.work.chmod(0o711)

    def connect(self, timeout_seconds: float) -> socket.socket:
        """A connection to the driver process. Raises OSError when it is gone."""
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(timeout_seconds)
            with self._control_path() as path:
                connection.connect(path)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _control_path(self) -> Iterator[str]:
        """A path of the socket that fits into the 107 bytes there are, however deep the folder."""
        descriptor = os.open(self.holder, os.O_PATH | os.O_DIRECTORY)
        try:
            yield f"/proc/self/fd/{descriptor}/control"
        finally:
            os.close(descriptor)

    # -- what is written in it --------------------------------------------------------------

    def read_config(self) -> DriverConfig | None:
        value = self._read("config.json")
        return DriverConfig.from_json(value) if value is not None else None

    def write_identity(self, identity: DriverIdentity) -> None:
        self._write("state.json", asdict(identity))

    def read_identity(self) -> DriverIdentity | None:
        """Who the driver process is; None when there never was one."""
        value = self._read("state.json")
        return DriverIdentity(**value) if value is not None else None

    def write_ending(self, ending: DriverEnding) -> None:
        self._write("ending.json", ending.to_json())

    def read_ending(self) -> DriverEnding | None:
        """How the driver process ended, when it could still say."""
        value = self._read("ending.json")
        return DriverEnding.from_json(value) if value is not None else None

    def _write(self, name: str, value: Mapping[str, Any]) -> None:
        fresh = self.holder / f".{name}.{os.getpid()}"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w") as file:
            json.dump(value, file)
        fresh.replace(self.holder / name)

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            value: dict[str, Any] = json.loads((self.holder / name).read_text())
        except (FileNotFoundError, NotADirectoryError):
            return None
        return value

    # -- the end ----------------------------------------------------------------------------

    def clear(self) -> None:
        """Remove all but the logs and what says how it ended; nothing of the cluster may live."""
        for folder in (self.conf, self.work, self.temporary):
            shutil.rmtree(folder, ignore_errors=True)
        for name in ("control", "config.json"):
            (self.holder / name).unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)

    # -- logs -------------------------------------------------------------------------------

    def log_names(self) -> list[str]:
        """The logs there are, as paths below ``logs``: ``driver/stderr``, ``executor/…``."""
        if not self.logs.is_dir():
            return []  # not furnished yet, or removed
        names = []
        for folder, _, files, _ in os.fwalk(self.logs, follow_symlinks=False):
            parts = Path(folder).relative_to(self.logs).parts
            shown = tuple(part for part in parts if part != _JVM_LOGS)
            names += ["/".join((*shown, name)) for name in files if _is_log(name)]
        return sorted(names)

    def open_log(self, name: str) -> BinaryIO:
        """Open one of :meth:`log_names`. Raises OSError when it is gone or no plain file."""
        parts = name.split("/")
        if parts[0] == "driver" and not parts[-1].startswith(_OUTPUTS):
            parts.insert(1, _JVM_LOGS)
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        folder = os.open(self.logs, flags | os.O_DIRECTORY)
        try:
            for part in parts[:-1]:
                below = os.open(part, flags | os.O_DIRECTORY, dir_fd=folder)
                os.close(folder)
                folder = below
            descriptor = os.open(parts[-1], flags | os.O_NONBLOCK, dir_fd=folder)
        finally:
            os.close(folder)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise FileNotFoundError(errno.ENOENT, "not a plain file", name)
        return open(descriptor, "rb")

    def log_tail(self, name: str, size: int = 8192) -> str:
        """The end of a log; empty when there is none."""
        try:
            with self.open_log(name) as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - size))
                return file.read(size).decode(errors="replace")
        except OSError:
            return ""


def _is_log(name: str) -> bool:
    return name.endswith(".log") or name.startswith(_OUTPUTS)
