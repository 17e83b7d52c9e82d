"""Libraries out of a Maven repository, by the Ivy that comes with Spark."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from quire.compute.ivy import ivy_settings
from quire.compute.maven import Coordinates, LibraryNotResolved, read_coordinates, resolve
from quire.errors import InvalidValue
from tests.spark import SparkPlace


def _put(root: Path, group: str, artifact: str, version: str, *needs: str) -> None:
    folder = root.joinpath(*group.split("."), artifact, version)
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / f"{artifact}-{version}.jar", "w") as jar:
        jar.writestr("name.txt", artifact)
    dependencies = "".join(
        "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version>"
        "</dependency>".format(*need.split(":"))
        for need in needs
    )
    (folder / f"{artifact}-{version}.pom").write_text(
        f"<project><modelVersion>4.0.0</modelVersion><groupId>{group}</groupId>"
        f"<artifactId>{artifact}</artifactId><version>{version}</version>"
        f"<dependencies>{dependencies}</dependencies></project>"
    )


@pytest.fixture(scope="module")
def repository(spark_place: SparkPlace) -> Path:
    root = spark_place.root / "repository"
    root.mkdir()
    _put(root, "org.example", "first", "1.0", "org.example:second:2.0", "org.example:gone:3.0")
    _put(root, "org.example", "second", "2.0", "org.apache.spark:spark-core_2.13:4.3.0")
    return root


def _resolve(place: SparkPlace, repository: Path, *coordinates: str, without: str) -> list[Path]:
    return resolve(
        coordinates,
        spark_jars=place.spark.jars,
        java_home=place.java_home,
        cache=place.root / "maven",
        repositories=[repository.as_uri()],
        exclusions=[without],
        user=place.user,
    )


def test_a_library_comes_with_what_it_needs(spark_place: SparkPlace, repository: Path) -> None:
    """Without what was left out, and without what Spark has itself."""
    found = _resolve(spark_place, repository, "org.example:first:1.0", without="org.example:gone")
    assert [path.name for path in found] == ["first-1.0.jar", "second-2.0.jar"]
    for path in found:
        assert path.stat().st_mode & 0o777 == 0o644
        with zipfile.ZipFile(path) as jar:
            assert jar.read("name.txt").decode() == path.name.partition("-")[0]


def test_what_is_missing_is_named(spark_place: SparkPlace, repository: Path) -> None:
    with pytest.raises(LibraryNotResolved) as failed:
        _resolve(spark_place, repository, "org.example:first:1.0", without="org.example:other")
    assert "org.example:first:1.0 could not be resolved" in str(failed.value)
    assert "org.example#gone;3.0: not found" in str(failed.value)


def test_coordinates_are_read() -> None:
    assert read_coordinates(" a.b:c_2.13:1.0-x ") == Coordinates("a.b", "c_2.13", "1.0-x")
    assert str(read_coordinates("a/b:1")) == "a:b:1"
    for wrong in ("a:b", "a:b:c:d", "a:b:", 'a:b:"><x', ""):
        with pytest.raises(InvalidValue, match="group:artifact:version"):
            read_coordinates(wrong)


def test_exclusions_are_checked_before_anything_is_got(spark_place: SparkPlace) -> None:
    with pytest.raises(InvalidValue, match="group:artifact"):
        _resolve(spark_place, Path("/nowhere"), "a:b:1", without='x"y')


def test_only_named_repositories_are_asked() -> None:
    settings = ivy_settings(["file:///a&b/"], Path("/cache"))
    assert 'root="file:///a&amp;b/"' in settings
    assert "repo1.maven.org" not in settings
    assert "repo1.maven.org" in ivy_settings([], Path("/cache"))
