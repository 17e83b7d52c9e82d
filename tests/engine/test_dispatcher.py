from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from quire.clock import ManualClock
from quire.compute.models import Compute, Library, LibraryKind
from quire.engine.dispatcher import Dispatcher, DispatcherParts
from quire.engine.models import (
    Attempt,
    JobDefinition,
    NotebookTask,
    Overlap,
    Parameters,
    PythonFileTask,
    Run,
    RunKind,
    RunRequest,
    ShellTask,
)
from quire.engine.pins import Pinner
from quire.engine.states import Cause, Outcome, State
from quire.errors import Unavailable
from quire.identity.run_tokens import RunTokens, RunTokenUse
from quire.ids import AttemptId
from quire.store import runs as run_rows
from quire.store.blobs import BlobStore
from quire.store.database import Database
from quire.workspace.attachments import Attachments
from quire.workspace.controls import control_metadata, read_control
from quire.workspace.files import FileStore
from quire.workspace.formats.document import code_cell, new_notebook
from quire.workspace.locations import Locations
from tests.compute.parts import ClusterParts
from tests.engine.parts import NOTEBOOK, definition

OTHER_PANDAS = Compute(libraries=(Library(LibraryKind.PYPI, "pandas==0.1"),))


def _notebook(source: str = "1 + 1") -> dict[str, Any]:
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"language_info": {"name": "python"}, "quire": {"flavour": "databricks"}},
        "cells": [
            {
                "cell_type": "code",
                "id": "a",
                "metadata": {},
                "source": source,
                "outputs": [],
                "execution_count": None,
            }
        ],
    }


class World(ClusterParts):
    def __init__(
        self, database: Database, blobs: BlobStore, clock: ManualClock, folder: Path
    ) -> None:
        super().__init__(database, blobs, clock)
        self.file_store = FileStore(folder)
        self.attachments = Attachments(
            database, blobs, clock, self.workspace, limit_bytes=1_000_000
        )
        self.workspace.import_notebook(self.admin, NOTEBOOK, _notebook())
        self.run_tokens = RunTokens(b"0123456789abcdef")
        self.resolvers: dict[str, Callable[[Run, Attempt, Parameters], Mapping[str, Any]]] = {}
        self.dispatcher = self.make(slots=2)

    def make(self, slots: int) -> Dispatcher:
        parts = DispatcherParts(
            database=self.database,
            blobs=self.blobs,
            pinner=Pinner(self.workspace, Locations(self.workspace, self.file_store)),
            attachments=self.attachments,
            principals=self.principals,
            placement=self.pool,
            compute=self.run_compute,
            sessions=self.keeper,
            transitions=self.transitions,
            run_tokens=self.run_tokens,
            metrics=self.metrics,
            clock=self.clock,
            settings=self.settings,
        )
        return Dispatcher(
            parts,
            host="here",
            slots=slots,
            server_url=lambda: "http://127.0.0.1:1",
            resolvers=self.resolvers,
        )

    def submit(self, **fields: Any) -> AttemptId:
        request = RunRequest(**{"definition": definition(), **fields})
        return self.runs.submit(self.user, request).attempt.id

    def dispatch(self) -> list[int]:
        """Dispatch all that can be; the attempts that were handed over."""
        before = len(self.pool.assigned)
        while self.dispatcher.dispatch_one():
            pass
        return [each.attempt_id for each in self.pool.assigned[before:]]

    def learn_interpreter(self, folder: Path) -> str:
        """An interpreter that runs with a certain library have used often."""
        python = folder / "python"
        python.touch()
        for number in range(self.settings.warm_environment_after):
            attempt_id = AttemptId(100 + number)
            self.interpreters.used(attempt_id, self.user.id, OTHER_PANDAS, str(python))
        self.interpreters.review()
        return str(python)

    def end(self, attempt_id: AttemptId) -> None:
        self.report(
            attempt_id,
            {"type": "accepted"},
            {"type": "started"},
            {"type": "finished", "outcome": "success", "cause": "completed"},
            {"type": "terminated"},
        )


