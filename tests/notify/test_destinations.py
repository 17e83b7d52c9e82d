"""Stored destinations, on both databases (Databricks contract 8.11)."""

from __future__ import annotations

from typing import Any

import pytest

from quire.clock import ManualClock
from quire.errors import InvalidValue, MissingField, NotFound, Unsupported
from quire.notify.destinations import DestinationKind, Destinations, check_address
from quire.store.database import Database

URL = "https://hooks.example.com/services/T0/very-secret"


@pytest.fixture
def destinations(database: Database, clock: ManualClock) -> Destinations:
    return Destinations(database, clock)


def test_a_destination_is_kept_as_it_was_given(
    destinations: Destinations, clock: ManualClock
) -> None:
    config = {"url": URL, "username": "ada", "password": "secret"}
    created = destinations.create("Ops hook", DestinationKind.WEBHOOK, config)
    assert destinations.get(created.id) == created
    assert created.name == "Ops hook"
    assert created.config == config
    assert created.created_at == clock.now()


def test_they_are_listed_oldest_first(destinations: Destinations, clock: ManualClock) -> None:
    names = ["one", "two", "three"]
    for name in names:
        destinations.create(name, DestinationKind.SLACK, {"url": URL})
        clock.advance(1)
    assert [each.name for each in destinations.list()] == names


@pytest.mark.parametrize(
    ("kind", "config", "shown"),
    [
        (
            DestinationKind.WEBHOOK,
            {"url": URL, "username": "ada", "password": "secret"},
            {"url_set": True, "username_set": True, "password_set": True},
        ),
        (
            DestinationKind.WEBHOOK,
            {"url": URL, "username": None},
            {"url_set": True, "username_set": False, "password_set": False},
        ),
        (DestinationKind.SLACK, {"url": URL}, {"url_set": True}),
        (DestinationKind.MICROSOFT_TEAMS, {"url": URL}, {"url_set": True}),
        (
            DestinationKind.EMAIL,
            {"addresses": ["a@example.com", "b@example.com"]},
            {"addresses": ["a@example.com", "b@example.com"]},
        ),
    ],
)
def test_secrets_are_never_shown(
    destinations: Destinations, kind: DestinationKind, config: dict[str, Any], shown: dict[str, Any]
) -> None:
    created = destinations.create("d", kind, config)
    assert created.public_config() == shown
    assert "secret" not in repr(created)


def test_what_is_given_changes_and_the_rest_stays(destinations: Destinations) -> None:
    created = destinations.create("old", DestinationKind.WEBHOOK, {"url": URL, "username": "ada"})
    renamed = destinations.update(created.id, name="new")
    assert (renamed.name, renamed.config) == ("new", created.config)
    moved = destinations.update(created.id, config={"url": "http://other.example.com/"})
    assert moved.config == {"url": "http://other.example.com/"}
    assert (moved.name, moved.kind) == ("new", DestinationKind.WEBHOOK)
    turned = destinations.update(
        created.id, kind=DestinationKind.EMAIL, config={"addresses": ["a@example.com"]}
    )
    assert destinations.get(created.id) == turned
    assert turned.kind is DestinationKind.EMAIL


def test_another_kind_needs_another_config(destinations: Destinations) -> None:
    created = destinations.create("d", DestinationKind.WEBHOOK, {"url": URL})
    with pytest.raises(MissingField) as refused:
        destinations.update(created.id, kind=DestinationKind.EMAIL)
    assert refused.value.field == "config"
    assert destinations.get(created.id) == created


def test_a_refused_change_changes_nothing(destinations: Destinations) -> None:
    created = destinations.create("d", DestinationKind.WEBHOOK, {"url": URL})
    with pytest.raises(InvalidValue):
        destinations.update(created.id, name="new", config={"url": "ftp://example.com"})
    assert destinations.get(created.id) == created


@pytest.mark.parametrize("unknown", ["nobody", "", "a\0b", "x" * 5000])
def test_what_does_not_exist_is_not_found(destinations: Destinations, unknown: str) -> None:
    for use in (destinations.get, destinations.update, destinations.delete):
        with pytest.raises(NotFound):
            use(unknown)


