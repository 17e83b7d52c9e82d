"""A client that makes a notebook, works in it and publishes a report, over a real server."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import sync_playwright

from tests.acceptance.datalore.conftest import Client, World
from tests.acceptance.servers import poll


@dataclass(frozen=True)
class Notebook:
    """A notebook, and calls of the notebook API about it."""

    client: Client
    id: dict[str, str]

    def __call__(self, path: str, status: int = 200, **fields: Any) -> Any:
        body = {"notebookId": self.id, **fields}
        answer = self.client.call("POST", f"/api/notebook/v1/{path}", body)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def add(self, source: str, **fields: Any) -> str:
        """Put a code cell at the end; its id."""
        return str(self("cell/create", cellType="CODE", source=source, **fields)["cellId"])

    def run(self, cell_id: str, **fields: Any) -> Any:
        return self("cell/run", cellId=cell_id, **fields)

    def upload(self, name: str, data: bytes) -> None:
        query = {"ownerId": self.id["ownerId"], "notebookId": self.id["id"]}
        answer = requests.post(
            f"{self.client.url}/api/notebook/v1/file/upload",
            params=query,
            files={"file": (name, data)},
            headers={"Authorization": f"Bearer {self.client.token}"},
            timeout=60,
        )
        assert answer.ok, answer.text

    def wait_for_state(self, state: str) -> Any:
        return poll(lambda: self("kernel/status"), lambda status: status["state"] == state)


def _workspace(client: Client) -> str:
    for each in client.call("GET", "/api/user_public/v1/workspaces").json():
        if each["workspace"]["isDefault"]:
            identifier = each["workspace"]["id"]
            return f"{identifier['ownerId']}/{identifier['internalId']}"
    raise AssertionError("every user has a default workspace")


@pytest.fixture
def notebook(world: World, request: pytest.FixtureRequest) -> Any:
    """An empty notebook of ann's, named after the test; its computation is ended afterwards."""
    path = f"/api/workspaces/v1/notebook?workspaceId={_workspace(world.ann)}"
    answer = world.ann.call("POST", f"{path}&name={request.node.name}&language=PYTHON")
    assert answer.ok, answer.text
    made = Notebook(world.ann, answer.json())
    yield made
    made("agent/stop", status=204)


def test_cells_run_in_one_kernel_and_their_outputs_stay(notebook: Notebook) -> None:
    assert notebook("kernel/status") == {"state": "NOT_STARTED", "runningCellId": None}
    first = notebook("cells")["cells"][0]["cellId"]
    edited = notebook("cell/edit", cellId=first, newContent="x = 20\nprint('set')", run=True)
    assert edited["applied"] is True
    result = edited["runResult"]
    assert (result["executionStatus"], result["stdout"]) == ("VALID", "set\n")
    made = notebook("cell/create", cellType="CODE", source="x + 1", run=True)
    assert made["runResult"]["executionStatus"] == "VALID"
    assert made["runResult"]["outputs"] == [
        {"outputType": "LAST_EXPRESSION", "text": "21", "truncated": False}
    ]
    assert notebook("kernel/status")["state"] == "READY"
    shown = notebook("cells", includeOutputs=True)["cellsWithOutputs"]
    assert [each["executionCount"] for each in shown] == [1, 2]
    assert [each["outputs"][0]["text"] for each in shown] == ["set\n", "21"]
    assert all(each["timing"]["durationMs"] >= 0 for each in shown)
    assert notebook("cell/outputs", cellId=made["cellId"])["executionCount"] == 2


def test_errors_of_cells(notebook: Notebook) -> None:
    bad = notebook.add("print('before')\n1 / 0")
    after = notebook.add("print('after')")
    result = notebook.run(bad)
    assert result["executionStatus"] == "ERROR"
    assert result["errorMessage"] == "ZeroDivisionError: division by zero"
    assert "1 / 0" in result["errorTraceback"]
    assert "\x1b" not in result["errorTraceback"]
    assert result["stdout"] == "before\n"
    several = notebook("cells/run", cellIds=[bad, after])
    assert (several["stopped"], several["stoppedReason"]) == (True, "error")
    assert [each["executionStatus"] for each in several["results"]] == ["ERROR"]
    several = notebook("cells/run", cellIds=[bad, after], stopOnError=False)
    assert (several["stopped"], several["stoppedReason"]) == (False, None)
    assert [each["executionStatus"] for each in several["results"]] == ["ERROR", "VALID"]


