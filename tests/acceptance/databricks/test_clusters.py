"""Clusters through the vendor's own SDK and its legacy client, with real Spark behind them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import ResourceDoesNotExist
from databricks.sdk.service.compute import ClusterDetails, EventType, State, TerminationReasonCode
from databricks_cli.clusters.api import ClusterApi
from databricks_cli.sdk import ApiClient

from tests.acceptance.databricks.conftest import RunningServer, wait_for_end

_WAIT = timedelta(minutes=5)
COUNT = b"""# Databricks notebook source
total = spark.range(1000).selectExpr("sum(id) as total").first().total
dbutils.notebook.exit(f"{total} {spark.conf.get('spark.quire.test', 'unset')}")
"""
PLAIN = b"# Databricks notebook source\ndbutils.notebook.exit('no spark')\n"


@pytest.fixture(scope="module")
def sdk(server: RunningServer) -> WorkspaceClient:
    sdk = WorkspaceClient(host=server.url, token=server.token, auth_type="pat")
    sdk.workspace.mkdirs("/Shared/clusters")
    for name, source in (("count.py", COUNT), ("plain.py", PLAIN)):
        sdk.workspace.upload(f"/Shared/clusters/{name}", source, overwrite=True)
    return sdk


@pytest.fixture(scope="module")
def version(sdk: WorkspaceClient) -> str:
    return sdk.clusters.select_spark_version(latest=True)


@pytest.fixture(scope="module")
def cluster(sdk: WorkspaceClient, version: str) -> Iterator[ClusterDetails]:
    """A cluster with a worker, which has run once."""
    made = sdk.clusters.create_and_wait(
        cluster_name="acceptance",
        spark_version=version,
        node_type_id=sdk.clusters.select_node_type(min_cores=1),
        num_workers=1,
        autotermination_minutes=30,
        spark_conf={"spark.quire.test": "mine"},
        timeout=_WAIT,
    )
    yield made
    assert made.cluster_id is not None
    sdk.clusters.permanent_delete(made.cluster_id)


def run(sdk: WorkspaceClient, notebook: str, **fields: Any) -> tuple[dict[str, Any], str]:
    """Run a notebook to its end; the run, and its exit value."""
    body = {"notebook_task": {"notebook_path": f"/Shared/clusters/{notebook}"}, **fields}
    submitted: Any = sdk.api_client.do("POST", "/api/2.0/jobs/runs/submit", body=body)
    query = {"run_id": submitted["run_id"]}

    def look() -> dict[str, Any]:
        found: Any = sdk.api_client.do("GET", "/api/2.0/jobs/runs/get", query=query)
        return dict(found)

    ended = wait_for_end(look)
    assert ended["state"].get("result_state") == "SUCCESS", ended["state"]
    output: Any = sdk.api_client.do("GET", "/api/2.0/jobs/runs/get-output", query=query)
    return ended, output["notebook_output"]["result"]


def test_versions_and_node_types(sdk: WorkspaceClient, version: str) -> None:
    assert "-scala2.12" in version
    assert sdk.clusters.select_node_type(min_cores=4) == "quire.large"
    assert sdk.clusters.list_zones().zones in (None, [])


def test_a_run_on_a_new_cluster(sdk: WorkspaceClient, version: str) -> None:
    new = {
        "spark_version": version,
        "num_workers": 0,
        "spark_conf": {"spark.quire.test": "new"},
        "cluster_log_conf": {"dbfs": {"destination": "dbfs:/cluster-logs"}},
    }
    ended, result = run(sdk, "count.py", new_cluster=new)
    assert result == "499500 new"
    instance = ended["cluster_instance"]
    assert int(instance["spark_context_id"]) > 0
    gone = sdk.clusters.get(instance["cluster_id"])
    assert gone.state is State.TERMINATED
    assert gone.termination_reason is not None
    assert gone.termination_reason.code is TerminationReasonCode.JOB_FINISHED
    assert ended["cleanup_duration"] > 0


def test_a_run_that_uses_no_spark_starts_none(sdk: WorkspaceClient, version: str) -> None:
    new = {"spark_version": version, "num_workers": 0}
    ended, result = run(sdk, "plain.py", new_cluster=new)
    assert result == "no spark"
    events = sdk.clusters.events(ended["cluster_instance"]["cluster_id"])
    assert EventType.DRIVER_HEALTHY not in {event.type for event in events}


def test_a_cluster_from_create_to_permanent_delete(sdk: WorkspaceClient, version: str) -> None:
    made = sdk.clusters.create_and_wait(
        cluster_name="small", spark_version=version, num_workers=0, timeout=_WAIT
    )
    cluster_id = made.cluster_id
    assert cluster_id is not None
    assert (made.state, made.autotermination_minutes) == (State.RUNNING, 120)
    assert cluster_id in {each.cluster_id for each in sdk.clusters.list()}
    sdk.clusters.pin(cluster_id)
    sdk.clusters.unpin(cluster_id)
    sdk.clusters.edit_and_wait(
        cluster_id, version, cluster_name="renamed", num_workers=0, timeout=_WAIT
    )
    assert sdk.clusters.get(cluster_id).cluster_name == "renamed"
    ended = sdk.clusters.delete_and_wait(cluster_id, timeout=_WAIT)
    assert ended.state is State.TERMINATED
    sdk.clusters.ensure_cluster_is_running(cluster_id)
    assert sdk.clusters.get(cluster_id).state is State.RUNNING
    types = [event.type for event in sdk.clusters.events(cluster_id)]
    assert types[-1] is EventType.CREATING
    assert {EventType.PINNED, EventType.EDITED, EventType.TERMINATING} <= set(types)
    sdk.clusters.permanent_delete(cluster_id)
    with pytest.raises(ResourceDoesNotExist, match="does not exist"):
        sdk.clusters.get(cluster_id)


def test_runs_on_a_cluster_with_a_worker(sdk: WorkspaceClient, cluster: ClusterDetails) -> None:
    assert cluster.executors is not None
    assert [each.node_id for each in cluster.executors] == ["worker-1"]
    first, result = run(sdk, "count.py", existing_cluster_id=cluster.cluster_id)
    assert result == "499500 mine"
    second, _ = run(sdk, "count.py", existing_cluster_id=cluster.cluster_id)
    assert first["cluster_instance"] == second["cluster_instance"]
    assert first["cluster_instance"]["cluster_id"] == cluster.cluster_id


def test_restart_and_resize(sdk: WorkspaceClient, cluster: ClusterDetails) -> None:
    cluster_id = cluster.cluster_id
    assert cluster_id is not None
    resized = sdk.clusters.resize_and_wait(cluster_id, num_workers=2, timeout=_WAIT)
    assert resized.executors is not None
    assert len(resized.executors) == 2
    restarted = sdk.clusters.restart_and_wait(cluster_id, timeout=_WAIT)
    assert restarted.spark_context_id != resized.spark_context_id
    assert restarted.num_workers == 2


def test_the_legacy_client(server: RunningServer, version: str) -> None:
    client = ApiClient(host=server.url, token=server.token)
    client.url = f"{server.url}/api/"
    clusters = ClusterApi(client)
    made = clusters.create_cluster(
        {"cluster_name": "legacy", "spark_version": version, "num_workers": 0}
    )
    cluster_id = made["cluster_id"]
    assert clusters.get_cluster(cluster_id)["state"] == "RUNNING"
    assert clusters.get_cluster_by_name("legacy")["cluster_id"] == cluster_id
    assert clusters.delete_cluster(cluster_id) == {}
    state = None
    deadline = time.monotonic() + 60
    while state != "TERMINATED" and time.monotonic() < deadline:
        state = clusters.get_cluster(cluster_id)["state"]
    assert clusters.start_cluster(cluster_id) == {}
    assert clusters.permanent_delete(cluster_id) == {}
    assert clusters.spark_versions()["versions"]
    assert clusters.list_node_types()["node_types"]
    assert clusters.list_zones()["zones"] == []
