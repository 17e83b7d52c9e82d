from __future__ import annotations

import sys
from pathlib import Path

import pytest

from quire.clock import ManualClock
from quire.compute.environments import Environments, read_conda
from quire.compute.package_builder import PackageBuilder
from quire.errors import AlreadyExists, InvalidValue, NotFound, PermissionDenied, Unsupported
from quire.identity.models import Principal
from quire.identity.principals import Principals
from quire.settings import Settings
from quire.store.database import Database


@pytest.fixture
def environments(database: Database, clock: ManualClock, tmp_path: Path) -> Environments:
    settings = Settings(data_dir=tmp_path, environments_dir=str(tmp_path / "environments"))
    return Environments(database, clock, PackageBuilder(settings))


@pytest.fixture
def people(database: Database, clock: ManualClock) -> tuple[Principal, Principal]:
    principals = Principals(database, clock)
    return (
        principals.create_user("ada@example.com"),
        principals.create_user("bob@example.com"),
    )


def test_records(environments: Environments, people: tuple[Principal, Principal]) -> None:
    ada, bob = people
    made = environments.create(
        ada, "science", requirements=[" numpy ", "leaf==1"], indexes=["https://i.example.com"]
    )
    environments.create(bob, "art")
    assert made.requirements == ("numpy", "leaf==1")
    assert environments.get("science") == environments.get(made.id) == made
    assert [each.name for each in environments.list()] == ["art", "science"]
    with pytest.raises(AlreadyExists, match="'science'"):
        environments.create(bob, "science")
    with pytest.raises(PermissionDenied):
        environments.delete(bob, "science")
    environments.delete(ada, "science")
    with pytest.raises(NotFound, match="science"):
        environments.get("science")


@pytest.mark.parametrize(
    ("name", "more", "field"),
    [
        ("", {}, "name"),
        ("a/b", {}, "name"),
        ("a", {"requirements": ["-r x"]}, "requirements"),
        ("a", {"indexes": ["-x"]}, "indexes"),
        ("a", {"conda": "dependencies: 5"}, "conda"),
        ("a", {"conda": "dependencies: [numpy]", "requirements": ["x"]}, "requirements"),
    ],
)
def test_bad_ones(
    environments: Environments,
    people: tuple[Principal, Principal],
    name: str,
    more: dict[str, list[str]],
    field: str,
) -> None:
    with pytest.raises(InvalidValue) as caught:
        environments.create(people[0], name, **more)  # type: ignore[arg-type]
    assert caught.value.field == field


def test_conda_files_that_pip_can_meet() -> None:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    text = f"""
    name: x
    dependencies:
      - python={version}
      - numpy=2.1
      - pandas>=2
      - requests
      - pip
      - pip: ["leaf==1"]
    """
    assert read_conda(text) == ["numpy==2.1.*", "pandas>=2", "requests", "leaf==1"]


def test_conda_files_that_need_conda(
    environments: Environments,
    people: tuple[Principal, Principal],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Unsupported, match=r"come from conda-forge.*no micromamba"):
        environments.create(people[0], "x", conda="channels: [conda-forge]\ndependencies: [numpy]")
    with pytest.raises(Unsupported, match=r"asks for Python 3\.4"):
        environments.create(people[0], "x", conda="dependencies: ['python=3.4']")
