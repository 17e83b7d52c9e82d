from __future__ import annotations

import pytest
from sqlalchemy import func, select

from quire.engine.models import RunRequest
from quire.engine.retention import Retention
from quire.errors import NotFound
from quire.ids import AttemptId
from quire.store.journal import run_prefix
from quire.store.tables import attempts, events, journal_chunks, runs
from tests.engine.parts import Parts, definition

_DAY = 24 * 3600


@pytest.fixture
def retention(parts: Parts) -> Retention:
    return Retention(parts.database, parts.blobs, parts.clock, parts.settings)


def _ended_run(parts: Parts, **fields: str) -> AttemptId:
    made = parts.runs.submit(parts.user, RunRequest(definition=definition(), **fields))  # type: ignore[arg-type]
    parts.start(made.attempt.id)
    parts.finish(made.attempt.id)
    return made.attempt.id


def test_runs_go_with_everything_of_theirs(parts: Parts, retention: Retention) -> None:
    old = _ended_run(parts)
    parts.clock.advance(parts.settings.retention_days * _DAY)
    recent = _ended_run(parts)
    parts.clock.advance(1)
    assert retention.remove_old() == 1
    with pytest.raises(NotFound):
        parts.view(old)
    assert parts.view(recent)
    assert parts.blobs.list(run_prefix(parts.view(recent).run.id)) != []
    with parts.database.read() as connection:
        for table, column in (
            (runs, runs.c.id),
            (attempts, attempts.c.run_id),
            (events, events.c.run_id),
            (journal_chunks, journal_chunks.c.attempt_id),
        ):
            left = select(func.count()).select_from(table).where(column == old)
            assert connection.execute(left).scalar_one() == 0
    assert retention.remove_old() == 0


def test_active_runs_stay_however_old(parts: Parts, retention: Retention) -> None:
    made = parts.runs.submit(parts.user, RunRequest(definition=definition()))
    parts.clock.advance(1000 * _DAY)
    assert retention.remove_old() == 0
    assert parts.view(made.attempt.id).run.active


def test_a_token_may_be_used_again_once_its_run_is_gone(parts: Parts, retention: Retention) -> None:
    first = _ended_run(parts, idempotency_token="t")
    parts.clock.advance(parts.settings.retention_days * _DAY + 1)
    retention.remove_old()
    assert _ended_run(parts, idempotency_token="t") != first


def test_more_runs_than_one_batch(parts: Parts, retention: Retention) -> None:
    for _ in range(205):
        made = parts.runs.submit(parts.user, RunRequest(definition=definition()))
        parts.runs.cancel(parts.user, made.attempt.id)
    parts.clock.advance(parts.settings.retention_days * _DAY + 1)
    assert retention.remove_old() == 205
