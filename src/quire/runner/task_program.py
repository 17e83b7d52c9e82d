"""What process a task is: its command line and environment, with the files it needs in place."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import quire_runtime
from quire.compute.spark_submit import SubmitRequest, build_submission, jar_arguments
from quire.compute.submit_arguments import (
    SubmitArguments,
    read_submit_arguments,
    replace_files,
)
from quire.runner.fetch import Fetcher
from quire.runner.kernel import KernelHome
from quire.runner.protocol import Assignment

__all__ = ["REPORT_VARIABLE", "Program", "prepare_program"]

REPORT_VARIABLE = "QUIRE_REPORT_FD"
_SERVER_FILES = ("dbfs:/", "workspace:/")
_RUNTIME_ROOT = str(Path(quire_runtime.__file__).parents[1])
_SCRIPT_STARTER = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from quire_runtime.script import main; main(sys.argv[2:])"
)


@dataclass(frozen=True)
class Program:
    """A process to start."""

    name: str  # what sort of program it is, for people
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)  # on top of a kernel's
    bounds_memory: bool = False  # it has a limit of its own, as a JVM has


def prepare_program(
    assignment: Assignment, home: KernelHome, fetcher: Fetcher, compute: Mapping[str, Any] | None
) -> Program:
    """The program of a task, its files brought from the server.

    ``compute``: what the server answered about the run's compute, None without one. Raises
    FileMissing.
    """
    task = assignment.task
    assert task is not None
    match task["kind"]:
        case "shell":
            return Program("shell", tuple(task["command"]), dict(task["environment"]))
        case "python_file":
            return _python_file(assignment, task, home, compute or {})
        case "jar":
            return _jar(assignment, task, home, fetcher, compute or {})
        case "submit":
            return _submit(assignment, task, home, fetcher, compute or {})
        case kind:
            raise ValueError(f"no program for tasks of kind {kind!r}")


def _python_file(
    assignment: Assignment,
    task: Mapping[str, Any],
    home: KernelHome,
    compute: Mapping[str, Any],
) -> Program:
    """A Python file as a program of its own, which finds the names that notebooks find."""
    folder = files_folder(home)
    script = folder / (task["path"].rpartition("/")[2] or "script.py")
    script.write_bytes(base64.b64decode(task["content"]))
    script.chmod(0o444)
    settings = {
        **assignment.runtime,
        "environment": dict(assignment.environment),
        "working_dir": str(home.working_dir),
        "compute": dict(compute) or None,
    }
    settings_file = folder / "settings.json"
    descriptor = os.open(settings_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:  # it holds the run's token
        json.dump(settings, file)
        if home.user is not None:
            os.fchown(file.fileno(), home.user.uid, home.user.gid)
    python = compute.get("python") or sys.executable
    return Program(
        "python",
        (
            python,
            "-c",
            _SCRIPT_STARTER,
            _RUNTIME_ROOT,
            str(settings_file),
            str(script),
            *task["arguments"],
        ),
    )


def _jar(
    assignment: Assignment,
    task: Mapping[str, Any],
    home: KernelHome,
    fetcher: Fetcher,
    compute: Mapping[str, Any],
) -> Program:
    """The main class of jars, which are files of the server, or come out of Maven repositories."""
    libraries: Sequence[Mapping[str, Any]] = task["libraries"]
    jars = [each["value"] for each in libraries if each["kind"] == "jar"]
    if task["jar"] is not None:
        jars.append(task["jar"])
    maven = [each for each in libraries if each["kind"] == "maven"]
    arguments = jar_arguments(
        task["main_class"],
        task["arguments"],
        [*(compute.get("jars") or ()), *(str(fetcher.fetch(each)) for each in jars)],
        packages=[each["value"] for each in maven],
        exclusions=[text for each in maven for text in each["exclusions"]],
    )
    repositories = [each["repository"] for each in maven if each["repository"]]
    usual_too = len(repositories) < len(maven)
    return _submitted(assignment, arguments, home, compute, repositories, usual_too=usual_too)


def _submit(
    assignment: Assignment,
    task: Mapping[str, Any],
    home: KernelHome,
    fetcher: Fetcher,
    compute: Mapping[str, Any],
) -> Program:
    """``spark-submit`` with words of the user's, the server's files among them brought here."""

    def local(location: str) -> str:
        return str(fetcher.fetch(location)) if location.startswith(_SERVER_FILES) else location

    arguments = replace_files(read_submit_arguments(task["arguments"]), local)
    return _submitted(assignment, arguments, home, compute)


def _submitted(
    assignment: Assignment,
    arguments: SubmitArguments,
    home: KernelHome,
    compute: Mapping[str, Any],
    repositories: Sequence[str] = (),
    *,
    usual_too: bool = True,
) -> Program:
    folder = home.folder / "spark"
    folder.mkdir(mode=0o700)
    if home.user is not None:
        os.chown(folder, home.user.uid, home.user.gid)
    request = SubmitRequest(
        arguments,
        compute["submit"],
        folder,
        home.user,
        compute.get("python") or sys.executable,
        {**home.kernel_environment(), **assignment.environment},
    )
    made = build_submission(request, repositories, usual_too=usual_too)
    return Program("spark-submit", made.command, made.environment, bounds_memory=True)


def files_folder(home: KernelHome) -> Path:
    """The folder for what the server gave; the program may read there, not write."""
    folder = home.folder / "files"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    return folder
