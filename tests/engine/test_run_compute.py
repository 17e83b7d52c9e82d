"""What an attempt is told of its compute when it is dispatched, and what ends with it."""

from __future__ import annotations

import pytest

from quire.clock import ManualClock
from quire.compute.models import (
    ClusterCause,
    ClusterSpec,
    ClusterState,
    Compute,
    Library,
    LibraryKind,
)
from quire.engine.models import JarTask, JobDefinition, RunRequest
from quire.ids import AttemptId
from quire.store import runs as run_rows
from quire.store.blobs import BlobStore
from quire.store.database import Database
from quire.store.runs import RunView
from tests.compute.parts import ClusterParts


@pytest.fixture
def parts(database: Database, blobs: BlobStore, clock: ManualClock) -> ClusterParts:
    return ClusterParts(database, blobs, clock)


def _view(parts: ClusterParts, attempt_id: AttemptId) -> RunView:
    with parts.database.read() as connection:
        view = run_rows.get_view_of_any(connection, attempt_id)
    assert view is not None
    return view


def test_runs_that_name_no_compute_are_told_nothing(parts: ClusterParts) -> None:
    assert parts.run_compute.begin(_view(parts, parts.run()), parts.user) is None


def test_a_cluster_without_a_driver_is_told_at_once(parts: ClusterParts) -> None:
    cluster = parts.create(name="c", environment={"A": "b"})
    attempt_id = parts.run(compute=Compute(cluster_id=cluster.id))
    told = parts.run_compute.begin(_view(parts, attempt_id), parts.user)
    assert told is not None
    assert (told["state"], told["lazy"], told["spark"]) == ("ready", True, None)
    assert (told["cluster_id"], told["environment"]) == (cluster.id, {"A": "b"})
    assert parts.uses.find([attempt_id])[attempt_id].use.released_at is None
    parts.finish_run(attempt_id)
    parts.manager.round()
    assert parts.uses.find([attempt_id])[attempt_id].use.released_at is not None


def test_a_cluster_that_is_not_there_is_told_of(parts: ClusterParts) -> None:
    attempt_id = parts.run(compute=Compute(cluster_id="0101-000000-nothing0"))
    told = parts.run_compute.begin(_view(parts, attempt_id), parts.user)
    assert told is not None
    assert told["state"] == "ready"
    assert "There is no cluster 0101-000000-nothing0" in told["notices"][0]


@pytest.mark.parametrize(
    "compute",
    [
        Compute(new_cluster=ClusterSpec(workers=1)),
        Compute(environment="tools"),
        Compute(libraries=(Library(LibraryKind.PYPI, "left-pad"),)),
        Compute(new_cluster=ClusterSpec(libraries=(Library(LibraryKind.PYPI, "left-pad"),))),
    ],
    ids=["workers", "environment", "libraries", "libraries of its cluster"],
)
def test_what_takes_time_is_left_to_the_runner(parts: ClusterParts, compute: Compute) -> None:
    attempt_id = parts.run(compute=compute)
    told = parts.run_compute.begin(_view(parts, attempt_id), parts.user)
    assert told is not None
    assert told["state"] == "pending"
    assert parts.packages.asked == []


def test_a_driver_that_runs_is_not_asked_yet(parts: ClusterParts) -> None:
    cluster = parts.create()
    first = parts.run(compute=Compute(cluster_id=cluster.id))
    parts.ask(first, spark=True)
    parts.bring_up(cluster)
    second = parts.run(compute=Compute(cluster_id=cluster.id))
    told = parts.run_compute.begin(_view(parts, second), parts.user)
    assert told is not None
    assert (told["state"], told["lazy"]) == ("ready", True)  # Spark is asked for when it is used
    assert f"attempt-{second}" not in parts.driver(cluster).doors


def test_programs_for_spark_ask_by_themselves(parts: ClusterParts) -> None:
    parts.visible_to.add(parts.user.name)
    definition = JobDefinition(task=JarTask(main_class="a.B"))
    view = parts.runs.submit(parts.user, RunRequest(definition=definition))
    told = parts.run_compute.begin(view, parts.user)
    assert told is not None
    assert told["state"] == "pending"


def test_a_cluster_nobody_may_use_is_told_at_once(parts: ClusterParts) -> None:
    cluster = parts.create(parts.admin)
    attempt_id = parts.run(compute=Compute(cluster_id=cluster.id))
    told = parts.run_compute.begin(_view(parts, attempt_id), parts.user)
    assert told is not None
    assert (told["state"], told["cause"]) == ("failed", "cluster_failed")
    assert "may not run on cluster" in told["message"]


def test_a_job_cluster_ends_before_its_run_is_seen_to_end(parts: ClusterParts) -> None:
    attempt_id = parts.run(compute=Compute(new_cluster=ClusterSpec()))
    view = _view(parts, attempt_id)
    assert parts.run_compute.concerns(view.run)
    parts.run_compute.begin(view, parts.user)
    parts.run_compute.conclude(view, ())
    parts.run_compute.conclude(view, ())
    ended = parts.uses.find([attempt_id])[attempt_id].cluster
    assert (ended.state, ended.cause) == (ClusterState.TERMINATED, ClusterCause.JOB_FINISHED)


def test_other_clusters_outlive_the_run(parts: ClusterParts) -> None:
    cluster = parts.create()
    view = _view(parts, parts.run(compute=Compute(cluster_id=cluster.id)))
    assert not parts.run_compute.concerns(view.run)
    assert not parts.run_compute.concerns(_view(parts, parts.run()).run)