@contextmanager
def _gone() -> Iterator[Connection]:
    """In place of ``Database.write``."""
    raise Unavailable("The database is away.")
    yield  # type: ignore[unreachable]


@pytest.fixture
def world(database: Database, blobs: BlobStore, clock: ManualClock, tmp_path: Path) -> World:
    return World(database, blobs, clock, tmp_path / "files")


def test_the_oldest_is_first_and_slots_are_kept(world: World) -> None:
    ids = [world.submit() for _ in range(4)]
    assert world.dispatch() == ids[:2]
    assert world.dispatch() == []
    world.end(ids[0])
    assert world.dispatch() == [ids[2]]


def test_a_claimed_attempt_has_a_lease_a_runner_and_a_snapshot(world: World) -> None:
    attempt_id = world.submit()
    world.dispatch()
    attempt = world.view(attempt_id).attempt
    assert (attempt.state, attempt.claimed_at) == (State.PENDING, world.clock.now())
    assert attempt.lease_expires_at is not None
    assert attempt.snapshot_key is not None
    assert json.loads(world.blobs.get(attempt.snapshot_key)) == world.pool.assigned[0].notebook
    assert world.results.notebook(world.view(attempt_id))["cells"][0]["source"] == "1 + 1"


def test_what_a_runner_is_told(world: World) -> None:
    asked = JobDefinition(
        task=NotebookTask(path=NOTEBOOK, parameters={"a": "1", "b": "2"}),
        timeout_seconds=9.0,
        environment={"COLOUR": "red"},
    )
    attempt_id = world.submit(definition=asked, parameters={"b": "3"})
    world.dispatch()
    (told,) = world.pool.assigned
    assert (told.attempt_id, told.run_id) == (attempt_id, attempt_id)
    assert told.parameters == {"a": "1", "b": "3"}
    assert (told.flavour, told.notebook_path) == ("databricks", NOTEBOOK)
    assert (told.timeout_seconds, told.environment) == (9.0, {"COLOUR": "red"})
    assert told.server_url == "http://127.0.0.1:1"
    token = world.run_tokens.read(told.report_token, RunTokenUse.REPORT)
    assert (token.attempt_id, token.principal_id) == (attempt_id, world.user.id)
    assert world.run_tokens.read(told.runtime["runtime_token"], RunTokenUse.RUNTIME)
    assert told.runtime["run"]["user"] == world.user.name


def test_parameters_of_a_dialect_are_resolved_by_it(world: World) -> None:
    world.resolvers["vendor"] = lambda run, attempt, given: {**given, "id": str(attempt.id)}
    attempt_id = world.submit(definition=definition(vendor={"vendor": {}}))
    world.submit()
    world.dispatch()
    assert [each.parameters for each in world.pool.assigned] == [{"id": str(attempt_id)}, {}]


def test_a_program_is_handed_over_with_its_words(world: World) -> None:
    def resolver(run: Run, attempt: Attempt, parameters: Parameters) -> Parameters:
        return {key: f"<{value}>" for key, value in parameters.items()}

    world.resolvers["vendor"] = resolver
    world.file_store.write("/jobs/a.py", b"print(1)")
    task = PythonFileTask("dbfs:/jobs/a.py", tuple("abcdefghijk"))
    world.submit(definition=JobDefinition(task=task, vendor={"vendor": {}}))
    world.dispatch()
    assigned = world.pool.assigned[0]
    assert assigned.task is not None
    assert assigned.task["arguments"] == [f"<{each}>" for each in "abcdefghijk"]
    assert assigned.notebook["cells"][0]["source"] == "print(1)"


def test_a_program_that_is_missing_ends_the_run(world: World) -> None:
    attempt_id = world.submit(definition=JobDefinition(task=PythonFileTask("/Shared/no.py")))
    assert world.dispatch() == []
    attempt = world.view(attempt_id).attempt
    assert (attempt.outcome, attempt.cause, attempt.message) == (
        Outcome.INTERNAL_ERROR,
        Cause.FILE_MISSING,
        "File not found: /Shared/no.py",
    )


