"""Starts clusters' drivers on this machine: specs become what driver processes are told.

Implements :class:`quire.compute.launcher.Launcher` over :mod:`quire.compute.spark_driver`. Java and
Spark are looked for when the first driver is wanted, so that a server without either runs, too.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import sys
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import structlog

from quire.compute.driver_config import DriverConfig, EndingCause, ScriptFile
from quire.compute.driver_config import DriverPhase as ProcessPhase
from quire.compute.driver_folder import DriverFolder
from quire.compute.java import find_java, write_launcher
from quire.compute.launcher import (
    Driver,
    DriverPhase,
    DriverPlan,
    DriverReport,
    SparkGateway,
    SubmitTarget,
)
from quire.compute.models import Cluster, ClusterCause, ClusterSource, DriverRecord
from quire.compute.spark_driver import (
    DriverGone,
    DriverRefused,
    SparkDriver,
    remove_strangers,
    spark_root,
)
from quire.compute.spark_home import find_spark
from quire.errors import InvalidState, Unavailable
from quire.placement.base import RunnerIdentity
from quire.placement.users import choose_user
from quire.settings import Settings

__all__ = ["LocalLauncher"]

_LOG = structlog.get_logger(__name__)
_PHASES = {
    ProcessPhase.INIT_SCRIPTS: "Running initialization scripts.",
    ProcessPhase.STARTING: "Starting Spark.",
    ProcessPhase.WARMING: "Starting Spark.",
}
_CAUSES = {
    EndingCause.OUT_OF_MEMORY: ClusterCause.OUT_OF_MEMORY,
    EndingCause.INIT_SCRIPT_FAILURE: ClusterCause.INIT_SCRIPT_FAILURE,
    EndingCause.STARTUP_FAILURE: ClusterCause.SPARK_STARTUP_FAILURE,
}
_GRACE_SECONDS = 5.0
_BUSY = (DriverRefused, TimeoutError)


class LocalDriver:
    """A driver process of this machine. Implements :class:`quire.compute.launcher.Driver`."""

    def __init__(self, process: SparkDriver) -> None:
        self._process = process
        self._ending: DriverReport | None = None
        self._jars: set[str] = set()  # given to it by this server
        self._lock = threading.Lock()

    @property
    def folder(self) -> Path:
        return self._process.folder

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def started(self) -> str:
        return self._process.started

    def alive(self) -> bool:
        return self._process.alive()

    def report(self) -> DriverReport:
        """How it is; asks a living one, which takes a moment."""
        try:
            if self._process.alive():
                return self._ask()
        except DriverGone:
            pass
        except _BUSY as error:
            return DriverReport(DriverPhase.STARTING, message=str(error))
        return self._ended()

    def _ask(self) -> DriverReport:
        status = self._process.status()
        if status.phase is ProcessPhase.STOPPING:
            return DriverReport(DriverPhase.ENDING)
        ready = status.phase is ProcessPhase.READY
        return DriverReport(
            DriverPhase.READY if ready else DriverPhase.STARTING,
            workers=sum(1 for worker in status.workers if worker.is_registered),
            message=_PHASES.get(status.phase, ""),
            lost_workers=sum(worker.restarts for worker in status.workers),
        )

    def _ended(self) -> DriverReport:
        with self._lock:
            if self._ending is None:
                ending = self._process.settle()
                cause = _CAUSES.get(ending.cause, ClusterCause.DRIVER_UNREACHABLE)
                message = ending.message.rstrip(".")
                self._ending = DriverReport(DriverPhase.GONE, cause=cause, message=message)
            return self._ending

    def gateway(
        self, group: str, session_key: str | None, kernel: RunnerIdentity | None = None
    ) -> SparkGateway:
        """A door for one user of it, the same when asked again. Raises Unavailable."""
        owner = (kernel.pid, kernel.started) if kernel is not None else None
        with _reachable():
            found = self._process.open_gateway(group, session_key, owner)
            config = self._process.config
        if config is None:
            raise Unavailable("The Spark driver is gone.")
        return SparkGateway(
            found.host, found.port, found.secret, config.spark_home, config.java_home
        )

    def add_jars(self, paths: Sequence[str]) -> None:
        """Give it and its executors more classes; those it has already are passed over.

        Raises Unavailable, InvalidState when it cannot read one.
        """
        with self._lock:
            missing = [path for path in paths if path not in self._jars]
        if not missing:
            return
        try:
            self._process.add_jars(missing)
        except (DriverGone, TimeoutError) as error:
            raise Unavailable(f"The Spark driver does not answer: {error}") from error
        except DriverRefused as error:
            raise InvalidState(str(error)) from error
        with self._lock:
            self._jars.update(missing)

    def release(self, group: str, *, keep: bool = False) -> None:
        """Cancel what one user runs and shut its door, unless ``keep``. Again is no error."""
        with contextlib.suppress(DriverGone, *_BUSY):
            self._process.release(group, keep=keep)

    def submit_target(self) -> SubmitTarget:
        """Where programs of runs on it are submitted. Raises Unavailable."""
        with _reachable():
            target = self._process.submit_target()
            config = self._process.config
        if config is None:
            raise Unavailable("The Spark driver is gone.")
        return _submit_target(config, target.master, target.conf)

    def set_workers(self, least: int, most: int) -> None:
        """Have workers between these numbers, which come and go as needed; takes effect later."""

        def ask() -> None:
            # Waits for workers that leave, and runs the scripts of those that come.
            with contextlib.suppress(DriverGone, *_BUSY):
                self._process.set_workers(least, most if most > least else 0)

        threading.Thread(target=ask, name="resize", daemon=True).start()

    def stop(self) -> None:
        """Ask it to end; returns at once."""
        with contextlib.suppress(DriverGone, *_BUSY):
            self._process.request_stop(_GRACE_SECONDS)

    def kill(self) -> None:
        """End it and all that belongs to it; returns when nothing of it is left."""
        self._process.kill()

    def log_names(self) -> Sequence[str]:
        return self._process.logs.log_names()

    def open_log(self, name: str) -> BinaryIO:
        return self._process.logs.open_log(name)

    def remove(self) -> None:
        """Remove its folder, logs too."""
        self._process.remove()


class LocalLauncher:
    """Starts drivers on this machine. Implements :class:`quire.compute.launcher.Launcher`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._claim: int | None = None
        self._warm: list[tuple[DriverConfig, SparkDriver]] = []
        self._lock = threading.Lock()

    @cached_property
    def _root(self) -> Path:
        return spark_root(self._settings)

    @cached_property
    def host(self) -> str:
        """Names the place whose processes and folders these are."""
        status = os.stat(self._settings.data_dir)
        return f"{socket.gethostname()}:{status.st_dev:x}-{status.st_ino:x}"

    def claim(self) -> bool:
        """Whether this server is the one that looks after drivers here; others wait for it."""
        if self._claim is not None:
            return True
        descriptor = os.open(
            self._settings.data_dir / "clusters.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._claim = descriptor
        return True

    def start(self, plan: DriverPlan) -> Driver:
        """Start a driver, or take a warm one; returns before it is ready."""
        config = self._config(plan)
        with self._lock:
            for index, (held, process) in enumerate(self._warm):
                if process.alive() and held.fits(config):
                    del self._warm[index]
                    return LocalDriver(process)
        return LocalDriver(SparkDriver.start(config, self._root))

    def adopt(self, record: DriverRecord) -> Driver:
        """The driver that is or was in a folder, dead or alive."""
        return LocalDriver(
            SparkDriver(DriverFolder(Path(record.folder)), record.pid, record.started)
        )

    def local_target(self, plan: DriverPlan) -> SubmitTarget:
        """Where programs are submitted that need no driver. Raises Unavailable."""
        config = self._config(plan)
        return _submit_target(config, f"local[{config.cores}]", {})

    def sweep(self, known: Collection[Path]) -> None:
        """End and remove drivers whose folder is not known."""
        with self._lock:
            warm = [process.folder for _, process in self._warm]
        remove_strangers(self._root, [*known, *warm])

    def keep_warm(self, number: int) -> None:
        """Have so many drivers of the usual kind ready, which :meth:`start` may take."""
        with self._lock:
            self._warm = [(held, process) for held, process in self._warm if process.alive()]
            missing = number - len(self._warm)
        for _ in range(missing):
            try:
                config = self._usual()
                process = SparkDriver.start(config, self._root)
            except Exception as error:  # noqa: BLE001 - told, and tried again in the next round
                _LOG.warning("clusters.not_warm", error=str(error))
                return
            with self._lock:
                self._warm.append((config, process))

    def close(self) -> None:
        """Let go of what no cluster uses. Drivers of clusters go on."""
        with self._lock:
            warm, self._warm = self._warm, []
        for _, process in warm:
            process.kill()
            process.remove()
        if self._claim is not None:
            with contextlib.suppress(OSError):
                self._root.rmdir()  # nothing was ever started in it
            os.close(self._claim)
            self._claim = None

    # -- what drivers are told --------------------------------------------------------------

    @cached_property
    def _base(self) -> DriverConfig:
        """What all drivers here have in common. Raises Unavailable, Unsupported."""
        settings = self._settings
        spark = find_spark()
        return DriverConfig(
            name="Quire",
            java_home=str(write_launcher(find_java(settings.java_home), self._root)),
            spark_home=str(spark.home),
            python=sys.executable,
            cores=os.cpu_count() or 1,
            driver_memory_bytes=settings.spark_driver_memory_bytes,
            executor_memory_bytes=settings.spark_executor_memory_bytes,
            driver_host=settings.spark_driver_host or None,
            lives_with=str(settings.data_dir),
            user=choose_user(settings.kernel_user, settings.kernel_uid_base),
        )

    def _usual(self) -> DriverConfig:
        """What a cluster gets that asks for nothing in particular."""
        return replace(self._base, warm=True)

    def _config(self, plan: DriverPlan) -> DriverConfig:
        spec, cluster = plan.cluster.spec, plan.cluster
        roles = _role_environment(cluster) if plan.scripts else {}
        return replace(
            self._base,
            name=spec.name or cluster.id,
            cores=spec.driver_cores or self._base.cores,
            workers=plan.workers if spec.master is None else 0,
            max_workers=(
                plan.most_workers if spec.master is None and spec.autoscale is not None else 0
            ),
            worker_cores=spec.executor_cores or 1,
            master=spec.master,
            driver_memory_bytes=plan.driver_memory_bytes,
            executor_memory_bytes=plan.executor_memory_bytes,
            spark_conf=dict(spec.spark_conf),
            environment=dict(spec.environment),
            driver_environment={**roles, "DB_IS_DRIVER": "TRUE"} if roles else {},
            worker_environment={**roles, "DB_IS_DRIVER": "FALSE"} if roles else {},
            init_scripts=tuple(ScriptFile(name, content) for name, content in plan.scripts),
            spark_context=spec.has_application,
        )


def _role_environment(cluster: Cluster) -> dict[str, str]:
    """What initialization scripts are told (Databricks contract 2.9)."""
    job = cluster.source is ClusterSource.JOB
    return {
        "DB_CLUSTER_ID": cluster.id,
        "DB_CLUSTER_NAME": cluster.spec.name,
        "DB_CONTAINER_IP": "127.0.0.1",
        "DB_DRIVER_IP": "127.0.0.1",
        "DB_INSTANCE_TYPE": "local",
        "DB_IS_JOB_CLUSTER": "TRUE" if job else "FALSE",
    }


def _submit_target(config: DriverConfig, master: str, conf: Mapping[str, str]) -> SubmitTarget:
    return SubmitTarget(
        master=master,
        conf={**config.spark_conf, **conf},
        environment=dict(config.environment),
        spark_home=config.spark_home,
        java_home=config.java_home,
        driver_memory_bytes=config.driver_memory_bytes,
        executor_memory_bytes=config.executor_memory_bytes,
        cores=config.cores,
    )


@contextlib.contextmanager
def _reachable() -> Iterator[None]:
    """Says of a driver that does not answer that it is not available."""
    try:
        yield
    except (DriverGone, *_BUSY) as error:
        raise Unavailable(f"The Spark driver does not answer: {error}") from error
