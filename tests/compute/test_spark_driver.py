"""Driver processes: real JVMs, their doors, and every way in which they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from quire.compute.driver_config import DriverConfig, DriverPhase, EndingCause, ScriptFile
from quire.compute.spark_driver import (
    DriverFailed,
    DriverGone,
    DriverRefused,
    SparkDriver,
    remove_strangers,
    spark_root,
)
from quire.runner.processes import descendants, start_time
from quire.settings import Settings
from tests.spark import SparkPlace, attach, is_gone, processes_of, until

# A Python function whose worker leaves a process behind that has made itself independent.
_STRAY_PROGRAM = """
import os, subprocess, sys
from pyspark import SparkConf, SparkContext
from pyspark.java_gateway import launch_gateway
from pyspark.sql import SparkSession
from pyspark.sql.functions import udf
gateway = launch_gateway()
java = gateway.jvm.JavaSparkContext.fromSparkContext(gateway.entry_point.sparkContext())
context = SparkContext(gateway=gateway, jsc=java, conf=SparkConf(_jconf=java.getConf()))
session = SparkSession(context, gateway.entry_point)
def stray(number):
    environment = {} if number else dict(os.environ)
    process = subprocess.Popen(["setsid", "sleep", "600"], env=environment)
    return [process.pid, os.getpid(), os.getppid(), os.getuid()]