def test_the_notebook_is_read_when_the_run_starts(world: World) -> None:
    world.submit()
    world.workspace.import_notebook(world.admin, NOTEBOOK, _notebook("2 + 2"), overwrite=True)
    world.dispatch()
    world.workspace.import_notebook(world.admin, NOTEBOOK, _notebook("3 + 3"), overwrite=True)
    assert world.pool.assigned[0].notebook["cells"][0]["source"] == "2 + 2"


def test_a_run_belongs_to_the_notebook_that_is_there_when_it_starts(world: World) -> None:
    attempt_id = world.submit()
    world.workspace.delete(world.admin, NOTEBOOK)
    node = world.workspace.import_notebook(world.admin, NOTEBOOK, _notebook("print(2)"))
    assert world.dispatch() == [attempt_id]
    assert world.view(attempt_id).run.notebook_id == node.id


def test_a_revision_is_run_when_one_is_asked_for(world: World) -> None:
    asked_at = world.clock.now()
    world.clock.advance(60)
    world.workspace.import_notebook(world.admin, NOTEBOOK, _notebook("2 + 2"), overwrite=True)
    task = NotebookTask(path=NOTEBOOK, revision_at=asked_at)
    world.submit(definition=JobDefinition(task=task))
    world.dispatch()
    assert world.pool.assigned[0].notebook["cells"][0]["source"] == "1 + 1"


def test_a_missing_notebook_ends_the_run_and_gives_the_runner_back(world: World) -> None:
    attempt_id = world.submit(definition=JobDefinition(task=NotebookTask(path="/Shared/no")))
    assert world.dispatch() == []
    attempt = world.view(attempt_id).attempt
    assert (attempt.state, attempt.outcome) == (State.TERMINATED, Outcome.INTERNAL_ERROR)
    assert (attempt.cause, attempt.message) == (
        Cause.NOTEBOOK_MISSING,
        "Notebook not found: /Shared/no",
    )
    assert world.pool.released == [1]


def test_a_notebook_its_creator_may_not_see_is_missing(world: World) -> None:
    path = f"/Users/{world.stranger.name}/secret"
    world.workspace.import_notebook(world.stranger, path, _notebook())
    attempt_id = world.submit(definition=JobDefinition(task=NotebookTask(path=path)))
    world.dispatch()
    assert world.view(attempt_id).attempt.cause is Cause.NOTEBOOK_MISSING


def test_a_runner_that_died_waiting_costs_nothing(world: World) -> None:
    attempt_id = world.submit()
    world.pool.broken = True
    world.dispatcher.dispatch_one()
    attempt = world.view(attempt_id).attempt
    assert (attempt.state, attempt.number) == (State.QUEUED, 0)
    world.pool.broken = False
    assert world.dispatch() == [attempt_id]


def test_nothing_is_claimed_without_room_or_runner(world: World) -> None:
    attempt_id = world.submit()
    world.pool.room = False
    assert world.dispatch() == []
    world.pool.room, world.pool.ready = True, False
    assert world.dispatch() == []
    assert world.view(attempt_id).attempt.state is State.QUEUED
    world.pool.ready = True
    assert world.dispatch() == [attempt_id]


def test_a_retry_waits_for_its_time(world: World) -> None:
    first = world.submit(definition=definition(max_retries=1, min_retry_interval_seconds=60.0))
    world.dispatch()
    world.report(first, {"type": "accepted"}, {"type": "started"})
    world.finish(first, "failed")
    assert world.dispatch() == []
    world.clock.advance(61)
    assert world.dispatch() == [world.view(first).run.attempt_id]


def test_a_job_that_queues_runs_no_more_at_once_than_it_allows(world: World) -> None:
    queueing = definition(overlap=Overlap.QUEUE, max_concurrent_runs=1)
    job = world.jobs.create(world.user, queueing)
    first, second = (world.submit(definition=None, job_id=job.id) for _ in range(2))
    other = world.submit()
    assert world.dispatch() == [first, other]
    world.end(first)
    assert world.dispatch() == [second]


