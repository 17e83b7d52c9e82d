"""Who I am, and tokens, over HTTP (contract 8.10)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dialects.databricks.conftest import Door


def test_me(door: Door) -> None:
    door.parts.principals.create_group("team")
    user = door.parts.principals.add_to_group("team", "ada@example.com")
    group = door.parts.principals.get_by_name("team")
    assert door.get("/preview/scim/v2/Me") == {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "id": str(user.id),
        "userName": "ada@example.com",
        "displayName": "ada@example.com",
        "active": True,
        "emails": [{"type": "work", "value": "ada@example.com", "primary": True}],
        "groups": [{"display": "team", "value": str(group.id), "type": "direct"}],
        "entitlements": [{"value": "workspace-access"}],
    }
    assert door.get("/preview/scim/v2/Me", token=door.admin_token)["roles"] == [{"value": "admin"}]


def test_tokens(door: Door) -> None:
    made = door.post("/token/create", {"comment": "mine", "lifetime_seconds": 60})
    info = made["token_info"]
    assert info["comment"] == "mine"
    assert info["expiry_time"] == info["creation_time"] + 60_000
    assert door.get("/jobs/list", token=made["token_value"]) == {"jobs": []}
    listed = door.get("/token/list")["token_infos"]
    assert info in listed
    assert [each["expiry_time"] for each in listed if each != info] == [-1]
    assert door.post("/token/delete", {"token_id": info["token_id"]}) == {}
    assert door.refuse("GET", "/jobs/list", token=made["token_value"]) == (403, "403")
    assert door.refuse("POST", "/token/delete", {"token_id": info["token_id"]}) == (
        404,
        "RESOURCE_DOES_NOT_EXIST",
    )


def test_others_tokens_are_out_of_reach(door: Door) -> None:
    own = door.get("/token/list")["token_infos"][0]
    for token in (door.stranger_token, door.admin_token):
        assert door.refuse("POST", "/token/delete", own, token=token)[0] == 404
    assert door.get("/token/list")["token_infos"] == [own]


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/token/create", {"comment": 5}),
        ("/token/create", {"comment": "x" * 2000}),
        ("/token/create", {"lifetime_seconds": 0}),
        ("/token/create", {"lifetime_seconds": "x"}),
        ("/token/create", {"lifetime_seconds": 10**30}),
        ("/token/delete", {"token_id": 5}),
        ("/token/delete", {"token_id": ""}),
        ("/token/delete", {}),
    ],
)
def test_refusals(door: Door, path: str, fields: dict[str, Any]) -> None:
    before = door.get("/token/list")
    assert door.refuse("POST", path, fields) == (400, "INVALID_PARAMETER_VALUE")
    assert next(iter(fields), "token_id") in door.said
    assert door.get("/token/list") == before
