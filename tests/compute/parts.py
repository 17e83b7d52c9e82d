"""Clusters whose drivers do what the test says: for what hangs on time and failure."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from quire.clock import ManualClock
from quire.compute.clusters import Clusters
from quire.compute.launcher import (
    DriverPhase,
    DriverPlan,
    DriverReport,
    SparkGateway,
    SubmitTarget,
)
from quire.compute.libraries import LibraryState, LibraryStatus
from quire.compute.logs import LogDelivery
from quire.compute.manager import ClusterManager
from quire.compute.models import (
    Cluster,
    ClusterCause,
    ClusterEventType,
    ClusterSpec,
    ClusterState,
    Compute,
    DriverRecord,
    InitScript,
    Library,
)
from quire.compute.uses import Answer, ClusterUses, Prepared, UseRequest
from quire.engine.models import RunRequest
from quire.engine.run_compute import RunCompute
from quire.errors import InvalidState, NotFound, Unavailable
from quire.identity.models import Principal
from quire.ids import AttemptId
from quire.placement.base import RunnerIdentity
from quire.store import runs as run_rows
from quire.store.blobs import BlobStore
from quire.store.database import Database
from tests.engine.parts import ACCEPTED, STARTED, Parts, definition

GIB = 1024**3
_SETTINGS = {"cluster_memory_bytes": 16 * GIB, "max_cluster_workers": 8}


class ScriptedDriver:
    """A driver that is as the test says it is."""

    def __init__(self, folder: Path, pid: int, plan: DriverPlan) -> None:
        self.folder = folder
        self.pid = pid
        self.started = f"t{pid}"
        self.plan = plan
        self.present = DriverReport(DriverPhase.STARTING)
        self.doors: dict[str, str | None] = {}
        self.kernels: dict[str, RunnerIdentity | None] = {}
        self.released: list[tuple[str, bool]] = []
        self.asked_workers: list[tuple[int, int]] = []
        self.asked_to_stop = False
        self.killed = False
        self.removed = False
        self.stubborn = False  # does not go when asked to
        self.log = b""
        self.jars: list[str] = []
        self.unreadable = ""

    def alive(self) -> bool:
        return self.present.phase is not DriverPhase.GONE

    def report(self) -> DriverReport:
        return self.present

    def gateway(
        self, group: str, session_key: str | None, kernel: RunnerIdentity | None = None
    ) -> SparkGateway:
        if self.present.phase is not DriverPhase.READY:
            raise Unavailable("gone")
        self.doors[group] = session_key
        self.kernels[group] = kernel
        return SparkGateway("127.0.0.1", 4000 + len(self.doors), "s", "/spark", "/java")

    def add_jars(self, paths: Sequence[str]) -> None:
        if self.unreadable in paths:
            raise InvalidState(f"The cluster's user cannot read {self.unreadable}.")
        self.jars += [path for path in paths if path not in self.jars]

    def release(self, group: str, *, keep: bool = False) -> None:
        self.released.append((group, keep))

    def submit_target(self) -> SubmitTarget:
        return SubmitTarget("spark://here:1", {}, {}, "/spark", "/java", GIB, GIB, 1)

    def set_workers(self, least: int, most: int) -> None:
        self.asked_workers.append((least, most))

    def stop(self) -> None:
        self.asked_to_stop = True
        if not self.stubborn:
            self.present = DriverReport(DriverPhase.GONE)

    def kill(self) -> None:
        self.killed = True
        if self.alive():
            self.present = DriverReport(DriverPhase.GONE)

    def log_names(self) -> list[str]:
        return ["driver/stdout", "driver/rolled-over"]

    def open_log(self, name: str) -> BinaryIO:
        if name != "driver/stdout":
            raise FileNotFoundError(name)
        return io.BytesIO(self.log)

    def remove(self) -> None:
        self.removed = True

    # -- what the test says -----------------------------------------------------------------

    def come_up(self, workers: int | None = None) -> None:
        number = self.plan.workers if workers is None else workers
        self.present = DriverReport(DriverPhase.READY, workers=number)

    def die(self, message: str = "killed by SIGKILL", cause: ClusterCause | None = None) -> None:
        self.present = DriverReport(
            DriverPhase.GONE, cause=cause or ClusterCause.DRIVER_UNREACHABLE, message=message
        )


class ScriptedLauncher:
    """Starts drivers that exist in memory only; survives the manager, as processes would."""

    def __init__(self, host: str = "here") -> None:
        self.root = Path("/drivers") / host
        self.host = host
        self.drivers: dict[Path, ScriptedDriver] = {}
        self.refusal: Exception | None = None
        self.mine = True
        self.warm = 0

    def claim(self) -> bool:
        return self.mine

    def folder(self, cluster: Cluster, generation: int) -> Path:
        return self.root / f"{cluster.id}-{generation}"

    def start(self, plan: DriverPlan) -> ScriptedDriver:
        if self.refusal is not None:
            raise self.refusal
        folder = self.folder(plan.cluster, plan.generation)
        driver = ScriptedDriver(folder, 1000 + len(self.drivers), plan)
        driver.log = f"driver {plan.generation}\n".encode()
        self.drivers[folder] = driver
        return driver

    def adopt(self, record: DriverRecord) -> ScriptedDriver:
        folder = Path(record.folder)
        if folder not in self.drivers:
            plan = DriverPlan.__new__(DriverPlan)
            self.drivers[folder] = ScriptedDriver(folder, record.pid, plan)
            self.drivers[folder].die("gone")
        return self.drivers[folder]

    def local_target(self, plan: DriverPlan) -> SubmitTarget:
        return SubmitTarget("local[2]", {}, {}, "/spark", "/java", GIB, GIB, 2)

    def sweep(self, known: Collection[Path]) -> None:
        unknown = [
            folder
            for folder, driver in self.drivers.items()
            if folder not in known and not driver.removed
        ]
        for folder in unknown:
            self.drivers[folder].kill()
            self.drivers[folder].remove()

    def keep_warm(self, number: int) -> None:
        self.warm = number

    def close(self) -> None:
        pass


class ScriptedFiles:
    """A file store in memory."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}

    def write(self, path: str, data: Iterator[bytes], *, overwrite: bool = False) -> None:
        self.held[path] = b"".join(data)


