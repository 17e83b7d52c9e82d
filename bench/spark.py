"""A notebook's first Spark job: on a cluster that lives, and by a kernel with its own Spark."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from bench import notebooks
from bench.measures import Row, Sizes, percentile, processes_of
from bench.memory import pss_bytes
from bench.server import ServerProcess, running_server
from quire.compute.java import find_java, write_launcher
from quire.compute.spark_driver import remove_strangers

__all__ = ["measure_spark"]

_MIB = 1024 * 1024
_PAUSE_SECONDS = 0.3  # between runs whose latency is measured
_SETTLE_SECONDS = 3.0  # far longer than the job takes
_SESSION = """\
from pyspark.sql import SparkSession
spark = SparkSession.builder.master("local[*]").config("spark.ui.enabled", "false").getOrCreate()
"""

# Starts a kernel as a Jupyter server would, and tells how long it took to the end of the job; its
# own imports do not count. Then the memory of what it started.
_COLD = """
import json, sys, time
import psutil
from jupyter_client.manager import start_new_kernel
began = time.perf_counter()
manager, client = start_new_kernel(kernel_name="python3")
try:
    reply = client.execute_interactive(sys.argv[1], timeout=300, output_hook=lambda _: None)
    seconds = time.perf_counter() - began
    assert reply["content"]["status"] == "ok", reply["content"]
    started = psutil.Process().children(recursive=True)
    print(json.dumps({"seconds": seconds, "pids": [each.pid for each in started]}), flush=True)
    sys.stdin.readline()
finally:
    client.stop_channels()
    manager.shutdown_kernel(now=True)
"""


def measure_spark(folder: Path, sizes: Sizes) -> list[Row]:
    """Submit to terminated of a one-job notebook, over HTTP, with the driver up; and the peer."""
    spark_dir = folder / "spark"
    settings = {"QUIRE_SPARK_DIR": str(spark_dir)}
    try:
        with running_server(folder / "spark-data", settings) as server:
            ours, own = _measure_ours(server, spark_dir, sizes.spark_runs)
    finally:
        remove_strangers(spark_dir, [])
    cold, theirs = _measure_cold(folder, sizes.spark_peer_runs)
    ratio = cold / ours
    return [
        Row(
            "second Spark notebook on a live cluster, p50",
            f"{ours * 1000:.0f} ms",
            f"cold kernel with its own Spark: {cold:.2f} s",
            f"{ratio:.1f} ×",
            "≥ 12 ×",
            ratio >= 12,
        ),
        Row(
            "memory of a notebook that has used Spark, PSS",
            f"{own[0]:.0f} MB + {own[1]:.0f} MB driver, shared",
            f"{theirs:.0f} MB",
            "",
            "",
            None,
        ),
    ]


def _measure_ours(
    server: ServerProcess, spark_dir: Path, runs: int
) -> tuple[float, tuple[float, float]]:
    """Seconds of a run, and megabytes of its kernel and runner and of what all runs share."""
    client = server.client()
    path = client.store("spark", notebooks.one_job())
    for _ in range(3):  # the first starts the driver; a JVM gets faster for a while
        client.wait(client.submit(path))
    seconds = []
    for _ in range(runs):
        time.sleep(_PAUSE_SECONDS)
        began = time.perf_counter()
        client.wait(client.submit(path))
        seconds.append(time.perf_counter() - began)
    path = client.store("spark_sleeps", notebooks.one_job(then_sleep=600))
    run_id = client.submit(path)
    try:
        while client.get("jobs/runs/get", run_id=run_id)["state"]["life_cycle_state"] != "RUNNING":
            time.sleep(0.02)
        time.sleep(_SETTLE_SECONDS)
        (pair,) = processes_of(server.data_dir, [run_id])
        own, shared = pss_bytes(pair) / _MIB, pss_bytes(_driver_processes(spark_dir)) / _MIB
    finally:
        client.post("jobs/runs/cancel", run_id=run_id)
    return percentile(seconds, 50), (own, shared)


def _driver_processes(spark_dir: Path) -> Iterator[int]:
    mark = f"QUIRE_DRIVER_FOLDER={spark_dir}".encode()
    for process in psutil.process_iter():
        try:
            environment = Path(f"/proc/{process.pid}/environ").read_bytes()
        except OSError:
            continue
        if any(each.startswith(mark) for each in environment.split(b"\0")):
            yield process.pid


def _measure_cold(folder: Path, runs: int) -> tuple[float, float]:
    """Seconds from a kernel's start to the end of its first job, and megabytes of all of it."""
    java_home = write_launcher(find_java(), folder)
    found = []
    for _ in range(runs):
        with _cold(java_home, folder) as (seconds, memory):
            found.append((seconds, memory))
    return (
        statistics.median(seconds for seconds, _ in found),
        statistics.median(memory for _, memory in found),
    )


@contextmanager
def _cold(java_home: Path, folder: Path) -> Iterator[tuple[float, float]]:
    with subprocess.Popen(
        [sys.executable, "-c", _COLD, _SESSION + notebooks.SPARK_JOB],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=folder,
        env={**os.environ, "JAVA_HOME": str(java_home), "SPARK_LOCAL_IP": "127.0.0.1"},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        answer = process.stdout.readline()
        if not answer:
            raise RuntimeError("the cold kernel with a Spark of its own failed")
        told = json.loads(answer)
        yield told["seconds"], pss_bytes(told["pids"]) / _MIB
        process.stdin.close()
