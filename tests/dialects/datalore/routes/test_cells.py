"""Cells over HTTP: read, made, changed and deleted. What running them does is in the acceptance."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from quire.workspace.formats.document import code_cell, markdown_cell
from tests.dialects.datalore.conftest import PATH, Door

ROOT = "/api/notebook/v1"
_TEXT = {"controlType": "TEXT_INPUT", "label": "City", "variable": "city", "value": "Oslo"}


class Client:
    """Calls of the notebook API about the door's notebook."""

    def __init__(self, door: Door) -> None:
        self.door = door
        owner, identifier = door.notebook_id.split("/")
        self.notebook = {"ownerId": owner, "id": identifier}

    def __call__(self, path: str, who: str = "ann", **fields: Any) -> Any:
        body = {"notebookId": self.notebook, **fields}
        if path in ("cell/delete", "file/delete", "agent/stop"):
            headers = {"Authorization": f"Bearer {self.door.token_of[who]}"}
            answer = self.door.client.post(f"{ROOT}/{path}", json=body, headers=headers)
            assert (answer.status_code, answer.content) == (204, b"")
            return None
        status, content = self.door.call("POST", f"{ROOT}/{path}", body, who=who)
        assert status == 200, content
        return content

    def refuse(self, path: str, who: str = "ann", **fields: Any) -> tuple[int, str]:
        body = {"notebookId": self.notebook, **fields}
        return self.door.refuse("POST", f"{ROOT}/{path}", body, who=who)

    def sources(self, **fields: Any) -> list[str]:
        return [cell["source"] for cell in self("cells", **fields)["cells"]]

    def stored(self) -> Any:
        return self.door.workspace.read_notebook(self.door.owner, PATH)


@pytest.fixture
def client(door: Door) -> Client:
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": "hello\n"},
        {"output_type": "display_data", "data": {"image/png": "iVBO"}, "metadata": {}},
    ]
    timing = {
        "iopub.status.busy": "2026-03-01T10:00:00.250000+00:00",
        "iopub.status.idle": "2026-03-01T10:00:01.500000Z",
    }
    door.store(
        code_cell(
            "print('hello')",
            id="first",
            outputs=outputs,
            execution_count=3,
            metadata={"execution": timing},
        ),
        markdown_cell("# Title", id="second"),
    )
    return Client(door)


def test_cells_without_outputs(client: Client) -> None:
    assert client("cells") == {
        "cells": [
            {
                "cellId": "first",
                "cellType": "CODE",
                "position": 0,
                "source": "print('hello')",
                "data": {"language": "python"},
            },
            {
                "cellId": "second",
                "cellType": "MARKDOWN",
                "position": 1,
                "source": "# Title",
                "data": {},
            },
        ],
        "cellsWithOutputs": None,
        "outputsTruncated": False,
        "outputsTruncatedFromCellId": None,
    }


def test_cells_with_outputs(client: Client) -> None:
    answer = client("cells", includeOutputs=True)
    assert answer["cells"] == []
    assert answer["cellsWithOutputs"][0] == {
        "cellId": "first",
        "cellType": "CODE",
        "position": 0,
        "source": "print('hello')",
        "data": {"language": "python"},
        "executionStatus": "VALID",
        "executionCount": 3,
        "timing": {"durationMs": 1250, "lastExecutedAt": "2026-03-01T10:00:00.250Z"},
        "outputs": [
            {"outputType": "TEXT", "text": "hello\n", "truncated": False},
            {"outputType": "PLOT", "text": None, "truncated": False},
        ],
    }
    assert answer["cellsWithOutputs"][1]["executionStatus"] == "NONE"
    assert answer["cellsWithOutputs"][1]["timing"] is None


def test_one_cell(client: Client) -> None:
    assert client("cell", cellId="second")["cell"]["position"] == 1
    outputs = client("cell/outputs", cellId="first")
    assert outputs["stdout"] == "hello\n"
    assert outputs["stderr"] == ""
    assert (outputs["errorMessage"], outputs["errorTraceback"]) == (None, None)
    assert outputs["executionStatus"] == "VALID"