class ScriptedPackages:
    """Libraries that are as the test says."""

    def __init__(self) -> None:
        self.prepared = Prepared()
        self.asked: list[tuple[tuple[Library, ...], str | None]] = []
        self.states: dict[str, tuple[LibraryState, str]] = {}
        self.unknown = (LibraryState.PENDING, "")

    def prepare(
        self, actor: Principal, libraries: tuple[Library, ...], environment: str | None
    ) -> Prepared:
        self.asked.append((libraries, environment))
        return self.prepared

    def statuses(
        self, actor: Principal, libraries: tuple[Library, ...], environment: str | None = None
    ) -> list[LibraryStatus]:
        return [
            LibraryStatus(each, *self.states.get(each.value, self.unknown)) for each in libraries
        ]


class ClusterParts(Parts):
    """An engine and its clusters."""

    def __init__(
        self, database: Database, blobs: BlobStore, clock: ManualClock, **settings: Any
    ) -> None:
        super().__init__(database, blobs, clock, **{**_SETTINGS, **settings})
        self.files = ScriptedFiles()
        self.scripts: dict[str, bytes] = {}
        self.packages = ScriptedPackages()
        self.launcher = ScriptedLauncher()
        self.wakes = 0
        self.clusters = Clusters(database, clock, self.settings, wake=self._wake_manager)
        self.restart_server()

    def restart_server(self, launcher: ScriptedLauncher | None = None) -> None:
        """Go on with nothing but what is stored, as after ``kill -9`` of the server."""
        if launcher is not None:
            self.launcher = launcher
        self.manager = ClusterManager(
            self.database,
            self.clock,
            self.settings,
            self.clusters,
            self.launcher,
            LogDelivery(self.files),
            self._read_script,
            release=lambda attempt_id: self.uses.release(attempt_id),
        )
        self.uses = ClusterUses(
            self.database, self.clock, self.settings, self.clusters, self.manager, self.packages
        )
        self.run_compute = RunCompute(self.database, self.uses, self.interpreters)

    def _wake_manager(self) -> None:
        self.wakes += 1

    def _read_script(self, cluster: Cluster, script: InitScript) -> bytes:
        try:
            return self.scripts[script.destination]
        except KeyError:
            raise NotFound("file", script.destination) from None

    # -- clusters ---------------------------------------------------------------------------

    def create(self, actor: Principal | None = None, **spec: Any) -> Cluster:
        return self.clusters.create(actor or self.user, ClusterSpec(**spec))

    def get(self, cluster: Cluster) -> Cluster:
        return self.clusters.get(self.admin, cluster.id)

    def state(self, cluster: Cluster) -> ClusterState:
        return self.get(cluster).state

    def driver(self, cluster: Cluster) -> ScriptedDriver:
        """The newest driver of a cluster."""
        return self.launcher.drivers[self.launcher.folder(cluster, self.get(cluster).generation)]

    def bring_up(self, cluster: Cluster) -> ScriptedDriver:
        """Start the driver of a cluster, and let it be ready."""
        self.manager.round()
        driver = self.driver(cluster)
        driver.come_up()
        self.manager.round()
        return driver

    def happened(self, cluster: Cluster) -> list[ClusterEventType]:
        """What happened to a cluster, in order."""
        page = self.clusters.events(self.admin, cluster.id, newest_first=False, limit=500)
        return [event.type for event in page.events]

    # -- runs -------------------------------------------------------------------------------

    def run(self, actor: Principal | None = None, compute: Compute | None = None) -> AttemptId:
        """A run whose runner has begun to work on it."""
        actor = actor or self.user
        self.visible_to.add(actor.name)
        view = self.runs.submit(actor, RunRequest(definition=definition(compute=compute)))
        self.claim(view.attempt.id, pid=1000 + view.attempt.id)
        return view.attempt.id

    def finish_run(self, attempt_id: AttemptId) -> None:
        """End an attempt as its runner says it ended."""
        self.report(attempt_id, ACCEPTED, STARTED)
        self.finish(attempt_id)

    def requeue(self, attempt_id: AttemptId) -> None:
        """Put an attempt back whose runner died before it began."""
        with self.database.write() as connection:
            view = run_rows.lock_view(connection, attempt_id)
            assert view is not None
            self.transitions.requeue(connection, view)

    def ask(self, attempt_id: AttemptId, *, spark: bool = False, **asked: Any) -> Answer:
        """Ask for an attempt's compute, as its runner (or, for Spark, its notebook) does."""
        with self.database.read() as connection:
            view = run_rows.get_view_of_any(connection, attempt_id)
        assert view is not None
        request = UseRequest(
            run_id=view.run.id,
            attempt_id=attempt_id,
            run_name=view.run.name,
            actor=self.principals.get(view.run.creator_id),
            compute=view.run.definition.compute,
            **asked,
        )
        return self.uses.acquire(request, spark=spark)
