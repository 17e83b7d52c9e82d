from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from quire.engine.models import Attempt, JobDefinition, NotebookTask
from quire.engine.retry import retry_at
from quire.engine.states import Cause, Outcome, State
from tests.engine.records import make_attempt

_START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_END = _START + timedelta(seconds=10)


def _definition(**rules: Any) -> JobDefinition:
    return JobDefinition(task=NotebookTask(path="/a"), **rules)


def _attempt(outcome: Outcome, **columns: Any) -> Attempt:
    times = {"claimed_at": _START, "started_at": _START, "finished_at": _END, "ended_at": _END}
    return make_attempt(**{"outcome": outcome, "cause": Cause.CELL_ERROR, **times, **columns})


@pytest.mark.parametrize(
    ("outcome", "on_timeout", "expected"),
    [
        (Outcome.SUCCESS, False, None),
        (Outcome.FAILED, False, _END),
        (Outcome.INTERNAL_ERROR, False, _END),
        (Outcome.ABANDONED, False, _END),
        (Outcome.CANCELLED, False, None),
        (Outcome.TIMED_OUT, False, None),
        (Outcome.TIMED_OUT, True, _END),
    ],
)
def test_which_outcomes_are_retried(
    outcome: Outcome, on_timeout: bool, expected: datetime | None
) -> None:
    definition = _definition(max_retries=1, retry_on_timeout=on_timeout)
    assert retry_at(definition, _attempt(outcome)) == expected


@pytest.mark.parametrize(
    ("max_retries", "number", "again"),
    [(0, 0, False), (1, 0, True), (1, 1, False), (3, 2, True), (3, 3, False), (-1, 1000, True)],
)
def test_how_often(max_retries: int, number: int, again: bool) -> None:
    definition = _definition(max_retries=max_retries)
    attempt = _attempt(Outcome.FAILED, number=number)
    assert (retry_at(definition, attempt) is not None) == again


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        (0.0, _END),
        (4.0, _END),  # over already when the attempt ended
        (60.0, _START + timedelta(seconds=60)),  # counts from the start, not from the end
    ],
)
def test_the_interval_counts_from_the_start_of_the_failed_attempt(
    interval: float, expected: datetime
) -> None:
    definition = _definition(max_retries=1, min_retry_interval_seconds=interval)
    assert retry_at(definition, _attempt(Outcome.FAILED)) == expected


def test_a_cancelled_attempt_is_not_retried_however_it_ended() -> None:
    attempt = _attempt(Outcome.FAILED, cancel_requested_at=_END)
    assert retry_at(_definition(max_retries=-1), attempt) is None


def test_what_the_server_does_not_run_is_not_tried_again() -> None:
    attempt = _attempt(Outcome.INTERNAL_ERROR, cause=Cause.UNSUPPORTED)
    assert retry_at(_definition(max_retries=-1), attempt) is None


def test_skipped_runs_are_not_retried() -> None:
    attempt = _attempt(Outcome.FAILED, state=State.SKIPPED)
    assert retry_at(_definition(max_retries=-1), attempt) is None
