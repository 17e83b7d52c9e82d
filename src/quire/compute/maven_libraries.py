"""Maven libraries of runs: their coordinates as files, by :mod:`quire.compute.maven`."""

from __future__ import annotations

from collections.abc import Sequence

from quire.compute.java import find_java
from quire.compute.maven import LibraryNotResolved, resolve
from quire.compute.models import Library
from quire.compute.package_builder import BuildFailed, PackageBuilder
from quire.compute.spark_home import find_spark
from quire.settings import Settings

__all__ = ["MavenLibraries"]


class MavenLibraries:
    """Gets them with the Java and the Spark of this server."""

    def __init__(self, settings: Settings, builder: PackageBuilder) -> None:
        self._settings = settings
        self._builder = builder

    def resolve(self, library: Library) -> Sequence[str]:
        """The files of a library and of all it needs.

        Raises BuildFailed, InvalidValue for coordinates that are none, Unsupported without Java.
        """
        java = find_java(self._settings.java_home)
        repositories = [library.repository] if library.repository else []
        try:
            found = resolve(
                [library.value],
                spark_jars=find_spark().jars,
                java_home=java.home,
                cache=self._builder.root / "maven",
                repositories=repositories,
                exclusions=library.exclusions,
                user=self._builder.tools_user,
            )
        except LibraryNotResolved as error:
            raise BuildFailed(str(error)) from error
        return [str(path) for path in found]
