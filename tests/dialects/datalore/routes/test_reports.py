"""Layouts and publications over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from quire.workspace.formats.document import code_cell
from tests.dialects.datalore.conftest import PATH, Door
from tests.dialects.datalore.routes.test_cells import Client


@pytest.fixture
def client(door: Door) -> Client:
    door.store(code_cell("1", id="a"), code_cell("2", id="b"))
    return Client(door)


_TABS: list[dict[str, Any]] = [
    {
        "tabId": "t1",
        "name": "One",
        "rows": [
            {
                "rowId": "r1",
                "cells": [
                    {"cellId": "a", "columnSpan": 24},
                    {
                        "cellId": "b",
                        "column": 24,
                        "columnSpan": 24,
                        "verticalOffset": 8,
                        "height": 300,
                        "inputHeight": 100,
                        "showInput": False,
                        "showOutput": True,
                    },
                ],
            }
        ],
    }
]


def test_a_notebook_without_a_layout(client: Client) -> None:
    assert client("report") == {"initialized": False, "tabs": []}


def test_a_layout_with_its_defaults(client: Client) -> None:
    answer = client("report/replace", tabs=_TABS)
    assert answer["initialized"] is True
    assert answer["tabs"][0]["rows"][0]["cells"] == [
        {
            "cellId": "a",
            "column": 0,
            "columnSpan": 24,
            "verticalOffset": 0,
            "showInput": True,
            "showOutput": True,
        },
        _TABS[0]["rows"][0]["cells"][1],
    ]
    assert client("report", who="viewer") == answer
    assert client("report/replace", tabs=[]) == {"initialized": False, "tabs": []}


def test_parts_without_ids_get_some(client: Client) -> None:
    tabs = [{"name": "One", "rows": [{"cells": [{"cellId": "a"}]}]}]
    tab = client("report/replace", tabs=tabs)["tabs"][0]
    assert tab["tabId"]
    assert tab["rows"][0]["rowId"]
    assert tab["rows"][0]["cells"][0]["columnSpan"] == 48


def _with_cell(**fields: Any) -> list[dict[str, Any]]:
    return [{"name": "One", "rows": [{"cells": [{"cellId": "a", **fields}]}]}]


@pytest.mark.parametrize(
    ("tabs", "status", "text"),
    [
        (None, 400, "tabs"),
        ({}, 400, "tabs"),
        ([{}], 400, "tabs[0].name"),
        ([{"name": ""}], 400, "name"),
        (_with_cell(column=45), 400, "column"),
        (_with_cell(column=-1), 400, "column"),
        (_with_cell(columnSpan=3), 400, "columnSpan"),
        (_with_cell(column=24, columnSpan=25), 400, "columnSpan"),
        (_with_cell(column="1"), 400, "tabs[0].rows[0].cells[0].column"),
        (_with_cell(height=0), 400, "height"),
        (_with_cell(showInput="no"), 400, "showInput"),
        ([*_with_cell(), *_with_cell()], 400, "cellId"),
        ([{"name": "x", "tabId": "t"}, {"name": "y", "tabId": "t"}], 400, "tabId"),
        ([{"name": "x", "rows": [{"cells": [{"cellId": "nope"}]}]}], 404, "nope"),
        ([{"name": "x"}] * 101, 400, "tabs"),
    ],
)
def test_bad_layouts_change_nothing(client: Client, tabs: Any, status: int, text: str) -> None:
    client("report/replace", tabs=_TABS)
    before = client.stored()
    refused = client.refuse("report/replace", tabs=tabs)
    assert refused[0] == status
    assert text in refused[1]
    assert client.stored() == before


def test_operations(client: Client) -> None:
    def shape(answer: Any) -> dict[str, list[list[str]]]:
        return {
            tab["name"]: [[cell["cellId"] for cell in row["cells"]] for row in tab["rows"]]
            for tab in answer["tabs"]
        }

    answer = client(
        "report/operations",
        operations=[
            {"type": "ADD_TAB", "tabId": "t1", "name": "One"},
            {"type": "ADD_TAB", "tabId": "t0", "name": "Zero", "index": 0},
            {"type": "ADD_ROW", "tabId": "t1", "rowId": "r1", "cells": [{"cellId": "a"}]},
            {"type": "ADD_ROW", "tabId": "t1", "rowId": "r0", "index": 0},
            {"type": "UPSERT_CELL", "rowId": "r0", "cell": {"cellId": "b"}},
        ],
    )
    assert shape(answer) == {"Zero": [], "One": [["b"], ["a"]]}
    answer = client(
        "report/operations",
        operations=[
            {"type": "RENAME_TAB", "tabId": "t0", "name": "Null"},
            {"type": "MOVE_TAB", "tabId": "t0", "index": 1},
            {"type": "MOVE_ROW", "rowId": "r0", "tabId": "t0", "index": 0},
            {"type": "UPSERT_CELL", "rowId": "r1", "cellId": "a", "columnSpan": 12},
            {"type": "REMOVE_CELL", "cellId": "b"},
        ],
    )
    assert shape(answer) == {"One": [["a"]], "Null": [[]]}
    assert answer["tabs"][0]["rows"][0]["cells"][0]["columnSpan"] == 12
    answer = client(
        "report/operations",
        operations=[
            {"type": "REMOVE_ROW", "rowId": "r1"},
            {"type": "REMOVE_TAB", "tabId": "t0"},
        ],
    )
    assert shape(answer) == {"One": []}


@pytest.mark.parametrize(
    ("operation", "status", "text"),
    [
        ({}, 400, "operations[1].type"),
        ({"type": "PAINT"}, 400, "operations[1].type"),
        ({"type": "ADD_TAB"}, 400, "operations[1].name"),
        ({"type": "RENAME_TAB", "tabId": "x", "name": "n"}, 400, "operations[1].tabId"),
        ({"type": "MOVE_TAB", "tabId": "t1"}, 400, "operations[1].index"),
        ({"type": "MOVE_TAB", "tabId": "t1", "index": 7}, 400, "operations[1].index"),
        ({"type": "ADD_ROW"}, 400, "operations[1].tabId"),
        ({"type": "REMOVE_ROW"}, 400, "operations[1].rowId"),
        ({"type": "UPSERT_CELL", "rowId": "r1"}, 400, "operations[1].cell"),
        ({"type": "UPSERT_CELL", "rowId": "r1", "cellId": "nope"}, 404, "nope"),
        (
            {"type": "UPSERT_CELL", "rowId": "r1", "cellId": "a", "column": 45},
            400,
            "operations[1].column",
        ),
        ({"type": "REMOVE_CELL", "cellId": "nope"}, 404, "nope"),
    ],
)
def test_operations_are_done_all_or_none(
    client: Client, operation: dict[str, Any], status: int, text: str
) -> None:
    client("report/replace", tabs=_TABS)
    before = client.stored()
    first = {"type": "RENAME_TAB", "tabId": "t1", "name": "Renamed"}
    refused = client.refuse("report/operations", operations=[first, operation])
    assert refused[0] == status
    assert text in refused[1]
    assert client.stored() == before


def test_there_are_operations(client: Client) -> None:
    assert client.refuse("report/operations", operations=[])[0] == 400
    assert client.refuse("report/operations")[0] == 400


def test_publishing(client: Client) -> None:
    door = client.door
    client("report/replace", tabs=_TABS)
    made = client("report/publish", type="STATIC", mode="CREATE")
    assert (made["type"], made["mode"]) == ("STATIC", "CREATE")
    updated = client("report/publish", type="STATIC", mode="UPDATE", canDownloadAndEditCopy=True)
    assert updated["reportId"] == made["reportId"]
    found = door.publications.find([door.node.id])[door.node.id]
    assert found.options == {"full_width": True, "can_download": True}
    _, workspaces = door.call("GET", "/api/user_public/v1/workspaces")
    identifier = workspaces[0]["workspace"]["id"]
    query = {"workspaceId": f"{identifier['ownerId']}/{identifier['internalId']}"}
    _, reports = door.call("GET", "/api/workspaces/v1/reports", params=query)
    assert reports == [
        {
            "reportId": made["reportId"],
            "notebookId": client.notebook,
            "name": PATH.rpartition("/")[2],
            "type": "STATIC",
            "url": f"http://testserver/report/{made['reportId']}",
            "createdAt": "2026-03-01T12:00:00.000Z",
            "updatedAt": "2026-03-01T12:00:00.000Z",
            "accessLevel": "OWNER",
        }
    ]
    _, entries = door.call("GET", "/api/workspaces/v1/entries", params=query)
    assert [each["reportId"] for each in entries] == [made["reportId"]]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "type"),
        ({"type": "STATIC"}, "mode"),
        ({"type": "PDF", "mode": "CREATE"}, "type"),
        ({"type": "INTERACTIVE", "mode": "CREATE"}, "STATIC"),
        ({"type": "STATIC", "mode": "DELETE"}, "mode"),
        ({"type": "STATIC", "mode": "UPDATE"}, "mode"),  # nothing was published
        ({"type": "STATIC", "mode": "CREATE", "fullWidth": "x"}, "fullWidth"),
        ({"type": "STATIC", "mode": "CREATE", "computationMode": "x"}, "computationMode"),
    ],
)
def test_bad_publications_publish_nothing(
    client: Client, fields: dict[str, Any], text: str
) -> None:
    client("report/replace", tabs=_TABS)
    status, message = client.refuse("report/publish", **fields)
    assert status == 400
    assert text in message
    assert client.door.publications.find([client.door.node.id]) == {}


def test_an_empty_layout_is_not_published(client: Client) -> None:
    status, text = client.refuse("report/publish", type="STATIC", mode="CREATE")
    assert (status, "empty" in text) == (400, True)


def test_a_notebook_is_published_once(client: Client) -> None:
    client("report/replace", tabs=_TABS)
    client("report/publish", type="STATIC", mode="CREATE")
    assert client.refuse("report/publish", type="STATIC", mode="CREATE")[0] == 400


def test_who_may_do_what(client: Client) -> None:
    client("report/replace", tabs=_TABS)
    for path, fields in (
        ("report/replace", {"tabs": []}),
        ("report/operations", {"operations": [{"type": "REMOVE_TAB", "tabId": "t1"}]}),
        ("report/publish", {"type": "STATIC", "mode": "CREATE"}),
    ):
        assert client.refuse(path, who="viewer", **fields)[0] == 403, path
        assert client.refuse(path, who="stranger", **fields)[0] == 403, path
    assert client.refuse("report", who="stranger")[0] == 403
    client("report/publish", who="editor", type="STATIC", mode="CREATE")
