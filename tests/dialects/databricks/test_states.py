"""The table of states, row by row (contract 3)."""

from __future__ import annotations

import pytest

from quire.dialects.databricks.states import describe_state, life_cycle_state, result_state
from quire.engine.models import Overlap
from quire.engine.states import Cause, Outcome, State

ROWS = [
    # state, outcome -> life cycle, result
    (State.BLOCKED, None, "BLOCKED", None),
    (State.QUEUED, None, "PENDING", None),
    (State.PENDING, None, "PENDING", None),
    (State.RUNNING, None, "RUNNING", None),
    (State.TERMINATING, Outcome.SUCCESS, "TERMINATING", "SUCCESS"),
    (State.TERMINATING, Outcome.FAILED, "TERMINATING", "FAILED"),
    (State.TERMINATING, Outcome.TIMED_OUT, "TERMINATING", "TIMEDOUT"),
    (State.TERMINATING, Outcome.CANCELLED, "TERMINATING", "CANCELED"),
    (State.TERMINATING, Outcome.INTERNAL_ERROR, "TERMINATING", "FAILED"),
    (State.TERMINATING, Outcome.ABANDONED, "TERMINATING", "FAILED"),
    (State.TERMINATED, Outcome.SUCCESS, "TERMINATED", "SUCCESS"),
    (State.TERMINATED, Outcome.FAILED, "TERMINATED", "FAILED"),
    (State.TERMINATED, Outcome.TIMED_OUT, "TERMINATED", "TIMEDOUT"),
    (State.TERMINATED, Outcome.CANCELLED, "TERMINATED", "CANCELED"),
    # A client that waits for a result would wait for ever without one here.
    (State.TERMINATED, Outcome.INTERNAL_ERROR, "INTERNAL_ERROR", "FAILED"),
    (State.TERMINATED, Outcome.ABANDONED, "INTERNAL_ERROR", "FAILED"),
    # 2.0 has no result for a skipped run.
    (State.SKIPPED, None, "SKIPPED", None),
]


@pytest.mark.parametrize(("state", "outcome", "life_cycle", "result"), ROWS)
def test_row(state: State, outcome: Outcome | None, life_cycle: str, result: str | None) -> None:
    assert life_cycle_state(state, outcome, None, Overlap.SKIP) == life_cycle
    assert result_state(state, outcome) == result


def test_every_state_and_every_outcome_has_a_row() -> None:
    assert {row[0] for row in ROWS} == set(State)
    assert {row[1] for row in ROWS} == {None, *Outcome}


@pytest.mark.parametrize(
    ("overlap", "cause", "shown"),
    [
        (Overlap.SKIP, Cause.AWAITING_SLOT, "PENDING"),  # did not ask for queueing
        (Overlap.QUEUE, Cause.AWAITING_SLOT, "QUEUED"),
        (Overlap.QUEUE, None, "PENDING"),  # can start: must not pass through QUEUED
        (Overlap.QUEUE, Cause.AWAITING_RETRY, "PENDING"),  # a retry is a new run here
    ],
)
def test_queued_is_shown_only_to_who_asked_and_waits(
    overlap: Overlap, cause: Cause | None, shown: str
) -> None:
    assert life_cycle_state(State.QUEUED, None, cause, overlap) == shown


@pytest.mark.parametrize(
    ("outcome", "flag"),
    [
        (None, False),
        (Outcome.SUCCESS, False),
        (Outcome.FAILED, False),
        (Outcome.CANCELLED, True),
        (Outcome.TIMED_OUT, True),
    ],
)
def test_user_cancelled_or_timedout(outcome: Outcome | None, flag: bool) -> None:
    state = State.TERMINATED if outcome else State.RUNNING
    described = describe_state(state, outcome, None, "")
    assert described["user_cancelled_or_timedout"] is flag


class TestMessage:
    def test_is_empty_when_there_is_nothing_to_say(self) -> None:
        described = describe_state(State.TERMINATED, Outcome.SUCCESS, Cause.COMPLETED, "")
        assert described["state_message"] == ""

    def test_of_a_raising_notebook_is_the_vendors(self) -> None:
        described = describe_state(
            State.TERMINATED, Outcome.FAILED, Cause.CELL_ERROR, "cell 3 raised"
        )
        assert described["state_message"] == "Workload failed, see run output for details"

    def test_of_a_dead_kernel_names_the_cause(self) -> None:
        described = describe_state(
            State.TERMINATED, Outcome.FAILED, Cause.KERNEL_DIED, "killed by signal 9"
        )
        assert described["state_message"] == "killed by signal 9"

    def test_carries_the_notices(self) -> None:
        described = describe_state(State.RUNNING, None, None, "In run", notices=("No workers.",))
        assert described["state_message"] == "In run. No workers."
