"""The pages in a real Chromium."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, expect

from quire.engine.states import State
from quire.render.page import render_html
from tests.web.conftest import (
    TOKEN,
    Shown,
    make_notebook,
    make_view,
    render_without_cleaning,
)

_PROBLEMS = ("error", "warning")
HOSTILE = """
<h2 id="before">before</h2>
<script>document.title = "owned"; top.postMessage("owned", "*")</script>
<img src="data:image/png;base64,xx" onerror="top.postMessage('owned', '*')">
<img src="OUTSIDE/leak">
<svg onload="top.postMessage('owned', '*')"></svg>
<iframe src="/runs/7" id="inner"></iframe>
<iframe srcdoc="<script>top.postMessage('owned', '*')</script>"></iframe>
<a id="link" href="javascript:top.postMessage('owned','*')">link</a>
<form id="form" action="/logout" method="post"><button id="send">send</button></form>
<meta http-equiv="refresh" content="0;url=/login">
<h2 id="after">after</h2>
"""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    page = context.new_page()
    yield page
    context.close()


def sign_in(page: Page, url: str, path: str = "/") -> None:
    page.goto(url + path)
    page.get_by_label("API token").fill(TOKEN)
    page.get_by_role("button", name="Sign in").click()


def html_output(html: str) -> dict[str, Any]:
    return {"output_type": "display_data", "metadata": {}, "data": {"text/html": html}}


def test_a_person_signs_in_and_sees_state_and_output(
    page: Page, make_app: Callable[..., FastAPI], serve_app: Callable[..., str], shown: Shown
) -> None:
    shown.add(make_view(7, exit_value="all good"))
    shown.notebook = make_notebook(
        {"output_type": "stream", "name": "stdout", "text": "hello from the kernel\n"},
        html_output("<table><tr><td>cell of a table</td></tr></table>"),
    )
    problems: list[str] = []
    page.on(
        "console",
        lambda message: problems.append(message.text) if message.type in _PROBLEMS else None,
    )
    url = serve_app(make_app())
    sign_in(page, url, "/runs/7")
    expect(page).to_have_url(f"{url}/runs/7")
    expect(page.locator(".badge")).to_have_text("success")
    expect(page.locator("#exit-value")).to_have_text("all good")
    notebook = page.frame_locator("#notebook")
    expect(notebook.get_by_text("hello from the kernel")).to_be_visible()
    expect(notebook.get_by_text("cell of a table")).to_be_visible()
    assert problems == []  # neither our page nor the notebook breaks its own policy


@pytest.mark.parametrize("render", [render_html, render_without_cleaning])
def test_hostile_output_runs_no_script_and_reaches_nothing(
    page: Page,
    make_app: Callable[..., FastAPI],
    serve_app: Callable[..., str],
    shown: Shown,
    render: Callable[[dict[str, Any], str], str],
) -> None:
    shown.add(make_view(7))
    leaks: list[str] = []
    outside = FastAPI(openapi_url=None)

    @outside.get("/{path:path}")
    def take(path: str) -> None:
        leaks.append(path)

    shown.notebook = make_notebook(html_output(HOSTILE.replace("OUTSIDE", serve_app(outside))))
    url = serve_app(make_app(render=render))
    page.add_init_script(
        "window.heard = []; window.addEventListener('message', e => window.heard.push(e.data))"
    )
    sign_in(page, url, "/runs/7")
    notebook = page.frame_locator("#notebook")
    expect(notebook.locator("#after, h2:has-text('after')").first).to_be_attached()
    frame = next(each for each in page.frames if each.url.endswith("/runs/7/notebook"))
    assert frame.evaluate("document.title") != "owned"
    assert frame.evaluate("window.origin") == "null"
    for control in ("#link", "#send"):
        if notebook.locator(control).count():
            notebook.locator(control).click(force=True, no_wait_after=True)
    page.reload()  # whatever was under way has happened or been refused by now
    expect(page.locator(".badge")).to_have_text("success")
    assert page.evaluate("window.heard") == []
    assert page.title().startswith("nightly report")
    assert leaks == []
    assert page.context.cookies()[0]["name"] == "quire_session"  # the form signed nobody out


def test_the_notebook_opened_by_itself_is_as_harmless(
    page: Page, make_app: Callable[..., FastAPI], serve_app: Callable[..., str], shown: Shown
) -> None:
    shown.add(make_view(7))
    shown.notebook = make_notebook(html_output(HOSTILE.replace("http-equiv", "data-x")))
    url = serve_app(make_app(render=render_without_cleaning))
    sign_in(page, url, "/runs/7/notebook")
    expect(page.locator("#after")).to_be_visible()
    assert page.title() == "nightly report"
    assert page.evaluate("window.origin") == "null"
    with pytest.raises(Exception, match=r"sandboxed|Access is denied"):
        page.evaluate("document.cookie")


def test_the_page_of_an_active_run_follows_it(
    page: Page, make_app: Callable[..., FastAPI], serve_app: Callable[..., str], shown: Shown
) -> None:
    running = {"state": State.RUNNING, "outcome": None, "ended_at": None, "finished_at": None}
    shown.add(make_view(7, **running, applied_sequence=1))
    shown.notebook = make_notebook()
    url = serve_app(make_app())
    sign_in(page, url, "/runs/7")
    expect(page.locator(".badge")).to_have_text("running")
    shown.notebook = make_notebook(
        {"output_type": "stream", "name": "stdout", "text": "first line\n"}
    )
    shown.add(make_view(7, **running, applied_sequence=2))
    expect(page.frame_locator("#notebook").get_by_text("first line")).to_be_visible()
    shown.add(make_view(7, applied_sequence=3))
    expect(page.locator(".badge")).to_have_text("success")


@pytest.mark.parametrize("signed_in_before", [True, False])
def test_the_fragment_form_of_a_link_leads_to_the_run(
    page: Page,
    make_app: Callable[..., FastAPI],
    serve_app: Callable[..., str],
    shown: Shown,
    signed_in_before: bool,
) -> None:
    shown.add(make_view(7))
    url = serve_app(make_app())
    if signed_in_before:
        sign_in(page, url)
        page.goto(f"{url}/?o=1#job/3/run/7")
    else:
        sign_in(page, url, "/?o=1#job/3/run/7")
    expect(page).to_have_url(f"{url}/runs/7")


def test_signing_out_closes_the_pages(
    page: Page, make_app: Callable[..., FastAPI], serve_app: Callable[..., str], shown: Shown
) -> None:
    url = serve_app(make_app())
    sign_in(page, url)
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(f"{url}/login")
    page.goto(f"{url}/")
    expect(page.get_by_label("API token")).to_be_visible()