def test_all_calls_with_a_cell_say_when_it_is_not_there(client: Client) -> None:
    for path, fields in (
        ("cell", {}),
        ("cell/outputs", {}),
        ("cell/edit", {"newContent": "x"}),
        ("cell/delete", {}),
        ("cell/run", {}),
        ("cell/controls/update", {"control": _TEXT}),
    ):
        status, text = client.refuse(path, cellId="nope", **fields)
        assert (status, text) == (404, "Cell nope does not exist."), path
    assert client.refuse("cells/run", cellIds=["first", "nope"])[0] == 404
    assert client.refuse("cell/create", cellType="CODE", afterCellId="nope")[0] == 404
    assert client.stored()[0].revision == 2


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ({}, ["print('hello')", "# Title", "new"]),
        ({"afterCellId": "first"}, ["print('hello')", "new", "# Title"]),
        ({"beforeCellId": "first"}, ["new", "print('hello')", "# Title"]),
    ],
)
def test_a_new_cell(client: Client, place: dict[str, str], expected: list[str]) -> None:
    made = client("cell/create", cellType="CODE", source="new", **place)
    assert len(made["cellId"]) == 22
    assert made["runResult"] is None
    assert client.sources() == expected


def test_new_cells_of_every_type(client: Client) -> None:
    _connect(client.door, "db")
    client("cell/create", cellType="MARKDOWN", source="text")
    client(
        "cell/create",
        cellType="SQL",
        source="select 1",
        data={"databaseId": "db", "variableName": "frame"},
    )
    client("cell/create", cellType="CONTROL", data={"control": _TEXT})
    made = client("cells")["cells"][2:]
    assert [(each["cellType"], each["source"], each["data"]) for each in made] == [
        ("MARKDOWN", "text", {}),
        ("SQL", "select 1", {"databaseId": "db", "variableName": "frame"}),
        ("CONTROL", "city = 'Oslo'", {"control": _TEXT}),
    ]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "cellType"),
        ({"cellType": "RAW"}, "cellType"),
        ({"cellType": "CODE", "source": 1}, "source"),
        ({"cellType": "CODE", "source": "x" * 5_000_001}, "source"),
        ({"cellType": "CODE", "data": []}, "data"),
        ({"cellType": "CODE", "data": {"language": "scala"}}, "data.language"),
        ({"cellType": "CODE", "afterCellId": "first", "beforeCellId": "first"}, "beforeCellId"),
        ({"cellType": "CODE", "run": "yes"}, "run"),
        ({"cellType": "CODE", "timeoutMs": 30_001}, "timeoutMs"),
        ({"cellType": "CODE", "timeoutMs": 0}, "timeoutMs"),
        ({"cellType": "MARKDOWN", "run": True}, "run"),
        ({"cellType": "SQL", "data": {"databaseId": 1}}, "data.databaseId"),
        ({"cellType": "SQL", "data": {"variableName": "a b"}}, "data.variableName"),
        ({"cellType": "CONTROL"}, "data.control"),
        ({"cellType": "CONTROL", "data": {"control": 1}}, "data.control"),
        ({"cellType": "CONTROL", "data": {"control": {}}}, "data.control.controlType"),
        ({"cellType": "CONTROL", "source": "x", "data": {"control": _TEXT}}, "source"),
    ],
)
def test_bad_cells_are_not_made(client: Client, fields: dict[str, Any], text: str) -> None:
    before = client.stored()
    status, message = client.refuse("cell/create", **fields)
    assert status == 400
    assert text in message
    assert client.stored() == before


def _connect(door: Door, name: str, *allowed: str) -> None:
    people = [door.people[each].id for each in allowed] or None
    door.services.connections.create(
        door.parts.admin, name, "postgresql://user:secret@host/x", allowed=people
    )


def test_databases_of_sql_cells(client: Client) -> None:
    _connect(client.door, "db")
    _connect(client.door, "hers", "ann")
    assert client("databases") == {
        "databases": [
            {"databaseId": "db", "name": "db", "type": "POSTGRESQL"},
            {"databaseId": "hers", "name": "hers", "type": "POSTGRESQL"},
        ]
    }
    assert [each["name"] for each in client("databases", who="editor")["databases"]] == ["db"]
    made = client("cell/create", cellType="SQL", data={"databaseId": "hers"})["cellId"]
    client("cell/edit", who="editor", cellId=made, newContent="select 1")
    before = client.stored()
    for path, fields in (
        ("cell/create", {"cellType": "SQL", "data": {"databaseId": "hers"}}),
        ("cell/edit", {"cellId": made, "newContent": "x", "data": {"databaseId": "hers"}}),
    ):
        assert client.refuse(path, who="editor", **fields) == (
            404,
            "Database hers does not exist.",
        )
    assert client.stored() == before


