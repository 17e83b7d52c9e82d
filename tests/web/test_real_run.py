"""A run of a real server, seen by a real browser."""

from __future__ import annotations

from pathlib import Path

from bench.server import running_server
from playwright.sync_api import Browser, expect

NOTEBOOK = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {"language_info": {"name": "python"}},
    "cells": [
        {
            "cell_type": "code",
            "id": "only",
            "metadata": {},
            "execution_count": None,
            "outputs": [],
            "source": "import pandas\nprint('printed by the kernel')\n"
            "display(pandas.DataFrame({'column of a frame': [1]}))\n"
            "dbutils.notebook.exit('the exit value')",
        }
    ],
}


def test_the_page_of_a_run_shows_its_state_and_output(browser: Browser, tmp_path: Path) -> None:
    # Kernels may be another user, who has to get through to the server's folders.
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == tmp_path.owner() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    with running_server(tmp_path / "data") as server:
        client = server.client()
        run = client.wait(client.submit(client.store("shown", NOTEBOOK)), 0.02)
        page = browser.new_page()
        page.goto(run["run_page_url"])
        page.get_by_label("API token").fill(server.token)
        page.get_by_role("button", name="Sign in").click()
        expect(page.locator(".badge")).to_have_text("success")
        expect(page.locator("#exit-value")).to_have_text("the exit value")
        notebook = page.frame_locator("#notebook")
        expect(notebook.get_by_text("printed by the kernel", exact=True)).to_be_visible()
        expect(notebook.get_by_role("columnheader", name="column of a frame")).to_be_visible()
        page.screenshot(path=str(tmp_path / "page.png"), full_page=True)
        page.close()
