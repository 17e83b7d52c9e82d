from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from quire.cli.common import open_stored, settings_of
from quire.clock import SystemClock
from quire.notify.destinations import Destinations
from tests.cli.conftest import Quire


def test_makes_lists_and_deletes(quire: Quire, data_dir: Path) -> None:
    webhook = quire(
        "destination", "create", "ops", "--webhook", "https://example.com/hook",
        "--username", "me", "--password", "hush",
    )  # fmt: skip
    mail = quire("destination", "create", "us", "--email", "a@x.org", "--email", "b@x.org")
    ids = [result.stdout.strip() for result in (webhook, mail)]
    assert all(UUID(each) for each in ids)
    with open_stored(settings_of(data_dir, None)) as database:
        stored = {each.name: each.config for each in Destinations(database, SystemClock()).list()}
    assert stored == {
        "ops": {"url": "https://example.com/hook", "username": "me", "password": "hush"},
        "us": {"addresses": ["a@x.org", "b@x.org"]},
    }
    listed = quire("destination", "list").stdout
    assert [line.split() for line in listed.splitlines()] == [
        ["ID", "KIND", "NAME"],
        [ids[0], "webhook", "ops"],
        [ids[1], "email", "us"],
    ]
    assert quire("destination", "delete", ids[0]).stdout == f"Deleted destination {ids[0]}.\n"
    assert ids[0] not in quire("destination", "list").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["create", "x"], "--webhook"),
        (["create", "x", "--webhook", "https://h", "--email", "a@x.org"], "either"),
        (["create", "x", "--email", "a@x.org", "--username", "me"], "either"),
        (["create", "x", "--webhook", "ftp://h"], "config.url"),
        (["create", "x", "--email", "nobody"], "config.addresses"),
        (["delete", "nothing"], "nothing does not exist"),
    ],
)
def test_says_what_is_wrong(quire: Quire, arguments: list[str], said: str) -> None:
    quire("user", "create", "ann")
    result = quire("destination", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr
