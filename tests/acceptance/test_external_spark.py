"""Notebooks on a Spark that somebody else runs: a standalone master, a Spark Connect server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx2
import pytest

from tests.acceptance.databricks.conftest import wait_for_end
from tests.acceptance.servers import RunningServer, poll, running_server
from tests.spark import SparkPlace

_NOTEBOOK = """# Databricks notebook source
frame = spark.range(1000)
frame.createOrReplaceTempView("numbers")
print(frame.count(), spark.conf.get("spark.master", "connect"))
# COMMAND ----------
# MAGIC %sql select sum(id) from numbers
# COMMAND ----------
from pyspark.sql.functions import udf
total = int(_sqldf.first()[0])
twice = frame.limit(3).select(udf(lambda value: 2 * value, "long")("id"))
display(twice)
dbutils.notebook.exit(f"{total} {[row[0] for row in twice.collect()]}")
"""
_LONG = """# Databricks notebook source
import time
from pyspark.sql.functions import udf
wait = udf(lambda value: time.sleep(600) or value, "long")
print("begins", flush=True)
spark.range(1).select(wait("id")).collect()
"""


@contextmanager
def _program(spark: SparkPlace, said: str, *words: str) -> Iterator[str]:
    """A program of Spark's that runs as long as the context; what it says by way of ``said``."""
    with tempfile.TemporaryDirectory(prefix="quire-ext-", ignore_cleanup_errors=True) as folder:
        environment = {
            **os.environ,
            "SPARK_HOME": str(spark.spark.home),
            "JAVA_HOME": str(spark.java_home),
            "PYSPARK_PYTHON": sys.executable,
            "SPARK_WORKER_DIR": folder,
            "SPARK_LOCAL_IP": "127.0.0.1",
        }
        with subprocess.Popen(
            [str(spark.spark.home / "bin" / words[0]), *words[1:]],
            env=environment,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line)
                if found := re.search(said, line):
                    break
            else:
                pytest.fail("".join(lines))
            drain = threading.Thread(target=process.stdout.read, daemon=True)
            drain.start()
            try:
                yield found[1]
            finally:
                process.terminate()
                process.wait(60)
                drain.join(60)


@pytest.fixture(scope="module")
def connect_server(spark_place: SparkPlace) -> Iterator[str]:
    """Address of a Spark Connect server."""
    words = ("--class", "org.apache.spark.sql.connect.service.SparkConnectServer")
    conf = {
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": "0",
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "2",
    }
    settings = [word for name, value in conf.items() for word in ("--conf", f"{name}={value}")]
    with _program(
        spark_place,
        r"Spark Connect server started at: (\S+)",
        "spark-submit",
        *("--master", "local[2]", "--driver-memory", "512m"),
        *words,
        *settings,
        "spark-internal",
    ) as address:
        yield f"sc://{address}"


@pytest.fixture(scope="module")
def master(spark_place: SparkPlace) -> Iterator[str]:
    """Address of a standalone Spark with one worker."""
    place = "org.apache.spark.deploy"
    with ExitStack() as stack:
        url = stack.enter_context(
            _program(
                spark_place,
                r"Starting Spark master at (\S+)",
                *("spark-class", f"{place}.master.Master"),
                *("--host", "127.0.0.1", "--port", "0", "--webui-port", "0"),
            )
        )
        stack.enter_context(
            _program(
                spark_place,
                r"Successfully (registered) with master",
                *("spark-class", f"{place}.worker.Worker", "--host", "127.0.0.1"),
                *("--cores", "2", "--memory", "1g", "--webui-port", "0", url),
            )
        )
        yield url


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running_server() as server:
        yield server


@pytest.fixture(scope="module")
def http(server: RunningServer) -> Iterator[httpx2.Client]:
    headers = {"Authorization": f"Bearer {server.token}"}
    with httpx2.Client(base_url=f"{server.url}/api/2.0", headers=headers, timeout=60) as http:
        for name, source in (("n", _NOTEBOOK), ("long", _LONG)):
            http.post(
                "/workspace/import",
                data={"path": f"/Shared/{name}", "format": "SOURCE", "language": "PYTHON"},
                files={"content": source.encode()},
            ).raise_for_status()
        yield http


def _create(server: RunningServer, master: str, *words: str) -> str:
    return server.command(
        "cluster", "create", "elsewhere", "--owner", "admin", "--master", master, *words
    )


def _submit(http: httpx2.Client, notebook: str, cluster_id: str) -> int:
    body = {
        "existing_cluster_id": cluster_id,
        "notebook_task": {"notebook_path": f"/Shared/{notebook}"},
    }
    answer = http.post("/jobs/runs/submit", json=body)
    answer.raise_for_status()
    return int(answer.json()["run_id"])


def _get(http: httpx2.Client, what: str, run_id: int) -> dict[str, Any]:
    answer = http.get(f"/jobs/runs/{what}", params={"run_id": run_id})
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def _run(http: httpx2.Client, cluster_id: str) -> str:
    run_id = _submit(http, "n", cluster_id)
    state = wait_for_end(lambda: _get(http, "get", run_id))["state"]
    output = _get(http, "get-output", run_id)
    assert state.get("result_state") == "SUCCESS", output
    return str(output["notebook_output"]["result"])


def _log(server: RunningServer, http: httpx2.Client, run_id: int) -> str:
    return http.get(f"{server.url}/runs/{run_id}/log").text


def test_a_notebook_on_spark_connect(
    server: RunningServer, http: httpx2.Client, connect_server: str
) -> None:
    cluster_id = _create(server, connect_server)
    assert _run(http, cluster_id) == "499500 [0, 2, 4]"
    run_id = _submit(http, "long", cluster_id)
    poll(lambda: _log(server, http, run_id), lambda text: "begins" in text)
    http.post("/jobs/runs/cancel", json={"run_id": run_id}).raise_for_status()
    state = wait_for_end(lambda: _get(http, "get", run_id))["state"]
    assert state["result_state"] == "CANCELED"
    assert _run(http, cluster_id) == "499500 [0, 2, 4]"  # it has its workers back


def test_a_notebook_on_a_standalone_spark(
    server: RunningServer, http: httpx2.Client, master: str
) -> None:
    memory = ("--conf", "spark.executor.memory=512m", "--conf", "spark.sql.shuffle.partitions=2")
    cluster_id = _create(server, master, *memory)
    assert _run(http, cluster_id) == "499500 [0, 2, 4]"
