"""A standalone Spark cluster on this machine: a master and workers, as children of one process.

Owns: their ports, their readiness, their coming and going, and the restart of workers that die. A
master that dies takes the cluster with it: its applications cannot go on without it.
"""

from __future__ import annotations

import http.client
import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quire.compute.children import Child, Children, Output
from quire.compute.driver_config import DriverConfig, WorkerStatus
from quire.compute.driver_folder import DriverFolder
from quire.compute.spark_conf import page_token

__all__ = ["MasterNotStarted", "Standalone"]

_HOST = "127.0.0.1"
_MIB = 1024 * 1024
_LEAST_OVERHEAD_BYTES = 384 * _MIB  # of a JVM beyond its heap, as Spark reckons
_START_SECONDS = 90.0
_LOOK_SECONDS = 0.1
_ATTEMPTS = 3
_ANSWER_SECONDS = 5.0
_LEAVE_SECONDS = 10.0
_SHORTEST_RESTART_SECONDS = 0.5
_LONGEST_RESTART_SECONDS = 30.0


class MasterNotStarted(Exception):
    """The master, or its first workers, did not come up; the message says why."""


@dataclass
class _Worker:
    number: int
    child: Child
    port: int
    restarts: int = 0


class Standalone:
    """The master and workers of one cluster."""

    def __init__(
        self,
        children: Children,
        folder: DriverFolder,
        config: DriverConfig,
        environment: Mapping[str, str],
        secret: str,
        *,
        prepare_worker: Callable[[int], None],
    ) -> None:
        """``secret``: what the parts of the cluster know each other by.

        ``prepare_worker`` is called before a worker first starts, with its number.
        """
        self._children = children
        self._folder = folder
        self._config = config
        self._environment = {**environment, "SPARK_CONF_DIR": str(folder.daemon_conf)}
        self._headers = {"Authorization": f"Bearer {page_token(secret)}"}
        self._prepare = prepare_worker
        self._changing = threading.Lock()  # one change of the workers at a time
        self._workers: dict[int, _Worker] = {}
        self._numbers = 0
        self._closing = threading.Event()
        self._master: Child | None = None
        self._port = 0
        self._web_port = 0
        self.least = config.workers
        self.most = max(config.workers, config.max_workers)

    @property
    def url(self) -> str:
        """The address of the master."""
        return f"spark://{_HOST}:{self._port}"

    @property
    def master(self) -> Child | None:
        return self._master

    # -- start and end ----------------------------------------------------------------------

    def start_master(self) -> None:
        """Start the master and wait until it answers. Raises MasterNotStarted."""
        how = "never tried"
        for _ in range(_ATTEMPTS):
            self._port, self._web_port = _free_ports(2)
            arguments = ["--host", _HOST, "--port", str(self._port)]
            master = self._start_daemon(
                "master.Master", [*arguments, "--webui-port", str(self._web_port)], "master", {}
            )
            if self._wait_for_master(master):
                self._master = master
                return
            # Somebody else may have taken the port between its choice and its use.
            how = master.how
            master.kill_session()
            if self._closing.is_set():
                break
        raise MasterNotStarted(f"The Spark master did not start ({how}).")

    def _wait_for_master(self, master: Child) -> bool:
        give_up_at = time.monotonic() + _START_SECONDS
        while time.monotonic() < give_up_at and not self._closing.is_set():
            state = self._ask_master()
            if state is not None and state.get("url") == self.url and state["status"] == "ALIVE":
                return True
            if master.ended.wait(_LOOK_SECONDS):
                return False
        return False

    def close(self) -> None:
        """Start and wait for nothing any more; what runs is ended by who holds the children."""
        self._closing.set()

    def terminate(self) -> None:
        """Ask all of them to leave."""
        self.close()
        for worker in list(self._workers.values()):
            worker.child.signal(signal.SIGTERM)
        if self._master is not None:
            self._master.signal(signal.SIGTERM)

    # -- workers ----------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """How many workers there are."""
        return len(self._workers)

    def set_bounds(self, least: int, most: int) -> None:
        """How many workers there are to be. Raises OSError, and what preparing one does."""
        self.least, self.most = least, max(least, most)
        self.set_workers(min(max(self.count, self.least), self.most))

    def follow(self, wanted: int) -> None:
        """Let workers come and go with the executors that Spark wants. Raises as above.

        Only workers without an executor go: Spark lets go of those it does not need by itself.
        """
        target = min(max(wanted, self.least), self.most)
        if target < self.count:
            target = max(target, self.count - self._idle_workers())
        if target != self.count:
            self.set_workers(target)

    def set_workers(self, count: int) -> None:
        """Start or end workers until there are so many. Raises OSError, and what preparing does."""
        with self._changing:
            while len(self._workers) < count and not self._closing.is_set():
                self._add_worker()
            surplus = len(self._workers) - count
            if surplus > 0:
                self._remove_workers(surplus)

    def wait_for_workers(self) -> None:
        """Wait until the master knows all workers. Raises MasterNotStarted when it does not."""
        give_up_at = time.monotonic() + _START_SECONDS
        while self._registered() < set(self._workers) and not self._closing.is_set():
            if time.monotonic() > give_up_at:
                raise MasterNotStarted("Not all workers came up in time.")
            self._closing.wait(_LOOK_SECONDS)

    def statuses(self) -> tuple[WorkerStatus, ...]:
        """The workers as they stand."""
        known = self._known_workers()
        return tuple(
            WorkerStatus(
                worker.number,
                worker.child.pid,
                (found := known.get(worker.port)) is not None,
                int(found["coresused"]) // self._config.worker_cores if found else 0,
                worker.restarts,
            )
            for worker in sorted(self._workers.values(), key=lambda each: each.number)
        )

    def _add_worker(self) -> None:
        self._numbers += 1
        number = self._numbers
        self._prepare(number)
        worker = _Worker(number, *self._launch(number))
        self._workers[number] = worker
        threading.Thread(target=self._keep, args=(worker,), name="worker", daemon=True).start()

    def _keep(self, worker: _Worker) -> None:
        """Start a worker again whenever it has ended, until it is to leave."""
        pause = _SHORTEST_RESTART_SECONDS
        while True:
            started_at = time.monotonic()
            worker.child.ended.wait()
            worker.child.kill_session()  # executors go with their worker
            if time.monotonic() - started_at > _LONGEST_RESTART_SECONDS:
                pause = _SHORTEST_RESTART_SECONDS
            if worker.number not in self._workers or self._closing.wait(pause):
                return
            pause = min(pause * 2, _LONGEST_RESTART_SECONDS)
            with self._changing:
                if worker.number not in self._workers:
                    return
                worker.restarts += 1
                worker.child, worker.port = self._launch(worker.number)

    def _launch(self, number: int) -> tuple[Child, int]:
        config = self._config
        overhead = max(_LEAST_OVERHEAD_BYTES, config.executor_memory_bytes // 10)
        memory = (config.executor_memory_bytes + overhead) // _MIB
        port, web_port = _free_ports(2)
        name = f"worker-{number}"
        child = self._start_daemon(
            "worker.Worker",
            [
                *("--host", _HOST, "--port", str(port), "--webui-port", str(web_port)),
                *("--cores", str(config.worker_cores), "--memory", f"{memory}m"),
                *("--work-dir", str(self._folder.executor_logs / name), self.url),
            ],
            name,
            config.worker_environment,
        )
        return child, port

    def _remove_workers(self, count: int) -> None:
        """End the workers with the fewest executors, the youngest first."""
        known = self._known_workers()

        def burden(worker: _Worker) -> tuple[int, int]:
            found = known.get(worker.port)
            return (int(found["coresused"]) if found else 0, -worker.number)

        for worker in sorted(self._workers.values(), key=burden)[:count]:
            del self._workers[worker.number]
            worker.child.signal(signal.SIGTERM)
            if not worker.child.ended.wait(_LEAVE_SECONDS):
                worker.child.kill_session()

    def _idle_workers(self) -> int:
        """How many workers have no executor."""
        known = self._known_workers()
        busy = {port for port, found in known.items() if int(found["coresused"]) > 0}
        return sum(1 for worker in self._workers.values() if worker.port not in busy)

    # -- the master's word ------------------------------------------------------------------

    def _registered(self) -> set[int]:
        known = self._known_workers()
        return {worker.number for worker in self._workers.values() if worker.port in known}

    def _known_workers(self) -> dict[int, dict[str, Any]]:
        """Workers the master counts as alive, by port."""
        state = self._ask_master()
        workers = state["workers"] if state is not None else []
        return {each["port"]: each for each in workers if each["state"] == "ALIVE"}

    def _ask_master(self) -> dict[str, Any] | None:
        connection = http.client.HTTPConnection(_HOST, self._web_port, timeout=_ANSWER_SECONDS)
        try:
            connection.request("GET", "/json/", headers=self._headers)
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
        except (OSError, ValueError, http.client.HTTPException):
            return None  # not up yet, or gone
        finally:
            connection.close()
        return answer

    def _start_daemon(
        self, kind: str, arguments: list[str], name: str, environment: Mapping[str, str]
    ) -> Child:
        home = Path(self._config.spark_home)
        logs = self._folder.driver_logs
        return self._children.start(
            [str(home / "bin" / "spark-class"), f"org.apache.spark.deploy.{kind}", *arguments],
            environment={**self._environment, **environment},
            folder=self._folder.work,
            output=Output(logs / f"stdout-{name}", logs / f"stderr-{name}"),
        )


def _free_ports(count: int) -> list[int]:
    """Ports nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((_HOST, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
