from __future__ import annotations

import pytest

from quire.engine.models import (
    JarTask,
    NotebookTask,
    PythonFileTask,
    ShellTask,
    SqlTask,
    SubmitTask,
    Task,
    TaskKind,
)
from quire.engine.tasks import TASK_TYPES, with_arguments


@pytest.mark.parametrize(
    ("task", "label", "workspace_path"),
    [
        (NotebookTask("/Shared/n"), "/Shared/n", "/Shared/n"),
        (PythonFileTask("/Shared/a.py"), "/Shared/a.py", "/Shared/a.py"),
        (PythonFileTask("dbfs:/a.py"), "dbfs:/a.py", None),
        (JarTask("org.example.Main"), "org.example.Main", None),
        (SubmitTask(("--class", "a b", "x.jar")), "spark-submit --class 'a b' x.jar", None),
        (SqlTask(text="\nSELECT 1;\nSELECT 2"), "SELECT 1;", None),
        (SqlTask(path="/Shared/q.sql"), "/Shared/q.sql", "/Shared/q.sql"),
        (ShellTask(("bash", "-c", "ls; pwd")), "bash -c 'ls; pwd'", None),
    ],
)
def test_a_task_says_what_it_runs_and_whose_readers_may_look(
    task: Task, label: str, workspace_path: str | None
) -> None:
    assert (task.label, task.workspace_path) == (label, workspace_path)


def test_every_kind_has_its_record() -> None:
    assert set(TASK_TYPES) == set(TaskKind)


def test_a_request_replaces_the_words_of_its_kind_of_task_only() -> None:
    passed = {TaskKind.JAR: ("9",), TaskKind.SUBMIT: ("x.jar",)}
    assert with_arguments(JarTask("M", ("1",)), passed) == JarTask("M", ("9",))
    assert with_arguments(PythonFileTask("/a.py", ("1",)), passed).arguments == ("1",)
    assert with_arguments(NotebookTask("/n"), passed) == NotebookTask("/n")
