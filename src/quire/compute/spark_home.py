"""Finds the Spark that clusters run: one that ``SPARK_HOME`` names, else the package pyspark."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from quire.errors import Unsupported

__all__ = ["Spark", "find_spark"]

_CORE_JAR = re.compile(r"spark-core_(\d+\.\d+)-(.+)\.jar")


@dataclass(frozen=True)
class Spark:
    """A Spark of this machine."""

    home: Path
    version: str  # "4.3.0"
    scala_version: str  # "2.13"
    python_path: tuple[
        str, ...
    ]  # where its Python side is, when that is not installed as a package

    @property
    def jars(self) -> Path:
        """The folder of its classes."""
        return self.home / "jars"


def find_spark(environment: Mapping[str, str] | None = None) -> Spark:
    """The Spark to use. Raises Unsupported saying what to do when there is none."""
    environment = os.environ if environment is None else environment
    named = environment.get("SPARK_HOME", "")
    if named:
        home = Path(named)
        found = _look_at(home)
        if found is None:
            raise Unsupported(f"SPARK_HOME is {named}, where there is no Spark.")
        python = [home / "python", *sorted((home / "python" / "lib").glob("py4j-*.zip"))]
        return Spark(home, *found, tuple(str(each) for each in python))
    package = importlib.util.find_spec("pyspark")
    if package is None or package.origin is None:
        raise Unsupported(
            "Spark is not installed. Install it with `pip install 'quire[spark]'`, or name an "
            "installation of it with SPARK_HOME."
        )
    home = Path(package.origin).parent
    found = _look_at(home)
    if found is None:
        raise Unsupported(
            f"The package pyspark in {home} has no Spark in it. Install it with "
            "`pip install 'quire[spark]'`."
        )
    return Spark(home, *found, ())


def _look_at(home: Path) -> tuple[str, str] | None:
    """Version and Scala version of the Spark in a folder; None when there is none."""
    if not os.access(home / "bin" / "spark-submit", os.X_OK):
        return None
    for path in (home / "jars").glob("spark-core_*.jar"):
        found = _CORE_JAR.fullmatch(path.name)
        if found:
            return found[2], found[1]
    return None
