from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from quire.clock import ManualClock
from quire.errors import AlreadyExists, InvalidValue, NotFound, QuireError
from quire.identity.principals import Principal, PrincipalKind, Principals, Role
from quire.ids import PrincipalId
from quire.store.blobs import BlobStore
from quire.store.database import Database
from quire.workspace.tree import Workspace


@pytest.fixture
def principals(database: Database, clock: ManualClock) -> Principals:
    return Principals(database, clock)


def test_makes_users_with_a_folder_of_their_own(
    principals: Principals, database: Database, blobs: BlobStore, clock: ManualClock
) -> None:
    ann = principals.create_user("ann@example.com")
    assert (ann.kind, ann.name, ann.role) == (PrincipalKind.USER, "ann@example.com", Role.MEMBER)
    assert not ann.is_admin
    home = Workspace(database, blobs, clock).get(ann, "/Users/ann@example.com")
    assert home.owner_id == ann.id


def test_makes_administrators(principals: Principals) -> None:
    assert principals.create_user("root", role=Role.ADMIN).is_admin


def test_puts_users_in_groups(principals: Principals) -> None:
    staff = principals.create_group("staff")
    night = principals.create_group("night shift")
    ann = principals.create_user("ann", groups=["Staff"])
    assert ann.group_ids == {staff.id}
    assert principals.add_to_group("night shift", "ANN").group_ids == {staff.id, night.id}
    assert principals.add_to_group("night shift", "ann").group_ids == {staff.id, night.id}
    assert principals.get(ann.id).acting_ids == {ann.id, staff.id, night.id}


def test_an_unknown_group_leaves_nothing_behind(principals: Principals) -> None:
    with pytest.raises(NotFound, match="Group ghosts"):
        principals.create_user("ann", groups=["ghosts"])
    assert principals.list() == []


def test_a_user_is_no_group(principals: Principals) -> None:
    principals.create_user("ann")
    with pytest.raises(NotFound, match="Group ann"):
        principals.create_user("bob", groups=["ann"])


def test_groups_hold_no_groups(principals: Principals) -> None:
    principals.create_group("staff")
    principals.create_group("all")
    with pytest.raises(InvalidValue, match="groups do not hold groups"):
        principals.add_to_group("all", "staff")


def test_all_kinds_share_their_names(principals: Principals) -> None:
    principals.create_user("Ann")
    for create in (principals.create_user, principals.create_group, principals.create_service):
        with pytest.raises(AlreadyExists, match="user named Ann"):
            create("aNN")


def test_finds_by_name_in_any_case_and_by_id(principals: Principals) -> None:
    ann = principals.create_user("Ann")
    assert principals.get_by_name("aNn") == ann
    assert principals.get(ann.id) == ann
    for find in (
        lambda: principals.get_by_name("bob"),
        lambda: principals.get_by_name("ann", PrincipalKind.GROUP),
        lambda: principals.get_by_name("a\x00b"),
        lambda: principals.get_by_name("\ud800"),
        lambda: principals.get(PrincipalId(99)),
        lambda: principals.get(PrincipalId(10**30)),
    ):
        with pytest.raises(NotFound):
            find()


def test_lists_the_oldest_first(principals: Principals) -> None:
    made = [
        principals.create_user("zoe"),
        principals.create_group("a"),
        principals.create_user("b"),
    ]
    assert principals.list() == made
    assert principals.list(PrincipalKind.USER) == [made[0], made[2]]


def test_disables_and_enables(principals: Principals, clock: ManualClock) -> None:
    principals.create_user("ann")
    at = clock.now()
    assert principals.disable("ann").disabled_at == at
    clock.advance(60)
    assert principals.disable("Ann").disabled_at == at
    assert principals.enable("ann").disabled_at is None
    principals.create_group("staff")
    with pytest.raises(InvalidValue, match="group"):
        principals.disable("staff")
    with pytest.raises(NotFound):
        principals.disable("nobody")


def test_one_of_many_at_once_gets_the_name(principals: Principals) -> None:
    def create(number: int) -> Principal | QuireError:
        try:
            return principals.create_user("Ann" if number % 2 else "ann")
        except AlreadyExists as error:
            return error

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(create, range(8)))
    assert sum(isinstance(each, Principal) for each in results) == 1
    assert len(principals.list()) == 1
