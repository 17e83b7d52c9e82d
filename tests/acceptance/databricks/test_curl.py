"""The requests of the Jobs 2.0 documentation, sent with curl as they stand there.

Only the host and the ids are filled in, and the tasks are notebooks. ``--netrc`` carries the token,
``--data`` sends JSON with the content type of a form.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.databricks.conftest import SOURCE, Curl, wait_for_end

PATH = "/Users/admin/my-notebook"
JOB: dict[str, Any] = {
    "name": "Nightly model training",
    "new_cluster": {
        "spark_version": "7.5.x-scala2.12",
        "node_type_id": "n1-highmem-4",
        "aws_attributes": {"availability": "ON_DEMAND"},
        "num_workers": 10,
    },
    "libraries": [
        {"jar": "dbfs:/my-jar.jar"},
        {"maven": {"coordinates": "org.jsoup:jsoup:1.7.2"}},
    ],
    "email_notifications": {"on_start": [], "on_success": [], "on_failure": []},
    "timeout_seconds": 100000000,
    "max_retries": 1,
    "schedule": {
        "quartz_cron_expression": "0 15 22 * * ?",
        "timezone_id": "America/Los_Angeles",
        "pause_status": "UNPAUSED",
    },
    "notebook_task": {"notebook_path": PATH, "base_parameters": {"id": "x"}},
}


@pytest.fixture
def notebook(curl: Curl, tmp_path: Path) -> str:
    (tmp_path / "n.py").write_bytes(SOURCE)
    answer = curl(
        *("--form", f"path={PATH}", "--form", "language=PYTHON", "--form", "overwrite=true"),
        *("--form", f"content=@{tmp_path / 'n.py'}"),
        path="/workspace/import",
    )
    assert answer == {}
    return PATH


def test_jobs(curl: Curl, notebook: str) -> None:
    post, get = ("--request", "POST"), ("--request", "GET")
    job_id = curl(*post, path="/jobs/create", data=JOB)["job_id"]
    shown = curl(*get, path=f"/jobs/get?job_id={job_id}")
    assert shown["settings"] == {**JOB, "format": "SINGLE_TASK"}
    assert shown == curl("--get", path="/jobs/get", data=f"job_id={job_id}")
    assert shown in curl(*get, path="/jobs/list")["jobs"]
    reset = {**JOB, "name": "reset", "timeout_seconds": 60}
    assert curl(*post, path="/jobs/reset", data={"job_id": job_id, "new_settings": reset}) == {}
    update = {
        "job_id": job_id,
        "new_settings": {
            "existing_cluster_id": "1201-my-cluster",
            "email_notifications": {
                "on_start": ["someone@example.com"],
                "on_success": [],
                "on_failure": [],
            },
        },
        "fields_to_remove": ["libraries"],
    }
    assert curl(*post, path="/jobs/update", data=update) == {}
    settings = curl(*get, path=f"/jobs/get?job_id={job_id}")["settings"]
    assert settings["existing_cluster_id"] == "1201-my-cluster"
    assert settings["name"] == "reset"
    assert not {"libraries", "new_cluster"} & set(settings)

    parameters = {"name": "john doe", "age": "35"}
    started = curl(
        *post, path="/jobs/run-now", data={"job_id": job_id, "notebook_params": parameters}
    )
    run_id = started["run_id"]
    assert started == {"run_id": run_id, "number_in_job": 1}
    run = wait_for_end(lambda: curl(*get, path=f"/jobs/runs/get?run_id={run_id}"))
    assert run["state"]["result_state"] == "SUCCESS", run["state"]
    assert run["overriding_parameters"] == {"notebook_params": parameters}
    assert run["cluster_spec"] == {"existing_cluster_id": "1201-my-cluster"}
    assert run["cluster_instance"]["cluster_id"] == "1201-my-cluster"
    assert run["trigger"] == "ONE_TIME"
    phases = (run[f"{phase}_duration"] for phase in ("setup", "execution", "cleanup"))
    assert sum(phases) == pytest.approx(run["run_duration"], abs=3)
    listed = curl(
        "--get",
        path="/jobs/runs/list",
        data=f"job_id={job_id}&active_only=false&offset=0&limit=20&run_type=JOB_RUN",
    )
    assert listed == {"runs": [run], "has_more": False}
    output = curl("--get", path="/jobs/runs/get-output", data=f"run_id={run_id}")
    assert output["metadata"] == run
    assert output["notebook_output"]["result"] == "john doe in run x"
    (view,) = curl(*get, path=f"/jobs/runs/export?run_id={run_id}")["views"]
    assert (view["name"], view["type"]) == ("my-notebook", "NOTEBOOK")
    assert curl(*post, path="/jobs/runs/cancel", data=f'{{ "run_id": {run_id} }}') == {}
    assert curl(*post, path="/jobs/runs/cancel-all", data=f'{{ "job_id": {job_id} }}') == {}
    assert curl(*post, path="/jobs/runs/delete", data=f'{{ "run_id": {run_id} }}') == {}
    assert curl(*post, path="/jobs/delete", data=f'{{ "job_id": {job_id} }}') == {}
    assert curl(*get, path=f"/jobs/get?job_id={job_id}") == {
        "error_code": "INVALID_PARAMETER_VALUE",
        "message": f"Job {job_id} does not exist.",
    }


def test_submit(curl: Curl, notebook: str) -> None:
    body = {
        "run_name": "my notebook task",
        "new_cluster": {**JOB["new_cluster"], "num_workers": 0},
        "notebook_task": JOB["notebook_task"],
    }
    run_id = curl("--request", "POST", path="/jobs/runs/submit", data=body)["run_id"]
    run = wait_for_end(lambda: curl(path=f"/jobs/runs/get?run_id={run_id}"))
    assert run["state"]["result_state"] == "SUCCESS", run["state"]
    assert run["run_name"] == "my notebook task"
    assert "do not honour node_type_id" in run["state"]["state_message"]
    assert run["run_type"] == "SUBMIT_RUN"


def test_libraries_that_are_nowhere(curl: Curl, notebook: str) -> None:
    body = {name: JOB[name] for name in ("new_cluster", "libraries", "notebook_task")}
    run_id = curl("--request", "POST", path="/jobs/runs/submit", data=body)["run_id"]
    state = wait_for_end(lambda: curl(path=f"/jobs/runs/get?run_id={run_id}"))["state"]
    assert (state["life_cycle_state"], state["result_state"]) == ("INTERNAL_ERROR", "FAILED")
    assert "my-jar.jar" in state["state_message"]


def test_unsupported_task(curl: Curl) -> None:
    body = {
        "run_name": "my spark task",
        "new_cluster": JOB["new_cluster"],
        "libraries": JOB["libraries"],
        "pipeline_task": {"pipeline_id": "a"},
    }
    answer = curl("--request", "POST", path="/jobs/runs/submit", data=body)
    assert answer == {
        "error_code": "INVALID_PARAMETER_VALUE",
        "message": "This server does not run pipeline_task; it runs notebook_task, spark_jar_task, "
        "spark_python_task, spark_submit_task, shell_command_task.",
    }