strays = session.range(0, 2, 1, 2).select(udf(stray, "array<int>")("id").alias("pids"))
print([row.pids for row in strays.collect()])
"""

_LONG_QUERY = "select count(*) from range(0, 1000000000000000, 1, 2) where id % 7 = 3"

_WAITS = ScriptFile("waits", b"sleep 600")


def _run_strays(driver: SparkDriver) -> list[list[int]]:
    """For each of two tasks: its stray, its worker, the workers' daemon, and their user."""
    gateway = driver.open_gateway("strays")
    done = subprocess.run(
        [sys.executable, "-c", _STRAY_PROGRAM],
        env={
            **os.environ,
            "PYSPARK_GATEWAY_PORT": str(gateway.port),
            "PYSPARK_GATEWAY_SECRET": gateway.secret,
            "PYSPARK_PYTHON": sys.executable,
        },
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: list[list[int]] = json.loads(done.stdout)
    return found


# -- a driver that lives --------------------------------------------------------------------


def test_a_driver_tells_what_it_is(spark_driver: SparkDriver) -> None:
    status = spark_driver.status()
    assert status.phase is DriverPhase.READY
    assert status.gateway == spark_driver.gateway()
    assert status.workers == ()
    assert [executor.cores for executor in status.executors] == [2]
    assert status.memory_bytes > 100 * 1024 * 1024
    assert status.jvm_pid in descendants(spark_driver.pid)
    assert spark_driver.submit_target().master == "local[2]"
    assert spark_driver.alive()


def test_each_user_has_a_session_of_its_own_unless_it_is_shared(spark_driver: SparkDriver) -> None:
    gateways = [
        spark_driver.open_gateway("one"),
        spark_driver.open_gateway("two", "tag"),
        spark_driver.open_gateway("three", "tag"),
    ]
    assert spark_driver.open_gateway("one") == gateways[0]
    assert len({(gateway.port, gateway.secret) for gateway in gateways}) == 3
    with attach(gateways[0]) as one, attach(gateways[1]) as two, attach(gateways[2]) as three:
        two.entry_point.range(3).createOrReplaceTempView("numbers")
        assert three.entry_point.table("numbers").count() == 3
        assert not one.entry_point.catalog().tableExists("numbers")
        assert two.entry_point.sparkContext().appName() == "test"
    for name in ("one", "two", "three"):
        spark_driver.release(name)


def test_a_door_is_shut_with_the_process_it_was_made_for(spark_driver: SparkDriver) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as owner:
        identity = (owner.pid, start_time(owner.pid) or "")
        gateway = spark_driver.open_gateway("owned", None, identity)
        with attach(gateway) as connection:
            assert connection.entry_point.range(3).count() == 3
        assert spark_driver.open_gateway("owned", None, identity) == gateway
        owner.communicate()
    until(lambda: spark_driver.open_gateway("owned") != gateway)
    spark_driver.release("owned")


def test_a_released_door_is_shut_and_its_jobs_are_ended(spark_driver: SparkDriver) -> None:
    gateway = spark_driver.open_gateway("busy")
    with attach(gateway) as connection:
        failures: list[BaseException] = []

        def compute() -> None:
            session = connection.entry_point
            session.sparkContext().setJobGroup("busy", "a long one", True)
            try:
                session.sql(_LONG_QUERY).collectAsList()
            except Exception as error:  # noqa: BLE001 - which one is what the test is about
                failures.append(error)

        thread = threading.Thread(target=compute)
        thread.start()
        job = until(lambda: [job for job in spark_driver.status().jobs if job.group == "busy"])[0]
        until(lambda: spark_driver.status().jobs[0].active_tasks == 2)
        spark_driver.release("busy", keep=True)
        thread.join(60)
        assert "cancelled" in str(failures[0])
        assert job.id not in [each.id for each in spark_driver.status().jobs]
        until(lambda: spark_driver.status().executors[0].active_tasks == 0)
        assert connection.entry_point.range(2).count() == 2
        spark_driver.release("busy")
        spark_driver.release("busy")
        with pytest.raises(Exception, match=r"[Cc]onnect|Answer from Java side is empty"):
            connection.entry_point.version()


def test_classes_come_to_a_driver_that_runs(spark_driver: SparkDriver, demo_jar: Path) -> None:
    with attach(spark_driver.open_gateway("jar")) as connection:
        find = connection.jvm.java.lang.Class.forName
        loader = connection.jvm.java.lang.Thread.currentThread().getContextClassLoader()
        with pytest.raises(Exception, match="ClassNotFoundException"):
            find("demo.Main", False, loader)
        spark_driver.add_jars([str(demo_jar)])
        assert find("demo.Main", False, loader).getName() == "demo.Main"
        assert "demo.jar" in connection.entry_point.sparkContext().listJars().mkString()
    spark_driver.release("jar")


def test_a_driver_refuses_what_it_cannot_do(spark_driver: SparkDriver) -> None:
    with pytest.raises(DriverRefused, match="without workers"):
        spark_driver.set_workers(2)
    with pytest.raises(DriverRefused, match=r"cannot read /nowhere/at/all\.jar"):
        spark_driver.add_jars(["/nowhere/at/all.jar"])


def test_the_server_that_started_it_is_not_needed(spark_place: SparkPlace) -> None:
    """Killed in mid-start; what it left is adopted, and killed with all that it had."""
    program = (
        "import json, os, signal, sys\n"
        "from pathlib import Path\n"
        "from quire.compute.spark_driver import DriverConfig, SparkDriver\n"
        "config = DriverConfig.from_json(json.loads(sys.argv[1]))\n"
        "driver = SparkDriver.start(config, Path(sys.argv[2]))\n"
        "print(driver.folder, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    config = json.dumps(spark_place.config().to_json())
    server = subprocess.run(
        [sys.executable, "-c", program, config, str(spark_place.root)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    folder = Path(server.stdout.strip())
    driver = until(lambda: SparkDriver.adopt(folder))
    assert isinstance(driver, SparkDriver)
    assert driver.config == spark_place.config()
    driver.wait_ready(240)
    strays = _run_strays(driver)
    processes = {pid for each in strays for pid in each[:3]} | processes_of(folder)

    os.kill(driver.pid, signal.SIGKILL)

    until(lambda: not driver.alive())
    assert driver.settle().cause is EndingCause.KILLED
    assert [pid for pid in processes if not is_gone(pid)] == _survivors(driver, strays)
    assert processes_of(folder) == set()
    with pytest.raises(DriverGone):
        driver.status()
    assert SparkDriver.adopt(folder) is None
    assert not (folder / "conf").exists()
    remove_strangers(spark_place.root, [])
    assert not folder.exists()


def _survivors(driver: SparkDriver, strays: list[list[int]]) -> list[int]:
    """Of a cluster without a user of its own, what has shed every mark cannot be told apart."""
    own_user = os.geteuid() == 0
    survivors = [] if own_user else [strays[1][0]]
    for pid in survivors:
        os.kill(pid, signal.SIGKILL)
    return survivors


def test_the_jvm_takes_everything_with_it(spark_place: SparkPlace) -> None:
    with spark_place.ready(name="doomed") as driver:
        strays = _run_strays(driver)
        processes = {pid for each in strays for pid in each[:3]} | processes_of(driver.folder)
        if os.geteuid() == 0:
            assert {each[3] for each in strays} == {1_000_000_000 + driver.pid}
        jvm = driver.status().jvm_pid
        assert jvm is not None
        # The secrets of its configuration are nobody else's to read.
        conf = driver.folder / "conf" / "spark-defaults.conf"
        assert conf.stat().st_mode & 0o077 == 0
        assert driver.folder.joinpath("holder").stat().st_mode & 0o077 == 0

        os.kill(jvm, signal.SIGKILL)

        until(lambda: not driver.alive())
        ending = driver.settle()
        assert (ending.cause, ending.message) == (
            EndingCause.CRASHED,
            "The driver's JVM died (killed by SIGKILL).",
        )
        assert [pid for pid in processes if not is_gone(pid)] == []
        assert not (driver.folder / "work").exists()
        assert "driver/stderr" in driver.logs.log_names()
        assert driver.kill() == ending


def test_a_stopped_context_ends_a_warm_driver(spark_place: SparkPlace) -> None:
    with spark_place.started(
        warm=True,
        environment={"GREETING": "hello $GREETED", "GREETED": "never", "HOME": "/nowhere"},
    ) as driver:
        gateway = driver.wait_ready(240)
        assert gateway is not None
        with attach(driver.open_gateway("stops")) as connection:
            variables = connection.jvm.java.lang.System.getenv()
            assert variables["GREETING"] == "hello "
            assert variables["HOME"] == str(driver.folder / "work")
            context = connection.entry_point.sparkContext()
            assert context.getConf().get("spark.scheduler.mode") == "FAIR"
            # The warm-up has run: jobs before any of ours.
            assert context.statusTracker().getJobIdsForGroup(None)
            context.stop()
        until(lambda: not driver.alive())
        assert driver.settle().cause is EndingCause.CONTEXT_STOPPED


@pytest.mark.parametrize(
    ("options", "cause", "message"),
    [
        (
            {"init_scripts": (ScriptFile("set up.sh", b"echo words; echo more >&2; exit 3"),)},
            EndingCause.INIT_SCRIPT_FAILURE,
            "Initialization script set up.sh failed (driver: exit code 3). words\nmore",
        ),
        (
            {"spark_conf": {"spark.driver.memory": "1m"}},
            EndingCause.CRASHED,
            "The driver's JVM died (exit code 1). Error occurred during initialization of VM "
            "Too small maximum heap",
        ),
        (
            {"spark_conf": {"spark.scheduler.mode": "NONSENSE"}},
            EndingCause.STARTUP_FAILURE,
            "NONSENSE",
        ),
    ],
    ids=["a script fails", "the JVM does not start", "Spark does not start"],
)
def test_a_start_that_fails_says_why(
    spark_place: SparkPlace, options: dict[str, Any], cause: EndingCause, message: str
) -> None:
    with spark_place.started(**options) as driver:
        with pytest.raises(DriverFailed) as failed:
            driver.wait_ready(240)
        until(lambda: not driver.alive())
        assert driver.settle() == failed.value.ending
        assert failed.value.ending.cause is cause
        assert message in failed.value.ending.message
        assert processes_of(driver.folder) == set()


def test_one_that_starts_can_be_stopped(spark_place: SparkPlace) -> None:
    with spark_place.started(init_scripts=(_WAITS,)) as driver:
        until(lambda: driver.status().phase is DriverPhase.INIT_SCRIPTS)
        with pytest.raises(TimeoutError):
            driver.wait_ready(0.1)
        with pytest.raises(DriverRefused, match="no Spark driver"):
            driver.cancel_group("any")
        ending = driver.stop(5, "Enough.")
        assert (ending.cause, ending.message) == (EndingCause.STOPPED, "Enough.")
        assert processes_of(driver.folder) == set()


def test_one_whose_folder_is_removed_ends_itself(spark_place: SparkPlace) -> None:
    with spark_place.started(init_scripts=(_WAITS,)) as driver:
        until(lambda: driver.status().phase is DriverPhase.INIT_SCRIPTS)
        driver.remove()
        until(lambda: not driver.alive())
        assert processes_of(driver.folder) == set()


def test_one_whose_server_is_removed_ends_itself(spark_place: SparkPlace, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    with spark_place.started(init_scripts=(_WAITS,), lives_with=str(data_dir)) as driver:
        until(lambda: driver.status().phase is DriverPhase.INIT_SCRIPTS)
        data_dir.rmdir()
        until(lambda: not driver.alive())
        assert driver.settle().message == "The server it belonged to was removed."
        assert processes_of(driver.folder) == set()


# -- without a JVM --------------------------------------------------------------------------


def test_logs_are_read_without_following_links(spark_place: SparkPlace) -> None:
    script = ScriptFile("links", b"ln -s /etc/passwd $HOME/../logs/driver/jvm/other.log")
    with spark_place.started(init_scripts=(script,)) as driver:
        until(lambda: "driver/other.log" in driver.logs.log_names())
        driver.kill()
        with pytest.raises(OSError, match="symbolic links"):
            driver.logs.open_log("driver/other.log")
        assert driver.logs.log_tail("driver/other.log") == ""
        assert "init_scripts/driver-1-links.stdout.log" in driver.logs.log_names()


def test_a_folder_that_never_was_a_drivers_is_not_adopted(tmp_path: Path) -> None:
    assert SparkDriver.adopt(tmp_path / "none") is None


def test_configs_survive_storing() -> None:
    config = DriverConfig(
        name="n",
        java_home="/j",
        spark_home="/s",
        python="/p",
        workers=2,
        spark_conf={"a": "b"},
        init_scripts=(ScriptFile("x", b"\x00\xff"),),
        jars=("/a.jar",),
    )
    assert DriverConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_a_warm_driver_fits_who_wants_the_same() -> None:
    config = DriverConfig(name="warm", java_home="/j", spark_home="/s", python="/p", warm=True)
    wanted = DriverConfig(name="mine", java_home="/j", spark_home="/s", python="/p")
    other = DriverConfig(name="mine", java_home="/j", spark_home="/s", python="/p", jars=("/a",))
    assert config.fits(wanted)
    assert not config.fits(other)


def test_the_folder_of_drivers_may_be_named(tmp_path: Path) -> None:
    assert spark_root(Settings(spark_dir=str(tmp_path / "here"))) == tmp_path / "here"
    chosen = spark_root(Settings(data_dir=tmp_path))
    assert chosen == spark_root(Settings(data_dir=tmp_path))
    assert chosen.stat().st_mode & 0o777 == 0o711
    chosen.rmdir()
