from __future__ import annotations

from typing import Any

import pytest

from quire.compute.models import Library, LibraryKind
from quire.dialects.databricks import wire
from quire.dialects.databricks.mapping import run_definition, stored_settings
from quire.dialects.databricks.mapping_tasks import libraries_of, meant_for, task_arguments
from quire.dialects.reading import validate
from quire.engine.models import (
    JarTask,
    JobDefinition,
    NotebookTask,
    PythonFileTask,
    ShellTask,
    SqlTask,
    SubmitTask,
    Task,
    TaskKind,
)

CLUSTER = {"new_cluster": {"spark_version": "15.4.x-scala2.12"}}


@pytest.mark.parametrize(
    ("fields", "task"),
    [
        (
            {"spark_jar_task": {"main_class_name": "a.B", "parameters": ["1"]}},
            JarTask("a.B", ("1",)),
        ),
        (
            {"spark_jar_task": {"main_class_name": "a.B", "jar_uri": "/dbfs/a.jar"}},
            JarTask("a.B", jar="dbfs:/a.jar"),
        ),
        (
            {"spark_python_task": {"python_file": "/Workspace/a.py", "parameters": ["x"]}},
            PythonFileTask("/a.py", ("x",)),
        ),
        (
            {"spark_python_task": {"python_file": "dbfs:/a.py"}},
            PythonFileTask("dbfs:/a.py"),
        ),
        (
            {"spark_submit_task": {"parameters": ["--jars=/dbfs/a.jar", "/Workspace/b.py", "-x"]}},
            SubmitTask(("--jars", "dbfs:/a.jar", "workspace:/b.py", "-x")),
        ),
        ({"spark_submit_task": {}}, SubmitTask()),
        (
            {"shell_command_task": {"command": ["ls", "-l"], "env_vars": {"A": 1}}},
            ShellTask(("ls", "-l"), {"A": "1"}),
        ),
    ],
)
def test_tasks(fields: dict[str, Any], task: Task) -> None:
    settings = validate(wire.SubmitRun, {**CLUSTER, **fields})
    wire.check_settings(settings)
    definition = run_definition(settings)
    assert definition.task == task
    (kind,) = fields
    assert stored_settings(definition)[kind] == settings.stored()[kind]


@pytest.mark.parametrize(
    ("task", "shown"),
    [
        (NotebookTask("/n"), {"notebook_task": {"notebook_path": "/n"}}),
        (
            JarTask("a.B", ("1",), jar="dbfs:/a.jar"),
            {
                "spark_jar_task": {
                    "main_class_name": "a.B",
                    "parameters": ["1"],
                    "jar_uri": "dbfs:/a.jar",
                }
            },
        ),
        (PythonFileTask("/a.py"), {"spark_python_task": {"python_file": "/a.py"}}),
        (SubmitTask(("x.jar",)), {"spark_submit_task": {"parameters": ["x.jar"]}}),
        (ShellTask(("ls",)), {"shell_command_task": {"command": ["ls"]}}),
        (
            SqlTask(path="/q.sql", parameters={"a": 1}),
            {"sql_task": {"file": {"path": "/q.sql"}, "parameters": {"a": "1"}}},
        ),
    ],
)
def test_tasks_that_came_another_way(task: Task, shown: dict[str, Any]) -> None:
    settings = stored_settings(JobDefinition(task=task))
    assert {name: settings[name] for name in shown} == shown


def test_libraries() -> None:
    given = validate(
        wire.SubmitRun,
        {
            "libraries": [
                {"jar": "dbfs:/a.jar"},
                {"whl": "/Workspace/Shared/a-1-py3-none-any.whl"},
                {"requirements": "/Shared/requirements.txt"},
                {"pypi": {"package": "simplejson==3.8.0", "repo": "https://example.com"}},
                {
                    "maven": {
                        "coordinates": "org.jsoup:jsoup:1.7.2",
                        "repo": "file:///m",
                        "exclusions": ["slf4j:slf4j", "*:x"],
                    }
                },
                {"cran": {"package": "ada"}},
            ]
        },
    )
    assert libraries_of(given.libraries or []) == (
        Library(LibraryKind.JAR, "dbfs:/a.jar"),
        Library(LibraryKind.WHEEL, "/Shared/a-1-py3-none-any.whl"),
        Library(LibraryKind.REQUIREMENTS, "/Shared/requirements.txt"),
        Library(LibraryKind.PYPI, "simplejson==3.8.0", "https://example.com"),
        Library(LibraryKind.MAVEN, "org.jsoup:jsoup:1.7.2", "file:///m", ("slf4j:slf4j", "*:x")),
        Library(LibraryKind.CRAN, "ada"),
    )


def test_run_now_may_fill_every_slot() -> None:
    body = validate(
        wire.RunNow,
        {
            "job_id": 1,
            "jar_params": ["1"],
            "python_params": [],
            "spark_submit_params": ["--files", "/dbfs/a", "dbfs:/b.jar"],
        },
    )
    assert task_arguments(body) == {
        TaskKind.JAR: ("1",),
        TaskKind.SUBMIT: ("--files", "dbfs:/a", "dbfs:/b.jar"),
    }


@pytest.mark.parametrize(
    ("task", "names"),
    [
        (NotebookTask("/n"), ["notebook_params", "job_parameters"]),
        (JarTask("a.B"), ["jar_params", "job_parameters"]),
        (PythonFileTask("/a.py"), ["python_params", "job_parameters"]),
        (SubmitTask(), ["spark_submit_params", "job_parameters"]),
        (ShellTask(("ls",)), ["job_parameters"]),
    ],
)
def test_passed_parameters_are_shown_for_the_task_they_reach(task: Task, names: list[str]) -> None:
    passed = {
        name: ["x"]
        for name in (
            "notebook_params",
            "jar_params",
            "python_params",
            "spark_submit_params",
            "job_parameters",
        )
    }
    assert sorted(meant_for(task, passed)) == sorted(names)
