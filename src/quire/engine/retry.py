"""Whether and when an attempt is followed by another."""

from __future__ import annotations

from datetime import datetime, timedelta

from quire.engine.models import Attempt, JobDefinition
from quire.engine.states import Cause, Outcome, State

__all__ = ["retry_at"]

_RETRYABLE = frozenset({Outcome.FAILED, Outcome.INTERNAL_ERROR, Outcome.ABANDONED})


def retry_at(definition: JobDefinition, attempt: Attempt) -> datetime | None:
    """When the next attempt may start, or None when there is none.

    ``attempt`` has just ended. The interval counts from its start; an attempt that never started
    counts from its creation.
    """
    if attempt.state is not State.TERMINATED or attempt.ended_at is None:
        return None
    if attempt.cancel_requested_at is not None or attempt.cause is Cause.UNSUPPORTED:
        return None
    retryable = attempt.outcome in _RETRYABLE or (
        attempt.outcome is Outcome.TIMED_OUT and definition.retry_on_timeout
    )
    if not retryable:
        return None
    if 0 <= definition.max_retries <= attempt.number:
        return None
    begun_at = attempt.started_at or attempt.claimed_at or attempt.created_at
    earliest = begun_at + timedelta(seconds=definition.min_retry_interval_seconds)
    return max(attempt.ended_at, earliest)
