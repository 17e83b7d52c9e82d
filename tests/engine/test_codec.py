from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from quire.compute.models import (
    AutoScale,
    ClusterSpec,
    Compute,
    InitScript,
    Library,
    LibraryKind,
    ScriptKind,
)
from quire.engine.codec import definition_from_json, definition_to_json
from quire.engine.models import (
    Isolation,
    JarTask,
    JobDefinition,
    NotebookTask,
    NotificationEvent,
    NotificationPolicy,
    NotificationTarget,
    Overlap,
    PythonFileTask,
    Schedule,
    ShellTask,
    SqlTask,
    SubmitTask,
    TargetKind,
    Task,
    WorkingFiles,
)

_FULL = JobDefinition(
    task=NotebookTask(
        path="/Users/a@b.c/n", revision_at=datetime(2026, 1, 2, tzinfo=UTC), parameters={"a": "1"}
    ),
    name="nightly",
    timeout_seconds=3.5,
    max_retries=-1,
    min_retry_interval_seconds=2.0,
    retry_on_timeout=True,
    schedule=Schedule("0 0 0 * * ?", "UTC", paused=True),
    max_concurrent_runs=7,
    overlap=Overlap.QUEUE,
    notifications=NotificationPolicy(
        targets={
            NotificationEvent.START: (NotificationTarget(TargetKind.EMAIL, "a@b.c"),),
            NotificationEvent.FAILURE: (NotificationTarget(TargetKind.DESTINATION, "id"),),
        },
        silent_when_skipped=True,
        duration_warning_seconds=5.0,
        format="databricks",
    ),
    isolation=Isolation.IN_PLACE,
    working_files=WorkingFiles.WRITE_BACK,
    updates_publication=True,
    environment={"A": "b"},
    compute=Compute(
        new_cluster=ClusterSpec(
            name="nightly",
            autoscale=AutoScale(1, 4),
            spark_conf={"spark.ui.enabled": "false"},
            environment={"A": "b"},
            init_scripts=(InitScript(ScriptKind.FILES, "/init.sh"),),
            log_destination="/logs",
            driver_memory_bytes=1 << 30,
            autotermination_seconds=600,
            tags={"team": "a"},
            labels=("default",),
            libraries=(Library(LibraryKind.JAR, "/a.jar"),),
            vendor={"databricks": {"node_type_id": "i3.xlarge"}},
            notices=("no such zone here",),
        ),
        libraries=(
            Library(LibraryKind.PYPI, "attrs==25.1", repository="https://index.example/simple"),
            Library(LibraryKind.MAVEN, "g:a:1", exclusions=("x:y",)),
        ),
        session_tag="shared",
        environment="science",
    ),
    notices=("no such machine here",),
    vendor={"databricks": {"new_cluster": {"num_workers": 3}}},
)


@pytest.mark.parametrize(
    "definition", [JobDefinition(task=NotebookTask(path="/a")), _FULL], ids=["bare", "full"]
)
def test_a_definition_survives_storage(definition: JobDefinition) -> None:
    stored = json.loads(json.dumps(definition_to_json(definition)))
    assert definition_from_json(stored) == definition


@pytest.mark.parametrize(
    "task",
    [
        NotebookTask("/n", parameters={"a": [1, {"b": None}]}),
        PythonFileTask("dbfs:/jobs/a.py", ("--day", "")),
        JarTask("org.example.Main", ("1",), jar="dbfs:/a.jar"),
        SubmitTask(("--class", "org.example.Main", "dbfs:/a.jar")),
        SqlTask(text="SELECT 1", parameters={"a": "1"}),
        SqlTask(path="/q.sql"),
        ShellTask(("bash", "-c", "exit 0"), {"A": "b"}),
    ],
    ids=lambda task: task.kind,
)
def test_every_kind_of_task_survives_storage(task: Task) -> None:
    stored = json.loads(json.dumps(definition_to_json(JobDefinition(task=task))))
    assert definition_from_json(stored).task == task
