"""JARs and spark-submit commands: real Spark, submitted by real runners."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quire.compute.java import find_java, write_launcher
from quire.compute.spark_home import find_spark
from quire.runner.protocol import Command
from tests.jar import MAIN_CLASS, store_in_repository
from tests.runner.conftest import Bench, Finished, Started, make_notebook

LOCATION = "dbfs:/jars/demo.jar"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that every user of the machine can read."""
    with tempfile.TemporaryDirectory(prefix="quire-submit-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.fixture(scope="module")
def target(folder: Path) -> dict[str, Any]:
    """Where programs are submitted, as a server says it."""
    return {
        "master": "local[2]",
        "conf": {"spark.sql.shuffle.partitions": "1"},
        "environment": {"FROM_CLUSTER": "yes"},
        "spark_home": str(find_spark().home),
        "java_home": str(write_launcher(find_java(), folder)),
        "driver_memory_bytes": 512 * 2**20,
        "executor_memory_bytes": 512 * 2**20,
        "cores": 2,
    }


@pytest.fixture
def ready(bench: Bench, target: dict[str, Any], demo_jar: Path) -> Bench:
    bench.sink.files = {LOCATION: demo_jar.read_bytes()}
    bench.sink.compute = [
        {"state": "pending", "message": ""},
        {"state": "ready", "message": "", "cause": None, "jars": [], "submit": target},
    ]
    return bench


def jar(*arguments: str, **fields: Any) -> dict[str, Any]:
    library = {"kind": "jar", "value": LOCATION, "repository": None, "exclusions": []}
    return {
        "kind": "jar",
        "main_class": MAIN_CLASS,
        "arguments": list(arguments),
        "jar": None,
        "libraries": [library],
        **fields,
    }


def submit(*words: str) -> dict[str, Any]:
    return {"kind": "submit", "arguments": list(words), "libraries": []}


def start(bench: Bench, task: dict[str, Any]) -> Started:
    return bench.start(make_notebook("what is shown"), task=task, compute={"state": "pending"})


def run(bench: Bench, task: dict[str, Any]) -> Finished:
    return start(bench, task).finish()


def test_a_jar_runs_on_spark(ready: Bench) -> None:
    started = start(ready, jar("john doe", "35"))
    ran = started.finish()
    assert ran.outcome == ("success", "completed"), ran.text(0, "stderr")
    assert ran.text(0) == "arguments john doe|35\nmaster local[2]\nsum 45\n"
    assert "INFO" not in ran.text(0, "stderr")
    assert started.attempt_id in ready.sink.released


def test_an_exception_of_a_jar_is_its_error(ready: Bench) -> None:
    ran = run(ready, jar("fail"))
    assert ran.outcome == ("failed", "program_failed")
    assert ran.finished["error"] == "java.lang.IllegalStateException: as asked"
    assert "demo.Main" in ran.finished["error_trace"]


def test_a_class_that_is_missing_and_a_jar_that_is(ready: Bench) -> None:
    ran = run(ready, jar(main_class="demo.Nothing"))
    assert ran.finished["error"] == "Failed to load class demo.Nothing."
    ran = run(ready, jar(jar="dbfs:/no.jar"))
    assert ran.outcome == ("internal_error", "file_missing")
    assert ran.finished["message"] == "Cannot read dbfs:/no.jar: it is not there."


def test_a_jar_from_a_maven_repository(ready: Bench, demo_jar: Path, folder: Path) -> None:
    coordinates = store_in_repository(demo_jar, folder / "repository")
    library = {
        "kind": "maven",
        "value": coordinates,
        "repository": (folder / "repository").as_uri(),
        "exclusions": ["org.slf4j:slf4j-api"],
    }
    ran = run(ready, jar("exit", libraries=[library]))
    assert ran.text(0).endswith("arguments exit\n"), ran.text(0, "stderr")
    assert ran.finished["message"] == "The program ended with exit code 7."


def start_sleeping(bench: Bench) -> tuple[Started, int]:
    """A JAR in a long Spark job, and the process of its JVM."""
    started = start(bench, jar("sleep"))
    started.wait_for(lambda event: "asleep" in event.get("output", {}).get("text", ""), 120)
    (pid,) = (each["kernel_pid"] for each in started.events if each["type"] == "started")
    return started, pid


def test_a_killed_jvm_is_told_with_its_signal(ready: Bench) -> None:
    started, pid = start_sleeping(ready)
    os.kill(pid, signal.SIGKILL)
    ran = started.finish()
    assert ran.outcome == ("failed", "program_died")
    assert ran.finished["message"] == "The program was killed by SIGKILL."
    assert "sum 45" in ran.text(0)


def test_cancel_ends_the_driver(ready: Bench) -> None:
    started, pid = start_sleeping(ready)
    ready.sink.commands[started.attempt_id] = Command.CANCEL
    os.kill(started.identity.pid, signal.SIGUSR1)
    ran = started.finish()
    assert ran.outcome == ("cancelled", "cancelled_by_user")
    assert not Path(f"/proc/{pid}").exists()


def test_spark_submit_of_a_python_file_with_the_servers_files(ready: Bench) -> None:
    ready.sink.files["workspace:/Shared/main.py"] = (
        b"import os, sys\n"
        b"import helper\n"
        b"from pyspark import SparkFiles\n"
        b"from pyspark.sql import SparkSession\n"
        b"spark = SparkSession.builder.getOrCreate()\n"
        b"print(sys.argv[1:], helper.NAME, os.environ['FROM_CLUSTER'])\n"
        b"print(open(SparkFiles.get('data.txt')).read())\n"
        b"print(spark.conf.get('spark.sql.shuffle.partitions'), spark.conf.get('spark.my.own'))\n"
        b"print(spark.sparkContext.getConf().get('spark.driver.memory'))\n"
    )
    ready.sink.files["dbfs:/helper.py"] = b"NAME = 'helper'"
    ready.sink.files["dbfs:/data.txt"] = b"data"
    ready.sink.files["dbfs:/more.conf"] = b"# mine\nspark.my.own   value\n"
    ran = run(
        ready,
        submit(
            *("--py-files", "dbfs:/helper.py", "--files", "dbfs:/data.txt"),
            *("--properties-file", "dbfs:/more.conf", "--driver-memory", "64g"),
            *("workspace:/Shared/main.py", "--master", "a b"),
        ),
    )
    assert ran.text(0).splitlines() == [
        "['--master', 'a b'] helper yes",
        "data",
        "1 value",
        "512m",
    ], ran.text(0, "stderr")


def test_spark_submit_without_anything_to_run(ready: Bench) -> None:
    ran = run(ready, submit("--class", "demo.Main"))
    assert ran.outcome == ("failed", "program_failed")
    assert "Missing application resource" in ran.finished["error"]
    ran = run(ready, submit())
    assert ran.finished["message"] == "spark-submit was given nothing to run."


def test_compute_that_is_not_to_be_had(ready: Bench) -> None:
    ready.sink.compute = [
        {"state": "failed", "cause": "cluster_failed", "message": "There is no memory for it."}
    ]
    ran = run(ready, jar())
    assert ran.outcome == ("internal_error", "cluster_failed")
    assert ran.finished["message"] == "There is no memory for it."
