"""Pages over records made by hand, so that every state can be shown, on a real HTTP server."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, sync_playwright
from starlette.testclient import TestClient

from quire.clock import ManualClock
from quire.dialects.base import install_dialects
from quire.engine.models import JobDefinition, NotebookTask, RunKind
from quire.engine.runs import RunView
from quire.errors import ExpiredCredential, InvalidCredential, NotFound
from quire.identity.principals import Principal, PrincipalKind, Role
from quire.ids import AttemptId, PrincipalId, RunId
from quire.settings import Settings
from quire.web.pages import Pages
from tests.engine.records import make_attempt, make_run

TOKEN = "quire-test-token"
START = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


def make_view(number: int = 7, **changes: Any) -> RunView:
    """A run that ended well.

    ``changes`` are fields of its attempt, or of the run with ``run_`` before them;
    ``number_in_run`` is the attempt's number.
    """
    of_run = {key[4:]: value for key, value in changes.items() if key.startswith("run_")}
    of_attempt = {key: value for key, value in changes.items() if not key.startswith("run_")}
    of_attempt["number"] = of_attempt.pop("number_in_run", 0)
    attempt = make_attempt(
        number,
        **{
            "run_id": RunId(of_run.get("id", number)),
            "message": "All cells ran.",
            "created_at": START,
            "claimed_at": START + timedelta(seconds=1),
            "started_at": START + timedelta(seconds=2),
            "finished_at": START + timedelta(seconds=7),
            "ended_at": START + timedelta(seconds=8),
            "snapshot_key": "runs/7/7/snapshot.ipynb",
            "applied_sequence": 6,
            "journal_bytes": 100,
            "last_cell": 0,
            **of_attempt,
        },
    )
    task = NotebookTask(path="/Users/ada/report", parameters={"region": "north", "n": 3})
    run = make_run(
        number,
        **{
            "kind": RunKind.ONE_TIME,
            "name": "nightly report",
            "creator_name": "ada",
            "definition": JobDefinition(task=task),
            "parameters": {"region": "south"},
            "state": attempt.state,
            "outcome": attempt.outcome,
            "attempt_id": attempt.id,
            "created_at": attempt.created_at,
            "ended_at": attempt.ended_at,
            **of_run,
        },
    )
    return RunView(run, attempt)


def make_notebook(*outputs: dict[str, Any]) -> dict[str, Any]:
    cell = {
        "cell_type": "code",
        "id": "a",
        "metadata": {},
        "source": "show()",
        "execution_count": 1,
        "outputs": list(outputs),
    }
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}


@dataclass
class Shown:
    """The server's records, as far as pages look at them."""

    views: dict[int, RunView] = field(default_factory=dict)
    notebook: dict[str, Any] = field(default_factory=make_notebook)
    log: str = ""
    revoked: bool = False
    person: Principal = field(
        default_factory=lambda: Principal(
            PrincipalId(1), PrincipalKind.USER, "ada", Role.MEMBER, frozenset()
        )
    )

    def add(self, view: RunView) -> RunView:
        self.views[view.attempt.id] = view
        return view

    def get(self, actor: Principal, attempt_id: AttemptId) -> RunView:
        if attempt_id not in self.views:
            raise NotFound("run", attempt_id)
        return self.views[attempt_id]

    def list(
        self, actor: Principal, which: Any, offset: int, limit: int
    ) -> tuple[list[RunView], bool]:
        views = [
            view
            for _, view in sorted(self.views.items(), reverse=True)
            if view.attempt.active or not which.active_only
            if which.interactive or not view.run.interactive
        ]
        return views[offset : offset + limit], len(views) > offset + limit

    def authenticate(self, text: str) -> Principal:
        if text != TOKEN:
            raise InvalidCredential
        if self.revoked:
            raise ExpiredCredential
        return self.person


def render_without_cleaning(notebook: dict[str, Any], title: str) -> str:
    """What a renderer that lets everything through would make of a notebook."""
    parts = [
        "".join(output.get("data", {}).get("text/html", ""))
        for cell in notebook["cells"]
        for output in cell["outputs"]
    ]
    return f"<!doctype html><title>{title}</title><body>{''.join(parts)}</body>"


@pytest.fixture
def shown() -> Shown:
    return Shown()


@pytest.fixture
def make_app(shown: Shown) -> Callable[..., FastAPI]:
    def make(**options: Any) -> FastAPI:
        services: Any = SimpleNamespace(
            runs=shown,
            results=SimpleNamespace(
                notebook=lambda view: shown.notebook, log=lambda view: shown.log
            ),
            tokens=shown,
            settings=Settings(public_url=options.pop("public_url", "")),
            clock=ManualClock(START + timedelta(seconds=60)),
        )
        pages = Pages(services, **options)
        app = FastAPI(openapi_url=None)
        app.include_router(pages.router())
        install_dialects(app, [], render_other=pages.render_error)
        return app

    return make


@pytest.fixture
def client(make_app: Callable[..., FastAPI]) -> TestClient:
    """A browser-like client that has not signed in and follows no redirect."""
    return TestClient(
        make_app(),
        base_url="http://quire.test",
        headers={"Accept": "text/html"},
        follow_redirects=False,
        raise_server_exceptions=False,
    )


@pytest.fixture
def signed_in(client: TestClient) -> TestClient:
    client.cookies.set("quire_session", TOKEN)
    return client


@pytest.fixture
def serve_app() -> Iterator[Callable[[FastAPI], str]]:
    """Serves applications on ports of their own; gives the URL."""
    servers: list[tuple[uvicorn.Server, threading.Thread]] = []

    def serve(app: FastAPI) -> str:
        config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            thread.join(0.01)
        servers.append((server, thread))
        port = server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    yield serve
    for server, thread in servers:
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real Chromium; closed early, since its driver runs an event loop in this thread."""
    names = ("chromium", "chromium-browser", "google-chrome")
    executable = next((found for name in names if (found := shutil.which(name))), None)
    assert executable is not None, "make install brings Chromium: apt-get install chromium"
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=arguments)
        yield chromium
        chromium.close()
