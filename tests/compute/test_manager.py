"""The manager brings clusters to where they are wanted; drivers do as the test says."""

from __future__ import annotations

import pytest

from quire.compute.launcher import DriverPhase, DriverReport
from quire.compute.models import (
    AutoScale,
    ClusterCause,
    ClusterEventType,
    ClusterRight,
    ClusterSource,
    ClusterSpec,
    ClusterState,
    Compute,
    DriverState,
    EventFilter,
    InitScript,
    ScriptKind,
)
from quire.compute.uses import UseState
from quire.errors import Unavailable
from quire.store.clusters import update_cluster
from tests.compute.parts import GIB, ClusterParts, ScriptedLauncher

_E, _S = ClusterEventType, ClusterState


def test_a_driver_is_started_and_the_cluster_runs(parts: ClusterParts) -> None:
    cluster = parts.create(workers=2)
    assert parts.manager.round() < 1
    driver = parts.driver(cluster)
    assert (driver.plan.workers, driver.plan.generation) == (2, 1)
    starting = parts.get(cluster)
    assert (starting.state, starting.driver_state) == (_S.PENDING, DriverState.STARTING)
    assert starting.host == "here"
    assert starting.driver is not None
    assert (starting.driver.pid, starting.driver.started) == (driver.pid, driver.started)
    driver.come_up()
    parts.manager.round()
    running = parts.get(cluster)
    assert (running.state, running.driver_state) == (_S.RUNNING, DriverState.READY)
    assert running.worker_count == 2
    assert parts.happened(cluster) == [
        _E.CREATING,
        _E.STARTING,
        _E.DRIVER_STARTING,
        _E.DRIVER_HEALTHY,
        _E.RUNNING,
    ]


def test_more_workers_than_fit_are_cut_down_and_told(parts: ClusterParts) -> None:
    cluster = parts.create(workers=50)
    driver = parts.bring_up(cluster)
    assert driver.plan.workers == 8
    notices = parts.clusters.events(parts.user, cluster.id, EventFilter(kinds=[_E.NOTICE])).events
    assert notices[0].details == {"message": "It has 8 workers, not 50: more do not fit here."}


def test_scripts_are_handed_to_the_driver(parts: ClusterParts) -> None:
    parts.scripts["/init/a.sh"] = b"echo a"
    script = InitScript(ScriptKind.FILES, "/init/a.sh")
    cluster = parts.create(init_scripts=(script,))
    assert parts.bring_up(cluster).plan.scripts == (("0_a.sh", b"echo a"),)
    told = parts.happened(cluster)
    assert told.index(_E.INIT_SCRIPTS_STARTED) < told.index(_E.INIT_SCRIPTS_FINISHED)


def test_a_script_that_is_missing_ends_the_cluster(parts: ClusterParts) -> None:
    cluster = parts.create(init_scripts=(InitScript(ScriptKind.FILES, "/init/a.sh"),))
    parts.manager.round()
    ended = parts.get(cluster)
    assert (ended.state, ended.cause) == (_S.TERMINATED, ClusterCause.INIT_SCRIPT_FAILURE)
    assert "/init/a.sh" in ended.message


@pytest.mark.parametrize(
    ("cause", "known", "state"),
    [
        (ClusterCause.INIT_SCRIPT_FAILURE, ClusterCause.INIT_SCRIPT_FAILURE, _S.TERMINATED),
        (ClusterCause.DRIVER_UNREACHABLE, ClusterCause.SPARK_STARTUP_FAILURE, _S.TERMINATED),
        (None, ClusterCause.SPARK_STARTUP_FAILURE, _S.TERMINATED),
    ],
)
def test_a_driver_that_does_not_come_up_ends_the_cluster(
    parts: ClusterParts,
    cause: ClusterCause | None,
    known: ClusterCause,
    state: ClusterState,
) -> None:
    cluster = parts.create(workers=1)
    parts.manager.round()
    driver = parts.driver(cluster)
    driver.present = DriverReport(DriverPhase.GONE, cause=cause, message="script 0 failed")
    parts.manager.round()
    assert parts.state(cluster) is _S.TERMINATING
    parts.manager.round()
    ended = parts.get(cluster)
    assert (ended.state, ended.cause, ended.message) == (state, known, "script 0 failed")
    assert (ended.driver, ended.host, ended.driver_state) == (None, None, DriverState.NONE)
    assert driver.removed


