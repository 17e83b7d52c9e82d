"""Clusters over HTTP (contract 2.9, 8.5)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from quire.compute.models import AutoScale, ClusterSpec, InitScript, ScriptKind
from quire.ids import ClusterId
from tests.dialects.databricks.conftest import CLUSTER, Door

VERSION = "15.4.x-scala2.12"


def make(door: Door, **fields: Any) -> str:
    body = {"cluster_name": "a", "spark_version": VERSION, "num_workers": 0, **fields}
    cluster_id = door.post("/clusters/create", body)["cluster_id"]
    assert isinstance(cluster_id, str)
    return cluster_id


def show(door: Door, cluster_id: str) -> dict[str, Any]:
    shown = door.get("/clusters/get", {"cluster_id": cluster_id})
    assert isinstance(shown, dict)
    return shown


def bring_up(door: Door, cluster_id: str) -> Any:
    return door.parts.bring_up(door.parts.clusters.get(door.parts.admin, cluster_id))


class TestCreate:
    def test_what_was_sent_comes_back(self, door: Door) -> None:
        fields = {
            "cluster_name": "nightly",
            "spark_version": VERSION,
            "autoscale": {"min_workers": 1, "max_workers": 3},
            "node_type_id": "i3.xlarge",
            "spark_conf": {"spark.sql.shuffle.partitions": "4"},
            "spark_env_vars": {"A": "b"},
            "custom_tags": {"team": "x"},
            "init_scripts": [{"dbfs": {"destination": "dbfs:/init.sh"}}],
            "cluster_log_conf": {"dbfs": {"destination": "dbfs:/logs"}},
            "aws_attributes": {"zone_id": "us-west-2a"},
            "autotermination_minutes": 60,
        }
        shown = show(door, door.post("/clusters/create", fields)["cluster_id"])
        assert {name: shown[name] for name in fields} == fields
        assert shown["state"] == "PENDING"
        assert shown["state_message"] == ""
        assert shown["creator_user_name"] == "ada@example.com"
        assert shown["cluster_source"] == "API"
        assert shown["default_tags"]["ClusterName"] == "nightly"
        assert shown["spec"]["spark_conf"] == fields["spark_conf"]
        spec = door.parts.clusters.get(door.parts.admin, shown["cluster_id"]).spec
        assert spec.autoscale == AutoScale(1, 3)
        assert spec.init_scripts == (InitScript(ScriptKind.FILES, "/init.sh"),)
        assert spec.log_destination == "/logs"
        assert spec.autotermination_seconds == 3600
        assert spec.notices == ("Clusters of this server do not honour node_type_id.",)

    def test_a_cluster_without_workers_runs_at_once(self, door: Door) -> None:
        shown = show(door, make(door))
        assert (shown["state"], shown["num_workers"], shown["executors"]) == ("RUNNING", 0, [])
        assert shown["autotermination_minutes"] == 120

    @pytest.mark.parametrize(
        ("node_type", "cores", "memory"), [("quire.large", 4, 4096), ("i3.xlarge", None, None)]
    )
    def test_node_types_of_this_server_are_sizes(
        self, door: Door, node_type: str, cores: int | None, memory: int | None
    ) -> None:
        cluster_id = make(door, node_type_id=node_type)
        spec = door.parts.clusters.get(door.parts.admin, cluster_id).spec
        assert spec.driver_cores == spec.executor_cores == cores
        assert spec.driver_memory_bytes == (memory * 2**20 if memory else None)

    def test_a_token_makes_one_cluster(self, door: Door) -> None:
        assert make(door, idempotency_token="t") == make(door, idempotency_token="t")

    @pytest.mark.parametrize(
        ("script", "kind", "destination"),
        [
            ({"workspace": {"destination": "/Workspace/a.sh"}}, ScriptKind.WORKSPACE, "/a.sh"),
            ({"volumes": {"destination": "/Volumes/a/b.sh"}}, ScriptKind.FILES, "/Volumes/a/b.sh"),
            ({"file": {"destination": "file:/dbfs/a.sh"}}, ScriptKind.FILES, "/a.sh"),
            ({"file": {"destination": "file:/opt/a.sh"}}, ScriptKind.LOCAL, "/opt/a.sh"),
        ],
    )
    def test_init_scripts(
        self, door: Door, script: dict[str, Any], kind: ScriptKind, destination: str
    ) -> None:
        cluster_id = make(door, init_scripts=[script])
        spec = door.parts.clusters.get(door.parts.admin, cluster_id).spec
        assert spec.init_scripts == (InitScript(kind, destination),)

    @pytest.mark.parametrize(
        ("fields", "code", "word"),
        [
            ({"spark_version": "x"}, "INVALID_PARAMETER_VALUE", "spark_version"),
            ({"spark_version": None}, "INVALID_PARAMETER_VALUE", "spark_version"),
            ({"num_workers": -1}, "INVALID_PARAMETER_VALUE", "num_workers"),
            (
                {"autoscale": {"min_workers": 1, "max_workers": 2}},
                "INVALID_PARAMETER_VALUE",
                "together",
            ),
            ({"docker_image": {"url": "x"}}, "INVALID_PARAMETER_VALUE", "docker_image"),
            ({"autotermination_minutes": 5}, "INVALID_PARAMETER_VALUE", "10 to 10000"),
            ({"custom_tags": {"": "x"}}, "INVALID_PARAMETER_VALUE", "custom_tags"),
            ({"spark_env_vars": {"A-B": "x"}}, "INVALID_PARAMETER_VALUE", "spark_env_vars"),
            ({"clone_from": {}}, "INVALID_PARAMETER_VALUE", "clone_from"),
            (
                {"num_workers": 1, "spark_conf": {"spark.driver.memory": "900g"}},
                "QUOTA_EXCEEDED",
                "16.0 GiB",
            ),
        ],
        ids=lambda value: "",
    )
    def test_refusals(self, door: Door, fields: dict[str, Any], code: str, word: str) -> None:
        body = {"cluster_name": "a", **CLUSTER, **fields}
        assert door.refuse("POST", "/clusters/create", body) == (400, code)
        assert word in door.said
        assert door.get("/clusters/list") == {"clusters": []}


class TestLife:
    def test_from_start_to_end(self, door: Door) -> None:
        cluster_id = make(door, num_workers=2)
        one = {"cluster_id": cluster_id}
        assert door.refuse("POST", "/clusters/start", one) == (400, "INVALID_STATE")
        assert "unexpected state Pending" in door.said
        bring_up(door, cluster_id)
        shown = show(door, cluster_id)
        assert shown["state"] == "RUNNING"
        assert [each["node_id"] for each in shown["executors"]] == ["worker-1", "worker-2"]
        assert shown["driver"]["private_ip"] == "127.0.0.1"
        assert door.post("/clusters/restart", one) == {}
        assert show(door, cluster_id)["state"] == "RESTARTING"
        assert door.post("/clusters/delete", one) == {}
        door.parts.manager.round()
        shown = show(door, cluster_id)
        assert shown["state"] == "TERMINATED"
        assert shown["state_message"] == "Terminated by ada@example.com."
        assert shown["termination_reason"] == {
            "code": "USER_REQUEST",
            "type": "SUCCESS",
            "parameters": {"databricks_error_message": "Terminated by ada@example.com."},
        }
        assert door.post("/clusters/delete", one) == {}
        assert door.post("/clusters/start", one) == {}
        assert show(door, cluster_id)["state"] == "PENDING"
        assert door.post("/clusters/permanent-delete", one) == {}
        assert door.refuse("GET", "/clusters/get", one) == (400, "INVALID_PARAMETER_VALUE")
        assert door.said == f"Cluster {cluster_id} does not exist"

    def test_resize(self, door: Door) -> None:
        cluster_id = make(door, num_workers=1)
        driver = bring_up(door, cluster_id)
        door.post("/clusters/resize", {"cluster_id": cluster_id, "num_workers": 2})
        shown = show(door, cluster_id)
        assert (shown["state"], shown["num_workers"]) == ("RESIZING", 2)
        driver.come_up(2)
        door.parts.manager.round()
        assert show(door, cluster_id)["state"] == "RUNNING"
        scale = {"min_workers": 1, "max_workers": 3}
        door.post("/clusters/resize", {"cluster_id": cluster_id, "autoscale": scale})
        shown = show(door, cluster_id)
        assert shown["autoscale"] == scale
        assert "num_workers" not in shown
        for body, word in (
            ({}, "num_workers"),
            ({"num_workers": 1, "autoscale": scale}, "together"),
            ({"autoscale": {"min_workers": 2, "max_workers": 2}}, "greater"),
        ):
            door.refuse("POST", "/clusters/resize", {"cluster_id": cluster_id, **body})
            assert word in door.said

    def test_edit_and_update(self, door: Door) -> None:
        cluster_id = make(door, spark_conf={"a": "b"}, custom_tags={"c": "d"})
        body = {"cluster_id": cluster_id, "cluster_name": "b", **CLUSTER}
        assert door.post("/clusters/edit", body) == {}
        shown = show(door, cluster_id)
        assert (shown["cluster_name"], shown["state"]) == ("b", "RESTARTING")
        assert "spark_conf" not in shown
        door.post("/clusters/delete", {"cluster_id": cluster_id})
        change = {
            "cluster_id": cluster_id,
            "update_mask": "spark_conf,autotermination_minutes",
            "cluster": {"spark_conf": {"e": "f"}, "autotermination_minutes": 0, "num_workers": 9},
        }
        assert door.post("/clusters/update", change) == {}
        shown = show(door, cluster_id)
        assert shown["spark_conf"] == {"e": "f"}
        assert (shown["autotermination_minutes"], shown["num_workers"]) == (0, 0)
        assert shown["cluster_name"] == "b"
        for mask, word in (("nothing", "no field"), ("spark_conf.a", "whole fields")):
            door.refuse("POST", "/clusters/update", {**change, "update_mask": mask})
            assert word in door.said
        door.refuse(
            "POST", "/clusters/update", {**change, "cluster": {"spark_conf": {"e": {"f": 1}}}}
        )
        assert "spark_conf" in door.said

    def test_what_is_no_part_of_a_definition_stays(self, door: Door) -> None:
        package = {"pypi": {"package": "six"}}
        spec = ClusterSpec(name="a", master="spark://elsewhere:7077", labels=("etl",), packages="e")
        made = door.parts.clusters.create(door.parts.user, spec, start=False)
        one = {"cluster_id": made.id}
        door.post("/libraries/install", {**one, "libraries": [package]})
        change = {**one, "update_mask": "cluster_name", "cluster": {"cluster_name": "b"}}
        assert door.post("/clusters/update", change) == {}
        assert door.post("/clusters/edit", {**one, **CLUSTER, "cluster_name": "c"}) == {}
        changed = door.parts.clusters.get(door.parts.user, made.id).spec
        assert (changed.name, changed.master) == ("c", "spark://elsewhere:7077")
        assert (changed.labels, changed.packages) == (("etl",), "e")
        statuses = door.get("/libraries/cluster-status", one)["library_statuses"]
        assert [each["library"] for each in statuses] == [package]

    def test_what_was_changed_another_way_is_shown_and_stays(self, door: Door) -> None:
        cluster_id = make(door, spark_conf={"a": "b"})
        clusters = door.parts.clusters
        door.post("/clusters/delete", {"cluster_id": cluster_id})
        spec = clusters.get(door.parts.user, cluster_id).spec
        changed = replace(spec, spark_conf={"a": "c"}, environment={"D": "e"})
        clusters.edit(door.parts.user, cluster_id, changed)
        shown = show(door, cluster_id)
        assert (shown["spark_conf"], shown["spark_env_vars"]) == ({"a": "c"}, {"D": "e"})
        change = {"update_mask": "cluster_name", "cluster": {"cluster_name": "b"}}
        door.post("/clusters/update", {"cluster_id": cluster_id, **change})
        kept = clusters.get(door.parts.user, cluster_id).spec
        assert (kept.name, kept.spark_conf, kept.environment) == ("b", {"a": "c"}, {"D": "e"})

    def test_owners(self, door: Door) -> None:
        door.parts.principals.create_group("analysts")
        cluster_id = make(door)
        one = {"cluster_id": cluster_id}
        assert door.call("GET", "/clusters/get", one, token=door.stranger_token)[0] == 400
        assert door.get("/clusters/list", token=door.stranger_token) == {"clusters": []}
        door.post("/clusters/delete", one)
        for owner in ("nobody", "analysts"):
            change = {**one, "owner_username": owner}
            door.refuse("POST", "/clusters/change-owner", change, token=door.admin_token)
            assert "owner_username" in door.said
        change = {**one, "owner_username": "eve@example.com"}
        assert door.refuse("POST", "/clusters/change-owner", change)[0] == 403
        door.post("/clusters/change-owner", change, token=door.admin_token)
        shown = door.get("/clusters/get", one, token=door.stranger_token)
        assert shown["creator_user_name"] == "eve@example.com"


class TestLists:
    def test_pages_filters_and_order(self, door: Door) -> None:
        ids = [make(door, cluster_name=name) for name in ("b", "c", "a")]
        door.post("/clusters/delete", {"cluster_id": ids[0]})
        door.post("/clusters/pin", {"cluster_id": ids[1]})

        def names(**query: Any) -> list[str]:
            status, answer = door.call("GET", "/../2.1/clusters/list", query)
            assert status == 200, answer
            return [each["cluster_name"] for each in answer["clusters"]]

        assert names() == ["a", "c", "b"]
        assert names(**{"filter_by.cluster_states": "TERMINATED"}) == ["b"]
        assert names(**{"filter_by.cluster_states": ["TERMINATED", "RUNNING"]}) == ["a", "c", "b"]
        assert names(**{"filter_by.is_pinned": "true"}) == ["c"]
        assert names(**{"sort_by.field": "CLUSTER_NAME"}) == ["a", "b", "c"]
        assert names(**{"sort_by.field": "CLUSTER_NAME", "sort_by.direction": "DESC"})[0] == "c"
        assert names(page_size=2) == ["a", "c"]
        _, answer = door.call("GET", "/../2.1/clusters/list", {"page_size": 2})
        assert names(page_size=2, page_token=answer["next_page_token"]) == ["b"]
        assert door.call("GET", "/../2.1/clusters/list", {"page_token": "x"})[0] == 400
        door.post("/clusters/unpin", {"cluster_id": ids[1]})
        assert names(**{"filter_by.is_pinned": "true"}) == []
        bare = door.client.get(
            "/api/1.2/clusters/list", headers={"Authorization": f"Bearer {door.token}"}
        ).json()
        assert [each["cluster_id"] for each in bare] == ids[::-1]

    def test_events(self, door: Door) -> None:
        cluster_id = make(door, node_type_id="i3.xlarge")
        door.clock.advance(1)
        door.post("/clusters/delete", {"cluster_id": cluster_id})
        answer = door.post("/clusters/events", {"cluster_id": cluster_id, "limit": 2})
        assert [event["type"] for event in answer["events"]] == ["TERMINATING", "RUNNING"]
        assert answer["total_count"] == 5
        assert answer["events"][0]["details"]["reason"]["code"] == "USER_REQUEST"
        assert answer["events"][0]["timestamp"] == 1772366401000
        following = door.post("/clusters/events", answer["next_page"])
        assert [event["type"] for event in following["events"]] == ["STARTING", "SPARK_EXCEPTION"]
        assert following["events"][1]["details"] == {
            "driver_state_message": "Clusters of this server do not honour node_type_id."
        }
        last = door.post("/clusters/events", following["next_page"])
        assert [event["type"] for event in last["events"]] == ["CREATING"]
        assert "next_page" not in last
        some = {
            "cluster_id": cluster_id,
            "event_types": ["RUNNING", "DBFS_DOWN"],
            "order": "ASC",
            "start_time": 1772366400000,
        }
        assert [each["type"] for each in door.post("/clusters/events", some)["events"]] == [
            "RUNNING"
        ]
        door.refuse("POST", "/clusters/events", {**some, "event_types": ["running"]})
        assert "event_types[0]" in door.said

    def test_a_crash_is_an_event(self, door: Door) -> None:
        cluster_id = make(door, num_workers=1)
        bring_up(door, cluster_id).die()
        door.parts.manager.round()
        answer = door.post(
            "/clusters/events",
            {"cluster_id": cluster_id, "event_types": ["DRIVER_UNAVAILABLE"]},
        )
        message = f"The Spark driver of cluster {cluster_id} died: killed by SIGKILL."
        assert answer["events"][0]["details"] == {"driver_state_message": message}

    def test_catalogues(self, door: Door) -> None:
        versions = door.get("/clusters/spark-versions")["versions"]
        assert {
            "key": "4.3.x-scala2.13",
            "name": "4.3 (includes Apache Spark 4.3.0, Scala 2.13)",
        } in (versions)
        assert any("-scala2.12" in each["key"] for each in versions)
        types = door.get("/clusters/list-node-types")["node_types"]
        assert types[0]["node_type_id"] == "quire.small"
        assert door.get("/clusters/list-zones") == {"zones": [], "default_zone": ""}


def test_a_failing_init_script_is_told(door: Door) -> None:
    cluster_id = make(door, init_scripts=[{"dbfs": {"destination": "dbfs:/missing.sh"}}])
    door.parts.manager.round()
    shown = show(door, cluster_id)
    assert shown["state"] == "TERMINATED"
    assert shown["termination_reason"]["code"] == "INIT_SCRIPT_FAILURE"
    assert "/missing.sh" in shown["state_message"]
    assert door.parts.clusters.get(door.parts.admin, ClusterId(cluster_id)).driver is None
