"""The Java of tests: the one that comes as a Python package, told that it will not live long."""

from __future__ import annotations

import shutil
from pathlib import Path

from quire.compute.java import find_java

__all__ = ["write_java"]

# A JVM of a test ends before the better code of the second compiler pays for making it, and needs
# no collector with threads of its own. Spark starts in two thirds of the time.
_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"


def write_java(home: Path) -> None:
    """Make ``home`` a folder that ``JAVA_HOME`` may name; the machine's own Java is not used."""
    java = find_java(environment={"PATH": ""})
    shutil.copyfile(java.home / "release", home / "release")
    program = home / "bin" / "java"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{java.program}" {_OPTIONS} "$@"\n')
    for path, mode in ((home, 0o755), (program.parent, 0o755), (program, 0o755)):
        path.chmod(mode)
    (home / "release").chmod(0o644)
