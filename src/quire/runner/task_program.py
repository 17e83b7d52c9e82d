"""What process a task is: its command line and environment, with the files it needs in place."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import quire_runtime
from quire.runner.fetch import Fetcher
from quire.runner.kernel import KernelHome
from quire.runner.protocol import Assignment

__all__ = ["REPORT_VARIABLE", "Program", "prepare_program"]

REPORT_VARIABLE = "QUIRE_REPORT_FD"
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
        "site_packages": list(compute.get("site_packages") or ()),
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


def files_folder(home: KernelHome) -> Path:
    """The folder for what the server gave; the program may read there, not write."""
    folder = home.folder / "files"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    return folder
