"""Pages in a real browser: what counts in the end is what runs and what is asked for."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from quire.render import render_body, render_databricks_html
from quire.workspace.formats.document import code_cell, new_notebook
from tests.render.test_page import display, hostile

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


def test_a_hostile_notebook_runs_nothing_and_asks_no_host(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(render_databricks_html(hostile(), "n"), "utf-8")
    context = browser.new_context()
    context.add_init_script("window.attack = () => { document.title = 'attacked' }")
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    for image in page.query_selector_all("img"):
        image.scroll_into_view_if_needed()
    assert [address for address in asked if not address.startswith("data:")] == [file.as_uri()]
    assert page.title() == "n"
    assert all(frame.title() in ("n", "") for frame in page.frames)
    assert len(page.evaluate("__DATABRICKS_NOTEBOOK_MODEL")) > 1000
    context.close()


def test_plots_and_styled_tables_show_inside_a_sandboxed_frame(browser: Browser) -> None:
    drawing = "<svg width='30' height='20' xmlns='http://www.w3.org/2000/svg'><rect/></svg>"
    styled = "<style>#t td{color:rgb(1, 2, 3)}</style><table id=t><tr><td>cell</table>"
    outputs = [display({"image/svg+xml": drawing}), display({"text/html": styled})]
    notebook = new_notebook("python", "plain", [code_cell("x", outputs=outputs)])
    page = browser.new_page()
    page.set_content("<iframe id=outer sandbox width=900 height=900></iframe>")
    page.eval_on_selector(
        "#outer", "(frame, text) => { frame.srcdoc = text }", render_body(notebook)
    )
    outer = page.frame_locator("#outer")
    picture = outer.locator("img")
    picture.wait_for()
    assert picture.bounding_box() == {**(picture.bounding_box() or {}), "width": 30, "height": 20}
    cell = outer.frame_locator("iframe.isolated").locator("td")
    cell.wait_for()
    assert cell.inner_text() == "cell"
    page.close()