def test_a_driver_that_takes_too_long_is_given_up(parts: ClusterParts) -> None:
    cluster = parts.create(workers=1)
    parts.manager.round()
    parts.clock.advance(parts.settings.cluster_start_seconds + 1)
    parts.manager.round()
    assert parts.get(cluster).cause is ClusterCause.SPARK_STARTUP_FAILURE
    assert "within 180 seconds" in parts.get(cluster).message
    parts.manager.round()
    assert parts.driver(cluster).asked_to_stop
    assert parts.state(cluster) is _S.TERMINATED


def test_a_driver_that_cannot_be_started_ends_the_cluster(parts: ClusterParts) -> None:
    parts.launcher.refusal = Unavailable("There is no Java.")
    cluster = parts.create(workers=1)
    parts.manager.round()
    parts.manager.round()
    ended = parts.get(cluster)
    assert (ended.state, ended.cause) == (_S.TERMINATED, ClusterCause.SPARK_STARTUP_FAILURE)
    assert "There is no Java." in ended.message


def test_a_defect_of_the_server_is_an_error_of_one_cluster(parts: ClusterParts) -> None:
    parts.launcher.refusal = ZeroDivisionError("oops")
    broken, well = parts.create(workers=1), parts.create()
    parts.manager.round()
    parts.manager.round()
    assert (parts.state(broken), parts.get(broken).cause) == (
        _S.ERROR,
        ClusterCause.INTERNAL_ERROR,
    )
    assert parts.state(well) is _S.RUNNING
    parts.launcher.refusal = None
    parts.clusters.start(parts.user, broken.id)
    parts.bring_up(broken)
    assert parts.state(broken) is _S.RUNNING


def test_a_job_cluster_waits_for_memory(parts: ClusterParts) -> None:
    first = parts.create(workers=1, executor_memory_bytes=8 * GIB)
    parts.bring_up(first)
    spec = ClusterSpec(workers=1, executor_memory_bytes=8 * GIB)
    attempt_id = parts.run(compute=Compute(new_cluster=spec))
    assert parts.ask(attempt_id).state is UseState.PENDING
    parts.manager.round()
    answer = parts.ask(attempt_id)
    assert answer.state is UseState.PENDING
    assert "Waiting for memory" in answer.message
    assert "16.0 GiB" in answer.message
    parts.clusters.terminate(parts.user, first.id)
    for _ in range(3):
        parts.manager.round()
    assert answer.cluster is not None
    assert parts.get(answer.cluster).driver_state is DriverState.STARTING


def test_ending_asks_the_driver_and_then_kills_it(parts: ClusterParts) -> None:
    cluster = parts.create(workers=1)
    driver = parts.bring_up(cluster)
    driver.stubborn = True
    parts.clusters.terminate(parts.user, cluster.id)
    parts.manager.round()
    assert (driver.asked_to_stop, driver.killed) == (True, False)
    assert parts.state(cluster) is _S.TERMINATING
    parts.clock.advance(11)
    parts.manager.round()
    assert driver.killed
    assert driver.removed
    assert parts.state(cluster) is _S.TERMINATED
    parts.clusters.start(parts.user, cluster.id)
    assert parts.bring_up(cluster) is not driver
    assert parts.get(cluster).generation == 2


def test_a_restart_replaces_the_driver(parts: ClusterParts) -> None:
    cluster = parts.create(workers=1)
    old = parts.bring_up(cluster)
    parts.clusters.restart(parts.user, cluster.id)
    assert parts.get(cluster).driver_state is DriverState.NONE
    for _ in range(3):
        parts.manager.round()
    new = parts.driver(cluster)
    assert old.removed
    assert new is not old
    assert parts.state(cluster) is _S.RESTARTING
    new.come_up()
    parts.manager.round()
    assert parts.state(cluster) is _S.RUNNING


