"""What runs ask for, from wish to folders: the real uv over packages made on the spot."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from quire.clock import ManualClock
from quire.compute.environments import Environments
from quire.compute.libraries import Libraries, LibraryState
from quire.compute.models import Library, LibraryKind
from quire.compute.package_builder import BuildFailed, PackageBuilder
from quire.compute.uses import Prepared, UseState
from quire.identity.principals import Principals
from quire.settings import Settings
from quire.store.blobs import BlobStore
from quire.store.database import Database
from quire.workspace.files import FileStore
from quire.workspace.locations import Locations
from quire.workspace.tree import Workspace
from tests.compute.wheels import add_to_index, make_wheel


class Parts:
    """The services, an index with two packages, and a user."""

    def __init__(self, database: Database, blobs: BlobStore, clock: ManualClock, folder: Path):
        index = folder / "index"
        add_to_index(index, "leaf", "1.0", {"leaf.py": "VERSION = 1\n"})
        self.index = add_to_index(index, "pandas", "0.1", {"pandas/__init__.py": "OURS = 1\n"})
        settings = Settings(
            data_dir=folder / "data",
            environments_dir=str(folder / "environments"),
            package_index_url=self.index,
            kernel_user="",
        )
        principals = Principals(database, clock)
        self.ada = principals.create_user("ada@example.com")
        self.workspace = Workspace(database, blobs, clock)
        self.files = FileStore(folder / "files")
        self.builder = PackageBuilder(settings)
        self.environments = Environments(database, clock, self.builder)
        self.now = 0.0
        self.maven: list[Library] = []
        self.libraries = Libraries(
            settings,
            self.builder,
            self.environments,
            Locations(self.workspace, self.files),
            self._resolve_maven,
            monotonic=lambda: self.now,
        )

    def _resolve_maven(self, library: Library) -> Sequence[str]:
        self.maven.append(library)
        if "missing" in library.value:
            raise BuildFailed(f"{library.value} was not found.")
        return ["/jars/one.jar", "/jars/two.jar"]

    def put(self, path: str, content: bytes) -> str:
        self.files.write(path, content, overwrite=True)
        return f"dbfs:{path}"

    def prepare(self, *libraries: Library, environment: str | None = None) -> Prepared:
        """Ask until it is decided, as runners do."""
        while True:
            found = self.libraries.prepare(self.ada, libraries, environment)
            if found.state is not UseState.PENDING:
                return found

    def states(self, *libraries: Library) -> list[LibraryState]:
        return [each.state for each in self.libraries.statuses(self.ada, libraries)]


@pytest.fixture
def parts(sqlite_url: str, blobs: BlobStore, clock: ManualClock, tmp_path: Path) -> Iterator[Parts]:
    database = Database(sqlite_url)
    parts = Parts(database, blobs, clock, tmp_path)
    yield parts
    parts.libraries.close()
    database.close()


def pypi(name: str, index: str | None = None) -> Library:
    return Library(LibraryKind.PYPI, name, index)


def test_python_libraries_become_a_folder(parts: Parts) -> None:
    name, content = make_wheel("own", "3.1", {"own.py": "import leaf\n"}, ["leaf"])
    wheel = Library(LibraryKind.WHEEL, parts.put(f"/libs/{name}", content))
    listed = Library(LibraryKind.REQUIREMENTS, parts.put("/libs/requirements.txt", b"leaf\n"))
    found = parts.prepare(wheel, listed, pypi("leaf==1.0"))
    assert found.state is UseState.READY
    assert found.python is None  # the kernel that is ready will do
    (folder,) = found.site_packages
    assert {each.name for each in Path(folder).glob("*.py")} == {"own.py", "leaf.py"}
    assert parts.states(wheel, listed, pypi("leaf==1.0")) == [LibraryState.INSTALLED] * 3
    assert found.environment["PATH"].startswith(str(Path(folder).parents[2] / "bin"))


def test_another_version_of_what_kernels_have_needs_an_interpreter(parts: Parts) -> None:
    found = parts.prepare(pypi("pandas==0.1"))
    assert found.python is not None
    code = "import pandas, ipykernel; print(pandas.OURS)"
    answer = subprocess.run([found.python, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "1\n"


def test_nothing_missing_needs_no_folder(parts: Parts) -> None:
    assert parts.prepare(pypi("numpy")).site_packages == ()


def test_a_library_may_name_its_index(parts: Parts, tmp_path: Path) -> None:
    other = add_to_index(tmp_path / "other", "rare", "1.0", {"rare.py": ""})
    (folder,) = parts.prepare(pypi("rare", other)).site_packages
    assert (Path(folder) / "rare.py").exists()


def test_a_failing_library_is_named_and_later_ones_are_skipped(parts: Parts) -> None:
    wanted = (pypi("leaf"), pypi("no-such-thing"), pypi("numpy"))
    found = parts.prepare(*wanted)
    assert found.state is UseState.FAILED
    assert found.message.startswith(
        "Library installation failed for library due to user error for pypi no-such-thing: "
    )
    assert "was not found" in found.message
    assert parts.states(*wanted)[1] is LibraryState.FAILED
    assert "was not found" in parts.libraries.statuses(parts.ada, wanted)[1].message


def test_a_failure_is_tried_again_later(parts: Parts, tmp_path: Path) -> None:
    assert parts.prepare(pypi("late")).state is UseState.FAILED
    add_to_index(tmp_path / "index", "late", "1.0", {"late.py": ""})
    assert parts.prepare(pypi("late")).state is UseState.FAILED  # told again to who waited
    parts.now = 60.0
    assert parts.prepare(pypi("late")).state is UseState.READY


@pytest.mark.parametrize(
    ("library", "sentence"),
    [
        (Library(LibraryKind.EGG, "dbfs:/a.egg"), "eggs are not supported any more"),
        (Library(LibraryKind.CRAN, "ggplot2"), "R is not installed on this server"),
        (Library(LibraryKind.WHEEL, "dbfs:/nope.whl"), "nope.whl"),
        (Library(LibraryKind.WHEEL, "/Users/nobody/x.whl"), "/Users/nobody/x.whl"),
        (Library(LibraryKind.JAR, "s3://b/x.jar"), "cannot be read here"),
        (Library(LibraryKind.PYPI, "--index-url=x"), "is not a requirement"),
        (Library(LibraryKind.MAVEN, "a:missing:1"), "a:missing:1 was not found."),
    ],
)
def test_what_cannot_be_installed_says_why(
    parts: Parts, library: Library, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    found = parts.prepare(library)
    assert found.state is UseState.FAILED
    assert f"{library.kind} {library.value}: " in found.message
    assert sentence in found.message
    assert parts.states(library) == [LibraryState.FAILED]


def test_jars_are_files(parts: Parts) -> None:
    jar = Library(LibraryKind.JAR, parts.put("/jars/my.jar", b"PK"))
    coordinates = Library(LibraryKind.MAVEN, "g:a:1", "https://repo", ("x:y",))
    found = parts.prepare(jar, coordinates)
    assert [Path(each).name for each in found.jars] == ["my.jar", "one.jar", "two.jar"]
    assert Path(found.jars[0]).read_bytes() == b"PK"
    assert parts.maven == [coordinates]


def test_an_environment_by_name(parts: Parts) -> None:
    made = parts.environments.create(parts.ada, "forest", requirements=["leaf"])
    found = parts.prepare(environment="forest")
    assert (Path(found.site_packages[0]) / "leaf.py").exists()
    assert parts.environments.get("forest").pins == ("leaf==1.0",)
    # As resolved it stays, until it is built anew.
    add_to_index(Path(parts.index.removeprefix("file://")), "leaf", "2.0", {"leaf.py": "V = 2\n"})
    parts.now = 10_000.0
    assert parts.prepare(environment=made.id) == found
    assert parts.environments.build(parts.ada, "forest").pins == ("leaf==2.0",)
    assert parts.prepare(pypi("numpy"), environment="forest").site_packages != found.site_packages
    missing = parts.prepare(environment="desert")
    assert missing == Prepared(UseState.FAILED, "Environment desert does not exist.")


def test_an_environment_that_cannot_be_built_says_why(parts: Parts) -> None:
    parts.environments.create(parts.ada, "desert", requirements=["no-such-thing"])
    found = parts.prepare(environment="desert")
    assert found.state is UseState.FAILED
    assert found.message.startswith("The environment desert could not be built: ")
    assert "no-such-thing" in found.message
