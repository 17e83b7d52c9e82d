"""Clusters whose processes, or whose server, are killed in mid-job: right ends, and nothing left.

What a run was doing decides nothing here; each death strikes while a Spark job of the run goes on.
"""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.server import ServerProcess, notebook_of, wait_for

_CYCLES = 50


def _processes(place: Path) -> list[psutil.Process]:
    """What belongs to clusters of this place: driver processes and all that they started."""
    mark = str(place / "data-spark" / "driver-")
    found = []
    for process in psutil.process_iter():
        try:
            told = process.environ().get("QUIRE_DRIVER_FOLDER", "")
            if told.startswith(mark) or any(mark in word for word in process.cmdline()):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def _victim(place: Path, kind: str) -> psutil.Process:
    """The driver's JVM, the driver process, or a worker."""
    words = {"jvm": "pyspark-shell", "driver": "driver_main", "worker": "deploy.worker.Worker"}
    (found,) = (
        process
        for process in _processes(place)
        if any(words[kind] in word for word in process.cmdline())
        and (kind == "driver" or process.name() == "java")
    )
    return found


def _create(server: ServerProcess, workers: int = 0, **fields: Any) -> str:
    answer = server.ask(
        "POST",
        "/api/2.0/clusters/create",
        cluster_name="faults",
        spark_version="15.4.x-scala2.12",
        num_workers=workers,
        **fields,
    )
    return str(answer["cluster_id"])


def _cluster(server: ServerProcess, cluster_id: str) -> dict[str, Any]:
    return server.ask("GET", "/api/2.0/clusters/get", cluster_id=cluster_id)


def _await(server: ServerProcess, cluster_id: str, *states: str) -> None:
    wait_for(
        f"cluster {cluster_id} to be {' or '.join(states)}",
        lambda: _cluster(server, cluster_id)["state"] in states,
    )


def _job(place: Path, seconds: float) -> str:
    """A notebook with a Spark job that takes so long, and says when it is under way."""
    return notebook_of(
        f"""
import os
def work(_):
    import time
    open({str(place / "shared" / "working")!r}, "w").close()
    time.sleep({seconds})
    return 1
print(os.getpid(), file=open({str(place / "shared" / "kernel")!r}, "w"))
total = spark.sparkContext.parallelize([0], 1).map(work).sum()
dbutils.notebook.exit(str(total))
"""
    )


def _begin(server: ServerProcess, place: Path, cluster_id: str, seconds: float) -> int:
    """A run that is in the middle of its Spark job."""
    for name in ("working", "kernel"):
        (place / "shared" / name).unlink(missing_ok=True)
    server.put_notebook("/Shared/job", _job(place, seconds))
    answer = server.ask(
        "POST",
        "/api/2.0/jobs/runs/submit",
        existing_cluster_id=cluster_id,
        notebook_task={"notebook_path": "/Shared/job"},
    )
    run_id = int(answer["run_id"])

    def at_work() -> bool:
        state = server.run(run_id)["state"]
        assert state["life_cycle_state"] in ("PENDING", "RUNNING"), state
        return (place / "shared" / "working").exists()

    wait_for("the Spark job to be under way", at_work)
    return run_id


def _check_works(server: ServerProcess, place: Path, cluster_id: str) -> None:
    run_id = _begin(server, place, cluster_id, 0)
    state = server.wait_for_end(run_id)["state"]
    assert state.get("result_state") == "SUCCESS", state
    assert server.output(run_id)["notebook_output"]["result"] == "1"


def _check_nothing_left(server: ServerProcess, place: Path, cluster_id: str) -> None:
    server.ask("POST", "/api/2.0/clusters/delete", cluster_id=cluster_id)
    _await(server, cluster_id, "TERMINATED")
    assert _processes(place) == []
    assert list((place / "data-spark").glob("driver-*")) == []


def _strike(server: ServerProcess, place: Path, cluster_id: str, kind: str) -> None:
    """One death in mid-job, and what has to follow."""
    outlives = kind in ("server", "worker")
    run_id = _begin(server, place, cluster_id, 2 if outlives else 600)
    if kind == "server":
        server.kill()
        server.start()
    elif kind == "kernel":
        os.kill(int((place / "shared" / "kernel").read_text()), signal.SIGKILL)
    else:
        _victim(place, kind).kill()
    state = server.wait_for_end(run_id)["state"]
    if outlives:
        assert state.get("result_state") == "SUCCESS", (kind, state)
    elif kind == "kernel":
        assert state["life_cycle_state"] == "TERMINATED", state
        assert "killed by SIGKILL" in state["state_message"]
    else:
        assert (state["life_cycle_state"], state["result_state"]) == ("INTERNAL_ERROR", "FAILED")
        assert f"The Spark driver of cluster {cluster_id} died" in state["state_message"], state


def test_deaths_in_mid_job(server: ServerProcess, place: Path) -> None:
    cluster_id = _create(server)
    for kind in ("jvm", "kernel", "server"):
        _strike(server, place, cluster_id, kind)
        _check_works(server, place, cluster_id)
    types = [
        event["type"]
        for event in server.ask("POST", "/api/2.0/clusters/events", cluster_id=cluster_id)["events"]
    ]
    assert types.count("DRIVER_UNAVAILABLE") == 1
    _check_nothing_left(server, place, cluster_id)


def test_a_server_killed_while_a_cluster_starts_and_ends(
    server: ServerProcess, place: Path
) -> None:
    script = place / "init.sh"
    script.write_text("echo begun\n")
    script.chmod(0o644)
    # A cluster with a script starts its driver at once.
    cluster_id = _create(server, init_scripts=[{"file": {"destination": str(script)}}])
    wait_for("its driver process", lambda: _processes(place))
    server.kill()
    server.start()
    _await(server, cluster_id, "RUNNING")
    folders = list((place / "data-spark").glob("driver-*"))
    assert len(folders) == 1
    server.ask("POST", "/api/2.0/clusters/delete", cluster_id=cluster_id)
    server.kill()
    server.start()
    _await(server, cluster_id, "TERMINATED")
    assert _processes(place) == []
    assert list((place / "data-spark").glob("driver-*")) == []


@pytest.mark.whole
def test_fifty_deaths_leave_nothing(server: ServerProcess, place: Path) -> None:
    dice = random.Random(50)
    cluster_id = _create(server, workers=1)
    _await(server, cluster_id, "RUNNING")
    _check_works(server, place, cluster_id)
    files = psutil.Process(server.pid).num_fds()
    for number in range(_CYCLES):
        kind = dice.choice(("jvm", "driver", "worker", "kernel", "server"))
        _strike(server, place, cluster_id, kind)
        # More than three deaths in ten minutes end a cluster for good; a start counts anew.
        if _cluster(server, cluster_id)["state"] in ("ERROR", "TERMINATING"):
            _await(server, cluster_id, "ERROR")
            server.ask("POST", "/api/2.0/clusters/start", cluster_id=cluster_id)
        _await(server, cluster_id, "RUNNING")
        assert len(list((place / "data-spark").glob("driver-*"))) <= 1, (number, kind)
        print(f"{number}: {kind}")
    _check_works(server, place, cluster_id)
    assert psutil.Process(server.pid).num_fds() < files + 20
    _check_nothing_left(server, place, cluster_id)