def test_a_crash_is_told_to_runs_and_the_driver_replaced(parts: ClusterParts) -> None:
    cluster = parts.create(workers=1)
    driver = parts.bring_up(cluster)
    attempt_id = parts.run(compute=Compute(cluster_id=cluster.id))
    assert parts.ask(attempt_id).state is UseState.READY
    waiting = parts.run(compute=Compute(cluster_id=cluster.id))
    driver.die()
    answer = parts.ask(attempt_id)  # asked before the manager has seen it
    assert (answer.state, answer.cause) == (UseState.FAILED, "driver_lost")
    assert parts.ask(waiting).state is UseState.PENDING
    parts.manager.round()
    assert parts.state(cluster) is _S.RESTARTING
    answer = parts.ask(attempt_id)
    assert (answer.state, answer.cause) == (UseState.FAILED, "driver_lost")
    assert answer.message == (f"The Spark driver of cluster {cluster.id} died: killed by SIGKILL.")
    parts.bring_up(cluster)
    assert parts.get(cluster).generation == 2
    assert parts.ask(attempt_id).state is UseState.FAILED
    assert parts.ask(waiting).state is UseState.READY
    assert driver.removed
    crashed = parts.clusters.events(parts.user, cluster.id, EventFilter(kinds=[_E.DRIVER_CRASHED]))
    assert crashed.events[0].details["cause"] == "driver_unreachable"


def test_a_crash_of_a_cluster_without_workers_waits_for_the_next_who_asks(
    parts: ClusterParts,
) -> None:
    cluster = parts.create()
    first = parts.run(compute=Compute(cluster_id=cluster.id))
    assert parts.ask(first, spark=True).state is UseState.PENDING
    driver = parts.bring_up(cluster)
    assert parts.ask(first, spark=True).state is UseState.READY
    assert parts.ask(first).state is UseState.READY
    driver.present = DriverReport(DriverPhase.ENDING)
    assert parts.ask(first).cause == "driver_lost"  # asked before anybody else has seen it
    driver.die()
    parts.manager.round()
    left = parts.get(cluster)
    assert (left.state, left.wants_spark, left.driver) == (_S.RUNNING, False, None)
    second = parts.run(compute=Compute(cluster_id=cluster.id))
    assert parts.ask(second, spark=True).state is UseState.PENDING
    parts.bring_up(cluster)
    assert parts.ask(second, spark=True).state is UseState.READY
    assert parts.ask(first, spark=True).cause == "driver_lost"


def test_a_driver_that_keeps_dying_is_given_up(parts: ClusterParts) -> None:
    cluster = parts.create(workers=1)
    for _ in range(4):
        parts.bring_up(cluster).die("exit code 1")
        parts.manager.round()
    parts.manager.round()
    ended = parts.get(cluster)
    assert (ended.state, ended.cause) == (_S.ERROR, ClusterCause.DRIVER_UNREACHABLE)
    assert "4 times in ten minutes" in ended.message


def test_resizing_adds_and_removes_workers(parts: ClusterParts) -> None:
    cluster = parts.create(workers=1)
    driver = parts.bring_up(cluster)
    resized = parts.clusters.resize(parts.user, cluster.id, workers=3)
    assert (resized.state, resized.spec.workers) == (_S.RESIZING, 3)
    parts.manager.round()
    parts.manager.round()
    assert driver.asked_workers == [(3, 3)]
    assert parts.state(cluster) is _S.RESIZING
    driver.come_up(3)
    parts.manager.round()
    assert (parts.state(cluster), parts.get(cluster).worker_count) == (_S.RUNNING, 3)
    assert parts.happened(cluster)[-2:] == [_E.RESIZING, _E.RESIZED]
    assert parts.get(cluster).started_at == cluster.created_at


def test_bounds_that_change_are_handed_on(parts: ClusterParts) -> None:
    cluster = parts.create(autoscale=AutoScale(1, 2))
    driver = parts.bring_up(cluster)
    parts.clusters.resize(parts.user, cluster.id, autoscale=AutoScale(2, 4))
    parts.manager.round()
    assert driver.asked_workers == [(2, 4)]
    driver.come_up(3)
    parts.manager.round()
    assert parts.state(cluster) is _S.RUNNING


