"""The connection of one kernel to the driver of its cluster, and what the run has there.

Owns: when it is made and let go, the session, the run's mark on everything it starts, and the end
of its jobs when the notebook is interrupted.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any

from quire_runtime.errors import ServerError, SparkDriverLost, SparkUnavailable
from quire_runtime.session import Session
from quire_runtime.spark import place as places
from quire_runtime.spark import sharing
from quire_runtime.spark.gateway import gateway_class
from quire_runtime.spark.place import Place

__all__ = ["ATTACHED_MIME", "Attachment"]

ATTACHED_MIME = "application/vnd.quire.spark+json"

POOLS = 64  # a pool for each run would stay in the driver for ever
CANCEL_PAUSES_SECONDS = (0.0, 0.3)  # again, for a job that was just about to begin
CANCEL_PATIENCE_SECONDS = 5.0
USAGE_TAGS = "spark.databricks.clusterUsageTags."


class Attachment:
    """What a kernel has of Spark. One a kernel, however many runs the kernel is used for."""

    def __init__(self, session: Session, tell: Callable[[], None] | None = None) -> None:
        """``tell`` is called when a run has got its Spark, once a run."""
        self._begin(session)
        self.on_detach: list[Callable[[], None]] = []
        self.interpreters: list[Any] = []  # of other languages, in the driver
        self.exchange: str | None = None  # where files change hands with another user
        self.added_files: dict[str, str] = {}  # by name: where the notebook has its own
        self._tell = tell
        self._place: Place | None = None
        self._gateway: Any = None
        self._java_session: Any = None
        self._fresh = True  # nobody has used the session of the gateway yet
        self._cancelling: threading.Thread | None = None
        self._cancelled = threading.Event()
        self._interrupted_at: float | None = None
        self._why_lost: str | None = None
        atexit.register(self._let_go)

    @property
    def attached(self) -> bool:
        """Whether there is a connection."""
        return self._gateway is not None

    @property
    def is_remote(self) -> bool:
        """Whether Spark is a Spark Connect server."""
        return bool((self.session.compute.get("spark") or {}).get("remote"))

    def serve(self, session: Session) -> None:
        """Go on for another run of the same kernel; what notebooks hold stays good if it can."""
        self._begin(session)
        if self._place is None:
            return
        try:
            place = places.ask(session)
        except (ServerError, SparkDriverLost, SparkUnavailable):
            self.detach()
            return
        if not place.is_same(self._place):
            self.detach()
            return
        self._place = place
        self._announce()
        if self._gateway is not None:
            self._gateway.forget_threads()

    def find(self) -> Place:
        """Where the run's Spark is. Raises SparkUnavailable, SparkDriverLost."""
        __tracebackhide__ = True
        if self._place is None:
            self._place = place = places.ask(self.session)
            self._set_environment(place)
            self._announce()
        return self._place

    def connect(self, launch: Callable[[], Any]) -> Any:
        """The gateway; ``launch`` is pyspark's own way to make one, for a driver that exists."""
        __tracebackhide__ = True
        place = self.find()
        gate = {"PYSPARK_GATEWAY_PORT": str(place.port), "PYSPARK_GATEWAY_SECRET": place.secret}
        os.environ.update(gate)
        try:
            gateway = launch()
        finally:
            for name in gate:  # what the notebook starts has no business there
                os.environ.pop(name, None)
        self._java_session = gateway.entry_point
        self._gateway = gateway
        self._fresh = True
        gateway.begin()
        _silence_errors_said_twice()
        session = self.session
        self.exchange = sharing.share_with(session.home_dir, session.working_dir, gateway)
        return gateway

    def gateway_class(self, base: Any) -> Any:
        """The class of gateways to be made instead of py4j's own."""
        return gateway_class(
            base,
            mark_thread=self._mark_thread,
            lost=self._lost,
            interrupted=self.take_interrupt,
        )

    def java_context(self) -> Any:
        """The driver's context, as pyspark holds one."""
        context = self._java_session.sparkContext()
        java = getattr(self._gateway.jvm, "org.apache.spark.api.java.JavaSparkContext")
        return java.fromSparkContext(context)

    def java_session(self) -> Any:
        """The run's session in the driver; after the notebook has stopped it, a new one.

        Runs of one session tag have the same.
        """
        session = self._java_session
        assert self._place is not None
        if not self._fresh and self._place.session_tag is None:
            session = session.newSession()
        self._fresh = False
        self._describe_cluster(session)
        return session

    def python_path(self) -> str:
        """Folders of packages that this run has beside its interpreter's own."""
        return os.pathsep.join(self.session.package_folders())

    def begin_cell(self) -> None:
        """A cell begins: forget a driver that was lost, and be ready for an interrupt."""
        if self._why_lost is not None:
            self.detach()
        self.watch_interrupts()

    def watch_interrupts(self) -> None:
        """Let an interrupt of the cell that runs now end the run's jobs too."""
        if self.attached and threading.current_thread() is threading.main_thread():
            self._await_cancel()
            self._interrupted_at = None
            signal.signal(signal.SIGINT, self._interrupted)

    def cancel(self) -> None:
        """End the run's jobs, and return when that is said."""
        if self._gateway is not None and self._place is not None:
            context = self._java_session.sparkContext()
            context.cancelJobGroup(self._place.job_group)
            context.cancelJobsWithTag(self._place.job_group)

    def detach(self) -> None:
        """Forget the driver. What is used next finds one anew."""
        self._let_go()
        self._place = self._why_lost = None
        self.session.compute.pop("spark", None)
        for forget in self.on_detach:
            forget()

    def _begin(self, session: Session) -> None:
        self.session = session
        session.on_packages = self._update_path
        remote = (session.compute.get("spark") or {}).get("remote")
        if remote:  # pyspark looks for it there by itself
            os.environ["SPARK_REMOTE"] = remote

    def _mark_thread(self, gateway: Any) -> None:
        """Say in the driver whose this thread is."""
        place = self._place
        if place is None or not place.job_group:
            return
        context = self._java_session.sparkContext()
        context.clearJobTags()  # those of an earlier run of this kernel
        title = f"{self.session.notebook_path} ({place.job_group})"
        context.setJobGroup(place.job_group, title, True)
        context.addJobTag(place.job_group)
        pool = zlib.crc32(place.job_group.encode()) % POOLS
        context.setLocalProperty("spark.scheduler.pool", f"run-{pool}")
        kind = getattr(gateway.jvm, "org.apache.spark.sql.classic.SparkSession")
        kind.setActiveSession(self._java_session)
        _keep_from_stopping(gateway.jvm)

    def _lost(self, error: BaseException) -> Exception:
        """The driver does not answer: why. What is attached goes when the cell has ended."""
        if self._why_lost is None:
            self._why_lost = str(places.ask_why_lost(self.session))
        return SparkDriverLost(self._why_lost)

    def take_interrupt(self) -> bool:
        """Whether this cell was interrupted just now; asked about once.

        pyspark may wait for a job in a clause that runs whatever happens, and then the error of the
        cancelled job would hide the interrupt that cancelled it.
        """
        at, self._interrupted_at = self._interrupted_at, None
        return at is not None and time.monotonic() - at < CANCEL_PATIENCE_SECONDS

    def _interrupted(self, number: int, frame: Any) -> None:
        self._interrupted_at = time.monotonic()
        if self._cancelling is None or not self._cancelling.is_alive():
            self._cancelled.clear()
            self._cancelling = threading.Thread(target=self._cancel_often, daemon=True)
            self._cancelling.start()
        raise KeyboardInterrupt

    def _cancel_often(self) -> None:
        try:
            for pause in CANCEL_PAUSES_SECONDS:
                if self._cancelled.wait(pause):
                    return
                self.cancel()
        except Exception:  # noqa: BLE001 - without a driver there are no jobs either
            return

    def _await_cancel(self) -> None:
        """A job that begins now must not be met by an earlier cancel."""
        thread, self._cancelling = self._cancelling, None
        self._cancelled.set()
        if thread is not None:
            thread.join(CANCEL_PATIENCE_SECONDS)

    def _set_environment(self, place: Place) -> None:
        os.environ.update(place.environment)
        if place.spark_home:
            os.environ["SPARK_HOME"] = place.spark_home
        os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
        os.environ.pop("PYSPARK_PIN_THREAD", None)

    def _describe_cluster(self, session: Any) -> None:
        if self.session.flavour != "databricks":
            return
        compute, conf = self.session.compute, session.conf()
        for key, name in (
            ("clusterId", "cluster_id"),
            ("clusterName", "cluster_name"),
            ("sparkVersion", "spark_version"),
        ):
            value = compute.get(name) or self.session.run.get(name)
            if value and not conf.getOption(USAGE_TAGS + key).isDefined():
                conf.set(USAGE_TAGS + key, str(value))

    def _announce(self) -> None:
        if self._tell is not None:
            self._tell()

    def _update_path(self) -> None:
        """Let executors find packages that came after the connection."""
        module = sys.modules.get("pyspark.core.context")
        context = module.SparkContext._active_spark_context if module is not None else None
        path = self.python_path()
        if context is not None and path:
            context.environment["PYTHONPATH"] = path

    def _let_go(self) -> None:
        gateway, self._gateway = self._gateway, None
        self._java_session = None
        self.interpreters.clear()
        if gateway is not None:
            gateway.end()


def _keep_from_stopping(jvm: Any) -> None:
    """Have the driver's context refuse to be stopped from this thread, whatever language asks.

    The context belongs to the cluster. Spark has one refusal, for threads that tell of its events.
    """
    bus = getattr(getattr(jvm, "org.apache.spark.scheduler.LiveListenerBus$"), "MODULE$")
    getattr(bus.withinListenerThread(), "value_$eq")(True)


def _silence_errors_said_twice() -> None:
    """pyspark also writes each error of a query to stderr, in JSON, before it raises it."""
    from pyspark.logger import PySparkLogger

    PySparkLogger.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)
