"""Our states as the vendor's: a pure table (contract 3)."""

from __future__ import annotations

from typing import Any

from quire.engine.models import Overlap
from quire.engine.states import Cause, Outcome, State

__all__ = ["PROGRAM_ERROR", "describe_state", "life_cycle_state", "result_state"]

PROGRAM_ERROR = "Workload failed, see run output for details"

_LIFE_CYCLE = {
    State.BLOCKED: "BLOCKED",
    State.PENDING: "PENDING",
    State.RUNNING: "RUNNING",
    State.TERMINATING: "TERMINATING",
    State.SKIPPED: "SKIPPED",
}
_RESULT = {
    Outcome.SUCCESS: "SUCCESS",
    Outcome.FAILED: "FAILED",
    Outcome.TIMED_OUT: "TIMEDOUT",
    Outcome.CANCELLED: "CANCELED",
    Outcome.INTERNAL_ERROR: "FAILED",
    Outcome.ABANDONED: "FAILED",
}
_PROGRAM_ERRORS = frozenset({Cause.CELL_ERROR, Cause.PROGRAM_FAILED})
_NOT_THE_WORKLOAD = frozenset({Outcome.INTERNAL_ERROR, Outcome.ABANDONED})


def life_cycle_state(
    state: State, outcome: Outcome | None, cause: Cause | None, overlap: Overlap
) -> str:
    """The run's ``life_cycle_state``.

    QUEUED is shown only to those who asked for queueing and really have to wait: clients of jobs
    without it fail on that state (contract 3.5).
    """
    if state is State.QUEUED:
        waits = overlap is Overlap.QUEUE and cause is Cause.AWAITING_SLOT
        return "QUEUED" if waits else "PENDING"
    if state is State.TERMINATED:
        return "INTERNAL_ERROR" if outcome in _NOT_THE_WORKLOAD else "TERMINATED"
    return _LIFE_CYCLE[state]


def result_state(state: State, outcome: Outcome | None) -> str | None:
    """The run's ``result_state``, None where the vendor leaves it out."""
    if outcome is None or state not in (State.TERMINATING, State.TERMINATED):
        return None
    return _RESULT[outcome]


def describe_state(
    state: State,
    outcome: Outcome | None,
    cause: Cause | None,
    message: str,
    *,
    overlap: Overlap = Overlap.SKIP,
    notices: tuple[str, ...] = (),
) -> dict[str, Any]:
    """The RunState object of contract 2.5."""
    result = result_state(state, outcome)
    said = PROGRAM_ERROR if result is not None and cause in _PROGRAM_ERRORS else message
    described: dict[str, Any] = {
        "life_cycle_state": life_cycle_state(state, outcome, cause, overlap)
    }
    if result is not None:
        described["result_state"] = result
    if said and notices and said[-1] not in ".!?":
        said += "."
    described["state_message"] = " ".join(each for each in (said, *notices) if each)
    described["user_cancelled_or_timedout"] = outcome in (Outcome.CANCELLED, Outcome.TIMED_OUT)
    return described
