"""Attempts get their part of a cluster, and give it back."""

from __future__ import annotations

import pytest

from quire.compute.launcher import DriverPhase, DriverReport
from quire.compute.models import (
    ClusterCause,
    ClusterEventType,
    ClusterRight,
    ClusterSource,
    ClusterSpec,
    ClusterState,
    Compute,
    Library,
    LibraryKind,
)
from quire.compute.uses import Prepared, UseState
from quire.placement.base import RunnerIdentity
from tests.compute.parts import GIB, ClusterParts, ScriptedLauncher

_S = ClusterState


def test_without_spark_a_job_cluster_is_ready_at_once(parts: ClusterParts) -> None:
    spec = ClusterSpec(name="mine", environment={"A": "b"}, vendor={"v": {"spark_version": "15"}})
    attempt_id = parts.run(compute=Compute(new_cluster=spec))
    answer = parts.ask(attempt_id)
    assert (answer.state, answer.lazy, answer.spark) == (UseState.READY, True, None)
    cluster = answer.cluster
    assert cluster is not None
    assert (cluster.state, cluster.source) == (_S.RUNNING, ClusterSource.JOB)
    assert (cluster.attempt_id, cluster.owner_name) == (attempt_id, "ada@example.com")
    told = answer.to_json()
    assert told["environment"] == {"A": "b"}
    assert (told["cluster_id"], told["cluster_name"]) == (cluster.id, "mine")
    assert told["spark_version"] == "15"
    again = parts.ask(attempt_id).cluster
    assert again is not None
    assert again.id == cluster.id
    parts.uses.release(attempt_id)
    parts.uses.release(attempt_id)
    ended = parts.get(cluster)
    assert (ended.state, ended.cause) == (_S.TERMINATED, ClusterCause.JOB_FINISHED)
    assert parts.uses.is_down(attempt_id)
    found = parts.uses.find([attempt_id])[attempt_id]
    assert (found.cluster, found.use.generation) == (ended, None)


def test_spark_is_there_when_it_is_asked_for(parts: ClusterParts) -> None:
    attempt_id = parts.run(compute=Compute(new_cluster=ClusterSpec()))
    assert parts.ask(attempt_id).lazy
    answer = parts.ask(attempt_id, spark=True)
    assert answer.state is UseState.PENDING
    cluster = answer.cluster
    assert cluster is not None
    parts.bring_up(cluster)
    answer = parts.ask(attempt_id, spark=True)
    assert answer.spark == {
        "host": "127.0.0.1",
        "port": 4001,
        "secret": "s",
        "spark_home": "/spark",
        "java_home": "/java",
        "environment": {},
        "session_tag": None,
        "job_group": f"attempt-{attempt_id}",
    }
    parts.uses.release(attempt_id)
    assert not parts.uses.is_down(attempt_id)
    parts.manager.round()
    assert parts.uses.is_down(attempt_id)
    assert parts.driver(cluster).removed


def test_a_run_that_comes_while_the_driver_dies_waits_for_the_next_one(
    parts: ClusterParts,
) -> None:
    cluster = parts.create(workers=1)
    dying = parts.bring_up(cluster)
    attempt_id = parts.run(compute=Compute(cluster_id=cluster.id))
    dying.present = DriverReport(DriverPhase.ENDING)  # before anybody has noticed
    assert parts.ask(attempt_id).state is UseState.PENDING
    assert parts.ask(attempt_id, spark=True).state is UseState.PENDING
    dying.die()
    assert parts.ask(attempt_id).state is UseState.PENDING
    parts.manager.round()
    assert parts.ask(attempt_id).state is UseState.PENDING
    parts.bring_up(cluster)
    assert parts.ask(attempt_id).state is UseState.READY
    parts.driver(cluster).die()
    assert parts.ask(attempt_id).cause == "driver_lost"


def test_a_cluster_that_was_ended_is_started_for_a_run(parts: ClusterParts) -> None:
    cluster = parts.create(workers=1)
    parts.clusters.terminate(parts.user, cluster.id)
    attempt_id = parts.run(compute=Compute(cluster_id=cluster.id))
    assert parts.ask(attempt_id).state is UseState.PENDING
    assert parts.state(cluster) is _S.PENDING
    driver = parts.bring_up(cluster)
    assert parts.ask(attempt_id).state is UseState.READY
    parts.uses.release(attempt_id)
    assert parts.state(cluster) is _S.RUNNING
    assert driver.released == [(f"attempt-{attempt_id}", False)]


def test_a_run_waits_for_a_cluster_that_is_being_ended(parts: ClusterParts) -> None:
    cluster = parts.create(workers=1)
    parts.bring_up(cluster)
    parts.clusters.terminate(parts.user, cluster.id)
    attempt_id = parts.run(compute=Compute(cluster_id=cluster.id))
    answer = parts.ask(attempt_id)
    assert (answer.state, parts.state(cluster)) == (UseState.PENDING, _S.TERMINATING)
    parts.manager.round()
    parts.ask(attempt_id)
    assert parts.state(cluster) is _S.PENDING


