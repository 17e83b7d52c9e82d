"""What a run executes: one record for each kind of task, and what all kinds have in common.

Every kind answers the same questions, so that nothing else has to ask which kind it is:

* ``label``: what a list shows of it;
* ``workspace_path``: the document of the workspace it runs, whose readers may look at its runs;
* ``parameters``: values by name, over which a run request may put its own;
* ``arguments``: a list of words, in whose place a run request may put another.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, ClassVar

__all__ = [
    "IN_KERNELS",
    "TASK_TYPES",
    "Arguments",
    "JarTask",
    "NotebookTask",
    "Parameters",
    "PythonFileTask",
    "ShellTask",
    "SqlTask",
    "SubmitTask",
    "Task",
    "TaskKind",
    "takes_parameters",
    "with_arguments",
]

Parameters = Mapping[str, Any]
"""Parameter name to JSON value."""

_NONE: Parameters = MappingProxyType({})


class TaskKind(StrEnum):
    """What sort of thing a task runs."""

    NOTEBOOK = "notebook"
    PYTHON_FILE = "python_file"
    JAR = "jar"
    SUBMIT = "submit"
    SQL = "sql"
    SHELL = "shell"


IN_KERNELS = frozenset({TaskKind.NOTEBOOK, TaskKind.SQL})
"""Kinds that a kernel executes; the others are programs."""

Arguments = Mapping[TaskKind, tuple[str, ...]]
"""Words for a task, by the kind of task they are meant for."""


@dataclass(frozen=True)
class NotebookTask:
    """Run a notebook of the workspace."""

    kind: ClassVar = TaskKind.NOTEBOOK
    arguments: ClassVar[tuple[str, ...]] = ()

    path: str  # absolute workspace path, read when the run starts
    revision_at: datetime | None = None  # the newest revision not later than this
    parameters: Parameters = field(default_factory=dict)
    cells: tuple[str, ...] | None = None  # ids of the cells to run, in this order; None: all
    stop_on_error: bool = True  # False: the cells after one that failed run all the same

    @property
    def label(self) -> str:
        return self.path

    @property
    def workspace_path(self) -> str | None:
        return self.path


@dataclass(frozen=True)
class PythonFileTask:
    """Run a Python file as a program of its own, in a fresh interpreter."""

    kind: ClassVar = TaskKind.PYTHON_FILE
    parameters: ClassVar[Parameters] = _NONE

    path: str  # absolute workspace path, or dbfs:/ and a path of the file store; read at the start
    arguments: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return self.path

    @property
    def workspace_path(self) -> str | None:
        return self.path if self.path.startswith("/") else None


@dataclass(frozen=True)
class JarTask:
    """Run the main class of a JAR on Spark; its other jars are libraries of the compute."""

    kind: ClassVar = TaskKind.JAR
    parameters: ClassVar[Parameters] = _NONE

    main_class: str
    arguments: tuple[str, ...] = ()
    jar: str | None = None  # one more jar, as a library names it

    @property
    def label(self) -> str:
        return self.main_class

    @property
    def workspace_path(self) -> str | None:
        return None


@dataclass(frozen=True)
class SubmitTask:
    """Run ``spark-submit`` with these words."""

    kind: ClassVar = TaskKind.SUBMIT
    parameters: ClassVar[Parameters] = _NONE

    arguments: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return shlex.join(["spark-submit", *self.arguments])

    @property
    def workspace_path(self) -> str | None:
        return None


@dataclass(frozen=True)
class SqlTask:
    """Run SQL statements. Exactly one of ``text`` and ``path`` is given."""

    kind: ClassVar = TaskKind.SQL
    arguments: ClassVar[tuple[str, ...]] = ()

    text: str | None = None
    path: str | None = None  # absolute workspace path of a file or an SQL notebook
    parameters: Parameters = field(default_factory=dict)
    flavour: str = "plain"  # whose SQL and names it uses, unless it is a notebook, which says so

    @property
    def label(self) -> str:
        return self.path or (self.text or "").strip().partition("\n")[0]

    @property
    def workspace_path(self) -> str | None:
        return self.path


@dataclass(frozen=True)
class ShellTask:
    """Run a program with its words; no shell unless the command names one."""

    kind: ClassVar = TaskKind.SHELL
    parameters: ClassVar[Parameters] = _NONE
    arguments: ClassVar[tuple[str, ...]] = ()

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return shlex.join(self.command)

    @property
    def workspace_path(self) -> str | None:
        return None


Task = NotebookTask | PythonFileTask | JarTask | SubmitTask | SqlTask | ShellTask

TASK_TYPES: Mapping[TaskKind, type[Task]] = {
    each.kind: each
    for each in (NotebookTask, PythonFileTask, JarTask, SubmitTask, SqlTask, ShellTask)
}


def takes_parameters(task: Task) -> bool:
    """Whether values passed by name mean something to the task."""
    return isinstance(task, NotebookTask | SqlTask)


def with_arguments(task: Task, arguments: Arguments) -> Task:
    """The task with its words replaced by those that are meant for its kind, if there are any."""
    words = arguments.get(task.kind)
    if words is None or not isinstance(task, PythonFileTask | JarTask | SubmitTask):
        return task
    return replace(task, arguments=words)
