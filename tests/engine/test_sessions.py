"""Runs in a notebook's own kernel: their order, whose kernel it is, what they leave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from quire.clock import ManualClock
from quire.engine.dispatcher import Dispatcher, DispatcherParts
from quire.engine.models import Isolation, JobDefinition, NotebookTask, RunRequest
from quire.engine.pins import Pinner
from quire.engine.runs import RunFilter
from quire.engine.session_keeping import SessionKeeper
from quire.engine.sessions import SessionState, SessionStatus
from quire.engine.states import Cause, Outcome, State
from quire.errors import InvalidValue, NotFound, PermissionDenied
from quire.identity.permissions import Right
from quire.identity.run_tokens import RunTokens
from quire.ids import AttemptId
from quire.runner.processes import start_time
from quire.runner.protocol import Assignment
from quire.store import runs as run_rows
from quire.store import sessions as session_rows
from quire.store.blobs import BlobStore
from quire.store.database import Database
from quire.workspace.attachments import Attachments
from quire.workspace.files import FileStore
from quire.workspace.formats.document import code_cell, markdown_cell, new_notebook
from quire.workspace.locations import Locations
from tests.compute.parts import ClusterParts
from tests.engine.parts import ACCEPTED, STARTED, TERMINATED
from tests.engine.pool import Pool

NOTEBOOK = "/Users/root@example.com/n"  # the administrator's; the user may edit it
ISOLATED = JobDefinition(task=NotebookTask(path=NOTEBOOK))


class World(ClusterParts):
    def __init__(
        self, database: Database, blobs: BlobStore, clock: ManualClock, folder: Path
    ) -> None:
        super().__init__(database, blobs, clock)
        self.folder = folder
        self.node = self.workspace.import_notebook(
            self.admin,
            NOTEBOOK,
            new_notebook(
                "python",
                "plain",
                [
                    code_cell("x = 1", id="a"),
                    code_cell("print(x)", id="b"),
                    markdown_cell("# Text", id="text"),
                ],
            ),
        )
        self.workspace.share(self.admin, NOTEBOOK, self.user, Right.EDITOR)
        self.workspace.share(self.admin, NOTEBOOK, self.stranger, Right.VIEWER)
        self.key = str(self.node.id)
        self.dispatcher = self.make(self.pool, self.keeper)

    def make(self, pool: Pool, keeper: SessionKeeper, slots: int = 4) -> Dispatcher:
        """A dispatcher of a server."""
        parts = DispatcherParts(
            database=self.database,
            blobs=self.blobs,
            pinner=Pinner(self.workspace, Locations(self.workspace, FileStore(self.folder))),
            attachments=Attachments(
                self.database, self.blobs, self.clock, self.workspace, limit_bytes=1
            ),
            principals=self.principals,
            placement=pool,
            compute=self.run_compute,
            sessions=keeper,
            transitions=self.transitions,
            run_tokens=RunTokens(b"0123456789abcdef"),
            metrics=self.metrics,
            clock=self.clock,
            settings=self.settings,
        )
        return Dispatcher(
            parts,
            host="here",
            slots=slots,
            server_url=lambda: "http://127.0.0.1:1",
            resolvers={},
        )

    def run(self, *cells: str, **given: Any) -> AttemptId:
        return self.sessions.run(self.user, NOTEBOOK, cells=cells or None, **given).attempt.id

    def dispatch(self) -> list[int]:
        """Dispatch all that can be; the attempts that were handed over."""
        before = len(self.pool.assigned)
        while self.dispatcher.dispatch_one():
            pass
        return [each.attempt_id for each in self.pool.assigned[before:]]

    def given(self, attempt_id: AttemptId) -> Assignment:
        (found,) = (each for each in self.pool.assigned if each.attempt_id == attempt_id)
        return found

    def begin(self, attempt_id: AttemptId, *events: dict[str, Any]) -> None:
        self.report(attempt_id, ACCEPTED, STARTED, *events)

    def end(self, attempt_id: AttemptId) -> None:
        """End a run whose kernel is kept."""
        if self.view(attempt_id).attempt.state is State.PENDING:
            self.begin(attempt_id)
        self.pool.idle[self.key] = 0.0
        self.finish(attempt_id)

    def runner(self, attempt_id: AttemptId) -> int:
        with self.database.read() as connection:
            row = run_rows.get_runner(connection, attempt_id)
        assert row is not None
        return row.pid

    def status(self) -> SessionStatus:
        return self.sessions.status(self.stranger, NOTEBOOK)

    def stored(self, cell_id: str) -> dict[str, Any]:
        _, notebook = self.workspace.read_notebook(self.admin, NOTEBOOK)
        (cell,) = (each for each in notebook["cells"] if each["id"] == cell_id)
        return cell


def _shows(index: int, text: str, count: int = 1) -> list[dict[str, Any]]:
    """What a runner reports of a cell."""
    output = {"output_type": "stream", "name": "stdout", "text": text}
    return [
        {"type": "cell_started", "index": index},
        {"type": "output", "index": index, "output": output},
        {"type": "cell_finished", "index": index, "status": "ok", "execution_count": count},
    ]


@pytest.fixture
def world(database: Database, blobs: BlobStore, clock: ManualClock, tmp_path: Path) -> World:
    return World(database, blobs, clock, tmp_path / "files")


# -- order ---------------------------------------------------------------------------------------


def test_runs_of_one_notebook_follow_one_another_in_one_kernel(world: World) -> None:
    first, second, third = (world.run() for _ in range(3))
    assert world.dispatch() == [first]
    runner = world.runner(first)
    world.end(first)
    assert world.dispatch() == [second]
    assert world.runner(second) == runner
    world.end(second)
    assert world.dispatch() == [third]
    assert world.runner(third) == runner


def test_a_run_waits_until_the_kernel_is_free(world: World) -> None:
    first, second = world.run(), world.run()
    world.dispatch()
    world.begin(first)
    world.finish(first)  # its runner has not said yet that it is ready
    assert world.dispatch() == []
    world.pool.idle[world.key] = 0.0
    assert world.dispatch() == [second]


def test_others_do_not_wait_for_a_busy_session(world: World) -> None:
    world.run()
    behind = [world.run() for _ in range(60)]  # more than a round of the dispatcher looks at
    isolated = world.runs.submit(world.user, RunRequest(definition=ISOLATED)).attempt.id
    handed = world.dispatch()
    assert isolated in handed
    assert not set(behind) & set(handed)


def test_isolated_runs_overlap_and_have_runners_of_their_own(world: World) -> None:
    ids = [world.runs.submit(world.user, RunRequest(definition=ISOLATED)) for _ in range(2)]
    session = world.run()
    assert world.dispatch() == [*(each.attempt.id for each in ids), session]
    assert [each.session for each in world.pool.assigned] == ["", "", world.key]


def test_a_retry_does_not_hold_up_the_session_while_it_waits(world: World) -> None:
    task = NotebookTask(path=NOTEBOOK)
    retried = JobDefinition(
        task=task, isolation=Isolation.IN_PLACE, max_retries=1, min_retry_interval_seconds=60
    )
    first = world.runs.submit(world.user, RunRequest(definition=retried)).attempt.id
    world.dispatch()
    world.begin(first)
    world.pool.idle[world.key] = 0.0
    world.finish(first, "failed")
    second = world.run()
    assert world.dispatch() == [second]
    world.end(second)
    world.clock.advance(60)
    (retry,) = world.dispatch()
    assert world.view(AttemptId(retry)).run.id == first


def test_an_idle_session_takes_no_slot(world: World) -> None:
    world.dispatcher = world.make(world.pool, world.keeper, slots=1)
    first = world.run()
    world.dispatch()
    world.end(first)
    isolated = world.runs.submit(world.user, RunRequest(definition=ISOLATED)).attempt.id
    assert world.dispatch() == [isolated]
    second = world.run()
    assert world.dispatch() == []
    world.begin(isolated)
    world.finish(isolated)
    assert world.dispatch() == [second]


def test_a_runner_that_is_gone_is_replaced(world: World) -> None:
    first = world.run()
    world.dispatch()
    world.end(first)
    second = world.run()
    world.pool.broken = True
    assert world.dispatcher.dispatch_one()
    assert world.view(second).attempt.state is State.QUEUED
    world.pool.broken = False
    assert world.dispatch() == [second]
    assert world.runner(second) != 1


# -- several servers -----------------------------------------------------------------------------


def _other(world: World, holder: str = "elsewhere:1:1:x") -> tuple[Pool, Dispatcher, SessionKeeper]:
    pool = Pool()
    keeper = SessionKeeper(world.database, pool, world.clock, world.settings, host="elsewhere")
    keeper.holder = holder
    return pool, world.make(pool, keeper, slots=100), keeper


def test_only_the_holder_of_a_session_runs_in_it(world: World) -> None:
    pool, other, keeper = _other(world)
    first, second = world.run(), world.run()
    world.dispatch()
    assert not other.dispatch_one()
    world.end(first)
    assert not other.dispatch_one()
    assert world.dispatch() == [second]
    assert pool.assigned == []
    assert not keeper.is_ready(None)


def test_servers_that_claim_at_once_start_one_run_in_each_session(world: World) -> None:
    paths = [f"/Shared/n{number}" for number in range(12)]
    for path in paths:
        world.workspace.import_notebook(world.user, path, new_notebook("python", "plain", []))
        for _ in range(2):
            world.sessions.start(world.user, path)
    world.dispatcher = world.make(world.pool, world.keeper, slots=100)
    pool, other, _ = _other(world)

    def work(dispatcher: Dispatcher) -> None:
        while dispatcher.dispatch_one():
            pass

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(work, [world.dispatcher, other]))
    work(world.dispatcher)  # the one may have passed over what the other was about to release
    handed = [each.session for each in (*world.pool.assigned, *pool.assigned)]
    assert len(handed) == len(set(handed)) == len(paths)


def test_a_holder_that_is_silent_for_too_long_loses_its_sessions(world: World) -> None:
    pool, other, keeper = _other(world)
    first = world.run()
    world.dispatch()
    world.end(first)
    second = world.run()
    world.clock.advance(world.settings.lease_seconds + 1)
    assert other.dispatch_one()
    assert [each.attempt_id for each in pool.assigned] == [second]
    world.keeper.tidy()
    assert world.pool.ended == [world.key]
    keeper.tidy()
    assert pool.kept


def test_a_holder_that_is_seen_to_be_dead_loses_its_sessions_at_once(world: World) -> None:
    gone = SessionKeeper(
        world.database, world.pool, world.clock, world.settings, host="here"
    ).holder
    host, pid, started, token = gone.rsplit(":", 3)
    assert started == start_time(int(pid))
    gone_keeper_row = f"{host}:{pid}:1:{token}"
    with world.database.write() as connection:
        session_rows.insert_session(
            connection,
            world.node.id,
            gone_keeper_row,
            at=world.clock.now(),
            lease_end=world.clock.now().replace(year=2100),
        )
    assert world.status().state is SessionState.NOT_STARTED
    first = world.run()
    assert world.dispatch() == [first]


def test_a_run_that_outlives_its_server_holds_up_the_next(world: World) -> None:
    first = world.run()
    world.dispatch()
    world.begin(first)
    second = world.run()
    world.keeper.close()
    pool, other, _ = _other(world)
    assert not other.dispatch_one()
    world.finish(first)
    assert other.dispatch_one()
    assert [each.attempt_id for each in pool.assigned] == [second]


def test_a_closed_server_leaves_no_session(world: World) -> None:
    first = world.run()
    world.dispatch()
    world.end(first)
    world.keeper.close()
    with world.database.read() as connection:
        assert session_rows.list_sessions(connection) == []


# -- the end of sessions -------------------------------------------------------------------------


def test_an_idle_session_ends_after_a_time(world: World) -> None:
    first = world.run()
    world.dispatch()
    world.end(first)
    world.pool.idle[world.key] = world.settings.session_idle_seconds - 1
    world.keeper.tidy()
    assert world.status().state is SessionState.READY
    world.pool.idle[world.key] = world.settings.session_idle_seconds
    world.keeper.tidy()
    assert world.pool.ended == [world.key]
    assert world.status().state is SessionState.NOT_STARTED
    with world.database.read() as connection:
        assert session_rows.list_sessions(connection) == []


def test_leases_are_renewed(world: World) -> None:
    first = world.run()
    world.dispatch()
    world.end(first)
    for _ in range(10):
        world.clock.advance(world.settings.lease_seconds / 2)
        world.keeper.tidy()
    assert world.status().state is SessionState.READY
    _, other, keeper = _other(world)
    world.run()
    assert not other.dispatch_one()
    keeper.tidy()
    assert world.pool.kept


def test_where_memory_is_short_the_longest_idle_session_ends(world: World) -> None:
    world.workspace.import_notebook(world.user, "/Shared/m", new_notebook("python", "plain", []))
    first = world.run()
    other = world.sessions.start(world.user, "/Shared/m").attempt.id
    world.dispatch()
    key = world.given(other).session
    for attempt_id in (first, other):
        world.begin(attempt_id)
        world.finish(attempt_id)
    world.pool.idle = {world.key: 5.0, key: 6.0}
    world.pool.room = False
    world.keeper.tidy()
    assert world.pool.ended == [key]
    world.keeper.tidy()
    assert world.pool.ended == [key, world.key]


def test_a_deleted_notebooks_session_ends(world: World) -> None:
    first = world.run()
    world.dispatch()
    world.end(first)
    world.workspace.delete(world.admin, NOTEBOOK)
    world.keeper.tidy()
    assert world.pool.ended == [world.key]


def test_a_run_ends_when_the_content_of_its_notebook_is_lost_meanwhile(world: World) -> None:
    attempt = world.run()
    world.dispatch()
    world.begin(attempt, *_shows(0, "hello"))
    world.blobs.delete([key for key in world.blobs.list("") if key.startswith("notebooks/")])
    world.finish(attempt)
    assert world.view(attempt).attempt.outcome is Outcome.SUCCESS


def test_stop_ends_the_kernel_and_all_runs(world: World) -> None:
    first, second = world.run(), world.run()
    world.dispatch()
    world.begin(first)
    world.sessions.stop(world.user, NOTEBOOK)
    assert world.view(second).attempt.outcome is Outcome.CANCELLED
    assert world.view(first).attempt.cancel_requested_at is not None
    assert world.nudged[-1] == first
    world.pool.idle[world.key] = 0.0
    world.finish(first, "cancelled")
    assert world.status().state is SessionState.NOT_STARTED
    world.keeper.tidy()
    assert world.pool.ended == [world.key]
    world.sessions.stop(world.user, NOTEBOOK)


def test_restart_brings_another_kernel(world: World) -> None:
    first = world.run()
    world.dispatch()
    runner = world.runner(first)
    world.end(first)
    restarted = world.sessions.restart(world.user, NOTEBOOK).attempt.id
    assert world.dispatch() == [restarted]
    assert world.given(restarted).cells == ()
    assert world.runner(restarted) != runner
    assert world.pool.ended == [world.key]
    world.end(restarted)
    assert world.status().state is SessionState.READY


def test_interrupt_leaves_the_kernel(world: World) -> None:
    assert not world.sessions.interrupt(world.user, NOTEBOOK)
    first, second = world.run(), world.run()
    world.dispatch()
    world.begin(first)
    assert world.sessions.interrupt(world.user, NOTEBOOK)
    assert world.report(first).command == "cancel"
    world.pool.idle[world.key] = 0.0
    world.finish(first, "cancelled")
    assert world.view(second).attempt.outcome is Outcome.CANCELLED
    assert world.dispatch() == []
    assert world.status().state is SessionState.READY


# -- asking --------------------------------------------------------------------------------------


def test_chosen_cells_and_what_the_runner_is_told(world: World) -> None:
    attempt = world.run("b", "a", stop_on_error=False, timeout_seconds=9.0)
    world.dispatch()
    given = world.given(attempt)
    assert given.cells == ("b", "a")
    assert (given.stop_on_error, given.timeout_seconds, given.session) == (False, 9.0, world.key)


def test_cells_that_cannot_run_are_refused(world: World) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        world.run("nowhere")
    with pytest.raises(InvalidValue, match="no code"):
        world.run("text")
    with pytest.raises(InvalidValue, match="folder"):
        world.sessions.run(world.admin, "/Shared")
    assert world.runs.list(world.admin, RunFilter(interactive=True))[0] == []


def test_a_cell_that_is_deleted_before_its_turn_ends_the_run(world: World) -> None:
    attempt = world.run("b")
    world.workspace.edit_notebook(
        world.user, world.node.id, lambda notebook: notebook["cells"].pop(1)
    )
    world.dispatch()
    assert world.view(attempt).attempt.cause is Cause.NOTEBOOK_INVALID
    assert "'b'" in world.view(attempt).attempt.message


@pytest.mark.parametrize("act", ["run", "start", "interrupt", "stop", "restart"])
def test_who_may_not_edit_may_only_look(world: World, act: str) -> None:
    call: Callable[..., object] = getattr(world.sessions, act)
    with pytest.raises(PermissionDenied):
        call(world.stranger, NOTEBOOK)
    world.workspace.share(world.admin, NOTEBOOK, world.stranger, None)
    with pytest.raises(NotFound):
        call(world.stranger, NOTEBOOK)
    with pytest.raises(NotFound):
        world.sessions.view(world.stranger, NOTEBOOK)


def test_a_run_needs_the_right_when_its_turn_comes(world: World) -> None:
    attempt = world.run()
    world.workspace.share(world.admin, NOTEBOOK, world.user, Right.VIEWER)
    world.dispatch()
    assert world.view(attempt).attempt.cause is Cause.NOTEBOOK_INVALID
    assert "editor" in world.view(attempt).attempt.message


def test_a_notebook_that_is_not_there_has_no_session(world: World) -> None:
    gone = JobDefinition(task=NotebookTask(path="/Shared/gone"), isolation=Isolation.IN_PLACE)
    attempt = world.runs.submit(world.user, RunRequest(definition=gone)).attempt.id
    world.dispatch()
    assert world.view(attempt).attempt.cause is Cause.NOTEBOOK_MISSING


def test_lists_of_runs_leave_out_people_at_work(world: World) -> None:
    attempt = world.run()
    listed, _ = world.runs.list(world.user, RunFilter())
    assert listed == []
    listed, _ = world.runs.list(world.user, RunFilter(interactive=True))
    assert [view.attempt.id for view in listed] == [attempt]
    assert world.view(attempt).run.interactive


# -- outputs -------------------------------------------------------------------------------------


def test_outputs_are_seen_while_they_come_and_stored_at_the_end(world: World) -> None:
    first, second = world.run(), world.run("b")
    world.dispatch()
    world.begin(first, *_shows(0, "one\n", 5), {"type": "cell_started", "index": 1})
    view = world.sessions.view(world.stranger, NOTEBOOK)
    assert view.status == SessionStatus(SessionState.BUSY, "b")
    assert view.waiting == ("b",)
    assert view.notebook["cells"][0]["outputs"][0]["text"] == "one\n"
    assert world.stored("a")["outputs"] == []
    world.end(first)
    assert world.stored("a")["outputs"][0]["text"] == "one\n"
    assert world.stored("a")["execution_count"] == 5
    assert world.stored("b")["outputs"] == []
    assert world.dispatch() == [second]
    assert world.sessions.view(world.user, NOTEBOOK).waiting == ("b",)


def test_outputs_are_stored_before_the_end_is_seen(world: World) -> None:
    attempt = world.run("b")
    world.dispatch()
    world.begin(attempt, *_shows(1, "first\n"))
    world.report(attempt, {"type": "finished", "outcome": "success", "cause": "completed"})
    assert world.view(attempt).attempt.state is State.TERMINATING
    assert world.stored("b")["outputs"][0]["text"] == "first\n"
    assert world.status().state is SessionState.BUSY


def test_one_report_with_everything_is_enough(world: World) -> None:
    attempt = world.run("b")
    world.dispatch()
    end = {"type": "finished", "outcome": "failed", "cause": "cell_error"}
    world.report(attempt, ACCEPTED, STARTED, *_shows(1, "all\n"), end, TERMINATED)
    assert world.stored("b")["outputs"][0]["text"] == "all\n"
    assert world.view(attempt).attempt.outcome is Outcome.FAILED


def test_edits_made_meanwhile_are_kept(world: World) -> None:
    attempt = world.run()
    world.dispatch()
    world.begin(attempt, *_shows(0, "one\n"))

    def edit(notebook: dict[str, Any]) -> None:
        notebook["cells"][0]["source"] = "x = 2"
        del notebook["cells"][1]
        notebook["cells"].append(code_cell("new", id="c"))

    world.workspace.edit_notebook(world.admin, world.node.id, edit)
    world.report(attempt, *_shows(1, "two\n"))
    world.end(attempt)
    _, notebook = world.workspace.read_notebook(world.admin, NOTEBOOK)
    assert [(cell["id"], cell["source"]) for cell in notebook["cells"]] == [
        ("a", "x = 2"),
        ("text", "# Text"),
        ("c", "new"),
    ]
    assert notebook["cells"][0]["outputs"][0]["text"] == "one\n"


def test_injected_parameters_stay_out_of_the_notebook(world: World) -> None:
    attempt = world.run(parameters={"name": "Ada"})
    world.dispatch()
    cell = code_cell("name = 'Ada'", id="injected")
    world.begin(
        attempt,
        {"type": "cell_inserted", "index": 0, "cell": cell, "replaces": False},
        *_shows(0, "no\n"),
        *_shows(1, "yes\n"),
    )
    world.end(attempt)
    _, notebook = world.workspace.read_notebook(world.admin, NOTEBOOK)
    assert [each["id"] for each in notebook["cells"]] == ["a", "b", "text"]
    assert world.stored("a")["outputs"][0]["text"] == "yes\n"


def test_widgets_of_other_cells_keep_their_state(world: World) -> None:
    mime = "application/vnd.jupyter.widget-state+json"

    def widgets(**states: str) -> dict[str, Any]:
        state = {name: {"state": {"value": value}} for name, value in states.items()}
        return {"type": "metadata", "metadata": {"widgets": {mime: {"state": state}}}}

    for cell, event in (("a", widgets(one="1", both="1")), ("b", widgets(two="2", both="2"))):
        attempt = world.run(cell)
        world.dispatch()
        world.begin(attempt, *_shows(0 if cell == "a" else 1, "shown\n"), event)
        world.end(attempt)
    _, notebook = world.workspace.read_notebook(world.admin, NOTEBOOK)
    state = notebook["metadata"]["widgets"][mime]["state"]
    values = {name: each["state"]["value"] for name, each in state.items()}
    assert values == {"one": "1", "two": "2", "both": "2"}


def test_a_run_whose_notebook_is_gone_ends_all_the_same(world: World) -> None:
    attempt = world.run()
    world.dispatch()
    world.begin(attempt, *_shows(0, "one\n"))
    world.workspace.delete(world.admin, NOTEBOOK)
    world.end(attempt)
    assert world.view(attempt).attempt.outcome is Outcome.SUCCESS


def test_isolated_runs_do_not_touch_the_notebook(world: World) -> None:
    attempt = world.runs.submit(world.user, RunRequest(definition=ISOLATED)).attempt.id
    world.dispatch()
    world.begin(attempt, *_shows(0, "one\n"))
    world.finish(attempt)
    assert world.stored("a")["outputs"] == []


# -- waiting -------------------------------------------------------------------------------------


def test_waiting_ends_with_the_run(world: World) -> None:
    attempt = world.run()
    world.dispatch()

    async def wait() -> State:
        waiting = asyncio.create_task(world.runs.wait(world.user, attempt, 600))
        await asyncio.sleep(0)
        await asyncio.to_thread(world.end, attempt)
        return (await waiting).attempt.state

    assert asyncio.run(wait()) is State.TERMINATED


def test_waiting_ends_when_the_time_is_up(world: World) -> None:
    attempt = world.run()
    view = asyncio.run(world.runs.wait(world.user, attempt, 0.0))
    assert view.attempt.state is State.QUEUED
    with pytest.raises(NotFound):
        asyncio.run(world.runs.wait(world.user, AttemptId(999), 1.0))