def test_a_fixed_size_becomes_bounds_with_another_driver(parts: ClusterParts) -> None:
    cluster = parts.create(workers=1)
    parts.bring_up(cluster)
    resized = parts.clusters.resize(parts.user, cluster.id, autoscale=AutoScale(1, 2))
    assert resized.state is _S.RESTARTING


def test_resizing_to_no_workers_replaces_the_driver(parts: ClusterParts) -> None:
    cluster = parts.create(workers=1)
    old = parts.bring_up(cluster)
    assert parts.clusters.resize(parts.user, cluster.id, workers=0).state is _S.RESTARTING
    for _ in range(3):
        parts.manager.round()
    assert old.removed
    left = parts.get(cluster)
    assert (left.state, left.driver, left.wants_spark) == (_S.RUNNING, None, False)


def test_workers_that_come_and_go_are_told(parts: ClusterParts) -> None:
    cluster = parts.create(autoscale=AutoScale(1, 3))
    driver = parts.bring_up(cluster)
    assert (driver.plan.workers, driver.plan.most_workers) == (1, 3)
    driver.come_up(2)
    parts.clock.advance(3)
    parts.manager.round()
    assert parts.get(cluster).worker_count == 2
    driver.present = DriverReport(DriverPhase.READY, workers=2, lost_workers=1)
    parts.clock.advance(3)
    parts.manager.round()
    events = parts.clusters.events(
        parts.user,
        cluster.id,
        EventFilter(kinds=[_E.AUTOSCALED, _E.WORKER_LOST]),
        newest_first=False,
    ).events
    assert [event.details for event in events] == [
        {"workers": 2, "previous": 1},
        {"message": "1 of its workers died and is replaced."},
    ]


def test_an_idle_cluster_ends_but_never_one_in_use(parts: ClusterParts) -> None:
    cluster = parts.create(autotermination_seconds=600)
    attempt_id = parts.run(compute=Compute(cluster_id=cluster.id))
    parts.ask(attempt_id)
    parts.clock.advance(601)
    parts.manager.round()
    assert parts.state(cluster) is _S.RUNNING
    parts.finish_run(attempt_id)
    parts.manager.round()
    parts.clock.advance(599)
    parts.manager.round()
    assert parts.state(cluster) is _S.RUNNING
    parts.clock.advance(2)
    parts.manager.round()
    ended = parts.get(cluster)
    assert (ended.state, ended.cause) == (_S.TERMINATED, ClusterCause.INACTIVITY)


def test_logs_are_delivered_now_and_then_and_at_the_end(parts: ClusterParts) -> None:
    cluster = parts.create(workers=1, log_destination="/logs/")
    driver = parts.bring_up(cluster)
    place = f"/logs/{cluster.id}/driver/stdout"
    parts.manager.round()
    assert parts.files.held == {}
    parts.clock.advance(301)
    parts.manager.round()
    assert parts.files.held == {place: b"driver 1\n"}
    driver.log = b"the end\n"
    parts.clusters.terminate(parts.user, cluster.id)
    parts.manager.round()
    assert parts.files.held == {place: b"the end\n"}


def test_a_killed_server_finds_its_drivers_again(parts: ClusterParts) -> None:
    pending, running, ending = (parts.create(workers=1) for _ in range(3))
    for each in (running, ending):
        parts.bring_up(each)
    parts.clusters.terminate(parts.user, ending.id)
    drivers = [parts.driver(each) for each in (pending, running, ending)]
    parts.restart_server()
    parts.manager.round()
    assert [parts.driver(each) for each in (pending, running, ending)] == drivers
    assert drivers[2].removed
    assert parts.state(ending) is _S.TERMINATED
    drivers[0].come_up()
    parts.manager.round()
    assert (parts.state(pending), parts.state(running)) == (_S.RUNNING, _S.RUNNING)
    assert len(parts.launcher.drivers) == 3


