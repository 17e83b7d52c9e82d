"""Which interpreters have a kernel kept ready, and for which runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from quire.compute.interpreters import Interpreters
from quire.compute.models import Compute, Library, LibraryKind
from quire.ids import AttemptId, PrincipalId
from quire.settings import Settings
from tests.engine.pool import Pool

ADA, BOB = PrincipalId(1), PrincipalId(2)


def asking_for(package: str) -> Compute:
    return Compute(libraries=(Library(LibraryKind.PYPI, package),))


class World:
    """Interpreters of the names of packages, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pool = Pool()
        self.now = 0.0
        self.attempts = 0
        settings = Settings(warm_environments=2, warm_environment_after=3)
        self.interpreters = Interpreters(self.pool, settings, monotonic=lambda: self.now)

    def python(self, package: str) -> str:
        path = self.folder / package
        path.touch()
        return str(path)

    def use(self, package: str, times: int = 1, principal: PrincipalId = ADA) -> None:
        for _ in range(times):
            self.attempts += 1
            attempt_id = AttemptId(self.attempts)
            for _ in range(2):  # runners ask again and again
                self.interpreters.used(
                    attempt_id, principal, asking_for(package), self.python(package)
                )
        self.interpreters.review()

    @property
    def kept(self) -> list[str]:
        return [Path(each).name for each in self.pool.interpreters]

    def expected(self, package: str, principal: PrincipalId = ADA) -> str | None:
        return self.interpreters.expected(principal, asking_for(package))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_one_that_is_used_often_is_kept_ready(world: World) -> None:
    world.use("a", 2)
    assert (world.kept, world.expected("a")) == ([], None)
    world.use("a")
    assert (world.kept, world.expected("a")) == (["a"], world.python("a"))
    assert world.expected("b") is None
    assert world.expected("a", BOB) is None  # layers are of one principal
    assert world.interpreters.expected(ADA, None) is None


def test_the_ones_used_last_are_kept(world: World) -> None:
    for package in ("a", "b", "c"):
        world.use(package, 3)
    assert world.kept == ["c", "b"]
    assert world.expected("a") is None
    world.use("a")
    assert world.kept == ["a", "c"]


def test_one_that_is_not_used_any_more_is_let_go(world: World) -> None:
    world.use("a", 3)
    world.now = 3000
    world.use("b", 3)
    assert world.kept == ["b", "a"]
    world.now = 3601
    world.interpreters.review()
    assert world.kept == ["b"]
    world.use("a", 2)  # counted from the start
    assert world.kept == ["b"]


def test_one_that_was_removed_is_let_go(world: World) -> None:
    world.use("a", 3)
    Path(world.python("a")).unlink()
    world.interpreters.review()
    assert (world.kept, world.expected("a")) == ([], None)


def test_none_is_kept_while_memory_is_short(world: World) -> None:
    world.use("a", 3)
    world.pool.room = False
    world.interpreters.review()
    assert (world.kept, world.expected("a")) == ([], None)
    world.pool.room = True
    world.interpreters.review()
    assert world.kept == ["a"]


def test_what_runs_ask_for_may_change(world: World) -> None:
    world.use("a", 3)
    world.interpreters.used(AttemptId(90), ADA, asking_for("a"), world.python("newer"))
    assert world.expected("a") is None
    world.interpreters.used(AttemptId(91), ADA, asking_for("a"), None)
    assert world.expected("a") is None
    world.use("a")
    assert world.expected("a") == world.python("a")
