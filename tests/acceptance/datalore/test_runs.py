"""Runs over real HTTP with real kernels: who may, what they leave, what their controls get."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.acceptance.datalore.conftest import World, cell, text_of
from tests.acceptance.servers import poll

RUN = "/api/run/v1/notebook"
INTERACTIVE = "/api/computation/v1/notebook"


@pytest.fixture(scope="module")
def shared(world: World) -> str:
    """A notebook that people share."""
    notebook_id = world.ann.put_in("/Users/ann/shared", cell("print('hello')"))
    for name in ("editor", "viewer"):
        world.server.command("share", "/Users/ann/shared", "--user", name, "--as", name)
    return notebook_id


@pytest.mark.parametrize(
    ("who", "start", "read"),
    [
        ("ann", 200, 200),
        ("editor", 200, 200),
        ("viewer", 403, 200),
        ("stranger", 404, 404),
        ("expired", 401, 401),
        ("nobody", 401, 401),
    ],
)
def test_who_may_do_what(world: World, shared: str, who: str, start: int, read: int) -> None:
    known = {"expired": world.expired, "nobody": world.nobody}
    client = known.get(who) or world.people[who]
    done = world.ann.run(shared)
    for path in (RUN, INTERACTIVE):
        answer = client.call("POST", path, {"notebookId": shared})
        assert answer.status_code == start
        assert start == 200 or set(answer.json()) == {"error"}
    for path in (f"/api/run/v1/{done['runId']}", done["artifacts"][0]["path"]):
        answer = client.call("GET", path)
        assert answer.status_code == read
        assert read == 200 or set(answer.json()) == {"error"}
    if read == 200:
        shown = client.call("GET", f"/api/run/v1/{done['runId']}").json()
        assert shown["readOnly"] == (who == "viewer")


def test_bad_queries(world: World, shared: str) -> None:
    for body in ({}, {"notebookId": "x"}, {"notebookId": shared, "updateReport": "always"}, []):
        answer = world.ann.call("POST", RUN, body)
        assert (answer.status_code, set(answer.json())) == (400, {"error"})


def test_a_failed_run_keeps_what_came_before(world: World) -> None:
    notebook_id = world.ann.put_in(
        "/Users/ann/fails", cell("print('first')"), cell("1 / 0"), cell("print('never')")
    )
    run = world.ann.run(notebook_id)
    assert (run["success"], "status" in run) == (False, False)
    executed = world.ann.executed(run)
    assert [text_of(executed, index) for index in (0, 2)] == ["first\n", ""]
    assert executed["cells"][1]["outputs"][0]["ename"] == "ZeroDivisionError"


CONTROLS: list[dict[str, Any]] = [
    {"controlType": "TEXT_INPUT", "variable": "city", "value": "Oslo", "multiline": False},
    {"controlType": "CHECKBOX", "variable": "tall", "value": False},
    {
        "controlType": "SLIDER",
        "variable": "days",
        "value": "5",
        "min": "1",
        "max": "9",
        "step": "1",
    },
    {"controlType": "DROPDOWN", "variable": "size", "items": ["S", "L"], "selectedValue": "S"},
    {"controlType": "DROPDOWN", "variable": "tags", "items": ["a", "b", "c"], "multiselect": True},
    {
        "controlType": "DROPDOWN",
        "variable": "number",
        "items": [],
        "selectedVariable": "numbers",
        "selectedValue": "10",
    },
    {"controlType": "DATEPICKER", "variable": "day", "startDate": "2026-01-01"},
    {
        "controlType": "DATEPICKER",
        "variable": "span",
        "startDate": "2026-01-01",
        "endDate": "2026-01-31",
        "withRange": True,
    },
    {"controlType": "BUTTON", "label": "Go", "variable": "go"},
]


def control(data: dict[str, Any]) -> dict[str, Any]:
    metadata = {"datalore": {"type": "CONTROL", "control": {"label": "", **data}}}
    return cell("stale", **metadata)


def test_controls_of_every_kind(world: World) -> None:
    names = [each["variable"] for each in CONTROLS if each["controlType"] != "BUTTON"]
    notebook_id = world.ann.put_in(
        "/Users/ann/controls",
        cell("numbers = [10, 20, 30]"),
        *(control(each) for each in CONTROLS),
        cell(f"print([{', '.join(names)}])"),
        cell("late = ''", tags=["parameters"]),
        cell("print(late)"),
    )
    stored = world.ann.run(notebook_id)
    assert stored["success"]
    day, first, last = (f"datetime.date(2026, 1, {number})" for number in (1, 1, 31))
    assert text_of(world.ann.executed(stored), 10) == (
        f"['Oslo', False, 5, 'S', [], 10, {day}, ({first}, {last})]\n"
    )
    given = {
        "city": 'L\'Aquila \\ "x"',
        "tall": "TRUE",
        "days": 7,
        "size": "L",
        "tags": ["c", "a"],
        "number": "30",
        "day": "2026-02-03",
        "span": ["2026-02-03", "2026-02-04"],
        "late": {"nested": [1, None]},
    }
    parameters = [{"name": name, "value": value} for name, value in given.items()]
    run = world.ann.run(notebook_id, parameters=parameters)
    assert run["success"]
    executed = world.ann.executed(run)
    day, last = (f"datetime.date(2026, 2, {number})" for number in (3, 4))
    assert text_of(executed, 10) == (
        f"['L\\'Aquila \\\\ \"x\"', True, 7, 'L', ['c', 'a'], 30, {day}, ({day}, {last})]\n"
    )
    assert text_of(executed, 13) == "{'nested': [1, None]}\n"
    used = executed["cells"][1]["metadata"]["datalore"]["control"]
    assert used["value"] == given["city"]
    again = world.ann.executed(world.ann.run(notebook_id))
    assert again["cells"][1]["metadata"]["datalore"]["control"]["value"] == "Oslo"
    missing = world.ann.run(notebook_id, parameters=[{"name": "number", "value": "11"}])
    assert not missing["success"]
    for name, value in (("size", "M"), ("days", 10), ("go", 1), ("nobody", 1), ("day", "soon")):
        body = {"notebookId": notebook_id, "parameters": [{"name": name, "value": value}]}
        answer = world.ann.call("POST", RUN, body)
        assert (answer.status_code == 400) == (name != "nobody"), answer.text


def test_files_of_an_isolated_run_become_artifacts(world: World) -> None:
    notebook_id = world.ann.put_in(
        "/Users/ann/writes",
        cell(
            "import os\n"
            "os.makedirs('out', exist_ok=True)\n"
            "open('out/größe 1.csv', 'w').write('1,2')\n"
            "open('writes.ipynb', 'w').write('not a notebook')\n"
            "open('.hidden', 'w').write('x')\n"
            "os.symlink('/etc/passwd', 'passwd')\n"
        ),
    )
    run = world.ann.run(notebook_id)
    assert run["success"]
    names = [each["name"] for each in run["artifacts"]]
    assert names == ["writes.ipynb", "out/größe 1.csv", "writes (2).ipynb"]
    assert world.ann.download(run, "out/größe 1.csv") == b"1,2"
    assert world.ann.download(run, "writes (2).ipynb") == b"not a notebook"
    assert json.loads(world.ann.download(run, "writes.ipynb"))["nbformat"] == 4


def test_direct_writes_stay_with_the_notebook(world: World) -> None:
    source = (
        "import os\n"
        "print(sorted(each for each in os.listdir() if each[0] != '.'))\n"
        "if os.path.exists('kept.txt'):\n"
        "    open('kept.txt', 'a').write('+')\n"
        "    print(open('kept.txt').read())\n"
        "    os.path.exists('gone.txt') and os.remove('gone.txt')\n"
        "else:\n"
        "    [open(name, 'w').write(name) for name in ('kept.txt', 'gone.txt')]\n"
    )
    notebook_id = world.ann.put_in("/Users/ann/keeps", cell(source))

    def seen(**options: Any) -> str:
        run = world.ann.run(notebook_id, **options)
        assert run["success"]
        return text_of(world.ann.executed(run), 0)

    assert seen(directFileStorageWrite=True) == "[]\n"
    assert (
        seen() == "['gone.txt', 'kept.txt']\nkept.txt+\n"
    )  # isolated: the files stay as they were
    assert seen(directFileStorageWrite=True) == "['gone.txt', 'kept.txt']\nkept.txt+\n"
    assert seen(directFileStorageWrite=True) == "['kept.txt']\nkept.txt++\n"


def test_a_notebook_of_one_api_runs_through_the_other(world: World) -> None:
    notebook_id = world.ann.put_in("/Users/ann/both", cell("print(6 * 7)"))
    here = world.ann.run(notebook_id)
    assert text_of(world.ann.executed(here), 0) == "42\n"
    task = {"notebook_path": "/Users/ann/both"}
    submitted = world.ann.call(
        "POST",
        "/api/2.0/jobs/runs/submit",
        {"existing_cluster_id": "local", "notebook_task": task},
    ).json()["run_id"]
    there = world.ann.wait(str(submitted))  # one server, one set of runs
    assert (there["notebookId"], there["success"]) == (notebook_id, True)
    assert text_of(world.ann.executed(there), 0) == "42\n"
    shown = world.ann.call("GET", f"/api/2.0/jobs/runs/get?run_id={here['runId']}").json()
    assert shown["state"]["result_state"] == "SUCCESS"


def test_an_interactive_run_writes_into_the_notebook(world: World) -> None:
    notebook_id = world.ann.put_in(
        "/Users/ann/live", cell("count = globals().get('count', 0) + 1\nprint(count)")
    )

    def shown() -> str:
        query = "/api/2.0/workspace/export?path=/Users/ann/live&format=JUPYTER&direct_download=true"
        return text_of(world.ann.call("GET", query).json(), 0)

    for _ in range(2):  # the second is queued behind the first, in the same kernel
        answer = world.ann.call("POST", INTERACTIVE, {"notebookId": notebook_id})
        assert (answer.status_code, answer.json()) == (200, {})
    assert poll(shown, lambda text: text == "2\n")


def test_cells_of_sql(world: World) -> None:
    """The result becomes a data frame, and variables go in as bound parameters."""
    query = "SELECT name, size FROM people WHERE size > {least} AND name IN ({names}) ORDER BY size"
    notebook_id = world.ann.put_in(
        "/Users/ann/queries",
        cell(
            "import pandas\n"
            "people = pandas.DataFrame({'name': ['a', \"o'b\", 'c'], 'size': [1, 2, 3]})\n"
            "least, names = 1, [\"o'b\", 'c']"
        ),
        cell(query, datalore={"type": "SQL", "databaseId": None, "variableName": "tall"}),
        cell("print(type(tall).__name__, tall['name'].tolist())"),
        cell("SELECT nothing", datalore={"type": "SQL", "databaseId": "nowhere"}),
    )
    run = world.ann.run(notebook_id)
    executed = world.ann.executed(run)
    assert text_of(executed, 2) == "DataFrame [\"o'b\", 'c']\n"
    assert "text/html" in executed["cells"][1]["outputs"][0]["data"]
    assert "".join(executed["cells"][1]["source"]) == query
    assert not run["success"]  # there is no such database
    assert "nowhere" in executed["cells"][3]["outputs"][0]["evalue"]
