"""The JVM of a cluster's driver, as its driver process sees it: started, asked, ended.

Owns: the py4j gateway of the JVM and the SparkContext in it. Kernels attach to the same gateway on
their own. Nothing here needs PySpark; py4j comes with it.
"""

from __future__ import annotations

import os
import secrets
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from quire.compute.children import Child, Children, Output
from quire.compute.driver_config import ExecutorStatus, Gateway, SparkJob
from quire.compute.driver_doors import Doors, Owner
from quire.compute.driver_folder import DriverFolder

__all__ = ["DriverJvm", "JvmFailed"]

_HOST = "127.0.0.1"
_CONNECTION_VARIABLE = "_PYSPARK_DRIVER_CONN_INFO_PATH"
_LOOK_SECONDS = 0.02
_ANSWER_SECONDS = 2.0
_LONGEST_CONNECTION_FILE = 4096

_T = TypeVar("_T")


class JvmFailed(Exception):
    """The JVM did not do what it was asked. The message is its own, or says that it is gone."""


class DriverJvm:
    """A JVM with a py4j gateway, and with Spark in it after :meth:`open_context`."""

    def __init__(self, child: Child, connection_file: Path, spark_home: Path) -> None:
        self.child = child
        self.gateway: Gateway | None = None
        self._connection_file = connection_file
        self._spark_home = spark_home
        self._asking = threading.Lock()
        self._client: Any = None
        self._context: Any = None
        self._doors: Doors | None = None

    @classmethod
    def start(
        cls,
        children: Children,
        folder: DriverFolder,
        spark_home: Path,
        environment: Mapping[str, str],
    ) -> DriverJvm:
        """Start the JVM, which is of use after :meth:`wait`. Raises OSError."""
        connection_file = folder.temporary / f"gateway-{secrets.token_hex(8)}"
        child = children.start(
            [str(spark_home / "bin" / "spark-submit"), "pyspark-shell"],
            environment={
                **environment,
                "SPARK_CONNECT_MODE": "0",
                _CONNECTION_VARIABLE: str(connection_file),
            },
            folder=folder.work,
            output=Output(folder.driver_logs / "stdout", folder.driver_logs / "stderr"),
            # It ends itself when its input ends, which is when this process does.
            holds_stdin=True,
        )
        return cls(child, connection_file, spark_home)

    def wait(self) -> Gateway:
        """Wait until the gateway answers. Raises JvmFailed when the JVM ends before."""
        while not self._connection_file.exists():
            if self.child.ended.wait(_LOOK_SECONDS):
                raise JvmFailed(f"The driver's JVM did not start ({self.child.how}).")
        descriptor = os.open(self._connection_file, os.O_RDONLY | os.O_NOFOLLOW)
        with open(descriptor, "rb") as file:
            data = file.read(_LONGEST_CONNECTION_FILE)
        self._connection_file.unlink()
        port, length = struct.unpack_from(">ii", data)
        self.gateway = Gateway(_HOST, port, data[8 : 8 + length].decode())
        self._client = self._connect(self.gateway)
        return self.gateway

    def _connect(self, gateway: Gateway) -> Any:
        try:
            import py4j.java_gateway as py4j
        except ModuleNotFoundError:
            archives = sorted((self._spark_home / "python" / "lib").glob("py4j-*.zip"))
            sys.path.extend(map(str, archives))
            import py4j.java_gateway as py4j
        return py4j.JavaGateway(
            gateway_parameters=py4j.GatewayParameters(
                address=gateway.host, port=gateway.port, auth_token=gateway.secret
            )
        )

    def open_context(self) -> None:
        """Start Spark in the JVM. Raises JvmFailed with what Spark says when it does not start."""

        def make() -> None:
            builder = self._client.jvm.org.apache.spark.sql.classic.SparkSession.builder()
            session = builder.getOrCreate()
            self._doors = Doors(self._client, session, _HOST)
            self._context = session.sparkContext()

        self._ask(make)

    @property
    def has_context(self) -> bool:
        return self._context is not None

    def is_context_stopped(self) -> bool:
        """Whether Spark was stopped, or has given up, while the JVM goes on. Raises JvmFailed."""
        return self._context is not None and bool(self._ask(self._context.isStopped))

    def open_gateway(self, group: str, session_key: str | None, owner: Owner | None) -> Gateway:
        """A gateway for one user, the same when asked again. Raises JvmFailed."""
        return self._ask(lambda: self._opened().open(group, session_key, owner))

    def release(self, group: str, *, keep: bool) -> None:
        """End what a user runs, and unless ``keep`` its gateway too. Raises JvmFailed."""
        self._ask(lambda: self._opened().release(group, keep=keep))

    def release_abandoned(self) -> None:
        """Shut the gateways of owners that are gone. Raises JvmFailed."""
        self._ask(self._opened().release_abandoned)

    def cancel_group(self, group: str, *, future: bool) -> None:
        """End the jobs of a group; with ``future`` also those it starts later. Raises JvmFailed."""
        self._ask(lambda: self._opened().cancel(group, future=future))

    def _opened(self) -> Doors:
        if self._doors is None:
            raise JvmFailed("Spark has not started yet.")
        return self._doors

    def add_jars(self, paths: Iterable[str]) -> None:
        """Give driver and executors more classes. Raises JvmFailed."""

        def add() -> None:
            jvm = self._client.jvm
            loader = jvm.java.lang.Thread.currentThread().getContextClassLoader()
            for path in paths:
                self._check_readable(path)
                # What all sessions and the Scala shell look classes up in; Spark itself tells
                # executors only.
                loader.addURL(jvm.java.io.File(path).toURI().toURL())
                self._context.addJar(path)

        self._ask(add)

    def add_files(self, paths: Iterable[str]) -> None:
        """Give executors more files; Python files are imported there. Raises JvmFailed."""

        def add() -> None:
            for path in paths:
                self._check_readable(path)
                self._context.addFile(path)

        self._ask(add)

    def _check_readable(self, path: str) -> None:
        # Spark itself only notes it in its log.
        if not self._client.jvm.java.io.File(path).canRead():
            raise JvmFailed(f"The cluster's user cannot read {path}.")

    def jobs(self) -> tuple[SparkJob, ...]:
        """The jobs that run. Raises JvmFailed."""

        def read() -> tuple[SparkJob, ...]:
            jvm = self._client.jvm
            running = jvm.java.util.ArrayList()
            running.add(jvm.org.apache.spark.JobExecutionStatus.RUNNING)
            found = []
            for job in _each(self._context.statusStore().jobsList(running)):
                group = job.jobGroup()
                found.append(
                    SparkJob(
                        job.jobId(),
                        group.get() if group.isDefined() else None,
                        job.numActiveTasks(),
                    )
                )
            return tuple(found)

        return self._ask_in_turn(read)

    def executors(self) -> tuple[ExecutorStatus, ...]:
        """What runs tasks now. Raises JvmFailed."""

        def read() -> tuple[ExecutorStatus, ...]:
            return tuple(
                ExecutorStatus(
                    each.id(),
                    each.totalCores(),
                    each.activeTasks(),
                )
                for each in _each(self._context.statusStore().executorList(True))
            )

        return self._ask_in_turn(read)

    def wanted_executors(self) -> int | None:
        """How many executors Spark would like to have; None when it does not decide that."""

        def read() -> int | None:
            manager = self._context.executorAllocationManager()
            if not manager.isDefined():
                return None
            targets = manager.get().numExecutorsTargetPerResourceProfileId()
            return sum(int(target) for target in _each(targets.values().toSeq()))

        return self._ask_in_turn(read)

    def stop_context(self, timeout_seconds: float) -> None:
        """Stop Spark, waiting at most so long."""
        if self._context is None:
            return
        thread = threading.Thread(target=self._stop_context, name="stop", daemon=True)
        thread.start()
        thread.join(timeout_seconds)

    def _stop_context(self) -> None:
        try:
            self._ask(self._context.stop)
        except JvmFailed:
            return  # it is gone, which is what was wanted

    def _ask_in_turn(self, question: Callable[[], _T]) -> _T:
        """Ask unless another such question waits for a JVM that does not answer."""
        if not self._asking.acquire(timeout=_ANSWER_SECONDS):
            raise JvmFailed("The driver's JVM does not answer.")
        try:
            return self._ask(question)
        finally:
            self._asking.release()

    def _ask(self, question: Callable[[], _T]) -> _T:
        from py4j.protocol import Py4JError, Py4JJavaError

        try:
            return question()
        except Py4JJavaError as error:
            raise JvmFailed(_java_message(error)) from error
        except (Py4JError, OSError) as error:
            if self.child.ended.wait(_LOOK_SECONDS):
                raise JvmFailed(f"The driver's JVM is gone ({self.child.how}).") from error
            raise JvmFailed(f"The driver's JVM does not answer: {error}") from error


def _each(sequence: Any) -> Iterable[Any]:
    """The elements of a Scala ``Seq``."""
    return (sequence.apply(index) for index in range(sequence.size()))


def _java_message(error: Any) -> str:
    """The message of a Java exception and of what caused it, innermost last, without traces."""
    parts: list[str] = []
    cause = error.java_exception
    while cause is not None and len(parts) < 5:
        text = str(cause.toString())
        if not any(text in part for part in parts):
            parts.append(text)
        cause = cause.getCause()
    return "; caused by ".join(parts)
