"""Notebooks in real kernels on the test session's real driver."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from quire.compute.spark_driver import SparkDriver
from tests.quire_runtime.conftest import Kernel, starting
from tests.quire_runtime.served import serving

_NUMBERS = itertools.count(1)


def place(driver: SparkDriver, group: str, session_key: str | None = None) -> dict[str, Any]:
    """What a server says of a driver to one run."""
    gateway = driver.open_gateway(group, session_key)
    return {
        "host": gateway.host,
        "port": gateway.port,
        "secret": gateway.secret,
        "session_tag": session_key,
        "job_group": group,
        "spark_home": "/somewhere/spark",
        "environment": {},
    }


class Notebook(Kernel):
    """A kernel that is set up for a run with Spark."""

    group = ""


class Server:
    """A server that knows one answer at a time."""

    def __init__(self) -> None:
        self.answer: dict[str, Any] = {"state": "failed", "message": "Nothing yet.", "cause": None}
        self.pending = 0  # how many times it has to be asked first
        self.asked = 0
        self.url = ""
        self.app = FastAPI()

        @self.app.post("/internal/v1/runtime/spark")
        def spark() -> dict[str, Any]:
            self.asked += 1
            if self.asked <= self.pending:
                return {"state": "pending", "message": "", "cause": None, "spark": None}
            return self.answer


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    with serving(made.app) as url:
        made.url = url
        yield made


@contextmanager
def attached(driver: SparkDriver, **settings: Any) -> Iterator[Notebook]:
    """A notebook's kernel with a gateway of its own."""
    group = settings.pop("group", f"test-{next(_NUMBERS)}")
    session_key = settings.pop("session_key", None)
    with tempfile.TemporaryDirectory(prefix="quire-home-") as home:
        work = Path(home) / "work"
        work.mkdir()
        with starting(Path(home)) as kernel:
            kernel.__class__ = Notebook
            assert isinstance(kernel, Notebook)
            kernel.group = group
            compute = {
                "spark": place(driver, group, session_key),
                "cluster_id": "0101-000000-abcdefgh",
                "cluster_name": "mine",
                "spark_version": "15.4.x-scala2.13",
            }
            kernel.configure(
                {
                    "flavour": "databricks",
                    "home_dir": home,
                    "working_dir": str(work),
                    "compute": {**compute, **settings.pop("compute", {})},
                    **settings,
                }
            )
            try:
                yield kernel
            finally:
                driver.release(group)


@pytest.fixture(scope="module")
def notebook(spark_driver: SparkDriver) -> Iterator[Notebook]:
    """One for tests that leave nothing behind that others would mind."""
    with attached(spark_driver) as made:
        yield made


@pytest.fixture
def make_notebook(spark_driver: SparkDriver) -> Iterator[Callable[..., Notebook]]:
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(attached(spark_driver, **settings))
