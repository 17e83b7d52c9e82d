"""Real Spark for tests: where its parts are, drivers of a test's own, and one that all share.

A JVM takes seconds to start, so a test that needs no driver of its own takes the session's
(``spark_driver``). The fixtures are imported by ``tests/conftest.py``.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quire.compute.driver_config import DriverConfig, Gateway
from quire.compute.java import find_java, write_launcher
from quire.compute.spark_driver import SparkDriver
from quire.compute.spark_home import Spark, find_spark
from quire.placement.users import choose_user
from quire.runner.users import KernelUser
from quire.settings import Settings

__all__ = ["SparkPlace", "attach", "spark_driver", "spark_place", "until"]

_MIB = 1024 * 1024
_START_SECONDS = 240.0


class SparkPlace:
    """Where drivers of tests live: a folder that every user can pass, a Java, a Spark."""

    def __init__(self, root: Path) -> None:
        settings = Settings()
        self.root = root
        self.spark: Spark = find_spark()
        self.java_home = write_launcher(find_java(), root)
        self.user: KernelUser | None = choose_user(settings.kernel_user, settings.kernel_uid_base)

    def config(self, **options: Any) -> DriverConfig:
        """A small driver; options override what it is told."""
        small = DriverConfig(
            name="test",
            java_home=str(self.java_home),
            spark_home=str(self.spark.home),
            python=sys.executable,
            cores=2,
            driver_memory_bytes=512 * _MIB,
            executor_memory_bytes=512 * _MIB,
            spark_conf={"spark.sql.shuffle.partitions": "2"},
            user=self.user,
        )
        return replace(small, **options)

    @contextmanager
    def started(self, **options: Any) -> Iterator[SparkDriver]:
        """A driver process that has just been started, and is gone in the end."""
        driver = SparkDriver.start(self.config(**options), self.root)
        try:
            yield driver
        finally:
            driver.kill()
            driver.remove()

    @contextmanager
    def ready(self, **options: Any) -> Iterator[SparkDriver]:
        """A driver process that is ready."""
        with self.started(**options) as driver:
            driver.wait_ready(_START_SECONDS)
            yield driver


@pytest.fixture(scope="session")
def spark_place() -> Iterator[SparkPlace]:
    """Where drivers live; the folder goes with the test session."""
    with _place() as place:
        yield place


@contextmanager
def _place() -> Iterator[SparkPlace]:
    root = Path(tempfile.mkdtemp(prefix="quire-spark-"))
    root.chmod(0o711)
    try:
        yield SparkPlace(root)
    finally:
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def spark_driver() -> Iterator[SparkDriver]:
    """A driver without workers that lives as long as the test session. Leave it as it was.

    In a place of its own, where no test of sweeping comes by.
    """
    with _place() as place, place.ready() as driver:
        yield driver


@contextmanager
def attach(gateway: Gateway) -> Iterator[Any]:
    """A py4j connection as kernels have one; its ``entry_point`` is the Spark session."""
    from py4j.clientserver import ClientServer, JavaParameters, PythonParameters

    connection = ClientServer(
        java_parameters=JavaParameters(
            address=gateway.host,
            port=gateway.port,
            auth_token=gateway.secret,
            auto_convert=True,
        ),
        python_parameters=PythonParameters(port=0, eager_load=False),
    )
    try:
        yield connection
    finally:
        connection.close()


def until(condition: Callable[[], Any], seconds: float = 120.0) -> Any:
    """Look until a condition holds, and give what it gave; fails when that takes too long."""
    give_up_at = time.monotonic() + seconds
    pause = threading.Event()
    while not (found := condition()):
        assert time.monotonic() < give_up_at, "It did not come to that in time."
        pause.wait(0.05)
    return found


def is_gone(pid: int) -> bool:
    """Whether no process has the number, or only one that was not collected yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state in "ZX"


def processes_of(folder: Path) -> set[int]:
    """Every process that carries the mark of a driver's folder."""
    mark = f"QUIRE_DRIVER_FOLDER={folder}".encode()
    found = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                environment = Path(f"/proc/{name}/environ").read_bytes()
            except OSError:
                continue
            if mark in environment.split(b"\0"):
                found.add(int(name))
    return found
