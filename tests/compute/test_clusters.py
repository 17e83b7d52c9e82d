"""Clusters as their owners see them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from quire.compute.memory import heap_size
from quire.compute.models import (
    AutoScale,
    ClusterCause,
    ClusterEventType,
    ClusterRight,
    ClusterSpec,
    ClusterState,
    EventFilter,
    InitScript,
    Library,
    LibraryKind,
    ScriptKind,
)
from quire.errors import (
    AlreadyExists,
    InvalidState,
    InvalidValue,
    NotFound,
    PermissionDenied,
    QuotaExceeded,
)
from tests.compute.parts import GIB, ClusterParts

_E = ClusterEventType


def test_a_cluster_without_workers_is_up_at_once(parts: ClusterParts) -> None:
    cluster = parts.create(name="small")
    assert cluster.state is ClusterState.RUNNING
    assert not cluster.wants_spark
    assert cluster.owner_name == "ada@example.com"
    assert cluster.id[:11] == "0301-120000"
    assert len(cluster.id) == 20
    assert parts.happened(cluster) == [_E.CREATING, _E.STARTING, _E.RUNNING]
    assert parts.get(cluster) == cluster


@pytest.mark.parametrize(
    "spec",
    [
        {"workers": 1},
        {"autoscale": AutoScale(0, 2)},
        {"master": "spark://elsewhere:7077"},
        {"init_scripts": (InitScript(ScriptKind.FILES, "/a.sh"),)},
        {"libraries": (Library(LibraryKind.JAR, "/a.jar"),)},
        {"libraries": (Library(LibraryKind.MAVEN, "g:a:1"),)},
    ],
    ids=lambda spec: next(iter(spec)),
)
def test_a_cluster_that_needs_its_driver_waits_for_it(
    parts: ClusterParts, spec: dict[str, Any]
) -> None:
    cluster = parts.create(**spec)
    assert cluster.state is ClusterState.PENDING
    assert cluster.wants_spark
    assert parts.wakes == 1


def test_a_token_makes_one_cluster(parts: ClusterParts) -> None:
    made = [
        parts.clusters.create(parts.user, ClusterSpec(name="a"), idempotency_token="t")
        for _ in range(2)
    ]
    assert made[0] == made[1]
    assert [each.id for each in parts.clusters.list(parts.user)] == [made[0].id]
    with pytest.raises(InvalidValue, match=r"idempotency_token: .* somebody else"):
        parts.clusters.create(parts.stranger, ClusterSpec(name="a"), idempotency_token="t")


def test_the_token_of_a_removed_cluster_is_an_error(parts: ClusterParts) -> None:
    made = parts.clusters.create(parts.user, ClusterSpec(name="a"), idempotency_token="t")
    parts.clusters.remove(parts.user, made.id)
    with pytest.raises(InvalidValue, match=r"idempotency_token: .* removed"):
        parts.clusters.create(parts.user, ClusterSpec(name="a"), idempotency_token="t")


def test_groups_own_no_clusters(parts: ClusterParts) -> None:
    group = parts.principals.create_group("analysts")
    with pytest.raises(InvalidValue, match="owner: analysts is a group"):
        parts.clusters.create(group, ClusterSpec(name="a"))
    cluster = parts.create()
    parts.clusters.terminate(parts.user, cluster.id)
    with pytest.raises(InvalidValue, match="owner: analysts is a group"):
        parts.clusters.change_owner(parts.admin, cluster.id, group.id)
    assert parts.get(cluster).owner_name == "ada@example.com"


@pytest.mark.parametrize(
    ("spec", "field", "word"),
    [
        (ClusterSpec(workers=-1), "workers", "100000"),
        (ClusterSpec(name="a\nb"), "name", "control character"),
        (ClusterSpec(autoscale=AutoScale(2, 2)), "autoscale", "less than max_workers"),
        (ClusterSpec(workers=1, autoscale=AutoScale(1, 2)), "autoscale", "together"),
        (ClusterSpec(master="http://x"), "master", "spark://, yarn, k8s://, sc://"),
        (ClusterSpec(master="spark://"), "master", "Allowed values"),
        (ClusterSpec(driver_memory_bytes=1), "driver_memory_bytes", "268435456"),
        (
            ClusterSpec(spark_conf={"spark.driver.memory": "lots"}),
            "spark_conf.spark.driver.memory",
            "512m",
        ),
        (ClusterSpec(executor_cores=0), "executor_cores", "1 or more"),
        (ClusterSpec(environment={"A-B": "c"}), "environment", "A-B"),
        (ClusterSpec(spark_conf={" a": "c"}), "spark_conf", "usable key"),
        (ClusterSpec(tags={"a": "\0"}), "tags.a", "NUL"),
        (
            ClusterSpec(init_scripts=(InitScript(ScriptKind.LOCAL, "a"),)),
            "init_scripts[0]",
            "absolute",
        ),
        (ClusterSpec(log_destination="logs"), "log_destination", "absolute"),
        (ClusterSpec(autotermination_seconds=0), "autotermination_seconds", "never"),
        (ClusterSpec(labels=("a", "a")), "labels", "twice"),
        (ClusterSpec(name="\ud800"), "name", "Unicode"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_is_refused_by_name(
    parts: ClusterParts, spec: ClusterSpec, field: str, word: str
) -> None:
    with pytest.raises(InvalidValue) as caught:
        parts.clusters.create(parts.user, spec)
    assert caught.value.field == field
    assert word in caught.value.message
    assert parts.clusters.list(parts.user) == []


def test_what_does_not_fit_is_refused_with_the_numbers(parts: ClusterParts) -> None:
    with pytest.raises(QuotaExceeded) as caught:
        parts.create(workers=2, driver_memory_bytes=20 * GIB, executor_memory_bytes=2 * GIB)
    assert "needs 24.9 GiB of memory (22.2 GiB for its driver and 2.6 GiB for each of 1" in (
        caught.value.message
    )
    assert "gives clusters 16.0 GiB, of which 16.0 GiB are free" in caught.value.message


@pytest.mark.parametrize(
    ("text", "size"),
    [("4g", 4 * GIB), ("512m", GIB // 2), ("2048", 2 * GIB), ("1GB", GIB), ("x", None), ("", None)],
)
def test_sizes_as_spark_writes_them(text: str, size: int | None) -> None:
    assert heap_size(text) == size


def test_memory_that_others_have_counts(parts: ClusterParts) -> None:
    first = parts.create(workers=1, executor_memory_bytes=8 * GIB)
    with pytest.raises(QuotaExceeded, match=r"of which 5\.\d GiB are free"):
        parts.create(workers=1, executor_memory_bytes=8 * GIB)
    parts.clusters.terminate(parts.user, first.id)
    assert parts.create(workers=1, executor_memory_bytes=8 * GIB).state is ClusterState.PENDING


def test_clusters_beyond_the_limit_are_refused(parts: ClusterParts) -> None:
    parts.clusters._settings = replace(parts.settings, max_saved_clusters=1)
    parts.create()
    with pytest.raises(QuotaExceeded, match="1 clusters at most"):
        parts.create()


def test_start_restart_and_end_need_the_right_state(parts: ClusterParts) -> None:
    cluster = parts.create()
    with pytest.raises(InvalidState, match="unexpected state Running"):
        parts.clusters.start(parts.user, cluster.id)
    assert parts.clusters.terminate(parts.user, cluster.id).state is ClusterState.TERMINATED
    ended = parts.get(cluster)
    assert (ended.cause, ended.message) == (
        ClusterCause.USER_REQUEST,
        "Terminated by ada@example.com.",
    )
    assert parts.clusters.terminate(parts.user, cluster.id) == ended
    for refused in (parts.clusters.restart, lambda *a: parts.clusters.resize(*a, workers=1)):
        with pytest.raises(InvalidState, match="Terminated"):
            refused(parts.user, cluster.id)
    started = parts.clusters.start(parts.user, cluster.id)
    assert (started.state, started.cause) == (ClusterState.RUNNING, None)
    assert parts.clusters.restart(parts.user, cluster.id).state is ClusterState.RESTARTING
    parts.manager.round()
    assert parts.state(cluster) is ClusterState.RUNNING


def test_an_edit_restarts_what_runs(parts: ClusterParts) -> None:
    cluster = parts.create(name="a")
    spec = ClusterSpec(name="b", spark_conf={"a": "b"})
    edited = parts.clusters.edit(parts.user, cluster.id, spec)
    assert (edited.spec, edited.state) == (spec, ClusterState.RESTARTING)
    with pytest.raises(InvalidState, match="Restarting"):
        parts.clusters.edit(parts.user, cluster.id, spec)
    parts.clusters.terminate(parts.user, cluster.id)
    ended = parts.clusters.edit(parts.user, cluster.id, ClusterSpec(name="c"))
    assert (ended.spec.name, ended.state) == ("c", ClusterState.TERMINATED)
    assert parts.happened(cluster).count(_E.EDITED) == 2


def test_what_only_the_server_sets_is_told(parts: ClusterParts) -> None:
    cluster = parts.create(spark_conf={"spark.master": "local[9]", "spark.x": "y"})
    page = parts.clusters.events(parts.user, cluster.id, EventFilter(kinds=[_E.NOTICE]))
    assert page.total == 1
    assert "spark.master" in page.events[0].details["message"]


def test_events_are_paged_and_filtered(parts: ClusterParts) -> None:
    cluster = parts.create()
    parts.clock.advance(10)
    parts.clusters.pin(parts.user, cluster.id)
    parts.clusters.pin(parts.user, cluster.id)
    parts.clock.advance(10)
    parts.clusters.pin(parts.user, cluster.id, pinned=False)
    page = parts.clusters.events(parts.user, cluster.id, limit=2)
    assert [event.type for event in page.events] == [_E.UNPINNED, _E.PINNED]
    assert page.total == 5
    page = parts.clusters.events(parts.user, cluster.id, offset=3, limit=2)
    assert [event.type for event in page.events] == [_E.STARTING, _E.CREATING]
    middle = parts.clock.now() - timedelta(seconds=10)
    page = parts.clusters.events(parts.user, cluster.id, EventFilter(since=middle, until=middle))
    assert [(event.type, event.details) for event in page.events] == [
        (_E.PINNED, {"user": "ada@example.com"})
    ]


def test_ended_clusters_are_listed_for_thirty_days_and_pinned_ones_for_good(
    parts: ClusterParts,
) -> None:
    ended, pinned, running = (parts.create(name=name) for name in "abc")
    parts.clusters.pin(parts.user, pinned.id)
    for each in (ended, pinned):
        parts.clusters.terminate(parts.user, each.id)
    assert [each.id for each in parts.clusters.list(parts.user)] == [
        running.id,
        pinned.id,
        ended.id,
    ]
    parts.clock.advance(31 * 86400)
    assert [each.id for each in parts.clusters.list(parts.user)] == [running.id, pinned.id]
    assert parts.get(ended).state is ClusterState.TERMINATED
    parts.manager.round()
    with pytest.raises(NotFound):
        parts.get(ended)
    assert parts.get(pinned).pinned_at is not None


def test_a_removed_cluster_is_gone(parts: ClusterParts) -> None:
    cluster = parts.create(labels=("spark",))
    parts.clusters.remove(parts.user, cluster.id)
    with pytest.raises(NotFound, match=f"Cluster {cluster.id} does not exist"):
        parts.clusters.get(parts.admin, cluster.id)
    assert parts.clusters.list(parts.admin) == []
    assert parts.create(labels=("spark",)).spec.labels == ("spark",)


def test_labels_name_one_cluster(parts: ClusterParts) -> None:
    first = parts.create(labels=("default", "spark"))
    with pytest.raises(AlreadyExists, match="Label spark is already in use"):
        parts.create(labels=("spark",))
    assert parts.clusters.get_by_label(parts.user, "spark") == first
    with pytest.raises(NotFound, match="There is no cluster with label: x"):
        parts.clusters.get_by_label(parts.user, "x")
    parts.clusters.edit(parts.user, first.id, ClusterSpec(labels=("default",)))
    assert parts.create(labels=("spark",)).id != first.id


def test_others_see_and_do_what_they_were_granted(parts: ClusterParts) -> None:
    cluster = parts.create()
    eve = parts.stranger
    with pytest.raises(NotFound):
        parts.clusters.get(eve, cluster.id)
    assert parts.clusters.list(eve) == []
    parts.clusters.grant(parts.user, cluster.id, eve.id, ClusterRight.ATTACH)
    assert parts.clusters.get(eve, cluster.id) == cluster
    assert [each.id for each in parts.clusters.list(eve)] == [cluster.id]
    with pytest.raises(PermissionDenied, match=r"may attach .* right to restart"):
        parts.clusters.restart(eve, cluster.id)
    parts.clusters.grant(parts.user, cluster.id, eve.id, ClusterRight.RESTART)
    parts.clusters.restart(eve, cluster.id)
    for refused in (
        lambda: parts.clusters.edit(eve, cluster.id, ClusterSpec()),
        lambda: parts.clusters.remove(eve, cluster.id),
        lambda: parts.clusters.grant(eve, cluster.id, eve.id, ClusterRight.MANAGE),
        lambda: parts.clusters.pin(eve, cluster.id),
    ):
        with pytest.raises(PermissionDenied):
            refused()
    assert parts.clusters.list_grants(parts.user, cluster.id) == [(eve.name, ClusterRight.RESTART)]
    parts.clusters.grant(parts.user, cluster.id, eve.id, None)
    with pytest.raises(NotFound):
        parts.clusters.get(eve, cluster.id)


def test_administrators_change_the_owner(parts: ClusterParts) -> None:
    cluster = parts.create()
    with pytest.raises(PermissionDenied):
        parts.clusters.change_owner(parts.user, cluster.id, parts.stranger.id)
    with pytest.raises(InvalidState):
        parts.clusters.change_owner(parts.admin, cluster.id, parts.stranger.id)
    parts.clusters.terminate(parts.user, cluster.id)
    parts.clusters.change_owner(parts.admin, cluster.id, parts.stranger.id)
    assert parts.get(cluster).owner_name == "eve@example.com"
    with pytest.raises(NotFound):
        parts.clusters.get(parts.user, cluster.id)
