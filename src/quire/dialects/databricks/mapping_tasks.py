"""Between the vendor's task objects and the engine's tasks, both ways (contract 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quire.compute.models import Library, LibraryKind
from quire.compute.submit_arguments import read_submit_arguments, replace_files
from quire.dialects.databricks import wire
from quire.dialects.databricks.locations import file_location, submit_location, workspace_path
from quire.dialects.databricks.times import moment
from quire.engine.models import (
    Arguments,
    JarTask,
    NotebookTask,
    PythonFileTask,
    ShellTask,
    SqlTask,
    SubmitTask,
    Task,
    TaskKind,
)
from quire.engine.tasks import takes_parameters

__all__ = [
    "described_task",
    "libraries_of",
    "meant_for",
    "passed_parameters",
    "task_arguments",
    "task_of",
]

_ARGUMENT_FIELDS = {
    TaskKind.JAR: "jar_params",
    TaskKind.PYTHON_FILE: "python_params",
    TaskKind.SUBMIT: "spark_submit_params",
}
_NAMED_FIELDS = ("notebook_params", "job_parameters")


def task_of(settings: wire.JobSettings | wire.SubmitRun, job_parameters: Mapping[str, str]) -> Task:
    """The task of checked settings. ``job_parameters`` go to notebooks, which alone have names."""
    if (jar := settings.spark_jar_task) is not None:
        return JarTask(
            jar.main_class_name,
            tuple(jar.parameters or ()),
            file_location(jar.jar_uri) if jar.jar_uri else None,
        )
    if (script := settings.spark_python_task) is not None:
        return PythonFileTask(file_location(script.python_file), tuple(script.parameters or ()))
    if (submit := settings.spark_submit_task) is not None:
        return SubmitTask(_submit_words(submit.parameters or ()))
    shell = getattr(settings, "shell_command_task", None)
    if shell is not None:
        return ShellTask(tuple(shell.command), dict(shell.env_vars or {}))
    notebook = settings.notebook_task
    assert notebook is not None, "only checked settings become definitions"
    revision = notebook.revision_timestamp
    return NotebookTask(
        path=workspace_path(notebook.notebook_path),
        revision_at=moment(revision) if revision else None,
        parameters={**(notebook.base_parameters or {}), **job_parameters},
    )


def described_task(task: Task) -> dict[str, Any]:
    """The field and object that stand for a task which did not come from this vendor's clients."""
    match task:
        case NotebookTask():
            described: dict[str, Any] = {"notebook_path": task.path}
            if task.parameters:
                described["base_parameters"] = _texts(task.parameters)
            return {"notebook_task": described}
        case PythonFileTask():
            return {"spark_python_task": {"python_file": task.path, **_words(task.arguments)}}
        case JarTask():
            described = {"main_class_name": task.main_class, **_words(task.arguments)}
            if task.jar is not None:
                described["jar_uri"] = task.jar
            return {"spark_jar_task": described}
        case SubmitTask():
            return {"spark_submit_task": _words(task.arguments)}
        case ShellTask():
            described = {"command": list(task.command)}
            if task.environment:
                described["env_vars"] = dict(task.environment)
            return {"shell_command_task": described}
        case SqlTask():
            described = {}
            if task.path is not None:
                described["file"] = {"path": task.path}
            if task.parameters:
                described["parameters"] = _texts(task.parameters)
            return {"sql_task": described}


def task_arguments(body: wire.RunNow) -> Arguments:
    """The words that run-now passes, for each kind of task; the engine takes the right ones."""
    return {
        kind: _submit_words(words) if kind is TaskKind.SUBMIT else tuple(words)
        for kind, name in _ARGUMENT_FIELDS.items()
        if (words := getattr(body, name))  # some clients send every slot, most of them empty
    }


def passed_parameters(body: wire.RunNow) -> dict[str, Any]:
    """All parameters that run-now passes, by their field."""
    names = (*_NAMED_FIELDS, *_ARGUMENT_FIELDS.values())
    return {name: value for name in names if (value := getattr(body, name))}


def meant_for(task: Task, passed: Mapping[str, Any]) -> dict[str, Any]:
    """Those of passed parameters that mean something to a task; the others are ignored."""
    if takes_parameters(task):
        names: tuple[str, ...] = _NAMED_FIELDS
    else:
        names = (_ARGUMENT_FIELDS.get(task.kind, ""), "job_parameters")
    return {name: value for name, value in passed.items() if name in names}


def libraries_of(libraries: Sequence[wire.Library]) -> tuple[Library, ...]:
    """Checked libraries as compute knows them (contract 2.10)."""
    return tuple(_library(each) for each in libraries)


def _library(library: wire.Library) -> Library:
    for kind, value in (
        (LibraryKind.JAR, library.jar),
        (LibraryKind.EGG, library.egg),
        (LibraryKind.WHEEL, library.whl),
        (LibraryKind.REQUIREMENTS, library.requirements),
    ):
        if value is not None:
            return Library(kind, file_location(value))
    for kind, package in ((LibraryKind.PYPI, library.pypi), (LibraryKind.CRAN, library.cran)):
        if package is not None:
            return Library(kind, package.package, package.repo)
    maven = library.maven
    assert maven is not None, "a library holds exactly one of its fields"
    return Library(LibraryKind.MAVEN, maven.coordinates, maven.repo, tuple(maven.exclusions or ()))


def _submit_words(words: Sequence[str]) -> tuple[str, ...]:
    return replace_files(read_submit_arguments(words), submit_location).render()


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in values.items()}


def _words(words: tuple[str, ...]) -> dict[str, list[str]]:
    return {"parameters": list(words)} if words else {}
