"""The one place that wires settings to stores, engine, dialects and pages, and serves them."""

from __future__ import annotations

import gc
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
import uvicorn
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from quire.clock import Clock, SystemClock
from quire.compute.clusters import Clusters
from quire.compute.environments import Environments
from quire.compute.interpreters import Interpreters
from quire.compute.libraries import Libraries
from quire.compute.local import LocalLauncher
from quire.compute.logs import LogDelivery
from quire.compute.manager import ClusterManager
from quire.compute.maven_libraries import MavenLibraries
from quire.compute.package_builder import PackageBuilder
from quire.compute.scripts import Scripts
from quire.compute.uses import ClusterUses
from quire.dialects.base import Dialect, Services, install_dialects
from quire.dialects.databricks import databricks_dialect
from quire.dialects.databricks.mapping import resolve_references, webhook_message
from quire.dialects.datalore import datalore_dialect
from quire.engine.artifacts import Artifacts
from quire.engine.conclusions import Conclusions
from quire.engine.dispatcher import Dispatcher, DispatcherParts
from quire.engine.endings import Endings
from quire.engine.jobs import Jobs
from quire.engine.models import Attempt, Parameters, Run
from quire.engine.pins import Pinner
from quire.engine.publishing import Publishing
from quire.engine.quota import Quota
from quire.engine.recovery import Recovery
from quire.engine.reports import Reports
from quire.engine.results import Results
from quire.engine.retention import Retention
from quire.engine.run_compute import RunCompute
from quire.engine.runs import Runs
from quire.engine.scheduler import Scheduler
from quire.engine.session_keeping import SessionKeeper
from quire.engine.sessions import Sessions
from quire.engine.transitions import Transitions
from quire.engine.write_back import WriteBack
from quire.errors import NotFound, Unavailable
from quire.identity.principals import Principal, Principals
from quire.identity.run_tokens import RunTokens
from quire.identity.tokens import Tokens, ensure_administrator
from quire.ids import AttemptId, NodeId
from quire.internal.compute import compute_routes
from quire.internal.errors import render_error
from quire.internal.files import file_routes
from quire.internal.reports import report_routes
from quire.internal.runtime import runtime_router
from quire.internal.working_files import WorkingFolders, working_file_routes
from quire.loop import BackgroundLoop
from quire.notify.destinations import Destinations
from quire.notify.outbox import Outbox
from quire.observe.health import Check, Health, observe_routes
from quire.observe.logs import configure_logging
from quire.observe.metrics import Metrics, MetricsMiddleware
from quire.placement.base import RunnerIdentity
from quire.placement.local import LocalPlacement
from quire.settings import Settings
from quire.store import runs as run_rows
from quire.store.blobs import BlobStore
from quire.store.database import Database
from quire.store.journal import Journal
from quire.store.values import read_value, write_value
from quire.web.pages import Pages
from quire.workspace.attachments import Attachments
from quire.workspace.connections import Connections
from quire.workspace.files import FileStore
from quire.workspace.locations import Locations
from quire.workspace.publications import Publications
from quire.workspace.tree import Workspace

__all__ = ["Server", "open_database", "serve"]

_LOG = structlog.get_logger(__name__)
_STOP_SECONDS = 5
_TURN_SECONDS = 0.0005
_RUN_TOKEN_SECRET = "run token secret"  # noqa: S105 - the name of a value, not the value


def open_database(settings: Settings) -> Database:
    """The database the settings name, at its present shape; made when there is none."""
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = Database(settings.database_location)
    database.migrate()
    return database


