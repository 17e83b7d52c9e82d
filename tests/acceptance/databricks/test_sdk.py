"""The vendor's own Python SDK against a whole server; only the host is changed."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import (
    InvalidParameterValue,
    PermissionDenied,
    ResourceAlreadyExists,
    ResourceDoesNotExist,
    Unauthenticated,
)
from databricks.sdk.service.settings import Config, GenericWebhookConfig
from databricks.sdk.service.workspace import ExportFormat, ImportFormat, Language, ObjectType

from tests.acceptance.databricks.conftest import FAILING, SOURCE, RunningServer, wait_for_end


@pytest.fixture(scope="module")
def sdk(server: RunningServer) -> WorkspaceClient:
    return WorkspaceClient(host=server.url, token=server.token, auth_type="pat")


@pytest.fixture(scope="module")
def notebook(sdk: WorkspaceClient) -> str:
    sdk.workspace.mkdirs("/Shared/sdk")
    sdk.workspace.upload("/Shared/sdk/greet.py", SOURCE, language=Language.PYTHON, overwrite=True)
    return "/Shared/sdk/greet.py"


def jobs(sdk: WorkspaceClient, method: str, path: str, fields: dict[str, Any]) -> dict[str, Any]:
    """A call of Jobs 2.0, which the SDK has no methods for."""
    payload = {"query": fields} if method == "GET" else {"body": fields}
    answer = sdk.api_client.do(method, f"/api/2.0/jobs/{path}", **payload)
    assert isinstance(answer, dict)
    return answer


def end_of(sdk: WorkspaceClient, run_id: int) -> dict[str, Any]:
    return wait_for_end(lambda: jobs(sdk, "GET", "runs/get", {"run_id": run_id}))


def test_me(sdk: WorkspaceClient) -> None:
    me = sdk.current_user.me()
    assert me.user_name == "admin"
    assert me.active


def test_workspace(sdk: WorkspaceClient) -> None:
    folder = "/Shared/sdk workspace"
    sdk.workspace.mkdirs(folder)
    sdk.workspace.import_(
        path=f"{folder}/a",
        content=base64.b64encode(SOURCE).decode(),
        format=ImportFormat.SOURCE,
        language=Language.PYTHON,
    )
    with pytest.raises(ResourceAlreadyExists):
        sdk.workspace.upload(f"{folder}/a", io.BytesIO(SOURCE), language=Language.PYTHON)
    exported = sdk.workspace.export(f"{folder}/a", format=ExportFormat.SOURCE)
    assert base64.b64decode(exported.content or "") == SOURCE
    with sdk.workspace.download(f"{folder}/a") as stream:
        assert stream.read() == SOURCE
    status = sdk.workspace.get_status(f"{folder}/a")
    assert (status.object_type, status.language) == (ObjectType.NOTEBOOK, Language.PYTHON)
    assert [each.path for each in sdk.workspace.list(folder)] == [f"{folder}/a"]
    sdk.workspace.delete(folder, recursive=True)
    with pytest.raises(ResourceDoesNotExist):
        sdk.workspace.get_status(folder)


def test_tokens(sdk: WorkspaceClient, server: RunningServer) -> None:
    made = sdk.tokens.create(comment="from the SDK", lifetime_seconds=600)
    assert made.token_info is not None
    assert made.token_info.token_id is not None
    other = WorkspaceClient(host=server.url, token=made.token_value, auth_type="pat")
    assert other.current_user.me().user_name == "admin"
    assert made.token_info in list(sdk.tokens.list())
    sdk.tokens.delete(made.token_info.token_id)
    with pytest.raises(PermissionDenied, match="Invalid access token"):
        other.current_user.me()


def test_without_credentials(server: RunningServer) -> None:
    anonymous = WorkspaceClient(host=server.url, username="nobody", password="x", auth_type="basic")
    with pytest.raises(PermissionDenied):
        anonymous.workspace.get_status("/")
    bare = WorkspaceClient(host=server.url, token="\t", auth_type="pat")
    with pytest.raises(Unauthenticated):
        bare.workspace.get_status("/")


def test_notification_destinations(sdk: WorkspaceClient) -> None:
    config = Config(generic_webhook=GenericWebhookConfig(url="https://example.com/hook"))
    made = sdk.notification_destinations.create(display_name="hook", config=config)
    assert made.id is not None
    assert [each.id for each in sdk.notification_destinations.list()] == [made.id]
    changed = sdk.notification_destinations.update(made.id, display_name="other")
    assert changed.display_name == "other"
    sdk.notification_destinations.delete(made.id)
    with pytest.raises(ResourceDoesNotExist):
        sdk.notification_destinations.get(made.id)


class TestJobs:
    CLUSTER = {"spark_version": "15.4.x-scala2.12", "num_workers": 0}  # noqa: RUF012

    def test_a_job_from_create_to_output(self, sdk: WorkspaceClient, notebook: str) -> None:
        task = {"notebook_path": notebook, "base_parameters": {"id": "{{run_id}}"}}
        settings = {"name": "greet", "new_cluster": self.CLUSTER, "notebook_task": task}
        job_id = jobs(sdk, "POST", "create", settings)["job_id"]
        shown = jobs(sdk, "GET", "get", {"job_id": job_id})
        assert shown["settings"] == {**settings, "format": "SINGLE_TASK"}
        started = jobs(
            sdk, "POST", "run-now", {"job_id": job_id, "notebook_params": {"name": "Ann"}}
        )
        assert started["number_in_job"] == 1
        run = end_of(sdk, started["run_id"])
        assert run["state"]["result_state"] == "SUCCESS", run["state"]
        output = jobs(sdk, "GET", "runs/get-output", {"run_id": started["run_id"]})
        assert output["notebook_output"] == {
            "result": f"Ann in run {started['run_id']}",
            "truncated": False,
        }
        export = jobs(sdk, "GET", "runs/export", {"run_id": started["run_id"]})
        assert "hello Ann" in export["views"][0]["content"]
        jobs(sdk, "POST", "delete", {"job_id": job_id})
        with pytest.raises(ResourceDoesNotExist, match=f"Job {job_id} does not exist"):
            jobs(sdk, "GET", "get", {"job_id": job_id})
        with pytest.raises(ResourceDoesNotExist, match=r"Run .* does not exist"):
            jobs(sdk, "GET", "runs/get", {"run_id": started["run_id"]})

    def test_a_failing_notebook(self, sdk: WorkspaceClient, notebook: str) -> None:
        sdk.workspace.upload("/Shared/sdk/fails", FAILING, language=Language.PYTHON, overwrite=True)
        submitted = jobs(
            sdk,
            "POST",
            "runs/submit",
            {
                "run_name": "fails",
                "existing_cluster_id": "any",
                "notebook_task": {"notebook_path": "/Shared/sdk/fails"},
            },
        )
        run = end_of(sdk, submitted["run_id"])
        assert run["state"]["life_cycle_state"] == "TERMINATED"
        assert run["state"]["result_state"] == "FAILED"
        assert run["state"]["state_message"].startswith("Workload failed, see run output")
        output = jobs(sdk, "GET", "runs/get-output", {"run_id": submitted["run_id"]})
        assert output["error"] == "ValueError: message"
        assert "Traceback" in output["error_trace"]

    def test_a_missing_notebook(self, sdk: WorkspaceClient) -> None:
        submitted = jobs(
            sdk,
            "POST",
            "runs/submit",
            {
                "new_cluster": self.CLUSTER,
                "notebook_task": {"notebook_path": "/Shared/nowhere"},
            },
        )
        state = end_of(sdk, submitted["run_id"])["state"]
        assert (state["life_cycle_state"], state["result_state"]) == ("INTERNAL_ERROR", "FAILED")
        assert "/Shared/nowhere" in state["state_message"]

    def test_other_tasks_are_refused_in_words(self, sdk: WorkspaceClient) -> None:
        with pytest.raises(InvalidParameterValue, match="does not run pipeline_task"):
            jobs(
                sdk,
                "POST",
                "create",
                {"new_cluster": self.CLUSTER, "pipeline_task": {"pipeline_id": "a"}},
            )