def test_a_kernel_that_dies_is_an_error_of_its_cell(notebook: Notebook) -> None:
    cell = notebook.add("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    result = notebook.run(cell)
    assert result["executionStatus"] == "ERROR"
    assert "kernel" in result["errorMessage"].lower()
    assert notebook.run(notebook.add("print(1)"))["stdout"] == "1\n"


def test_a_cell_that_takes_its_time(notebook: Notebook) -> None:
    endless = notebook.add(
        "import time\nprint('on', flush=True)\nwhile True:\n    time.sleep(0.05)"
    )
    result = notebook.run(endless, timeoutMs=700)
    assert result["executionStatus"] == "TIMEOUT"
    notebook.wait_for_state("BUSY")
    running = poll(
        lambda: notebook("cell/outputs", cellId=endless),
        lambda outputs: outputs["stdout"] == "on\n",
    )
    assert running["executionStatus"] == "STARTED"
    assert notebook("kernel/status")["runningCellId"] == endless
    several = notebook("cells/run", cellIds=[notebook.add("2")], timeoutMs=300)
    assert (several["stopped"], several["stoppedReason"]) == (True, "timeout")
    assert notebook("kernel/interrupt") == {"interrupted": True}
    notebook.wait_for_state("READY")
    assert notebook.run(notebook.add("print(time.__name__)"))["stdout"] == "time\n"


def test_a_kernel_starts_anew(notebook: Notebook) -> None:
    for path, fields in (("kernel/interrupt", {}), ("kernel/restart", {})):
        refused = notebook(path, status=409, **fields)
        assert set(refused) == {"error", "state"}
        assert refused["state"] == "NOT_STARTED"
    notebook.run(notebook.add("x = 1"))
    assert notebook("kernel/interrupt") == {"interrupted": False}
    assert notebook("kernel/restart", waitUntilReady=True) == {"state": "READY", "timedOut": False}
    result = notebook.run(notebook.add("x"))
    assert result["errorMessage"] == "NameError: name 'x' is not defined"
    for _ in range(2):
        notebook("agent/stop", status=204)
        notebook.wait_for_state("NOT_STARTED")


def test_files_are_where_the_cells_work(notebook: Notebook) -> None:
    notebook.upload("sales.csv", b"city,sum\nOslo,3\nRome,4\n")
    cell = notebook.add(
        "import pandas as pd\nframe = pd.read_csv('sales.csv')\nframe.to_json('out.json')\nframe"
    )
    result = notebook.run(cell)
    assert result["executionStatus"] == "VALID", result
    assert result["outputs"][0]["outputType"] == "TABLE"
    assert "Oslo" in result["outputs"][0]["text"]
    read = notebook("file/read", filePath="data/notebook_files/out.json")
    assert json.loads(read["content"])["sum"] == {"0": 3, "1": 4}
    notebook.upload("sales.csv", b"city,sum\nBern,5\n")
    assert "Bern" in notebook.run(cell)["outputs"][0]["text"]
    names = {each["name"] for each in notebook("files")["files"]}
    assert names == {"sales.csv", "out.json"}


def test_controls_are_run_where_they_stand(notebook: Notebook) -> None:
    control = {"controlType": "TEXT_INPUT", "label": "City", "variable": "city", "value": "Oslo's"}
    made = notebook("cell/create", cellType="CONTROL", data={"control": control}, run=True)
    assert made["runResult"]["executionStatus"] == "VALID"
    show = notebook.add("print(city)")
    assert notebook.run(show)["stdout"] == "Oslo's\n"
    changed = {**control, "value": 'a "b"'}
    notebook("cell/controls/update", cellId=made["cellId"], control=changed, run=True)
    assert notebook.run(show)["stdout"] == 'a "b"\n'


def test_cells_of_sql(notebook: Notebook) -> None:
    notebook.run(notebook.add("least = 2"))
    query = "SELECT n FROM range(5) AS t(n) WHERE n >= {least}"
    made = notebook(
        "cell/create",
        cellType="SQL",
        source=query,
        data={"databaseId": None, "variableName": "frame"},
        run=True,
    )
    assert made["runResult"]["executionStatus"] == "VALID", made
    assert made["runResult"]["outputs"][0]["outputType"] == "TABLE"
    show = notebook.add("print(list(frame['n']))")
    several = notebook("cells/run", cellIds=[made["cellId"], show])
    assert several["results"][1]["stdout"] == "[2, 3, 4]\n"
    unknown = {"databaseId": "nowhere"}
    refused = notebook(
        "cell/edit", status=404, cellId=made["cellId"], newContent="SELECT 1", data=unknown
    )
    assert refused == {"error": "Database nowhere does not exist."}


def test_runs_execute_the_cells_of_all_worksheets(notebook: Notebook) -> None:
    first = notebook("cells")["cells"][0]["cellId"]
    notebook("cell/edit", cellId=first, newContent="parts = ['one']")
    sheet = notebook("worksheet/create", name="Second")
    notebook("cell/edit", cellId=sheet["firstCellId"], newContent="parts.append('two')")
    last = notebook.add("print(parts)", afterCellId=sheet["firstCellId"])
    notebook.add("parts.append('still one')", afterCellId=first)
    run = notebook.client.run(f"{notebook.id['ownerId']}/{notebook.id['id']}")
    assert run["success"] is True
    executed = notebook.client.executed(run)
    shown = {each["id"]: each.get("outputs") for each in executed["cells"]}
    assert shown[last][0]["text"] == ["['one', 'still one', 'two']\n"]
    assert notebook("cell/outputs", cellId=last)["outputs"] == []  # the stored one is as it was


def test_two_clients_lose_no_cell_while_one_runs(notebook: Notebook) -> None:
    slow = notebook.add("for number in range(20):\n    print(number)")
    with ThreadPoolExecutor(5) as pool:
        results = list(
            pool.map(
                lambda number: (
                    notebook.run(slow) if number % 4 == 0 else notebook.add(f"n = {number}")
                ),
                range(12),
            )
        )
    assert all(each["executionStatus"] == "VALID" for each in results[::4])
    sources = [each["source"] for each in notebook("cells")["cells"]]
    expected = {f"n = {number}" for number in range(12) if number % 4}
    assert expected <= set(sources)
    assert notebook("cell/outputs", cellId=slow)["stdout"].endswith("19\n")


def test_a_report_in_a_browser(world: World, notebook: Notebook, tmp_path: Path) -> None:
    title = notebook("cell/create", cellType="MARKDOWN", source="# Sales of the month")["cellId"]
    picture = notebook.add(
        "import matplotlib.pyplot as plt\nplt.bar(['Oslo', 'Rome', 'Bern'], [3, 4, 5])\nplt.show()"
    )
    attack = notebook.add(
        "from IPython.display import HTML, display\n"
        "display(HTML('<b>bold</b><script>document.title=\"attacked\"</script>'))\n"
        "print('version one')"
    )
    assert notebook("cells/run", cellIds=[picture, attack])["stopped"] is False
    layout = notebook(
        "report/replace",
        tabs=[
            {
                "name": "Overview",
                "rows": [
                    {"cells": [{"cellId": title}]},
                    {
                        "cells": [
                            {"cellId": picture, "columnSpan": 30, "showInput": False},
                            {"cellId": attack, "column": 30, "columnSpan": 18},
                        ]
                    },
                ],
            },
            {"name": "Details", "rows": []},
        ],
    )
    assert layout["initialized"] is True
    published = notebook("report/publish", type="STATIC", mode="CREATE")
    path = f"/report/{published['reportId']}"
    stranger = world.people["stranger"]
    assert stranger.call("GET", path).status_code == 404

    with sync_playwright() as playwright:
        executable = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        url = notebook.client.url
        context.add_cookies(
            [{"name": "quire_session", "value": str(notebook.client.token), "url": url}]
        )
        page = context.new_page()
        page.goto(url + path)
        assert page.title() == "test_a_report_in_a_browser"
        assert page.get_by_role("heading", name="Sales of the month").is_visible()
        assert page.get_by_text("version one").count() == 2  # the source, and what it printed
        image = page.locator("img").first
        assert image.evaluate("image => image.naturalWidth") > 100
        page.screenshot(path=tmp_path / "report.png")
        page.get_by_text("Details").click()
        assert not image.is_visible()
        browser.close()

    # What the notebook shows later is not seen before the report is updated.
    edited = {"cellId": attack, "newContent": "print('version two')", "run": True}
    notebook("cell/edit", **edited)
    assert "version two" not in notebook.client.call("GET", path).text
    notebook("report/publish", type="STATIC", mode="UPDATE")
    assert "version two" in notebook.client.call("GET", path).text


def test_runs_update_the_report_when_they_are_asked_to(notebook: Notebook) -> None:
    cell = notebook.add("import time\nprint('made at', time.time())")
    notebook("report/replace", tabs=[{"name": "One", "rows": [{"cells": [{"cellId": cell}]}]}])
    notebook.run(cell)
    published = notebook("report/publish", type="STATIC", mode="CREATE")
    client = notebook.client
    identifier = f"{notebook.id['ownerId']}/{notebook.id['id']}"

    def shown() -> str:
        return client.call("GET", f"/report/{published['reportId']}").text

    before = shown()
    assert client.run(identifier)["success"] is True  # updateReport is "never"
    assert shown() == before
    run = client.run(identifier, updateReport="on success")
    assert run["success"] is True
    after = shown()
    (printed,) = client.executed(run)["cells"][1]["outputs"]
    assert "".join(printed["text"]).strip() in after
    assert after != before
    notebook("cell/create", cellType="CODE", source="1 / 0")
    assert client.run(identifier, updateReport="on success")["success"] is False
    assert shown() == after


def test_a_notebook_made_here_runs_as_a_databricks_job(
    notebook: Notebook, world: World, request: pytest.FixtureRequest
) -> None:
    first = notebook("cells")["cells"][0]["cellId"]
    notebook("cell/edit", cellId=first, newContent="region = 'north'")
    notebook.add("dbutils.notebook.exit(region.upper())")
    task = {"notebook_path": f"/Users/ann/{request.node.name}"}
    submitted = world.ann.call(
        "POST",
        "/api/2.0/jobs/runs/submit",
        {"existing_cluster_id": "local", "notebook_task": task},
    ).json()["run_id"]
    assert world.ann.wait(str(submitted))["success"] is True
    output = world.ann.call("GET", f"/api/2.0/jobs/runs/get-output?run_id={submitted}").json()
    assert output["notebook_output"] == {"result": "NORTH", "truncated": False}
