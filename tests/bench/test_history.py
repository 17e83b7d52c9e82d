from __future__ import annotations

from pathlib import Path

from bench.history import fill

from quire.clock import SystemClock
from quire.engine.states import Outcome, State
from quire.identity.tokens import ensure_administrator
from quire.ids import AttemptId
from quire.store import runs as run_rows
from quire.store.database import Database
from tests.web.conftest import make_view


def test_copies_of_an_ended_run_are_whole(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'quire.db'}")
    database.migrate()
    ensure_administrator(database, SystemClock())
    template = make_view(1)
    with database.write() as connection:
        run_rows.insert_run(connection, template.run, None)
        run_rows.insert_attempt(connection, template.attempt)
    history = fill(tmp_path, 500)
    assert (history.first_id, history.count) == (1, 500)
    with database.read() as connection:
        for number in (1, 250, 500):
            view = run_rows.get_view(connection, AttemptId(number))
            assert view is not None
            assert view.run.id == view.run.attempt_id == view.attempt.id == number
            assert view.attempt.state is State.TERMINATED
            assert view.attempt.outcome is Outcome.SUCCESS
            assert view.run.definition == template.run.definition
        assert run_rows.get_view(connection, AttemptId(501)) is None
        assert run_rows.count_active(connection) == 0
    database.close()
