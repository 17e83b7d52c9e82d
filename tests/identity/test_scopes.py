from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from quire.errors import InvalidValue
from quire.identity.models import Principal, PrincipalKind, Role
from quire.identity.scopes import (
    Access,
    InsufficientScope,
    Level,
    Scope,
    is_bound_to,
    require_scope,
)
from quire.ids import PrincipalId

ONE, OTHER = UUID(int=1), UUID(int=2)
ANN = Principal(PrincipalId(1), PrincipalKind.USER, "ann", Role.MEMBER)


def with_scopes(*scopes: str) -> Principal:
    return replace(ANN, scopes=frozenset(scopes))


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("user", Scope(Level.USER)),
        ("workspace:read", Scope(Level.WORKSPACE, Access.READ)),
        (f"notebook:create:{ONE.hex}", Scope(Level.NOTEBOOK, Access.CREATE, ONE)),
    ],
)
def test_texts(text: str, scope: Scope) -> None:
    assert (Scope.parse(text), str(scope)) == (scope, text)
    assert Scope.parse("user:full") == Scope(Level.USER)


@pytest.mark.parametrize(
    "text", ["", "all", "USER", "user:write", "notebook:full:x", f"user:full:{ONE.hex}"]
)
def test_texts_that_mean_nothing(text: str) -> None:
    with pytest.raises(InvalidValue, match="scope"):
        Scope.parse(text)


def test_the_wider_covers_the_narrower() -> None:
    for wide, wider in enumerate(Level):
        for narrow, narrower in enumerate(Level):
            assert Scope(wider).covers(Scope(narrower)) == (wide <= narrow)
    for more, wide_access in enumerate(Access):
        for less, narrow_access in enumerate(Access):
            covers = Scope(Level.USER, wide_access).covers(Scope(Level.USER, narrow_access))
            assert covers == (more <= less)


def test_what_a_call_needs() -> None:
    require_scope(ANN, Level.ADMIN)  # no scopes: all the principal may do
    require_scope(with_scopes("basic", "workspace"), Level.NOTEBOOK)
    require_scope(with_scopes(f"notebook:full:{ONE.hex}"), Level.NOTEBOOK, notebook=ONE)
    for held in ("workspace:read", f"notebook:full:{OTHER.hex}", "basic"):
        with pytest.raises(InsufficientScope, match="needs notebook with full access") as caught:
            require_scope(with_scopes(held), Level.NOTEBOOK, notebook=ONE)
        assert caught.value.needed == Scope(Level.NOTEBOOK, Access.FULL, ONE)
    with pytest.raises(InsufficientScope):  # bound to a notebook, and the call is about none
        require_scope(with_scopes(f"notebook:full:{ONE.hex}"), Level.NOTEBOOK)
    with pytest.raises(InsufficientScope):
        require_scope(with_scopes(), Level.BASIC)


def test_tokens_of_one_notebook() -> None:
    token = with_scopes(f"notebook:create:{ONE.hex}")
    assert is_bound_to(token, ONE, Access.READ)
    assert not is_bound_to(token, ONE)
    assert not is_bound_to(token, OTHER, Access.READ)
    assert not is_bound_to(with_scopes("user"), ONE)
    assert not is_bound_to(ANN, ONE)


def test_an_administrators_narrow_token_makes_no_administrator() -> None:
    root = replace(ANN, role=Role.ADMIN)
    assert root.is_admin
    assert replace(root, scopes=frozenset({"admin"})).is_admin
    assert not replace(root, scopes=frozenset({"user"})).is_admin
