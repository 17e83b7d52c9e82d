"""Libraries of clusters over HTTP (contract 8.7)."""

from __future__ import annotations

from typing import Any

from quire.compute.libraries import LibraryState
from quire.compute.models import Compute
from tests.dialects.databricks.conftest import CLUSTER, Door

LIBRARIES: list[dict[str, Any]] = [
    {"pypi": {"package": "attrs==25.1", "repo": "https://index.example/simple"}},
    {"whl": "dbfs:/a-1-py3-none-any.whl"},
    {"maven": {"coordinates": "g:a:1", "exclusions": ["x:y"]}},
]


def make(door: Door) -> str:
    answer = door.post("/clusters/create", {"cluster_name": "a", **CLUSTER})
    return str(answer["cluster_id"])


def test_installed_shown_and_removed(door: Door) -> None:
    cluster_id = make(door)
    one = {"cluster_id": cluster_id}
    assert door.get("/libraries/cluster-status", one) == {**one, "library_statuses": []}
    assert door.post("/libraries/install", {**one, "libraries": LIBRARIES}) == {}
    assert door.post("/libraries/install", {**one, "libraries": LIBRARIES[:1]}) == {}
    door.parts.packages.states = {
        "attrs==25.1": (LibraryState.INSTALLED, ""),
        "g:a:1": (LibraryState.FAILED, "not found"),
    }
    shown = door.get("/libraries/cluster-status", one)["library_statuses"]
    assert [each["library"] for each in shown] == LIBRARIES
    assert [(each["status"], each["messages"]) for each in shown] == [
        ("INSTALLED", []),
        ("PENDING", []),
        ("FAILED", ["not found"]),
    ]
    assert not any(each["is_library_for_all_clusters"] for each in shown)
    (listed,) = door.get("/libraries/all-cluster-statuses")["statuses"]
    assert listed == {**one, "library_statuses": shown}
    assert door.post("/libraries/uninstall", {**one, "libraries": LIBRARIES[1:]}) == {}
    shown = door.get("/libraries/cluster-status", one)["library_statuses"]
    assert [each["library"] for each in shown] == LIBRARIES[:1]


def test_runs_on_the_cluster_get_them(door: Door) -> None:
    cluster_id = make(door)
    door.post("/libraries/install", {"cluster_id": cluster_id, "libraries": LIBRARIES[:1]})
    asked = len(door.parts.packages.asked)
    door.parts.ask(door.parts.run(compute=Compute(cluster_id=cluster_id)))
    ((libraries, _),) = door.parts.packages.asked[asked:]
    assert [each.value for each in libraries] == ["attrs==25.1"]


def test_refusals(door: Door) -> None:
    one = {"cluster_id": make(door)}
    for libraries, word in (
        ([], "libraries"),
        ([{"x": "y"}], "libraries"),
        ([{"whl": "s3://a/b.whl"}], "s3"),
    ):
        door.refuse("POST", "/libraries/install", {**one, "libraries": libraries})
        assert word in door.said
    body = {"cluster_id": "nothing", "libraries": LIBRARIES}
    assert door.refuse("POST", "/libraries/install", body) == (400, "INVALID_PARAMETER_VALUE")
    door.refuse("POST", "/libraries/install", {**body, **one}, token=door.stranger_token)
    assert "does not exist" in door.said
