from __future__ import annotations

import re

import pytest
from sqlalchemy import event, select

from quire.clock import ManualClock
from quire.errors import ExpiredCredential, InvalidCredential, InvalidValue, NotFound
from quire.identity.principals import Principal, Principals
from quire.identity.tokens import Tokens
from quire.ids import PrincipalId
from quire.store import tables
from quire.store.database import Database


@pytest.fixture
def principals(database: Database, clock: ManualClock) -> Principals:
    return Principals(database, clock)


@pytest.fixture
def tokens(database: Database, clock: ManualClock) -> Tokens:
    return Tokens(database, clock)


@pytest.fixture
def ann(principals: Principals) -> Principal:
    principals.create_group("staff")
    principals.create_group("night")
    return principals.create_user("ann", groups=["staff", "night"])


def test_a_token_stands_for_its_principal(tokens: Tokens, ann: Principal) -> None:
    text, info = tokens.create(ann.id, comment="laptop")
    assert re.fullmatch(r"quire_[0-9A-Za-z]{43}", text)
    assert tokens.authenticate(text) == ann
    assert (info.principal_id, info.principal_name, info.comment) == (ann.id, "ann", "laptop")
    assert (info.expires_at, info.scopes) == (None, None)


def test_tokens_differ(tokens: Tokens, ann: Principal) -> None:
    assert len({tokens.create(ann.id)[0] for _ in range(20)}) == 20


def test_only_the_digest_is_stored(tokens: Tokens, ann: Principal, database: Database) -> None:
    text, _ = tokens.create(ann.id)
    with database.read() as connection:
        row = connection.execute(select(tables.tokens)).one()
    assert text not in repr(row)
    assert len(row.digest) == 32


@pytest.mark.parametrize("text", ["", "quire_", "nonsense", "ä\ud800", "x" * 100_000])
def test_unknown_tokens_fail(tokens: Tokens, ann: Principal, text: str) -> None:
    with pytest.raises(InvalidCredential):
        tokens.authenticate(text)


def test_expires(tokens: Tokens, ann: Principal, clock: ManualClock) -> None:
    text, info = tokens.create(ann.id, lifetime_seconds=60)
    clock.advance(59.9)
    assert tokens.authenticate(text) == ann
    clock.advance(0.1)
    assert info.expires_at == clock.now()
    with pytest.raises(ExpiredCredential):
        tokens.authenticate(text)
    assert [each.id for each in tokens.list()] == [info.id]


def test_is_revoked_once(tokens: Tokens, ann: Principal) -> None:
    text, info = tokens.create(ann.id)
    other, _ = tokens.create(ann.id)
    assert tokens.revoke(info.id).id == info.id
    with pytest.raises(InvalidCredential):
        tokens.authenticate(text)
    assert tokens.authenticate(other) == ann
    for refused in (tokens.revoke, tokens.get):
        with pytest.raises(NotFound):
            refused(info.id)
    with pytest.raises(NotFound):
        tokens.revoke(12345)
    with pytest.raises(NotFound):
        tokens.revoke(10**30)


def test_lists_per_principal(tokens: Tokens, ann: Principal, principals: Principals) -> None:
    bob = principals.create_user("bob")
    of_ann, of_bob = tokens.create(ann.id)[1], tokens.create(bob.id)[1]
    assert tokens.list() == [of_ann, of_bob]
    assert tokens.list(bob.id) == [of_bob]
    tokens.revoke(of_bob.id)
    assert tokens.list(bob.id) == []


def test_a_disabled_users_tokens_fail_until_enabled(
    tokens: Tokens, ann: Principal, principals: Principals
) -> None:
    text, _ = tokens.create(ann.id)
    principals.disable("ann")
    with pytest.raises(InvalidCredential, match="disabled"):
        tokens.authenticate(text)
    with pytest.raises(InvalidValue, match="disabled"):
        tokens.create(ann.id)
    principals.enable("ann")
    assert tokens.authenticate(text) == ann


def test_carries_scopes(tokens: Tokens, ann: Principal) -> None:
    text, info = tokens.create(ann.id, scopes=["notebook", "user:full", "user"])
    assert info.scopes == {"notebook", "user"}
    assert tokens.authenticate(text).scopes == {"notebook", "user"}
    none, _ = tokens.create(ann.id, scopes=[])
    assert tokens.authenticate(none).scopes == frozenset()


def test_refuses_what_makes_no_sense(
    tokens: Tokens, ann: Principal, principals: Principals
) -> None:
    for lifetime in (0, -1, 1e12, float("nan")):
        with pytest.raises(InvalidValue, match="lifetime_seconds"):
            tokens.create(ann.id, lifetime_seconds=lifetime)
    with pytest.raises(InvalidValue, match="comment"):
        tokens.create(ann.id, comment="x" * 1001)
    with pytest.raises(InvalidValue, match="scope"):
        tokens.create(ann.id, scopes=["everything"])
    with pytest.raises(InvalidValue, match="group"):
        tokens.create(principals.get_by_name("staff").id)
    with pytest.raises(NotFound):
        tokens.create(PrincipalId(999))
    assert tokens.list() == []


def test_checking_a_token_is_one_query(tokens: Tokens, ann: Principal, database: Database) -> None:
    text, _ = tokens.create(ann.id)
    statements: list[str] = []

    def record(_c: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(database.engine, "before_cursor_execute", record)
    tokens.authenticate(text)
    assert len([each for each in statements if each.startswith("SELECT")]) == 1
