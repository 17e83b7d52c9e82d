"""The legacy command line client's library, which speaks Jobs 2.0, against a whole server.

The client drops the port of its host; its base URL is set after it was made.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests
from databricks_cli.jobs.api import JobsApi
from databricks_cli.runs.api import RunsApi
from databricks_cli.sdk import ApiClient
from databricks_cli.workspace.api import WorkspaceApi

from tests.acceptance.databricks.conftest import SOURCE, RunningServer, wait_for_end


def connect(server: RunningServer, **credentials: str) -> ApiClient:
    client = ApiClient(host=server.url, **credentials)
    client.url = f"{server.url}/api/"
    return client


@pytest.fixture(params=["bearer", "basic"])
def client(request: pytest.FixtureRequest, server: RunningServer) -> ApiClient:
    if request.param == "bearer":
        return connect(server, token=server.token)
    return connect(server, user="token", password=server.token)


def test_workspace(client: ApiClient, tmp_path: Path) -> None:
    workspace = WorkspaceApi(client)
    folder = "/Shared/legacy"
    workspace.mkdirs(folder)
    assert workspace.list_objects(folder) == []
    (tmp_path / "in.py").write_bytes(SOURCE)
    workspace.import_workspace(str(tmp_path / "in.py"), f"{folder}/n", "PYTHON", "SOURCE", True)
    (found,) = workspace.list_objects(folder)
    assert (found.path, found.object_type, found.language) == (f"{folder}/n", "NOTEBOOK", "PYTHON")
    assert workspace.get_status(f"{folder}/n").object_id == found.object_id
    workspace.export_workspace(f"{folder}/n", str(tmp_path / "out.py"), "SOURCE", False)
    assert (tmp_path / "out.py").read_bytes() == SOURCE
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "m.py").write_bytes(SOURCE)
    workspace.import_workspace_dir(str(tmp_path / "tree"), f"{folder}/tree", True, True)
    workspace.export_workspace_dir(folder, str(tmp_path / "copy"), False)
    assert (tmp_path / "copy" / "tree" / "m.py").read_bytes() == SOURCE
    workspace.delete(folder, True)


def test_jobs_and_runs(client: ApiClient, tmp_path: Path) -> None:
    jobs, runs, workspace = JobsApi(client), RunsApi(client), WorkspaceApi(client)
    (tmp_path / "in.py").write_bytes(SOURCE)
    workspace.import_workspace(str(tmp_path / "in.py"), "/Shared/greet", "PYTHON", "SOURCE", True)
    settings: dict[str, Any] = {
        "name": "legacy",
        "new_cluster": {"spark_version": "7.5.x-scala2.12", "num_workers": 0},
        "notebook_task": {"notebook_path": "/Shared/greet", "base_parameters": {"id": "x"}},
    }
    job_id = jobs.create_job(settings)["job_id"]
    assert [each["settings"]["name"] for each in jobs._list_jobs_by_name("legacy")] == ["legacy"]
    assert jobs.reset_job({"job_id": job_id, "new_settings": {**settings, "max_retries": 1}}) == {}
    assert jobs.get_job(job_id)["settings"]["max_retries"] == 1
    run_id = jobs.run_now(job_id, None, {"name": "Bob"}, None, None)["run_id"]
    run = wait_for_end(lambda: runs.get_run(run_id))
    assert run["state"]["result_state"] == "SUCCESS", run["state"]
    assert runs.get_run_output(run_id)["notebook_output"]["result"] == "Bob in run x"
    listed = runs.list_runs(job_id, None, True, 0, 20)
    assert [each["run_id"] for each in listed["runs"]] == [run_id]
    submitted = runs.submit_run(
        {**{key: settings[key] for key in ("new_cluster", "notebook_task")}, "run_name": "once"}
    )["run_id"]
    assert runs.cancel_run(submitted) == {}
    state = wait_for_end(lambda: runs.get_run(submitted))["state"]
    assert state["result_state"] in {"CANCELED", "SUCCESS"}  # it may have been faster
    assert jobs.delete_job(job_id) == {}
    with pytest.raises(requests.HTTPError, match=f"Job {job_id} does not exist"):
        jobs.get_job(job_id)
