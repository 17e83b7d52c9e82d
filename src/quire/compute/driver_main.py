"""A driver process: holds the processes of one cluster, however long the server is away.

It is started by :class:`quire.compute.spark_driver.SparkDriver` in a session of its own, keeps the
server's user and starts everything else as the cluster's: initialization scripts, the JVM of the
driver, and the master and workers of a standalone cluster. All of that is below it, because it
adopts orphans; when it leaves, nothing of the cluster is left. It leaves when it is asked to, or
when the driver's JVM or the master is gone, and says why in its folder.

The main thread starts and collects children. The start itself, watching and answering are threads.
"""

from __future__ import annotations

import os
import resource
import secrets
import shutil
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from quire.compute.children import Child, Children, Output
from quire.compute.diagnosis import explain_jvm_end
from quire.compute.driver_config import (
    DriverConfig,
    DriverEnding,
    DriverPhase,
    DriverStatus,
    EndingCause,
    SubmitTarget,
)
from quire.compute.driver_control import DriverRefused, serve
from quire.compute.driver_folder import DriverFolder, DriverIdentity
from quire.compute.driver_jvm import DriverJvm, JvmFailed
from quire.compute.init_scripts import ScriptFailed, run_scripts
from quire.compute.spark_conf import (
    cluster_environment,
    daemon_conf,
    driver_conf,
    expand_environment,
    write_configuration,
)
from quire.compute.spark_standalone import MasterNotStarted, Standalone
from quire.runner.diagnosis import oom_kills
from quire.runner.processes import adopt_orphans, descendants, kill_children, start_time

__all__ = ["main"]

_WATCH_SECONDS = 1.0
_LARGEST_OUTPUT_BYTES = 64 * 1024 * 1024
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class _Stopped(Exception):
    """The driver process is to leave while it still starts."""