def test_edits(client: Client) -> None:
    _connect(client.door, "db")
    assert client("cell/edit", cellId="second", newContent="## Smaller") == {
        "cellId": "second",
        "applied": True,
        "runResult": None,
    }
    assert client.sources() == ["print('hello')", "## Smaller"]
    made = client("cell/create", cellType="SQL", data={"databaseId": "db"})["cellId"]
    client("cell/edit", cellId=made, newContent="select 2", data={"variableName": "frame"})
    assert client("cell", cellId=made)["cell"]["data"] == {
        "databaseId": "db",
        "variableName": "frame",
    }


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"cellId": "first"}, "newContent"),
        ({"newContent": "x"}, "cellId"),
        ({"cellId": "first", "newContent": None}, "newContent"),
        ({"cellId": "first", "newContent": "x", "data": {"variableName": "a"}}, "data"),
        ({"cellId": "second", "newContent": "x", "run": True}, "run"),
    ],
)
def test_bad_edits_change_nothing(client: Client, fields: dict[str, Any], text: str) -> None:
    before = client.stored()
    status, message = client.refuse("cell/edit", **fields)
    assert status == 400
    assert text in message
    assert client.stored() == before


def test_controls(client: Client) -> None:
    made = client("cell/create", cellType="CONTROL", data={"control": _TEXT})["cellId"]
    answer = client("cell/controls/update", cellId=made, control={**_TEXT, "value": "Rome's"})
    assert answer == {"cellId": made, "applied": True, "runResult": None}
    assert client("cell", cellId=made)["cell"]["source"] == 'city = "Rome\'s"'
    checkbox = {"controlType": "CHECKBOX", "label": "", "variable": "city", "value": True}
    for path, fields, text in (
        ("cell/controls/update", {"control": checkbox}, "TEXT_INPUT"),
        ("cell/controls/update", {"control": {**_TEXT, "value": 1}}, "control.value"),
        ("cell/controls/update", {}, "control"),
        ("cell/edit", {"newContent": "x"}, "cell/controls/update"),
    ):
        status, message = client.refuse(path, cellId=made, **fields)
        assert status == 400
        assert text in message
    assert client.refuse("cell/controls/update", cellId="first", control=_TEXT)[0] == 400


def test_deletion(client: Client) -> None:
    client("cell/delete", cellId="first")
    assert client.sources() == ["# Title"]


def test_worksheets(client: Client) -> None:
    made = client("worksheet/create", name="Other")
    assert made["worksheetIndex"] == 1
    assert made["name"] == "Other"
    assert client("cells", worksheetIndex=1)["cells"][0]["cellId"] == made["firstCellId"]
    client("cell/create", cellType="CODE", source="on two", afterCellId=made["firstCellId"])
    assert client.sources(worksheetIndex=1) == ["", "on two"]
    assert client.sources() == ["print('hello')", "# Title"]
    assert client("cell", cellId=made["firstCellId"])["cell"]["position"] == 0
    assert client.refuse("cells", worksheetIndex=2) == (404, "Worksheet 2 does not exist.")
    for fields, text in (
        ({"name": ""}, "name"),
        ({"name": 1}, "name"),
        ({"name": "Other"}, "name"),
        ({"worksheetIndex": 9}, "worksheetIndex"),
        ({"worksheetIndex": -1}, "worksheetIndex"),
    ):
        status, message = client.refuse("worksheet/create", **fields)
        assert status == 400
        assert text in message


