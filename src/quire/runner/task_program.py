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
from quire.compute.ivy import USUAL_REPOSITORIES
from quire.compute.spark_submit import SubmitConfig, build_submission
from quire.compute.submit_arguments import bound_memory, read_submit_arguments, replace_files
from quire.runner.fetch import Fetcher, FileMissing
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
            return _shell(task, home, compute or {})
        case "python_file":
            return _python_file(assignment, task, home, compute or {})
        case "jar":
            return _jar(assignment, task, home, fetcher, compute or {})
        case "submit":
            return _submit(assignment, task, home, fetcher, compute or {})
        case kind:
            raise ValueError(f"no program for tasks of kind {kind!r}")


def _shell(task: Mapping[str, Any], home: KernelHome, compute: Mapping[str, Any]) -> Program:
    """A command, which finds the run's Python packages and their scripts as a notebook does."""
    environment = dict(compute.get("environment") or {})
    folders = [Path(each) for each in compute.get("site_packages") or ()]
    tools = [each.parents[2] / "bin" for each in folders]  # .../lib/python3.11/site-packages
    if compute.get("python"):
        tools.append(Path(compute["python"]).parent)
    if folders:
        environment["PYTHONPATH"] = os.pathsep.join(map(str, folders))
    if tools:
        usual = home.kernel_environment()["PATH"]
        environment["PATH"] = os.pathsep.join([*map(str, tools), usual])
    return Program("shell", tuple(task["command"]), {**environment, **task["environment"]})


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
        "home_dir": str(home.folder),
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
    locations = [each["value"] for each in libraries if each["kind"] == "jar"]
    if task["jar"] is not None:
        locations.append(task["jar"])
    jars = [*(compute.get("jars") or ()), *(str(fetcher.fetch(each)) for each in locations)]
    maven = [each for each in libraries if each["kind"] == "maven"]
    # One order of repositories for all: where one library says none, the usual ones come last.
    repositories = [each["repository"] for each in maven if each["repository"]]
    if repositories and len(repositories) < len(maven):
        repositories += [url for _, url in USUAL_REPOSITORIES]
    return _submitted(
        assignment,
        home,
        compute,
        main_class=task["main_class"],
        arguments=tuple(task["arguments"]),
        jars=tuple(jars),
        packages=tuple(each["value"] for each in maven),
        repositories=tuple(dict.fromkeys(repositories)),
        exclusions=tuple(text for each in maven for text in each["exclusions"]),
    )


def _submit(
    assignment: Assignment,
    task: Mapping[str, Any],
    home: KernelHome,
    fetcher: Fetcher,
    compute: Mapping[str, Any],
) -> Program:
    """``spark-submit`` with words of the user's, the server's files among them brought here.

    It gets no more memory than the cluster has to give, whatever it asks for.
    """

    def local(location: str) -> str:
        return str(fetcher.fetch(location)) if location.startswith(_SERVER_FILES) else location

    if not task["arguments"]:
        raise FileMissing("spark-submit was given nothing to run.")
    arguments = replace_files(read_submit_arguments(task["arguments"]), local)
    target = compute["submit"]
    most = {
        "--driver-memory": target["driver_memory_bytes"],
        "--executor-memory": target["executor_memory_bytes"],
    }
    return _submitted(assignment, home, compute, words=bound_memory(arguments, most).render())


def _submitted(
    assignment: Assignment, home: KernelHome, compute: Mapping[str, Any], **program: Any
) -> Program:
    """``program``: fields of :class:`quire.compute.spark_submit.SubmitConfig`."""
    target = compute["submit"]
    folder = home.folder / "submit"
    folder.mkdir()
    folder.chmod(0o755)
    config = SubmitConfig(
        spark_home=target["spark_home"],
        java_home=target["java_home"],
        master=target["master"],
        python=compute.get("python") or sys.executable,
        folder=folder,
        conf=target["conf"],
        environment=target["environment"],
        driver_memory_bytes=target["driver_memory_bytes"],
        executor_memory_bytes=target["executor_memory_bytes"],
        user=home.user,
        **program,
    )
    made = build_submission(config, {**home.kernel_environment(), **assignment.environment})
    return Program("spark-submit", made.command, made.environment, bounds_memory=True)


def files_folder(home: KernelHome) -> Path:
    """The folder for what the server gave; the program may read there, not write."""
    folder = home.folder / "files"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    return folder