def test_an_unknown_cluster_is_the_shared_one_with_a_notice(parts: ClusterParts) -> None:
    attempt_id = parts.run(compute=Compute(cluster_id="0923-164208-meows279"))
    answer = parts.ask(attempt_id)
    assert answer.state is UseState.READY
    assert answer.cluster is not None
    assert answer.cluster.source is ClusterSource.SHARED
    assert answer.notices == (
        "There is no cluster 0923-164208-meows279; the run uses the cluster this server shares "
        "among runs.",
    )


def test_runs_that_name_no_cluster_share_one(parts: ClusterParts) -> None:
    first, second = parts.run(), parts.run(parts.stranger)
    assert parts.ask(first).cluster is None
    shared = parts.ask(first, spark=True).cluster
    other = parts.ask(second, spark=True).cluster
    assert shared is not None
    assert other is not None
    assert shared.id == other.id
    assert shared.spec.autotermination_seconds == 600
    parts.bring_up(shared)
    doors = [parts.ask(each, spark=True).spark for each in (first, second)]
    assert doors[0] is not None
    assert doors[1] is not None
    assert doors[0]["job_group"] != doors[1]["job_group"]
    parts.uses.release(first)
    assert parts.state(shared) is _S.RUNNING


def test_each_host_has_a_shared_cluster_of_its_own(parts: ClusterParts) -> None:
    first = parts.run()
    shared = parts.ask(first, spark=True).cluster
    assert shared is not None
    parts.bring_up(shared)
    parts.restart_server(ScriptedLauncher(host="there"))
    other = parts.ask(parts.run(), spark=True).cluster
    assert other is not None
    assert other.id != shared.id


def test_a_cluster_of_somebody_else_is_refused(parts: ClusterParts) -> None:
    cluster = parts.create()
    attempt_id = parts.run(parts.stranger, Compute(cluster_id=cluster.id))
    answer = parts.ask(attempt_id)
    assert (answer.state, answer.cause) == (UseState.FAILED, "cluster_failed")
    assert answer.message == f"eve@example.com may not run on cluster {cluster.id}."
    parts.clusters.grant(parts.user, cluster.id, parts.stranger.id, ClusterRight.ATTACH)
    assert parts.ask(attempt_id).state is UseState.READY


def test_the_end_of_a_cluster_is_the_end_of_its_runs(parts: ClusterParts) -> None:
    cluster = parts.create(workers=1)
    waiting, working = (parts.run(compute=Compute(cluster_id=cluster.id)) for _ in range(2))
    parts.ask(waiting)
    parts.bring_up(cluster)
    parts.ask(working)
    parts.clusters.terminate(parts.user, cluster.id)
    for attempt_id in (waiting, working):
        answer = parts.ask(attempt_id)
        assert (answer.state, answer.cause) == (UseState.FAILED, "cluster_failed")
        assert answer.message == "Terminated by ada@example.com."


def test_a_restart_ends_runs_that_work_with_the_driver(parts: ClusterParts) -> None:
    cluster = parts.create(workers=1)
    parts.bring_up(cluster)
    working, waiting = (parts.run(compute=Compute(cluster_id=cluster.id)) for _ in range(2))
    parts.ask(working)
    parts.clusters.restart(parts.user, cluster.id)
    answer = parts.ask(working)
    assert (answer.state, answer.cause) == (UseState.FAILED, "cluster_failed")
    assert "was restarted, because ada@example.com asked for it" in answer.message
    assert parts.ask(waiting).state is UseState.PENDING


def test_a_job_cluster_that_can_never_fit_fails_its_run(parts: ClusterParts) -> None:
    spec = ClusterSpec(driver_memory_bytes=64 * GIB)
    answer = parts.ask(parts.run(compute=Compute(new_cluster=spec)))
    assert (answer.state, answer.cause) == (UseState.FAILED, "cluster_failed")
    assert "70.4 GiB" in answer.message
    assert "16.0 GiB" in answer.message


def test_a_spec_that_cannot_be_fails_its_run_by_name(parts: ClusterParts) -> None:
    spec = ClusterSpec(master="elsewhere")
    answer = parts.ask(parts.run(compute=Compute(new_cluster=spec)))
    assert answer.state is UseState.FAILED
    assert "Invalid value for master" in answer.message


def test_session_tags_meet_only_within_a_user(parts: ClusterParts) -> None:
    cluster = parts.create()
    parts.clusters.grant(parts.user, cluster.id, parts.stranger.id, ClusterRight.ATTACH)
    compute = Compute(cluster_id=cluster.id, session_tag="etl")
    attempts = [parts.run(actor, compute) for actor in (parts.user, parts.user, parts.stranger)]
    other = parts.run(compute=Compute(cluster_id=cluster.id, session_tag="else"))
    for attempt_id in (*attempts, other):
        parts.ask(attempt_id, spark=True)
    parts.bring_up(cluster)
    keys = []
    for attempt_id in (*attempts, other):
        spark = parts.ask(attempt_id, spark=True).spark
        assert spark is not None
        keys.append(spark["session_tag"])
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_a_kernel_that_outlives_its_run_keeps_its_door(parts: ClusterParts) -> None:
    first = parts.run()
    kernel = RunnerIdentity("here", 12, "345")
    answer = parts.ask(first, spark=True, kernel=kernel)
    assert answer.cluster is not None
    driver = parts.bring_up(answer.cluster)
    spark = parts.ask(first, spark=True, kernel=kernel).spark
    assert spark is not None
    assert spark["job_group"] == "kernel-12-345"
    assert driver.kernels == {"kernel-12-345": kernel}  # and is shut with it
    parts.uses.release(first, kernel)
    assert driver.released == [("kernel-12-345", True)]