class DriverProcess:
    """The one driver process that this process is."""

    def __init__(self, folder: DriverFolder, config: DriverConfig, base: Mapping[str, str]) -> None:
        """``base``: variables of the server that a cluster may know."""
        self._folder = folder
        self._config = config
        self._children = Children(config.user)
        self._environment = cluster_environment(base, config, folder)
        self._secret = secrets.token_hex(32) if config.is_standalone else None
        self._master_url = config.master or f"local[{config.cores}]"
        self._phase = DriverPhase.STARTING
        self._changed = threading.Condition()
        self._ending: DriverEnding | None = None
        self._grace_seconds = 0.0
        self._jvm: DriverJvm | None = None
        self._standalone: Standalone | None = None
        self._oom_kills = oom_kills()

    # -- life -------------------------------------------------------------------------------

    def run(self, listener: socket.socket) -> None:
        """Live until the cluster ends, then end all that belongs to it."""
        signal.signal(signal.SIGTERM, lambda *_: self._end(EndingCause.STOPPED, "It was stopped."))
        serve(listener, self._handle)
        threading.Thread(target=self._start, name="start", daemon=True).start()
        threading.Thread(target=self._watch, name="watch", daemon=True).start()
        self._children.run(until=self._is_over)
        self._leave()

    def _is_over(self) -> bool:
        if self._ending is None:
            for what, child in self._pillars():
                if child.ended.is_set():
                    self._explain(what, child)
        return self._ending is not None

    def _pillars(self) -> list[tuple[str, Child]]:
        """The processes without which there is no cluster, while nobody else waits for them."""
        pillars = []
        if self._phase is not DriverPhase.STARTING:
            if self._jvm is not None:
                pillars.append(("The driver's JVM", self._jvm.child))
            if self._standalone is not None and self._standalone.master is not None:
                pillars.append(("The Spark master", self._standalone.master))
        return pillars

    def _explain(self, what: str, child: Child) -> None:
        assert child.status is not None
        killed_for_memory = oom_kills() > self._oom_kills
        self._end(*explain_jvm_end(what, child.status, self._folder, killed_for_memory))

    def _end(self, cause: EndingCause, message: str) -> None:
        """Decide that the cluster ends; the first who says so is right."""
        with self._changed:
            if self._ending is not None:
                return
            at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            self._ending = DriverEnding(cause, message, at)
            self._phase = DriverPhase.STOPPING
            self._changed.notify_all()
        self._children.wake()

    def _leave(self) -> None:
        """End everything, first by asking and then without."""
        assert self._ending is not None
        give_up_at = time.monotonic() + self._grace_seconds
        jvm, standalone = self._jvm, self._standalone
        if jvm is not None and not jvm.child.ended.is_set():
            jvm.stop_context(max(0.0, give_up_at - time.monotonic()))
            jvm.child.close_stdin()
            self._await(jvm.child, give_up_at)
        if standalone is not None:
            standalone.terminate()
            if standalone.master is not None:
                self._await(standalone.master, give_up_at)
        kill_children()
        self._folder.clear()
        if self._folder.holder.is_dir():
            self._folder.write_ending(self._ending)

    def _await(self, child: Child, give_up_at: float) -> None:
        while not child.ended.is_set() and time.monotonic() < give_up_at:
            self._children.drain()
            child.ended.wait(0.01)

    # -- the start --------------------------------------------------------------------------

    def _start(self) -> None:
        try:
            self._come_up()
        except _Stopped:
            return
        except ScriptFailed as error:
            self._end(EndingCause.INIT_SCRIPT_FAILURE, str(error))
        except (JvmFailed, MasterNotStarted, OSError) as error:
            jvm = self._jvm
            if jvm is not None and jvm.child.ended.is_set():
                self._explain("The driver's JVM", jvm.child)
            self._end(EndingCause.STARTUP_FAILURE, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the cluster ends and says why
            traceback.print_exc()
            self._end(EndingCause.STARTUP_FAILURE, f"{type(error).__name__}: {error}")

    def _come_up(self) -> None:
        config, folder = self._config, self._folder
        if self._secret is not None:
            conf = daemon_conf(self._secret)
            write_configuration(folder.daemon_conf, conf, config.user)
        if config.init_scripts:
            self._enter(DriverPhase.INIT_SCRIPTS)
            self._run_scripts("driver", config.driver_environment)
        self._enter(DriverPhase.STARTING)
        if self._secret is not None:
            self._standalone = Standalone(
                self._children,
                folder,
                config,
                self._environment,
                self._secret,
                prepare_worker=self._prepare_worker,
            )
            self._standalone.start_master()
            self._master_url = self._standalone.url
        conf = driver_conf(config, folder, self._master_url, self._secret)
        write_configuration(folder.conf, conf, config.user, logs=folder.jvm_logs)
        if config.spark_context:
            self._jvm = DriverJvm.start(
                self._children,
                folder,
                Path(config.spark_home),
                expand_environment(self._environment, config.driver_environment),
            )
        if self._standalone is not None:
            self._standalone.set_workers(config.workers)
        if self._jvm is not None:
            self._jvm.wait()
            self._check()
            self._jvm.open_context()
        if self._standalone is not None:
            self._standalone.wait_for_workers()
        if config.warm and self._jvm is not None:
            self._enter(DriverPhase.WARMING)
            self._warm_up()
        self._enter(DriverPhase.READY)

    def _enter(self, phase: DriverPhase) -> None:
        with self._changed:
            self._check()
            self._phase = phase
            self._changed.notify_all()
        self._children.wake()

    def _check(self) -> None:
        if self._ending is not None:
            raise _Stopped

    def _run_scripts(self, role: str, environment: Mapping[str, str]) -> None:
        run_scripts(
            self._config,
            self._children,
            self._folder,
            expand_environment(self._environment, environment),
            role=role,
            is_over=lambda: self._ending is not None,
        )

    def _prepare_worker(self, number: int) -> None:
        try:
            self._run_scripts(f"worker-{number}", self._config.worker_environment)
        except ScriptFailed as error:
            # Also of a worker that comes later: the cluster is not what it was to be.
            self._end(EndingCause.INIT_SCRIPT_FAILURE, str(error))
            raise

    def _warm_up(self) -> None:
        """Do once what takes a JVM much longer the first time. A failure costs time and no more."""
        jvm = self._jvm
        assert jvm is not None
        assert jvm.gateway is not None
        libraries = Path(self._config.spark_home, "python", "lib").glob("*.zip")
        child = self._children.start(
            [self._environment["PYSPARK_PYTHON"], str(Path(__file__).with_name("warm_up.py"))],
            environment={
                **self._environment,
                "PYTHONPATH": ":".join(map(str, libraries)),
                "PYSPARK_GATEWAY_PORT": str(jvm.gateway.port),
                "PYSPARK_GATEWAY_SECRET": jvm.gateway.secret,
            },
            folder=self._folder.work,
            output=Output(self._folder.log, self._folder.log),
        )
        while not child.ended.wait(0.1):
            if self._ending is not None:
                child.kill_session()
                raise _Stopped

    # -- the watch --------------------------------------------------------------------------

    def _watch(self) -> None:
        """Look now and then at what gives no sign by itself."""
        while self._ending is None:
            with self._changed:
                self._changed.wait(_WATCH_SECONDS)
            try:
                self._look()
            except (JvmFailed, ScriptFailed):
                continue  # it is starting, busy or ending; its end is seen elsewhere
            except Exception:  # noqa: BLE001 - a defect in one look must not end the watch
                traceback.print_exc()

    def _look(self) -> None:
        if not self._folder.holder.is_dir():
            self._end(EndingCause.STOPPED, "Its folder was removed.")
        if self._config.lives_with is not None and not Path(self._config.lives_with).exists():
            self._end(EndingCause.STOPPED, "The server it belonged to was removed.")
        self._limit_outputs()
        if self._phase is not DriverPhase.READY:
            return
        jvm, standalone = self._jvm, self._standalone
        if jvm is not None and jvm.is_context_stopped():
            self._end(
                EndingCause.CONTEXT_STOPPED,
                "Spark was stopped in the driver, by a program or after an error of its own.",
            )
        if jvm is not None:
            jvm.release_abandoned()
        if jvm is not None and standalone is not None and standalone.most > standalone.least:
            wanted = jvm.wanted_executors()
            if wanted is not None:
                standalone.follow(wanted)

    def _limit_outputs(self) -> None:
        """Keep what is written to standard streams from filling the disk."""
        for path in self._folder.driver_logs.glob("std*"):
            if path.is_file() and path.stat().st_size > _LARGEST_OUTPUT_BYTES:
                shutil.copyfile(path, path.with_name(f"{path.name}.old"))
                os.truncate(path, 0)  # whoever writes there appends

    # -- what it is asked -------------------------------------------------------------------

    def _handle(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        what = request["do"]
        if what == "status":
            return {"status": self._status(jobs=bool(request.get("jobs", True))).to_json()}
        if what == "wait":
            return self._wait(float(request["seconds"]))
        if what == "stop":
            self._grace_seconds = float(request["grace_seconds"])
            self._end(EndingCause.STOPPED, str(request.get("message") or "It was stopped."))
            return {}
        if what == "submit_target":
            return self._submit_target()
        jvm = self._ready_jvm() if what != "set_workers" else None
        try:
            if what == "cancel_group":
                assert jvm is not None
                jvm.cancel_group(str(request["group"]), future=bool(request["future"]))
            elif what == "open_gateway":
                assert jvm is not None
                pid, started = request.get("owner") or (None, "")
                owner = (int(pid), str(started)) if pid is not None else None
                gateway = jvm.open_gateway(str(request["group"]), request["session_key"], owner)
                return {"gateway": asdict(gateway)}
            elif what == "release":
                assert jvm is not None
                jvm.release(str(request["group"]), keep=bool(request["keep"]))
            elif what == "add_jars":
                assert jvm is not None
                jvm.add_jars([str(path) for path in request["paths"]])
            elif what == "add_files":
                assert jvm is not None
                jvm.add_files([str(path) for path in request["paths"]])
            elif what == "set_workers":
                self._set_workers(int(request["workers"]), int(request["max_workers"]))
            else:
                raise DriverRefused(f"{what!r} is nothing a driver process does.")
        except JvmFailed as error:
            raise DriverRefused(str(error)) from error
        return {}

    def _status(self, *, jobs: bool) -> DriverStatus:
        jvm, standalone = self._jvm, self._standalone
        asks = jobs and jvm is not None and self._phase is DriverPhase.READY
        try:
            executors, running = (jvm.executors(), jvm.jobs()) if asks and jvm else ((), ())
        except JvmFailed:
            executors, running = (), ()  # its end, if it is one, is told by the phase
        return DriverStatus(
            phase=self._phase,
            gateway=jvm.gateway if jvm is not None and jvm.has_context else None,
            memory_bytes=_resident_bytes({os.getpid()} | descendants(os.getpid())),
            jvm_pid=jvm.child.pid if jvm is not None else None,
            workers=standalone.statuses() if standalone is not None else (),
            wanted_workers=standalone.count if standalone is not None else 0,
            executors=executors,
            jobs=running,
        )

    def _wait(self, seconds: float) -> Mapping[str, Any]:
        """Until it is ready or ends, at most so long."""
        settled = (DriverPhase.READY, DriverPhase.STOPPING)
        with self._changed:
            self._changed.wait_for(lambda: self._phase in settled, seconds)
        ending = self._ending
        return {
            "status": self._status(jobs=False).to_json(),
            "ending": ending.to_json() if ending is not None else None,
        }

    def _ready_jvm(self) -> DriverJvm:
        if self._jvm is None or not self._jvm.has_context:
            raise DriverRefused("This cluster has no Spark driver, or not yet.")
        return self._jvm

    def _set_workers(self, least: int, most: int) -> None:
        if self._standalone is None:
            raise DriverRefused("This cluster was started without workers.")
        try:
            self._standalone.set_bounds(least, most)
        except ScriptFailed as error:
            raise DriverRefused(str(error)) from error

    def _submit_target(self) -> Mapping[str, Any]:
        if self._phase is not DriverPhase.READY:
            raise DriverRefused("The cluster is not ready.")
        secret = {"spark.authenticate.secret": self._secret} if self._secret is not None else {}
        target = SubmitTarget(self._master_url, {"spark.authenticate": "true", **secret})
        return {"master": target.master, "conf": dict(target.conf)}


def _resident_bytes(pids: set[int]) -> int:
    total = 0
    for pid in pids:
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
        except (OSError, IndexError):
            continue  # it has just ended
    return total


def main() -> None:
    """Be a driver process. Arguments: its folder, and the descriptor of its control socket."""
    folder = DriverFolder(Path(sys.argv[1]))
    listener = socket.socket(fileno=int(sys.argv[2]))
    base = dict(os.environ)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.chdir("/")
    adopt_orphans()
    config = folder.read_config()
    assert config is not None
    pid = os.getpid()
    if config.user is not None:
        config = replace(config, user=config.user.of_process(pid))
    folder.write_identity(DriverIdentity(pid, start_time(pid) or ""))
    folder.furnish(config.user)
    DriverProcess(folder, config, base).run(listener)
    os._exit(0)