class Server:
    """A whole server without its socket: services, engine threads and the ASGI application."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        """Open the stores and bring them up to date. Raises Unavailable when one is away."""
        self.settings = settings
        self.clock = clock if clock is not None else SystemClock()
        self.metrics = Metrics()
        self.database = open_database(settings)
        self.blobs = BlobStore.open(settings.blob_url, settings.blobs_dir)
        self.principals = Principals(self.database, self.clock)
        self.tokens = Tokens(self.database, self.clock)
        self.workspace = Workspace(self.database, self.blobs, self.clock)
        self.workspace.ensure_roots()
        self.attachments = Attachments(
            self.database,
            self.blobs,
            self.clock,
            self.workspace,
            limit_bytes=settings.attachments_limit_bytes,
        )
        self.publications = Publications(self.database, self.blobs, self.clock, self.workspace)
        self.files = FileStore(settings.files_dir)
        self.locations = Locations(self.workspace, self.files)
        self.destinations = Destinations(self.database, self.clock)
        self.connections = Connections(self.database, self.clock)
        self.run_tokens = RunTokens(_shared_secret(self.database))
        self.new_admin_token = ensure_administrator(self.database, self.clock, settings.admin_token)
        self.url = ""
        self._build_engine()
        self.app = self._build_app()

    def _build_engine(self) -> None:
        settings, database, clock = self.settings, self.database, self.clock
        self.placement = LocalPlacement(settings)
        self.interpreters = Interpreters(self.placement, settings)
        self._build_compute()
        self.outbox = Outbox(
            database,
            clock,
            self.destinations,
            settings,
            metrics=self.metrics,
            root_url=lambda: settings.public_url or self.url,
            formats={"databricks": webhook_message},
        )
        endings = Endings()
        self.transitions = Transitions(
            clock,
            self.outbox,
            self.metrics,
            wake=lambda: self.dispatcher.loop.wake(),
            tell_end=endings.tell,
        )
        quota = Quota(settings)
        self.runs = Runs(
            database,
            clock,
            quota,
            self.transitions,
            may_see_notebook=self._may_see_notebook,
            nudge=self._nudge,
            endings=endings,
        )
        self.jobs = Jobs(
            database,
            clock,
            quota,
            self.transitions,
            self.outbox,
            nudge=self._nudge,
            wake_scheduler=lambda: self.scheduler.loop.wake(),
        )
        self.results = Results(self.blobs, Journal(database, self.blobs))
        self.artifacts = Artifacts(database, self.blobs, self.results, clock, settings)
        conclusions = Conclusions(
            WriteBack(self.workspace, self.principals, self.results),
            Publishing(self.publications, self.workspace, self.principals, self.results),
            self.run_compute,
        )
        self.reports = Reports(database, self.blobs, clock, self.transitions, settings, conclusions)
        self.session_keeper = SessionKeeper(
            database, self.placement, clock, settings, host=self.placement.host
        )
        self.sessions = Sessions(
            database, self.workspace, self.runs, self.results, self.session_keeper, clock
        )
        self.recovery = Recovery(
            database,
            clock,
            self.transitions,
            self.reports,
            self.placement,
            settings,
            host=self.placement.host,
        )
        self.dispatcher = Dispatcher(
            DispatcherParts(
                database=database,
                blobs=self.blobs,
                pinner=Pinner(self.workspace, self.locations),
                attachments=self.attachments,
                principals=self.principals,
                placement=self.placement,
                compute=self.run_compute,
                sessions=self.session_keeper,
                transitions=self.transitions,
                run_tokens=self.run_tokens,
                metrics=self.metrics,
                clock=clock,
                settings=settings,
            ),
            host=self.placement.host,
            slots=settings.slots or os.cpu_count() or 1,
            server_url=lambda: self.url,
            resolvers={"databricks": self._resolve_databricks},
        )
        self.scheduler = Scheduler(
            database, clock, quota, self.transitions, self.principals, settings
        )
        self.retention = Retention(database, self.blobs, clock, settings)

    def _build_compute(self) -> None:
        settings, database, clock = self.settings, self.database, self.clock
        self.clusters = Clusters(
            database, clock, settings, wake=lambda: self.cluster_manager.wake()
        )
        self.cluster_manager = ClusterManager(
            database,
            clock,
            settings,
            self.clusters,
            LocalLauncher(settings),
            LogDelivery(self.files),
            Scripts(self.principals, self.locations).read,
            release=lambda attempt_id: self.cluster_uses.release(attempt_id),
        )
        builder = PackageBuilder(settings)
        self.environments = Environments(database, clock, builder)
        self.libraries = Libraries(
            settings,
            builder,
            self.environments,
            self.locations,
            MavenLibraries(settings, builder).resolve,
        )
        self.cluster_uses = ClusterUses(
            database, clock, settings, self.clusters, self.cluster_manager, self.libraries
        )
        self.run_compute = RunCompute(database, self.cluster_uses, self.interpreters)

    def _build_app(self) -> FastAPI:
        services = Services(
            jobs=self.jobs,
            runs=self.runs,
            sessions=self.sessions,
            results=self.results,
            artifacts=self.artifacts,
            workspace=self.workspace,
            attachments=self.attachments,
            publications=self.publications,
            connections=self.connections,
            principals=self.principals,
            tokens=self.tokens,
            destinations=self.destinations,
            clusters=self.clusters,
            cluster_uses=self.cluster_uses,
            settings=self.settings,
            clock=self.clock,
        )
        dialects: list[Dialect] = [databricks_dialect(services), datalore_dialect(services)]
        app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, lifespan=self._lifespan)
        app.router.routes.extend(report_routes(self.reports, self.run_tokens))
        app.router.routes.extend(
            file_routes(self.locations, self.run_tokens, self.principals, self.runs)
        )
        app.router.routes.extend(
            compute_routes(
                self.run_compute,
                self.cluster_uses,
                self.run_tokens,
                self.principals,
                self.database,
            )
        )
        folders = WorkingFolders(self.database, self.principals, self.attachments, self.artifacts)
        app.router.routes.extend(working_file_routes(folders, self.run_tokens, self.settings))
        self.metrics.watch_states(self._count_states)
        app.router.routes.extend(observe_routes(Health(self._checks()), self.metrics))
        app.include_router(
            runtime_router(
                self.run_tokens,
                self.principals,
                self.workspace,
                self.files,
                self.runs,
                self.cluster_uses,
                self.connections,
            )
        )
        pages = Pages(services)
        app.include_router(pages.router())

        def render_other(error: Exception, request: Request) -> Response:
            internal = request.url.path.startswith("/internal/")
            return render_error(error) if internal else pages.render_error(error, request)

        install_dialects(app, dialects, render_other=render_other)
        app.add_middleware(MetricsMiddleware, metrics=self.metrics)
        return app

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        self.start()
        try:
            yield
        finally:
            self.close()

    def start(self) -> None:
        """Start the engine. ``url`` must be where the application answers."""
        self.settings.spool_dir.mkdir(mode=0o700, exist_ok=True)
        self._publish_url()
        self.placement.start(self.recovery.departed, self._session_changed)
        self.recovery.adopt()
        self.recovery.loop.start()
        self.outbox.loop.start()
        self.scheduler.loop.start()
        self.retention.loop.start()
        self.session_keeper.loop.start()
        self.cluster_manager.loop.start()
        self.libraries.loop.start()
        self.interpreters.loop.start()
        self.dispatcher.loop.start()

    def close(self) -> None:
        """Stop the engine. Runs at work go on in their runners."""
        for loop in self._loops():
            loop.close()
        self.session_keeper.close()
        self.cluster_manager.close()
        self.libraries.close()
        self.placement.close()
        self.database.close()

    def _session_changed(self) -> None:
        """A session's kernel is free for its next run, or gone."""
        self.dispatcher.loop.wake()
        self.session_keeper.loop.wake()

    def _publish_url(self) -> None:
        """Tell runners of an earlier server, which may have had another port, where this one is."""
        path = self.settings.spool_dir / "server-url"
        draft = path.with_suffix(".new")
        draft.write_text(self.url)
        draft.replace(path)

    def _checks(self) -> dict[str, Check]:
        def database() -> None:
            self._count_states()

        def engine() -> None:
            stopped = [each.name for each in self._loops() if not each.is_alive]
            if stopped:
                raise Unavailable(f"Not running: {', '.join(stopped)}.")

        return {"database": database, "engine": engine}

    def _count_states(self) -> dict[str, int]:
        with self.database.read() as connection:
            return run_rows.count_by_active_state(connection)

    def _loops(self) -> tuple[BackgroundLoop, ...]:
        return (
            self.dispatcher.loop,
            self.scheduler.loop,
            self.retention.loop,
            self.recovery.loop,
            self.outbox.loop,
            self.cluster_manager.loop,
            self.libraries.loop,
            self.interpreters.loop,
            self.session_keeper.loop,
        )

    def _resolve_databricks(self, run: Run, attempt: Attempt, given: Parameters) -> Parameters:
        return resolve_references(
            run,
            attempt,
            given,
            workspace_id=self.settings.workspace_id,
            workspace_url=self.settings.public_url or self.url,
        )

    def _may_see_notebook(self, actor: Principal, node_id: NodeId) -> bool:
        try:
            self.workspace.get_by_id(actor, node_id)
        except NotFound:
            return False
        return True

    def _nudge(self, attempt_id: AttemptId) -> None:
        with self.database.read() as connection:
            row = run_rows.get_runner(connection, attempt_id)
        if row is not None and row.host == self.placement.host:
            self.placement.nudge(RunnerIdentity(row.host, row.pid, row.started))


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError when the port is taken, Unavailable."""
    configure_logging(settings.log_level, settings.log_format)
    # Requests and the engine's threads take turns; none should wait long for the others.
    sys.setswitchinterval(_TURN_SECONDS)
    # uvicorn, when it has stopped in good order, raises the signal again that told it to.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    listener = socket.create_server((settings.host, settings.port), backlog=1024)
    try:
        server = Server(settings)
        server.url = _local_url(listener)
        if server.new_admin_token is not None:
            print(f"Administrator token (shown once): {server.new_admin_token}", flush=True)
        # What the server is made of stays; a collection that went through it would delay answers.
        gc.collect()
        gc.freeze()
        print(f"Quire listens on {server.url}", flush=True)
        config = uvicorn.Config(
            server.app,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=_STOP_SECONDS,
            server_header=False,
        )
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        listener.close()


def _local_url(listener: socket.socket) -> str:
    """Where runners on this machine reach the server."""
    host, port = listener.getsockname()[:2]
    if host == "0.0.0.0":  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    elif host == "::":
        host = "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _shared_secret(database: Database) -> bytes:
    """The key that signs run tokens; made once, the same for all servers on this database."""
    with database.write() as connection:
        known = read_value(connection, _RUN_TOKEN_SECRET)
        if known is None:
            known = secrets.token_hex(32)
            write_value(connection, _RUN_TOKEN_SECRET, known)
    return bytes.fromhex(known)
