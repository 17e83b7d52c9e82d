"""Publications over HTTP and in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser
from starlette.testclient import TestClient

from quire.clock import ManualClock
from quire.dialects.base import install_dialects
from quire.identity.principals import Principals
from quire.identity.tokens import Tokens
from quire.settings import Settings
from quire.store.blobs import BlobStore
from quire.store.database import Database
from quire.web.pages import Pages
from quire.workspace.addressing import base62
from quire.workspace.formats.document import code_cell, markdown_cell, new_notebook
from quire.workspace.layouts import Layout, Place, Row, Tab, set_layout
from quire.workspace.publications import Publication, Publications
from quire.workspace.tree import Workspace

_ATTACK = "<img src=x onerror=\"document.title='attacked'\"><script>attack()</script><b>bold</b>"


def _notebook() -> dict[str, Any]:
    output = {"output_type": "display_data", "data": {"text/html": _ATTACK}, "metadata": {}}
    cells = [
        markdown_cell("# Figures", id="head"),
        code_cell("draw()", id="left", outputs=[output]),
        code_cell("print(2)", id="right"),
    ]
    notebook = new_notebook("python", "plain", cells)
    pair = (
        Place("left", column_span=24, show_input=False),
        Place("right", column=24, column_span=24),
    )
    first = Tab("t1", "Numbers", (Row("r0", (Place("head"),)), Row("r1", pair)))
    set_layout(notebook, Layout((first, Tab("t2", "Empty", ()))))
    return notebook


class _Site:
    def __init__(self, database: Database, blobs: BlobStore, clock: ManualClock) -> None:
        self.workspace = Workspace(database, blobs, clock)
        self.publications = Publications(database, blobs, clock, self.workspace)
        self.tokens = Tokens(database, clock)
        principals = Principals(database, clock)
        self.ann = principals.create_user("ann")
        self.node = self.workspace.import_notebook(self.ann, "/Users/ann/n é", _notebook())
        self.token = self.tokens.create(self.ann.id)[0]
        self.stranger_token = self.tokens.create(principals.create_user("eve").id)[0]
        services: Any = SimpleNamespace(
            publications=self.publications,
            tokens=self.tokens,
            settings=Settings(),
            clock=clock,
        )
        pages = Pages(services)
        self.app = FastAPI(openapi_url=None)
        self.app.include_router(pages.router())
        install_dialects(self.app, [], render_other=pages.render_error)

    def publish(self, **options: Any) -> Publication:
        return self.publications.create(self.ann, self.node.id, options)


@pytest.fixture
def site(sqlite_url: str, blobs: BlobStore, clock: ManualClock) -> _Site:
    return _Site(Database(sqlite_url), blobs, clock)


def _get(site: _Site, path: str, token: str | None) -> Any:
    headers = {"Accept": "text/html"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    return TestClient(site.app).get(path, headers=headers, follow_redirects=False)


def test_a_report_is_a_page_that_may_do_nothing(site: _Site) -> None:
    answer = _get(site, f"/report/{base62(site.publish().uid)}", site.token)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox;")
    assert "script-src" not in policy
    assert "default-src 'none'" in policy
    assert "Figures" in answer.text
    assert "notebook.ipynb" not in answer.text


def test_who_sees_a_report(site: _Site) -> None:
    path = f"/report/{base62(site.publish().uid)}"
    assert _get(site, path, site.stranger_token).status_code == 404
    unknown = _get(site, f"/report/{'0' * 22}", site.stranger_token)
    assert unknown.status_code == 404
    assert unknown.text == _get(site, path, site.stranger_token).text
    assert _get(site, "/report/x", site.token).status_code == 404
    signed_out = _get(site, path, None)
    assert signed_out.status_code == 303
    assert signed_out.headers["location"].startswith("/login?next=")


def test_the_notebook_is_to_be_had_where_its_author_allows_it(site: _Site) -> None:
    report = f"/report/{base62(site.publish(can_download=False).uid)}"
    assert _get(site, f"{report}/notebook.ipynb", site.token).status_code == 403
    site.publications.update(site.ann, site.node.id, {"can_download": True})
    assert f'href="{report}/notebook.ipynb"' in _get(site, report, site.token).text
    answer = _get(site, f"{report}/notebook.ipynb", site.token)
    assert answer.status_code == 200
    assert len(answer.json()["cells"]) == 3
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''n%20%C3%A9.ipynb"


def test_a_report_in_a_browser(
    site: _Site, serve_app: Callable[[FastAPI], str], browser: Browser, tmp_path: Path
) -> None:
    url = serve_app(site.app)
    context = browser.new_context(viewport={"width": 1200, "height": 700})
    context.add_cookies([{"name": "quire_session", "value": site.token, "url": url}])
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{url}/report/{base62(site.publish().uid)}")
    assert page.title() == "n é"
    assert [each for each in asked if not each.startswith("data:")] == [page.url]
    left, right = (page.locator(".placed").nth(number).bounding_box() for number in (1, 2))
    assert left is not None
    assert right is not None
    assert left["y"] == right["y"]
    assert right["x"] - left["x"] == pytest.approx(left["width"])
    heading = page.get_by_role("heading", name="Figures")
    assert heading.is_visible()
    page.get_by_text("Empty").click()  # tabs work, though no script runs
    assert not heading.is_visible()
    page.get_by_text("Numbers").click()
    assert heading.is_visible()
    page.screenshot(path=tmp_path / "report.png")
    context.close()