def test_a_deleted_one_is_gone(destinations: Destinations) -> None:
    created = destinations.create("d", DestinationKind.SLACK, {"url": URL})
    destinations.delete(created.id)
    assert destinations.list() == []
    with pytest.raises(NotFound):
        destinations.get(created.id)


@pytest.mark.parametrize(
    ("name", "kind", "config", "field"),
    [
        ("", "webhook", {"url": URL}, "name"),
        ("  ", "webhook", {"url": URL}, "name"),
        ("x" * 256, "webhook", {"url": URL}, "name"),
        ("a\0b", "webhook", {"url": URL}, "name"),
        ("\ud800", "webhook", {"url": URL}, "name"),
        ("d", "webhook", {}, "config.url"),
        ("d", "slack", {"url": None}, "config.url"),
        ("d", "webhook", {"url": 5}, "config.url"),
        ("d", "webhook", {"url": ""}, "config.url"),
        ("d", "webhook", {"url": "hooks.example.com"}, "config.url"),
        ("d", "webhook", {"url": "file:///etc/passwd"}, "config.url"),
        ("d", "webhook", {"url": "https://"}, "config.url"),
        ("d", "webhook", {"url": "https://:443/"}, "config.url"),
        ("d", "webhook", {"url": "https://example.com:99999/"}, "config.url"),
        ("d", "webhook", {"url": "https://example.com:0/"}, "config.url"),
        ("d", "webhook", {"url": "https://[::1/"}, "config.url"),
        ("d", "webhook", {"url": "https://ada:secret@example.com/"}, "config.url"),
        ("d", "webhook", {"url": "https://example.com/a b"}, "config.url"),
        ("d", "webhook", {"url": "https://example.com/\r\nX: y"}, "config.url"),
        ("d", "webhook", {"url": "https://exämple.com/"}, "config.url"),
        ("d", "webhook", {"url": "https://example.com\\@evil.com/"}, "config.url"),
        ("d", "webhook", {"url": "https://example.com/" + "x" * 2048}, "config.url"),
        ("d", "webhook", {"url": URL, "username": "a:b"}, "config.username"),
        ("d", "webhook", {"url": URL, "username": ""}, "config.username"),
        ("d", "webhook", {"url": URL, "password": "secret"}, "config.username"),
        ("d", "webhook", {"url": URL, "username": "a", "password": "a\nb"}, "config.password"),
        ("d", "webhook", {"url": URL, "addresses": ["a@b.c"]}, "config.addresses"),
        ("d", "slack", {"url": URL, "username": "a"}, "config.username"),
        ("d", "email", {}, "config.addresses"),
        ("d", "email", {"addresses": []}, "config.addresses"),
        ("d", "email", {"addresses": "a@example.com"}, "config.addresses"),
        ("d", "email", {"addresses": ["a@example.com"] * 101}, "config.addresses"),
        ("d", "email", {"addresses": ["a@example.com", "b"]}, "config.addresses[1]"),
        ("d", "email", {"addresses": [5]}, "config.addresses[0]"),
    ],
)
def test_bad_values_are_refused_by_name(
    destinations: Destinations, name: str, kind: str, config: dict[str, Any], field: str
) -> None:
    with pytest.raises((InvalidValue, MissingField)) as refused:
        destinations.create(name, DestinationKind(kind), config)
    assert refused.value.field == field
    assert "secret" not in refused.value.message
    assert destinations.list() == []


def test_pagerduty_is_refused(destinations: Destinations) -> None:
    with pytest.raises(Unsupported, match="PagerDuty"):
        destinations.create("d", DestinationKind.PAGERDUTY, {"integration_key": "k"})


@pytest.mark.parametrize(
    "address",
    [
        "",
        "a",
        "@b.c",
        "a@",
        "a b@c.d",
        "a@b@c",
        "ä@b.c",
        "a@b.c\r\nBcc: d@e.f",
        "<a@b.c>",
        "a,b@c.d",
    ],
)
def test_what_is_no_mail_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        check_address(address, "on_start[0]")
    assert refused.value.field == "on_start[0]"
