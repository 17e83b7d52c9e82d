"""A server's routes for kernels over real services and a real port; runners are played by hand."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from quire.clock import ManualClock
from quire.engine.models import RunKind, RunRequest
from quire.engine.runs import RunFilter, RunView
from quire.identity.run_tokens import RunTokens, RunTokenUse
from quire.ids import AttemptId
from quire.internal.runtime import runtime_router
from quire.store.blobs import BlobStore
from quire.store.database import Database
from quire.workspace.connections import Connections
from quire.workspace.files import FileStore
from quire.workspace.tree import Workspace
from tests.compute.parts import ClusterParts
from tests.engine.parts import definition


class WatchedParts(ClusterParts):
    """Says when a run may have become ready."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.ready: queue.Queue[None] = queue.Queue()
        super().__init__(*arguments, **named)

    def _wake(self) -> None:
        super()._wake()
        self.ready.put(None)


def notebook(*sources: str, language: str = "python") -> dict[str, Any]:
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"language_info": {"name": language}},
        "cells": [
            {
                "cell_type": "code",
                "id": f"cell-{number}",
                "metadata": {},
                "source": source,
                "execution_count": None,
                "outputs": [],
            }
            for number, source in enumerate(sources)
        ],
    }


class Served:
    """The services, one active run of ``parts.user``, and its token."""

    def __init__(
        self, database: Database, blobs: BlobStore, clock: ManualClock, folder: Path
    ) -> None:
        self.parts = WatchedParts(database, blobs, clock)
        self.workspace = Workspace(database, blobs, clock)
        self.files = FileStore(folder / "files")
        self.connections = Connections(database, clock)
        self.run_tokens = RunTokens(b"a secret of many bytes")
        self.app = FastAPI()
        self.app.include_router(
            runtime_router(
                self.run_tokens,
                self.parts.principals,
                self.workspace,
                self.files,
                self.parts.runs,
                self.parts.uses,
                self.connections,
            )
        )
        self.run_id = self.start_run()
        self.token = self.token_of(self.run_id)
        self.url = ""

    def start_run(self) -> AttemptId:
        view = self.parts.runs.submit(
            self.parts.user,
            RunRequest(definition=definition(environment={"FROM_PARENT": "1"})),
        )
        self.parts.start(view.attempt.id)
        return view.attempt.id

    def token_of(self, attempt_id: AttemptId, use: RunTokenUse = RunTokenUse.RUNTIME) -> str:
        view = self.parts.view(attempt_id)
        return self.run_tokens.issue(use, view.run.id, attempt_id, view.run.creator_id)

    def store(self, path: str, *sources: str, language: str = "python") -> None:
        self.workspace.import_notebook(
            self.parts.user, path, notebook(*sources, language=language), make_parents=True
        )

    def children(self) -> list[RunView]:
        return self.parts.runs.list(self.parts.admin, RunFilter(kind=RunKind.CHILD))[0]

    @contextmanager
    def playing(self, play: Callable[[RunView], None]) -> Iterator[None]:
        """While inside, ``play`` is called once with each child run as it is queued."""
        stop = threading.Event()
        seen: set[AttemptId] = set()

        def work() -> None:
            while not stop.is_set():
                self.parts.ready.get()
                for view in self.children():
                    if view.attempt.id not in seen and view.attempt.active:
                        seen.add(view.attempt.id)
                        play(view)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            self.parts.ready.put(None)
            thread.join()

    def settings(self, **more: Any) -> dict[str, Any]:
        """What a runner hands to the runtime."""
        return {
            "server_url": self.url,
            "runtime_token": self.token,
            "flavour": "databricks",
            "run": {
                "run_id": self.run_id,
                "job_id": 7,
                "notebook_path": "/Users/ada@example.com/main",
                "user": "ada@example.com",
                "workspace_id": "1",
            },
            **more,
        }


@contextmanager
def serving(app: FastAPI, port: int = 0) -> Iterator[str]:
    """The address at which an application answers over real HTTP."""
    listener = socket.create_server(("127.0.0.1", port))
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
