"""Standalone clusters: a real master and real workers that come, go, die and come back."""

from __future__ import annotations

import http.client
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from quire.compute.driver_config import EndingCause, ScriptFile, WorkerStatus
from quire.compute.spark_driver import SparkDriver
from quire.runner.processes import descendants
from tests.spark import SparkPlace, attach, processes_of, until

_TASKS = 4
_QUERY = "select count(*) from range(0, 4000, 1, 4)"
# Long enough for something to happen to it, on any machine.
_LONG_QUERY = "select count(*) from range(0, 2000000000, 1, 4) where id % 7 = 3"
_LONG_ANSWER = 285714286
_ENDLESS_QUERY = "select count(*) from range(0, 1000000000000000, 1, 4) where id % 7 = 3"


@pytest.fixture(scope="module")
def cluster(spark_place: SparkPlace) -> Iterator[SparkDriver]:
    script = ScriptFile("role.sh", b"echo $ROLE $LABEL")
    with spark_place.ready(
        workers=2,
        init_scripts=(script,),
        environment={"LABEL": "label of $ROLE"},
        driver_environment={"ROLE": "driver"},
        worker_environment={"ROLE": "worker"},
    ) as driver:
        yield driver


def _registered(driver: SparkDriver) -> list[WorkerStatus]:
    return [worker for worker in driver.status().workers if worker.is_registered]


def _ask(driver: SparkDriver, query: str) -> int:
    with attach(driver.open_gateway("asks")) as connection:
        connection.entry_point.sparkContext().setJobGroup("asks", "", True)
        answer: int = connection.entry_point.sql(query).first().getLong(0)
        return answer


def test_workers_do_the_work(cluster: SparkDriver) -> None:
    status = cluster.status()
    assert [(each.number, each.is_registered) for each in status.workers] == [(1, True), (2, True)]
    assert status.wanted_workers == 2
    assert _ask(cluster, _QUERY) == 4000
    executors = {each.id: each.cores for each in cluster.status().executors}
    assert executors.pop("driver") == 0
    assert set(executors.values()) == {1}
    assert cluster.submit_target().master.startswith("spark://127.0.0.1:")
    names = cluster.logs.log_names()
    assert any(name.startswith("executor/worker-") and name.endswith("/stderr") for name in names)


def test_scripts_run_for_each_of_them(cluster: SparkDriver) -> None:
    said = {
        role: cluster.logs.log_tail(f"init_scripts/{role}-1-role.sh.stdout.log")
        for role in ("driver", "worker-1", "worker-2")
    }
    # What the environment of all refers to is settled before a role's own is added.
    assert said == {"driver": "driver label of\n", "worker-1": "worker label of\n"} | {
        "worker-2": "worker label of\n"
    }


def test_its_doors_are_locked(cluster: SparkDriver) -> None:
    """Other users of the machine see no page, and there is no REST door to submit by."""
    ports = {
        connection.laddr.port
        for pid in descendants(cluster.pid)
        for connection in psutil.Process(pid).net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert ports
    assert 6066 not in ports
    answers = [_page_status(port) for port in ports]
    assert answers.count(403) == 3  # the master's page and those of two workers
    assert 200 not in answers


def _page_status(port: int) -> int | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/json/")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None  # speaks something else
    finally:
        connection.close()


def test_a_worker_that_is_killed_comes_back_and_nothing_is_lost(cluster: SparkDriver) -> None:
    answers: list[Any] = []

    def compute() -> None:
        answers.append(_ask(cluster, _LONG_QUERY))

    thread = threading.Thread(target=compute)
    thread.start()
    until(lambda: any(job.active_tasks for job in cluster.status().jobs))
    victim = next(each for each in cluster.status().workers if each.executors)
    below = descendants(victim.pid)
    os.kill(victim.pid, signal.SIGKILL)
    until(lambda: not below & descendants(cluster.pid))
    until(lambda: [each.restarts for each in _registered(cluster)].count(1) == 1)
    thread.join(200)
    assert answers == [_LONG_ANSWER]
    assert victim.pid not in [each.pid for each in cluster.status().workers]


def test_workers_are_taken_and_given(cluster: SparkDriver) -> None:
    cluster.set_workers(1)
    assert len(cluster.status().workers) == 1
    assert _ask(cluster, _QUERY) == 4000
    cluster.set_workers(1, 2)  # from here on they follow the work
    assert len(cluster.status().workers) == 1
    ends: list[str] = []

    def compute() -> None:
        try:
            _ask(cluster, _ENDLESS_QUERY)
        except Exception as error:  # noqa: BLE001 - which one is what the test is about
            ends.append(str(error))

    thread = threading.Thread(target=compute)
    thread.start()
    until(lambda: len(_registered(cluster)) == 2)
    until(lambda: sum(each.executors for each in _registered(cluster)) == 2)
    cluster.release("asks", keep=True)  # its door stays open for the answer
    thread.join(200)
    assert "cancelled" in ends[0]
    cluster.release("asks")
    cluster.set_workers(2)


def test_the_master_takes_everything_with_it(cluster: SparkDriver) -> None:
    own = descendants(cluster.pid)
    (master,) = (
        each.pid
        for each in psutil.process_iter(["cmdline"])  # None for one that ends just now
        if each.pid in own
        and "org.apache.spark.deploy.master.Master" in (each.info["cmdline"] or ())
    )
    os.kill(master, signal.SIGKILL)
    until(lambda: not cluster.alive())
    ending = cluster.settle()
    assert ending.cause is EndingCause.CRASHED
    assert ending.message == "The Spark master died (killed by SIGKILL)."
    assert processes_of(cluster.folder) == set()
