"""Notification destinations over HTTP (contract 8.11)."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.dialects.databricks.conftest import Door

PATH = "/notification-destinations"
HOOK = {
    "display_name": "hook",
    "config": {
        "generic_webhook": {"url": "https://example.com/x", "username": "u", "password": "p"}
    },
}


def test_make_show_list_change_delete(door: Door) -> None:
    token = door.admin_token
    made = door.post(PATH, HOOK, token=token)
    uuid.UUID(made["id"])
    assert made == {
        "id": made["id"],
        "display_name": "hook",
        "destination_type": "WEBHOOK",
        "config": {
            "generic_webhook": {"url_set": True, "username_set": True, "password_set": True}
        },
    }
    one = f"{PATH}/{made['id']}"
    assert door.get(one) == made
    assert door.get(PATH) == {
        "results": [
            {"id": made["id"], "display_name": "hook", "destination_type": "WEBHOOK"},
        ]
    }
    mail = {"email": {"addresses": ["a@example.com"]}}
    status, changed = door.call("PATCH", one, {"config": mail}, token=token)
    assert (status, changed["destination_type"], changed["config"]) == (200, "EMAIL", mail)
    assert changed["display_name"] == "hook"
    status, changed = door.call("PATCH", one, {"display_name": "mail"}, token=token)
    assert (status, changed["display_name"], changed["config"]) == (200, "mail", mail)
    assert door.call("DELETE", one, token=token) == (200, {})
    assert door.refuse("GET", one) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert door.refuse("DELETE", one, token=token) == (404, "RESOURCE_DOES_NOT_EXIST")


def test_pages(door: Door) -> None:
    for _ in range(3):
        door.post(PATH, HOOK, token=door.admin_token)
    first = door.get(PATH, {"page_size": 2})
    second = door.get(PATH, {"page_size": 2, "page_token": first["next_page_token"]})
    assert (len(first["results"]), len(second["results"])) == (2, 1)
    assert "next_page_token" not in second


def test_only_administrators_change_them(door: Door) -> None:
    made = door.post(PATH, HOOK, token=door.admin_token)
    for method, path in [
        ("POST", PATH),
        ("PATCH", f"{PATH}/{made['id']}"),
        ("DELETE", f"{PATH}/{made['id']}"),
    ]:
        assert door.refuse(method, path, HOOK) == (403, "PERMISSION_DENIED")
    assert door.get(PATH)["results"]


def test_jobs_may_name_them(door: Door) -> None:
    made = door.post(PATH, HOOK, token=door.admin_token)
    hooks = {"on_failure": [{"id": made["id"]}]}
    job_id = door.make_job(webhook_notifications=hooks)
    settings = door.get("/jobs/get", {"job_id": job_id})["settings"]
    assert settings["webhook_notifications"] == hooks


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"display_name": None}, "display_name"),
        ({"display_name": 5}, "display_name"),
        ({"display_name": ""}, "display_name"),
        ({"display_name": "x" * 300}, "display_name"),
        ({"config": None}, "config"),
        ({"config": "x"}, "config"),
        ({"config": {}}, "config"),
        ({"config": {"fax": {}}}, "config"),
        ({"config": {"slack": {"url": "http://a"}, "email": {"addresses": ["a@b"]}}}, "config"),
        ({"config": {"generic_webhook": {}}}, "config.generic_webhook.url"),
        ({"config": {"generic_webhook": {"url": 5}}}, "config.generic_webhook.url"),
        ({"config": {"generic_webhook": {"url": "ftp://x"}}}, "config.generic_webhook.url"),
        ({"config": {"generic_webhook": {"url": "http://ü"}}}, "config.generic_webhook.url"),
        (
            {"config": {"generic_webhook": {"url": "http://a", "password": 5}}},
            "config.generic_webhook.password",
        ),
        ({"config": {"email": {"addresses": []}}}, "config.email.addresses"),
        ({"config": {"email": {"addresses": ["x"]}}}, "config.email.addresses[0]"),
        ({"config": {"pagerduty": {"integration_key": "x"}}}, "PagerDuty"),
    ],
)
def test_refusals(door: Door, fields: dict[str, Any], said: str) -> None:
    before = door.stored()
    status, code = door.refuse("POST", PATH, {**HOOK, **fields}, token=door.admin_token)
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
    assert said in door.said
    assert door.stored() == before


@pytest.mark.parametrize(
    "query", [{"page_size": 0}, {"page_size": "x"}, {"page_token": "x"}, {"page_token": "9" * 50}]
)
def test_bad_pages(door: Door, query: dict[str, Any]) -> None:
    assert door.refuse("GET", PATH, query)[0] == 400
    assert next(iter(query)) in door.said