def test_drivers_that_died_with_the_server_are_replaced(parts: ClusterParts) -> None:
    cluster = parts.create(workers=1)
    parts.bring_up(cluster)
    attempt_id = parts.run(compute=Compute(cluster_id=cluster.id))
    parts.ask(attempt_id)
    parts.restart_server(ScriptedLauncher())
    parts.manager.round()
    assert parts.state(cluster) is _S.RESTARTING
    assert parts.ask(attempt_id).cause == "driver_lost"


def test_a_start_that_was_not_written_down_is_made_again(parts: ClusterParts) -> None:
    cluster = parts.create(workers=1)
    parts.manager.round()
    lost = parts.driver(cluster)
    unknown = {"driver_pid": None, "driver_started": None, "driver_folder": None}
    with parts.database.write() as connection:
        update_cluster(connection, cluster.id, unknown)
    parts.restart_server()
    driver = parts.bring_up(cluster)
    assert lost.removed
    assert driver is not lost
    assert parts.get(cluster).generation == 2
    assert parts.state(cluster) is _S.RUNNING


def test_job_clusters_of_runs_that_are_over_end(parts: ClusterParts) -> None:
    attempt_id = parts.run(compute=Compute(new_cluster=ClusterSpec(workers=1)))
    cluster = parts.ask(attempt_id).cluster
    assert cluster is not None
    assert cluster.source is ClusterSource.JOB
    driver = parts.bring_up(cluster)
    assert parts.ask(attempt_id).state is UseState.READY
    parts.finish_run(attempt_id)  # its runner could not give back what it had
    parts.manager.round()
    parts.manager.round()
    ended = parts.get(cluster)
    assert (ended.state, ended.cause) == (_S.TERMINATED, ClusterCause.JOB_FINISHED)
    assert driver.removed
    assert parts.clusters.list(parts.admin) == []


def test_a_server_that_is_not_the_one_here_leaves_drivers_alone(parts: ClusterParts) -> None:
    cluster = parts.create(workers=1)
    parts.launcher.mine = False
    parts.manager.round()
    assert parts.launcher.drivers == {}
    parts.launcher.mine = True
    driver = parts.bring_up(cluster)
    assert parts.get(cluster).driver is not None
    parts.restart_server()
    parts.launcher.mine = False
    parts.manager.round()
    assert parts.manager.driver_of(parts.get(cluster)) is driver


def test_clusters_belong_to_their_host_until_it_is_lost(parts: ClusterParts) -> None:
    cluster = parts.create(workers=1)
    parts.bring_up(cluster)
    parts.create(workers=1)
    parts.restart_server(ScriptedLauncher(host="there"))
    parts.manager.round()
    assert parts.state(cluster) is _S.RUNNING
    parts.clock.advance(130)
    parts.manager.round()
    lost = parts.get(cluster)
    assert (lost.state, lost.cause) == (_S.ERROR, ClusterCause.HOST_LOST)


def test_what_happened_long_ago_is_dropped(parts: ClusterParts) -> None:
    cluster = parts.create()
    parts.clock.advance(31 * 86400)
    parts.clusters.pin(parts.user, cluster.id)
    parts.manager.round()
    assert parts.happened(cluster) == [_E.PINNED]


def test_warm_drivers_are_kept_by_setting(parts: ClusterParts) -> None:
    parts.manager.round()
    assert parts.launcher.warm == parts.settings.spark_warm_drivers == 0


def test_a_remote_spark_needs_no_driver(parts: ClusterParts) -> None:
    cluster = parts.create(master="sc://elsewhere:15002")
    parts.clusters.grant(parts.user, cluster.id, parts.stranger.id, ClusterRight.ATTACH)
    parts.manager.round()
    assert parts.state(cluster) is _S.RUNNING
    answer = parts.ask(parts.run(parts.stranger, Compute(cluster_id=cluster.id)))
    assert answer.spark is not None
    assert answer.spark["remote"] == "sc://elsewhere:15002"
    assert parts.launcher.drivers == {}
    parts.clusters.terminate(parts.user, cluster.id)
    parts.manager.round()
    assert parts.state(cluster) is _S.TERMINATED
