from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from quire.clock import ManualClock
from quire.engine.models import NotificationEvent, RunRequest
from quire.engine.recovery import Recovery
from quire.engine.states import Cause, Outcome, State
from quire.ids import AttemptId
from quire.placement.base import Departure, Reservation, RunnerIdentity
from quire.runner.protocol import EventType
from quire.store.blobs import BlobStore
from quire.store.database import Database
from tests.engine.parts import ACCEPTED, STARTED, Parts, definition


class Watch:
    """A placement that only remembers what it was asked for."""

    def __init__(self) -> None:
        self.alive: set[int] = set()
        self.adopted: list[int] = []
        self.killed: list[int] = []

    def start(
        self, on_departure: Callable[[Departure], None], on_session: Callable[[], None]
    ) -> None: ...

    def close(self) -> None: ...

    def reserve(self, timeout_seconds: float) -> Reservation | None:
        return None

    def reserve_session(self, session: str) -> Reservation | None:
        return None

    def sessions(self) -> Mapping[str, float | None]:
        return {}

    def end_session(self, session: str) -> None: ...

    def has_room(self) -> bool:
        return True

    def adopt(self, identity: RunnerIdentity) -> bool:
        self.adopted.append(identity.pid)
        return identity.pid in self.alive

    def nudge(self, identity: RunnerIdentity) -> None: ...

    def kill(self, identity: RunnerIdentity) -> None:
        self.killed.append(identity.pid)


class World(Parts):
    def __init__(
        self, database: Database, blobs: BlobStore, clock: ManualClock, folder: Path
    ) -> None:
        super().__init__(database, blobs, clock, data_dir=folder)
        self.watch = Watch()
        self.recovery = Recovery(
            database,
            clock,
            self.transitions,
            self.reports,
            self.watch,
            self.settings,
            host="here",
        )

    def submit(self, **rules: Any) -> AttemptId:
        request = RunRequest(definition=definition(**rules))
        return self.runs.submit(self.user, request).attempt.id

    def depart(self, pid: int = 1000, cause: str = "killed by SIGKILL") -> None:
        self.recovery.settle(Departure(RunnerIdentity("here", pid, "1"), cause))

    def spool(self, attempt_id: AttemptId, *events: dict[str, Any]) -> None:
        """What a runner wrote and did not deliver."""
        folder = self.settings.spool_dir / str(attempt_id)
        folder.mkdir(parents=True)
        lines = [
            json.dumps({"at": self.clock.now().isoformat(), **event, "sequence": number})
            for number, event in enumerate(events, start=1)
        ]
        (folder / "events.jsonl").write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture
def world(database: Database, blobs: BlobStore, clock: ManualClock, tmp_path: Path) -> World:
    return World(database, blobs, clock, tmp_path)


def test_a_runner_that_dies_at_work_ends_its_run(world: World) -> None:
    attempt_id = world.submit()
    world.start(attempt_id)
    world.report(attempt_id, {"type": EventType.CELL_STARTED, "index": 2})
    world.depart()
    attempt = world.view(attempt_id).attempt
    assert (attempt.state, attempt.outcome) == (State.TERMINATED, Outcome.ABANDONED)
    assert attempt.cause is Cause.RUNNER_LOST
    assert attempt.message == "The runner of this run died in cell 3 (killed by SIGKILL)."


def test_a_runner_that_never_began_gives_its_attempt_back(world: World) -> None:
    attempt_id = world.submit()
    world.claim(attempt_id)
    world.depart()
    attempt = world.view(attempt_id).attempt
    assert (attempt.state, attempt.claimed_at) == (State.QUEUED, None)
    world.start(attempt_id)
    world.finish(attempt_id)
    assert world.view(attempt_id).run.outcome is Outcome.SUCCESS


def test_a_runner_that_began_without_telling_is_not_repeated(world: World) -> None:
    attempt_id = world.submit()
    world.claim(attempt_id)
    world.spool(attempt_id, ACCEPTED)
    world.depart()
    assert world.view(attempt_id).attempt.outcome is Outcome.ABANDONED


def test_what_a_dead_runner_left_is_delivered_for_it(world: World) -> None:
    attempt_id = world.submit()
    world.claim(attempt_id)
    world.report(attempt_id, ACCEPTED)
    end = {"type": EventType.FINISHED, "outcome": "success", "cause": "completed"}
    text = {"output_type": "stream", "name": "stdout", "text": "é"}
    output = {"type": EventType.OUTPUT, "index": 0, "output": text}
    world.spool(attempt_id, ACCEPTED, STARTED, output, end)
    world.depart()
    view = world.view(attempt_id)
    assert (view.attempt.state, view.attempt.outcome) == (State.TERMINATED, Outcome.SUCCESS)
    assert world.results.log(view) == "é"
    assert not (world.settings.spool_dir / str(attempt_id)).exists()


