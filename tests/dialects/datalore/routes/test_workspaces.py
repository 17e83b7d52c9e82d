"""Workspaces, their folders and notebooks, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from quire.identity.permissions import Right
from quire.workspace.addressing import base62
from tests.dialects.datalore.conftest import PATH, Door

ROOT = "/api/workspaces/v1"


def _workspaces(door: Door, who: str = "ann") -> list[dict[str, Any]]:
    status, answer = door.call("GET", "/api/user_public/v1/workspaces", who=who)
    assert status == 200
    assert isinstance(answer, list)
    return answer


def _id(workspace: dict[str, Any]) -> str:
    identifier = workspace["workspace"]["id"]
    return f"{identifier['ownerId']}/{identifier['internalId']}"


def _home(door: Door, who: str = "ann") -> str:
    return next(_id(each) for each in _workspaces(door, who) if each["workspace"]["isDefault"])


def _text(entity: dict[str, str]) -> str:
    return f"{entity['ownerId']}/{entity['id']}"


def _make(door: Door, what: str, who: str = "ann", **query: str) -> Any:
    return door.call("POST", f"{ROOT}/{what}", who=who, params=query)


def test_every_user_has_one_default_workspace(door: Door) -> None:
    first = _workspaces(door)[0]
    home = door.workspace.get(door.owner, "/Users/ann")
    assert first["workspace"]["id"] == {"ownerId": "ann", "internalId": base62(home.uid)}
    assert first["workspace"]["homeFolderId"] == {"ownerId": "ann", "id": base62(home.uid)}
    assert first["workspace"]["name"] == "ann"
    assert first["workspace"]["isEmpty"] is False
    assert first["workspace"]["publicAccessLevel"] == "NONE"
    assert first["owner"] == {"id": "ann", "name": "ann"}
    assert (first["accessLevel"], first["accessorId"]) == ("OWNER", "ann")
    assert (first["isSharedWithTeam"], first["isCreatedFromGit"]) == (False, False)
    assert [each["workspace"]["isDefault"] for each in _workspaces(door)].count(True) == 1
    assert {each["workspace"]["name"] for each in _workspaces(door)} == {"ann", "Shared", "Repos"}


def test_workspaces_of_others_are_listed_when_they_are_shared(door: Door) -> None:
    assert "ann" not in {each["workspace"]["name"] for each in _workspaces(door, "viewer")}
    door.workspace.share(door.owner, "/Users/ann", door.people["viewer"], Right.VIEWER)
    shared = next(
        each for each in _workspaces(door, "viewer") if each["workspace"]["name"] == "ann"
    )
    assert shared["accessLevel"] == "VIEW"
    assert shared["isSharedWithTeam"] is True
    assert shared["workspace"]["isDefault"] is False


def test_a_new_notebook_has_one_empty_cell_and_is_in_the_list(door: Door) -> None:
    status, made = _make(door, "notebook", workspaceId=_home(door), name="Plan", language="PYTHON")
    assert status == 200
    assert set(made) == {"ownerId", "id"}
    status, answer = door.call("POST", "/api/notebook/v1/cells", {"notebookId": made})
    assert [(each["cellType"], each["source"]) for each in answer["cells"]] == [("CODE", "")]
    assert len(answer["cells"][0]["cellId"]) == 22
    _, entries = door.call("GET", f"{ROOT}/entries", params={"workspaceId": _home(door)})
    entry = next(each for each in entries if each["entity"]["name"] == "Plan")
    assert entry["entity"]["id"] == made
    assert (entry["entity"]["type"], entry["entity"]["language"]) == ("NOTEBOOK", "PYTHON")
    assert (entry["accessLevel"], entry["favorite"]) == ("OWNER", False)
    assert entry["reportId"] is None
    assert entry["entity"]["modifiedAt"] == "2026-03-01T12:00:00.000Z"


def test_notebooks_in_folders(door: Door) -> None:
    home = _home(door)
    _, folder = _make(door, "folder", workspaceId=home, name="Q1")
    _, inner = _make(door, "folder", workspaceId=home, name="May", parentId=_text(folder))
    status, _ = _make(door, "notebook", workspaceId=home, name="a", parentId=_text(inner))
    assert status == 200
    assert door.workspace.get(door.owner, "/Users/ann/Q1/May/a").language == "python"
    _, entries = door.call(
        "GET", f"{ROOT}/entries", params={"workspaceId": home, "folderId": _text(inner)}
    )
    assert [each["entity"]["name"] for each in entries] == ["a"]
    assert entries[0]["entity"]["parentId"] == inner
    _, entries = door.call("GET", f"{ROOT}/entries", params={"workspaceId": home})
    assert [(each["entity"]["type"], each["entity"]["name"]) for each in entries] == [
        ("FOLDER", "Q1"),
        ("NOTEBOOK", PATH.rpartition("/")[2]),
    ]


def test_two_things_of_one_name_are_two(door: Door) -> None:
    for what in ("notebook", "folder", "notebook"):
        assert _make(door, what, workspaceId=_home(door), name="Plan")[0] == 200
    names = {node.name for node in door.workspace.list(door.owner, "/Users/ann")}
    assert {"Plan", "Plan (2)", "Plan (3)"} <= names


@pytest.mark.parametrize(
    ("language", "stored"),
    [("PYTHON", "python"), ("SCALA", "scala"), ("R", "r"), ("SQL", "sql"), ("KOTLIN", "kotlin")],
)
def test_languages(door: Door, language: str, stored: str) -> None:
    _make(door, "notebook", workspaceId=_home(door), name="n", language=language)
    assert door.workspace.get(door.owner, "/Users/ann/n").language == stored


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({"workspaceId": None}, 400, "workspaceId"),
        ({"workspaceId": "x"}, 400, "workspaceId"),
        ({"workspaceId": "a/b/c"}, 400, "workspaceId"),
        ({"workspaceId": "ann/nope"}, 404, "Workspace ann/nope does not exist."),
        ({"name": None}, 400, "name"),
        ({"name": ""}, 400, "name"),
        ({"name": "a/b"}, 400, "name"),
        ({"name": ".."}, 400, "name"),
        ({"name": "x" * 1001}, 400, "name"),
        ({"name": "a\x00"}, 400, "name"),
        ({"language": "COBOL"}, 400, "language"),
        ({"parentId": "x"}, 400, "parentId"),
        ({"parentId": f"ann/{'0' * 22}"}, 404, "Folder"),
    ],
)
def test_bad_requests_make_nothing(
    door: Door, fields: dict[str, str | None], status: int, text: str
) -> None:
    query = {"workspaceId": _home(door), "name": "n", "language": "PYTHON", **fields}
    given = {name: value for name, value in query.items() if value is not None}
    stored = door.stored()
    refused = door.refuse("POST", f"{ROOT}/notebook", params=given)
    assert refused[0] == status
    assert text in refused[1]
    assert door.stored() == stored


def test_a_parent_of_another_workspace_is_refused(door: Door) -> None:
    shared = next(_id(each) for each in _workspaces(door) if each["workspace"]["name"] == "Shared")
    _, folder = _make(door, "folder", workspaceId=shared, name="common")
    status, text = door.refuse(
        "POST",
        f"{ROOT}/notebook",
        params={"workspaceId": _home(door), "name": "n", "parentId": _text(folder)},
    )
    assert (status, "parentId" in text) == (400, True)


def test_who_may_make_what(door: Door) -> None:
    home = _home(door)
    for path in ("notebook", "folder"):
        query = {"workspaceId": home, "name": "n"}
        assert door.refuse("POST", f"{ROOT}/{path}", who="stranger", params=query)[0] == 404
    door.workspace.share(door.owner, "/Users/ann", door.people["viewer"], Right.VIEWER)
    assert door.refuse("POST", f"{ROOT}/notebook", who="viewer", params=query)[0] == 403
    assert door.refuse("POST", f"{ROOT}/folder", who="viewer", params=query)[0] == 403
    door.workspace.share(door.owner, "/Users/ann", door.people["editor"], Right.EDITOR)
    assert _make(door, "notebook", "editor", **query)[0] == 200


def test_a_token_for_notebooks_sees_no_workspaces(door: Door) -> None:
    token = door.tokens.create(door.owner.id, scopes=["notebook"])[0]
    status, _ = door.refuse(
        "GET", "/api/user_public/v1/workspaces", headers={"Authorization": f"Bearer {token}"}
    )
    assert status == 403
    assert door.answer.headers["www-authenticate"] == 'Bearer scope="WORKSPACE", access="READ"'


@pytest.mark.parametrize(
    "path",
    [
        "/api/environments/v1/all",
        "/api/datasources/v1/search",
        "/api/user_management/v1/api-tokens/oauth/authorize",
        "/api/workspaces/v1/database/query",
    ],
)
def test_what_is_not_done_is_no_page(door: Door, path: str) -> None:
    status, text = door.refuse("POST", path, headers={"Accept": "text/html"})
    assert (status, text) == (404, f"No API found for 'POST {path}'")