def test_a_child_run_takes_the_slot_of_the_run_that_waits_for_it(world: World) -> None:
    world.dispatcher = world.make(slots=1)
    parent = world.submit()
    waiting = world.submit()
    assert world.dispatch() == [parent]
    run_id = world.view(parent).run.id
    child = world.submit(kind=RunKind.CHILD, parent_run_id=run_id)
    sibling = world.submit(kind=RunKind.CHILD, parent_run_id=run_id)
    assert world.dispatch() == [child]  # one at a time in the slot that was lent
    grandchild = world.submit(kind=RunKind.CHILD, parent_run_id=world.view(child).run.id)
    assert world.dispatch() == [grandchild]
    world.end(grandchild)
    world.end(child)
    assert world.dispatch() == [sibling]
    world.end(sibling)
    assert world.dispatch() == []
    world.end(parent)
    assert world.dispatch() == [waiting]


def test_a_run_deleted_with_its_job_while_it_waits_is_not_dispatched(world: World) -> None:
    job = world.jobs.create(world.user, definition())
    world.submit(definition=None, job_id=job.id)
    world.jobs.delete(world.user, job.id)
    assert world.dispatch() == []


def test_runs_start_above_the_limit_when_all_others_only_wait(world: World) -> None:
    _, _, third, fourth = (world.submit() for _ in range(4))
    for _ in range(2):
        assert world.dispatcher.dispatch_one()
    assert not world.dispatcher.dispatch_one()  # it has not waited for long
    world.clock.advance(3)
    world.pool.used = {1: 5.0, 2: 7.0}
    assert not world.dispatcher.dispatch_one()  # a first look
    world.clock.advance(1)
    world.pool.used = {1: 5.9, 2: 7.0}
    assert not world.dispatcher.dispatch_one()  # the first run works
    world.clock.advance(1)
    world.pool.used = {1: 5.95, 2: 7.0}
    assert world.dispatcher.dispatch_one()
    assert world.view(third).attempt.state is State.PENDING
    assert world.dispatcher.dispatch_one()  # as many as there are slots
    assert world.view(fourth).attempt.state is State.PENDING


def test_a_notebook_whose_content_is_lost_ends_its_run_and_holds_up_no_other(world: World) -> None:
    lost = world.submit()
    kept = [key for key in world.blobs.list("") if key.startswith("notebooks/")]
    assert kept
    world.blobs.delete(kept)
    assert world.dispatcher.dispatch_one()
    attempt = world.view(lost).attempt
    assert (attempt.state, attempt.cause) == (State.TERMINATED, Cause.NOTEBOOK_INVALID)
    assert attempt.message.endswith(f"The content of {NOTEBOOK} is no longer in the blob store.")


def test_controls_take_the_values_of_a_run(world: World) -> None:
    control = {"controlType": "TEXT_INPUT", "variable": "city", "value": "Oslo"}
    cells = [
        code_cell("", metadata=control_metadata(read_control(control))),
        code_cell("region = ''", metadata={"tags": ["parameters"]}),
    ]
    notebook = new_notebook("python", "plain", cells)
    world.workspace.import_notebook(world.admin, NOTEBOOK, notebook, overwrite=True)
    world.submit(parameters={"city": "Rome", "region": "south"})
    assert world.dispatcher.dispatch_one()
    assignment = world.pool.assigned[0]
    assert assignment.notebook["cells"][0]["source"] == "city = 'Rome'"
    assert assignment.parameters == {"region": "south"}
    bad = world.submit(parameters={"city": None})
    assert world.dispatcher.dispatch_one()
    assert world.view(bad).attempt.cause is Cause.NOTEBOOK_INVALID
    assert "parameters.city" in world.view(bad).attempt.message


def test_a_claim_that_could_not_be_undone_is_undone_when_the_database_is_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt_id = world.submit(definition=definition(vendor={"vendor": {}}))
    with monkeypatch.context() as away:

        def fail(run: Run, attempt: Attempt, parameters: Parameters) -> Parameters:
            away.setattr(world.database, "write", _gone)
            raise Unavailable("The database is away.")

        world.resolvers["vendor"] = fail
        for _ in range(2):
            with pytest.raises(Unavailable):
                world.dispatcher.dispatch_one()
    del world.resolvers["vendor"]
    assert world.dispatch() == [attempt_id]
    assert world.view(attempt_id).attempt.state is State.PENDING