def test_outputs_of_all_cells_have_a_limit(door: Door) -> None:
    text = {"output_type": "stream", "name": "stdout", "text": "x" * 100_001}
    cells = [code_cell("", id=f"c{number}", outputs=[text] * 9) for number in range(7)]
    door.store(*cells)
    answer = Client(door)("cells", includeOutputs=True)
    assert answer["outputsTruncated"] is True
    assert answer["outputsTruncatedFromCellId"] == "c5"
    shown = [len(each["outputs"]) for each in answer["cellsWithOutputs"]]
    assert shown == [9, 9, 9, 9, 9, 0, 0]
    assert answer["cellsWithOutputs"][0]["outputs"][0]["truncated"] is True
    assert len(answer["cellsWithOutputs"][0]["outputs"][0]["text"]) == 100_000


def test_who_may_do_what(client: Client) -> None:
    read = [("cells", {}), ("cell", {"cellId": "first"}), ("cell/outputs", {"cellId": "first"})]
    write: list[tuple[str, dict[str, Any]]] = [
        ("cell/create", {"cellType": "CODE"}),
        ("cell/edit", {"cellId": "first", "newContent": "x"}),
        ("cell/delete", {"cellId": "first"}),
        ("cell/run", {"cellId": "first"}),
        ("cells/run", {"cellIds": ["first"]}),
        ("worksheet/create", {}),
    ]
    before = client.stored()
    for path, fields in read:
        client(path, who="viewer", **fields)
        assert client.refuse(path, who="stranger", **fields)[0] == 403
    for path, fields in write:
        assert client.refuse(path, who="viewer", **fields)[0] == 403, path
        assert client.refuse(path, who="stranger", **fields)[0] == 403, path
    assert client.stored() == before
    client("cell/edit", who="editor", cellId="first", newContent="x")


def test_notebooks_out_of_reach_look_like_none(door: Door) -> None:
    owner, identifier = door.notebook_id.split("/")
    messages = set()
    for owner_id, node_id, who in (
        (owner, "0" * 22, "ann"),
        (owner, identifier, "stranger"),
        ("somebody", identifier, "ann"),
        (owner, "x", "ann"),
    ):
        body = {"notebookId": {"ownerId": owner_id, "id": node_id}}
        status, text = door.refuse("POST", f"{ROOT}/cells", body, who=who)
        assert status == 403
        messages.add(text.replace(f"{owner_id}/{node_id}", "it"))
    assert messages == {"Notebook it does not exist."}


@pytest.mark.parametrize(
    "identifier",
    [None, "ann/x", [], {}, {"ownerId": "ann"}, {"ownerId": 1, "id": "x"}, {"id": "x"}],
)
def test_ids_are_objects(door: Door, identifier: Any) -> None:
    status, text = door.refuse("POST", f"{ROOT}/cells", {"notebookId": identifier})
    assert (status, "notebookId" in text) == (400, True)


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        (["notebook"], 200),
        (["notebook:read"], 403),
        (["workspace"], 200),
        (["basic"], 403),
    ],
)
def test_scopes_of_tokens(client: Client, scopes: list[str], expected: int) -> None:
    door = client.door
    token = door.tokens.create(door.owner.id, scopes=scopes)[0]
    headers = {"Authorization": f"Bearer {token}"}
    body = {"notebookId": client.notebook, "cellType": "CODE"}
    assert door.call("POST", f"{ROOT}/cell/create", body, headers=headers)[0] == expected
    if expected == 403:
        challenge = 'Bearer scope="NOTEBOOK_API", access="FULL"'
        assert door.answer.headers["www-authenticate"] == challenge


def test_edits_of_two_clients_lose_no_cell(client: Client) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(
            pool.map(
                lambda number: client("cell/create", cellType="CODE", source=f"n{number}"),
                range(12),
            )
        )
    assert sorted(client.sources()[2:]) == sorted(f"n{number}" for number in range(12))


@pytest.mark.parametrize("path", ["definitions", "database/schema/children"])
def test_what_is_not_done_is_refused(client: Client, path: str) -> None:
    status, text = client.refuse(path)
    assert (status, "does not" in text) == (400, True)


def test_running_needs_code(client: Client) -> None:
    assert client.refuse("cells/run", cellIds=["first", "second"])[0] == 400
    assert client.refuse("cells/run", cellIds=[])[0] == 400
    assert client.refuse("cell/run", cellId="second")[0] == 400
    made = client("cell/create", cellType="CONTROL", data={"control": _TEXT})["cellId"]
    assert client.refuse("cells/run", cellIds=[made])[0] == 400
    assert client.door.stored()["runs"] == 0