@pytest.mark.parametrize(
    ("state", "cause"), [(UseState.PENDING, None), (UseState.FAILED, "library_failed")]
)
def test_libraries_come_before_the_cluster(
    parts: ClusterParts, state: UseState, cause: str | None
) -> None:
    library = Library(LibraryKind.PYPI, "attrs")
    own = Library(LibraryKind.PYPI, "toolz")
    cluster = parts.create(libraries=(library,), packages="science")
    parts.packages.prepared = Prepared(state, "installing attrs")
    attempt_id = parts.run(compute=Compute(cluster_id=cluster.id, libraries=(own, library)))
    answer = parts.ask(attempt_id)
    assert (answer.state, answer.cause, answer.message) == (state, cause, "installing attrs")
    assert parts.packages.asked == [((library, own), "science")]
    parts.packages.prepared = Prepared(python="/env/bin/python", site_packages=("/a",))
    told = parts.ask(attempt_id).to_json()
    assert (told["state"], told["python"], told["site_packages"]) == (
        "ready",
        "/env/bin/python",
        ["/a"],
    )


def test_classes_of_libraries_are_given_to_the_driver(parts: ClusterParts) -> None:
    cluster = parts.create(workers=1)
    parts.packages.prepared = Prepared(jars=("/a.jar", "/b.jar"))
    jar = Library(LibraryKind.JAR, "dbfs:/a.jar")
    attempt_id = parts.run(compute=Compute(cluster_id=cluster.id, libraries=(jar,)))
    parts.ask(attempt_id, spark=True)
    parts.manager.round()
    driver = parts.driver(cluster)
    driver.come_up()
    parts.manager.round()
    driver.unreadable = "/b.jar"
    refused = parts.ask(attempt_id, spark=True)
    assert (refused.state, refused.cause) == (UseState.FAILED, "library_failed")
    assert refused.message == "The cluster's user cannot read /b.jar."
    driver.unreadable = ""
    assert parts.ask(attempt_id, spark=True).state is UseState.READY
    assert parts.ask(attempt_id, spark=True).spark is not None
    assert driver.jars == ["/a.jar", "/b.jar"]


def test_programs_are_submitted_where_the_cluster_is(parts: ClusterParts) -> None:
    small, large = parts.create(), parts.create(workers=1)
    attempt_id = parts.run(compute=Compute(cluster_id=small.id))
    submit = parts.ask(attempt_id, submits=True).submit
    assert submit is not None
    assert submit.master == "local[2]"
    parts.bring_up(large)
    attempt_id = parts.run(compute=Compute(cluster_id=large.id))
    told = parts.ask(attempt_id, submits=True).to_json()["submit"]
    assert told["master"] == "spark://here:1"
    assert parts.get(small).driver is None


def test_an_attempt_that_is_queued_again_starts_over(parts: ClusterParts) -> None:
    attempt_id = parts.run(compute=Compute(new_cluster=ClusterSpec(workers=1)))
    cluster = parts.ask(attempt_id).cluster
    assert cluster is not None
    parts.bring_up(cluster)
    parts.ask(attempt_id)
    parts.requeue(attempt_id)
    for _ in range(2):
        parts.manager.round()
    assert parts.state(cluster) is _S.TERMINATED
    parts.claim(attempt_id, pid=5000)
    assert parts.ask(attempt_id).state is UseState.PENDING
    parts.bring_up(cluster)
    answer = parts.ask(attempt_id)
    assert answer.state is UseState.READY
    assert answer.cluster is not None
    assert answer.cluster.id == cluster.id
    events = parts.happened(cluster)
    assert events.count(ClusterEventType.RUNNING) == 2


@pytest.mark.parametrize("submits", [True, False])
def test_a_cluster_made_for_a_submitted_program_has_no_application_of_its_own(
    parts: ClusterParts, submits: bool
) -> None:
    libraries = (
        Library(LibraryKind.JAR, "dbfs:/a.jar"),
        Library(LibraryKind.MAVEN, "org.example:demo:1.0"),
        Library(LibraryKind.PYPI, "attrs"),
    )
    compute = Compute(new_cluster=ClusterSpec(workers=1), libraries=libraries)
    cluster = parts.ask(parts.run(compute=compute), submits=submits).cluster
    assert cluster is not None
    assert cluster.spec.has_application is not submits
    # Its runner brings the classes; the rest is installed.
    assert parts.packages.asked == [(libraries[2:] if submits else libraries, None)]
