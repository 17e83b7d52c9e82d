"""Programs run with ``spark-submit``: on a machine alone, and on workers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quire.compute.java import USER_VARIABLE
from quire.compute.spark_submit import Submission, SubmitConfig, build_submission
from quire.placement.users import plain_environment
from quire.runner.users import KernelUser, become_user
from tests.jar import MAIN_CLASS, store_in_repository
from tests.spark import SparkPlace

Submit = Callable[..., "subprocess.CompletedProcess[str]"]

_PYTHON_PROGRAM = """
import sys
from pyspark.sql import SparkSession
session = SparkSession.builder.getOrCreate()
print("arguments", sys.argv[1:])
found = session._jvm.java.lang.Thread.currentThread().getContextClassLoader().loadClass("demo.Main")
print("found", found.getName(), session.range(3).count())
"""


@pytest.fixture
def config(spark_place: SparkPlace) -> SubmitConfig:
    folder = spark_place.root / f"submit-{os.urandom(4).hex()}"
    folder.mkdir(mode=0o711)
    return SubmitConfig(
        spark_home=str(spark_place.spark.home),
        java_home=str(spark_place.java_home),
        master="local[2]",
        python=sys.executable,
        folder=folder,
        user=spark_place.user.of_process(os.getpid()) if spark_place.user is not None else None,
    )


def _run(config: SubmitConfig) -> subprocess.CompletedProcess[str]:
    """Run a program as its user."""
    home = config.folder / "spark-tmp"
    submission = build_submission(config, {**plain_environment(), "HOME": str(home)})
    user: KernelUser | None = config.user
    return subprocess.run(
        submission.command,
        env=submission.environment,
        cwd=home,
        preexec_fn=(lambda: become_user(user)) if user is not None else None,
        capture_output=True,
        text=True,
        check=False,
    )


def _changed(config: SubmitConfig, **options: Any) -> SubmitConfig:
    from dataclasses import replace

    return replace(config, **options)


def test_a_class_runs_on_workers(
    spark_place: SparkPlace, config: SubmitConfig, demo_jar: Path
) -> None:
    with spark_place.ready(workers=1, spark_context=False) as cluster:
        assert cluster.gateway() is None
        target = cluster.submit_target()
        done = _run(
            _changed(
                config,
                master=target.master,
                conf=target.conf,
                main_class=MAIN_CLASS,
                jars=(str(demo_jar),),
                arguments=("a b", "c"),
                executor_memory_bytes=512 * 1024 * 1024,
            )
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["arguments a b|c", f"master {target.master}", "sum 45"]


def test_what_a_program_ends_with_is_told(config: SubmitConfig, demo_jar: Path) -> None:
    words = ("--class", MAIN_CLASS, str(demo_jar), "exit")
    assert _run(_changed(config, words=words)).returncode == 7


def test_a_python_program_gets_its_packages(
    config: SubmitConfig, demo_jar: Path, tmp_path: Path
) -> None:
    repository = config.folder / "repository"
    coordinates = store_in_repository(demo_jar, repository)
    program = config.folder / "program.py"
    program.write_text(_PYTHON_PROGRAM)
    done = _run(
        _changed(
            config,
            resource=str(program),
            arguments=("x", "y z"),
            packages=(coordinates,),
            repositories=(repository.as_uri(),),
        )
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["arguments ['x', 'y z']", "found demo.Main 3"]


def test_settings_are_in_files_that_only_the_program_reads(config: SubmitConfig) -> None:
    secret = "s" * 20
    submission = build_submission(
        _changed(
            config,
            master="spark://127.0.0.1:7077",
            conf={"spark.authenticate.secret": secret, "spark.jars": "/first.jar"},
            environment={"TOOL": "$HOME/tool", "SPARK_HOME": "/elsewhere"},
            words=("--properties-file", "mine.conf", "program.py"),
            jars=("/second.jar",),
        ),
        {"HOME": "/home/x"},
    )
    path = config.folder / "spark-conf" / "spark-defaults.conf"
    assert path.stat().st_mode & 0o077 == 0
    lines = path.read_text().splitlines()
    assert f"spark.authenticate.secret={secret}" in lines
    assert "spark.jars=/first.jar,/second.jar" in lines
    assert "spark.master=spark://127.0.0.1:7077" in lines
    assert secret not in " ".join(submission.command)
    assert submission.command[1:] == (
        *("--load-spark-defaults", "--properties-file", "mine.conf", "program.py"),
    )
    environment = submission.environment
    assert environment["TOOL"] == "/home/x/tool"
    assert environment["SPARK_HOME"] == config.spark_home
    assert (USER_VARIABLE in environment) == (os.geteuid() == 0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"main_class": "A", "jars": ("/a.jar", "/b.jar")}, ("--class", "A", "/a.jar")),
        ({"main_class": "A"}, ("--class", "A", "spark-internal")),
        ({"main_class": "A", "resource": "/c.jar"}, ("--class", "A", "/c.jar")),
        ({"resource": "/p.py", "arguments": ("--x",)}, ("/p.py", "--x")),
    ],
    ids=["a class of a library", "a class of Spark", "a class of a jar", "a Python file"],
)
def test_the_command_names_what_runs(
    config: SubmitConfig, options: dict[str, Any], words: tuple[str, ...]
) -> None:
    submission: Submission = build_submission(_changed(config, **options), {})
    assert submission.command[1:] == words
