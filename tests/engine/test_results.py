"""What a run shows of its notebook, from before it began."""

from __future__ import annotations

import json

import pytest

from quire.engine.models import RunRequest
from quire.engine.results import empty_notebook
from quire.errors import NotFound
from tests.engine.parts import ACCEPTED, STARTED, Parts, definition

_KEY = "runs/0/1/1/snapshot.ipynb"


def test_a_claimed_run_whose_notebook_is_not_pinned_yet_shows_an_empty_one(parts: Parts) -> None:
    attempt_id = parts.runs.submit(parts.admin, RunRequest(definition=definition())).attempt.id
    assert parts.results.notebook(parts.view(attempt_id)) == empty_notebook()
    parts.claim(attempt_id, snapshot_key=_KEY)
    assert parts.results.notebook(parts.view(attempt_id)) == empty_notebook()
    assert parts.results.progress(parts.view(attempt_id)).notebook == empty_notebook()
    pinned = {**empty_notebook(), "metadata": {"a": 1}}
    parts.blobs.put(_KEY, json.dumps(pinned).encode())
    assert parts.results.notebook(parts.view(attempt_id)) == pinned


def test_a_run_that_was_cancelled_before_its_notebook_was_pinned_shows_an_empty_one(
    parts: Parts,
) -> None:
    attempt_id = parts.runs.submit(parts.admin, RunRequest(definition=definition())).attempt.id
    parts.claim(attempt_id, snapshot_key=_KEY)
    parts.runs.cancel(parts.admin, attempt_id)
    assert parts.results.notebook(parts.view(attempt_id)) == empty_notebook()


def test_a_notebook_that_was_lost_is_not_shown_as_an_empty_one(parts: Parts) -> None:
    attempt_id = parts.runs.submit(parts.admin, RunRequest(definition=definition())).attempt.id
    parts.claim(attempt_id, snapshot_key=_KEY)
    parts.report(attempt_id, ACCEPTED, STARTED)
    with pytest.raises(NotFound):
        parts.results.notebook(parts.view(attempt_id))
