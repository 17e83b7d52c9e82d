from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from quire.clock import ManualClock
from quire.errors import InvalidCredential, InvalidValue
from quire.identity.principals import Principals
from quire.identity.tokens import Tokens, ensure_administrator
from quire.store.database import Database


@pytest.fixture
def tokens(database: Database, clock: ManualClock) -> Tokens:
    return Tokens(database, clock)


def test_the_first_start_shows_a_token_once(
    database: Database, clock: ManualClock, tokens: Tokens
) -> None:
    text = ensure_administrator(database, clock)
    assert text is not None
    admin = tokens.authenticate(text)
    assert (admin.name, admin.is_admin) == ("admin", True)
    assert ensure_administrator(database, clock) is None
    assert tokens.authenticate(text) == admin
    assert len(tokens.list()) == 1


def test_a_preset_is_used_and_not_shown(
    database: Database, clock: ManualClock, tokens: Tokens
) -> None:
    for _ in range(3):
        assert ensure_administrator(database, clock, "preset-1") is None
    assert tokens.authenticate("preset-1").is_admin
    assert len(tokens.list()) == 1


def test_a_changed_preset_replaces_the_earlier_one(
    database: Database, clock: ManualClock, tokens: Tokens
) -> None:
    shown = ensure_administrator(database, clock)
    assert shown is not None
    ensure_administrator(database, clock, "preset-1")
    ensure_administrator(database, clock, "preset-2")
    assert tokens.authenticate("preset-2").is_admin
    assert tokens.authenticate(shown).is_admin
    with pytest.raises(InvalidCredential):
        tokens.authenticate("preset-1")
    ensure_administrator(database, clock, "preset-1")
    assert tokens.authenticate("preset-1").is_admin
    with pytest.raises(InvalidCredential):
        tokens.authenticate("preset-2")


@pytest.mark.parametrize("preset", ["with blank", "ümlaut", "line\nbreak"])
def test_a_preset_that_fits_no_header_is_refused(
    database: Database, clock: ManualClock, preset: str
) -> None:
    with pytest.raises(InvalidValue, match="admin_token"):
        ensure_administrator(database, clock, preset)


def test_a_preset_is_nobody_elses_token(
    database: Database, clock: ManualClock, tokens: Tokens
) -> None:
    ensure_administrator(database, clock)
    ann = Principals(database, clock).create_user("ann")
    text, _ = tokens.create(ann.id)
    with pytest.raises(InvalidValue, match="ann"):
        ensure_administrator(database, clock, text)


def test_servers_that_start_at_once_make_one(database: Database, clock: ManualClock) -> None:
    with ThreadPoolExecutor(6) as pool:
        shown = list(pool.map(lambda _: ensure_administrator(database, clock), range(6)))
    assert len([each for each in shown if each is not None]) == 1
    assert [each.name for each in Principals(database, clock).list()] == ["admin"]
