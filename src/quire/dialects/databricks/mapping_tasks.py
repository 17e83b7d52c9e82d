"""Between the vendor's task objects and the engine's tasks, both ways (contract 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quire.dialects.databricks import wire
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

__all__ = ["ARGUMENT_FIELDS", "described_task", "task_arguments", "task_of"]

ARGUMENT_FIELDS = {
    TaskKind.JAR: "jar_params",
    TaskKind.PYTHON_FILE: "python_params",
    TaskKind.SUBMIT: "spark_submit_params",
}
"""The field of run-now that replaces a task's words, by the kind of task."""


def task_of(settings: wire.JobSettings | wire.SubmitRun, job_parameters: Mapping[str, str]) -> Task:
    """The task of checked settings. ``job_parameters`` go to notebooks, which alone have names."""
    if (jar := settings.spark_jar_task) is not None:
        return JarTask(jar.main_class_name, tuple(jar.parameters or ()), jar.jar_uri or None)
    if (script := settings.spark_python_task) is not None:
        return PythonFileTask(
            wire.file_location(script.python_file), tuple(script.parameters or ())
        )
    if (submit := settings.spark_submit_task) is not None:
        return SubmitTask(tuple(submit.parameters or ()))
    shell = getattr(settings, "shell_command_task", None)
    if shell is not None:
        return ShellTask(tuple(shell.command), dict(shell.env_vars or {}))
    notebook = settings.notebook_task
    assert notebook is not None, "only checked settings become definitions"
    revision = notebook.revision_timestamp
    return NotebookTask(
        path=wire.workspace_path(notebook.notebook_path),
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
        kind: tuple(words)
        for kind, name in ARGUMENT_FIELDS.items()
        if (words := getattr(body, name))  # some clients send every slot, most of them empty
    }


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in values.items()}


def _words(words: tuple[str, ...]) -> dict[str, list[str]]:
    return {"parameters": list(words)} if words else {}