def test_a_line_that_was_cut_off_is_left_out(world: World) -> None:
    attempt_id = world.submit()
    world.claim(attempt_id)
    world.spool(attempt_id, ACCEPTED, STARTED)
    path = world.settings.spool_dir / str(attempt_id) / "events.jsonl"
    path.write_bytes(path.read_bytes() + b'{"sequence": 3, "ty')
    world.depart()
    assert world.view(attempt_id).attempt.applied_sequence == 2


def test_a_runner_that_left_after_its_work_changes_nothing(world: World) -> None:
    attempt_id = world.submit()
    world.start(attempt_id)
    world.finish(attempt_id)
    before = world.view(attempt_id)
    world.depart()
    assert world.view(attempt_id) == before


def test_an_abandoned_run_is_retried_when_its_policy_says_so(world: World) -> None:
    attempt_id = world.submit(max_retries=1)
    world.start(attempt_id)
    world.depart()
    view = world.view(attempt_id)
    assert view.attempt.outcome is Outcome.ABANDONED
    assert view.run.state is State.QUEUED
    assert view.run.attempt_id != attempt_id


def test_a_cancelled_run_whose_runner_dies_is_cancelled(world: World) -> None:
    attempt_id = world.submit(max_retries=5)
    world.start(attempt_id)
    world.runs.cancel(world.user, attempt_id)
    world.depart()
    view = world.view(attempt_id)
    assert (view.run.state, view.run.outcome) == (State.TERMINATED, Outcome.CANCELLED)


def test_a_cancelled_attempt_that_never_began_does_not_come_back(world: World) -> None:
    attempt_id = world.submit()
    world.claim(attempt_id)
    world.runs.cancel(world.user, attempt_id)
    world.depart()
    assert world.view(attempt_id).run.outcome is Outcome.CANCELLED


def test_runners_at_work_are_adopted_and_the_missing_settled(world: World) -> None:
    here, gone = world.submit(), world.submit()
    world.claim(here, pid=1)
    world.claim(gone, pid=2)
    world.watch.alive = {1}
    world.recovery.adopt()
    assert sorted(world.watch.adopted) == [1, 2]
    world.recovery.loop.start()
    world.recovery.loop.close()
    assert world.view(here).attempt.state is State.PENDING
    assert world.view(gone).attempt.state is State.QUEUED


def test_a_silent_runner_loses_its_lease(world: World) -> None:
    attempt_id = world.submit()
    world.start(attempt_id)
    world.recovery.adopt()
    world.clock.advance(world.settings.lease_seconds - 1)
    world.recovery.sweep()
    assert world.view(attempt_id).run.active
    world.clock.advance(2)
    world.recovery.sweep()
    attempt = world.view(attempt_id).attempt
    assert (attempt.outcome, attempt.cause) == (Outcome.ABANDONED, Cause.LEASE_EXPIRED)
    assert attempt.message == "Nothing was heard of the runner of this run for 30 seconds."
    assert world.watch.killed == [1000]


def test_leases_do_not_run_while_no_server_was_there(world: World) -> None:
    attempt_id = world.submit()
    world.start(attempt_id)
    world.clock.advance(10_000)
    world.recovery.adopt()
    world.recovery.sweep()
    assert world.view(attempt_id).run.active
    world.report(attempt_id)
    world.clock.advance(world.settings.lease_seconds - 1)
    world.recovery.sweep()
    assert world.view(attempt_id).run.active


def test_a_runner_that_ignores_its_cancel_request_is_killed(world: World) -> None:
    attempt_id = world.submit()
    world.start(attempt_id)
    world.runs.cancel(world.user, attempt_id)
    world.clock.advance(5)
    world.recovery.sweep()
    assert world.watch.killed == []
    world.clock.advance(10)
    world.recovery.sweep()
    assert world.watch.killed == [1000]
    assert world.view(attempt_id).run.outcome is Outcome.CANCELLED


def test_a_runner_that_ignores_its_timeout_is_killed(world: World) -> None:
    attempt_id = world.submit(timeout_seconds=60.0)
    world.start(attempt_id)
    for _ in range(7):
        world.clock.advance(10)
        world.report(attempt_id)
    world.recovery.sweep()
    assert world.view(attempt_id).run.active
    world.clock.advance(5)
    world.recovery.sweep()
    attempt = world.view(attempt_id).attempt
    assert (attempt.outcome, attempt.cause) == (Outcome.TIMED_OUT, Cause.TIMEOUT)


def test_a_long_run_is_told_of_once(world: World) -> None:
    from quire.engine.models import NotificationPolicy, NotificationTarget, TargetKind

    warning = NotificationEvent.DURATION_WARNING
    policy = NotificationPolicy(
        targets={warning: (NotificationTarget(TargetKind.EMAIL, "a@b.c"),)},
        duration_warning_seconds=15.0,
    )
    attempt_id = world.submit(notifications=policy)
    world.start(attempt_id)
    world.recovery.sweep()
    world.clock.advance(16)
    world.recovery.sweep()
    world.recovery.sweep()
    warned = [event for event, *_ in world.told.events if event is warning]
    assert warned == [warning]