def test_a_claim_whose_commit_was_not_confirmed_is_undone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt_id = world.submit()
    write = world.database.write

    @contextmanager
    def unconfirmed() -> Iterator[Connection]:
        with write() as connection:
            yield connection
        monkeypatch.setattr(world.database, "write", write)
        raise Unavailable("The connection was lost.")

    monkeypatch.setattr(world.database, "write", unconfirmed)
    with pytest.raises(Unavailable):
        world.dispatcher.dispatch_one()
    assert world.view(attempt_id).attempt.state is State.QUEUED
    assert world.dispatch() == [attempt_id]


def test_a_defect_ends_the_run_it_meets_and_no_other(world: World) -> None:
    def fail(run: Run, attempt: Attempt, parameters: Parameters) -> Parameters:
        if parameters.get("bad"):
            raise KeyError("a defect")
        return parameters

    world.resolvers["vendor"] = fail
    vendor = {"vendor": {}}
    bad, good = (
        world.submit(definition=definition(vendor=vendor), parameters=parameters)
        for parameters in ({"bad": "1"}, {})
    )
    with pytest.raises(KeyError):
        world.dispatcher.dispatch_one()
    ended = world.view(bad).attempt
    assert (ended.outcome, ended.cause) == (Outcome.INTERNAL_ERROR, Cause.SERVER_FAILED)
    assert ended.message == "The server failed to begin this run: KeyError: 'a defect'"
    assert world.dispatch() == [good]
    assert len(world.pool.released) == 1


def test_the_notebooks_environment_comes_along(world: World) -> None:
    notebook = new_notebook("python", "plain", [code_cell("1")])
    bad = {"no name": "x", "NUMBER": 1, "NUL": "\0"}
    notebook["metadata"]["quire"]["environment"] = {"COLOUR": "red", "SIZE": "L", **bad}
    world.workspace.import_notebook(world.admin, NOTEBOOK, notebook, overwrite=True)
    world.submit(definition=definition(environment={"SIZE": "S"}))
    assert world.dispatcher.dispatch_one()
    assert world.pool.assigned[0].environment == {"COLOUR": "red", "SIZE": "S"}


def test_the_notebooks_files_come_along(world: World) -> None:
    node = world.workspace.get(world.admin, NOTEBOOK)
    world.attachments.write(world.admin, node.id, "data/a.csv", b"1")
    world.submit()
    assert world.dispatcher.dispatch_one()
    files = world.pool.assigned[0].files
    assert [(each["path"], each["digest"]) for each in files.attached] == [
        ("data", None),
        ("data/a.csv", hashlib.sha256(b"1").hexdigest()),
    ]
    assert (files.keeps, files.removes) == (False, False)


def test_a_run_goes_where_a_kernel_of_its_interpreter_is_ready(
    world: World, tmp_path: Path
) -> None:
    python = world.learn_interpreter(tmp_path)
    usual = world.submit()
    fitting, late = [world.submit(definition=definition(compute=OTHER_PANDAS)) for _ in range(2)]
    world.dispatcher = world.make(slots=3)
    assert world.dispatch() == [usual, fitting, late]
    pids = []
    with world.database.read() as connection:
        for attempt_id in (usual, fitting, late):
            runner = run_rows.get_runner(connection, attempt_id)
            assert runner is not None
            pids.append(runner.pid)
    assert [world.pool.places.get(pid) for pid in pids] == [None, python, None]
    assert len(world.pool.released) == 1  # the runner that was not needed
    assert world.pool.released[0] not in pids


def test_a_program_does_not_take_a_kernel(world: World, tmp_path: Path) -> None:
    world.learn_interpreter(tmp_path)
    program = JobDefinition(task=ShellTask(command=("true",)), compute=OTHER_PANDAS)
    world.submit(definition=program)
    assert len(world.dispatch()) == 1
    assert world.pool.places == {}
