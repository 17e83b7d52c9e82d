"""People at work in a notebook: its cells run in its own kernel, which is kept between runs.

Each request is a run like any other, with isolation *in place*; the queue keeps those of a notebook
in their order. Which server keeps the kernel is the business of ``session_keeping``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from quire.clock import Clock
from quire.engine.models import (
    Isolation,
    JobDefinition,
    NotebookTask,
    Parameters,
    RunRequest,
    Vendor,
    WorkingFiles,
)
from quire.engine.results import Progress, Results
from quire.engine.runs import Runs, RunView
from quire.engine.session_keeping import SessionKeeper
from quire.engine.states import State
from quire.engine.write_back import put_outputs
from quire.errors import InvalidValue, NotFound
from quire.identity.models import Principal
from quire.identity.permissions import Right
from quire.store import runs as run_rows
from quire.store import sessions as session_rows
from quire.store.database import Database
from quire.workspace.models import Node, NodeKind
from quire.workspace.tree import Workspace

__all__ = ["SessionState", "SessionStatus", "SessionView", "Sessions"]


class SessionState(StrEnum):
    """Where the kernel of a notebook stands."""

    NOT_STARTED = "not_started"
    READY = "ready"
    BUSY = "busy"  # a run executes in it or waits for it


@dataclass(frozen=True)
class SessionStatus:
    """The kernel of a notebook."""

    state: SessionState
    running_cell: str | None = None  # id of the cell whose code runs now


@dataclass(frozen=True)
class SessionView:
    """A notebook as it stands, with what runs have shown in it up to this moment."""

    node: Node
    notebook: Mapping[str, Any]
    status: SessionStatus
    waiting: tuple[str, ...]  # ids of the cells that runs have still before them, in their order


class Sessions:
    """The sessions of all notebooks.

    To look needs a viewer's right to the notebook, everything else an editor's. Each method raises
    NotFound, PermissionDenied, and InvalidValue for a path of something else.
    """

    def __init__(
        self,
        database: Database,
        workspace: Workspace,
        runs: Runs,
        results: Results,
        keeper: SessionKeeper,
        clock: Clock,
    ) -> None:
        self._database = database
        self._workspace = workspace
        self._runs = runs
        self._results = results
        self._keeper = keeper
        self._clock = clock

    def run(
        self,
        actor: Principal,
        path: str,
        *,
        cells: Sequence[str] | None = None,
        stop_on_error: bool = True,
        timeout_seconds: float | None = None,
        parameters: Parameters | None = None,
        environment: Mapping[str, str] | None = None,
        name: str | None = None,
        vendor: Vendor | None = None,
    ) -> RunView:
        """Run cells, by their ids and in that order, or all; accepted when this returns.

        Raises NotFound also for a cell there is not, InvalidValue also for one without code, and
        RateLimited.
        """
        node = self._editable(actor, path)
        if cells is not None:
            self._check_cells(actor, node, cells)
        definition = JobDefinition(
            task=NotebookTask(
                path=node.path,
                parameters=parameters or {},
                cells=tuple(cells) if cells is not None else None,
                stop_on_error=stop_on_error,
            ),
            name=name or node.name,
            timeout_seconds=timeout_seconds,
            isolation=Isolation.IN_PLACE,
            working_files=WorkingFiles.WRITE_BACK,
            environment=environment or {},
        )
        request = RunRequest(definition=definition, interactive=True, vendor=vendor or {})
        return self._runs.submit(actor, request)

    def start(self, actor: Principal, path: str) -> RunView:
        """Start the kernel, if there is none, by a run of no cells."""
        return self.run(actor, path, cells=())

    def status(self, actor: Principal, path: str) -> SessionStatus:
        """What the notebook's kernel does."""
        return self._look(self._notebook(actor, path))[0]

    def view(self, actor: Principal, path: str) -> SessionView:
        """The notebook with the outputs of the run that executes, as far as it has come."""
        # The run is looked at first: one that ends meanwhile has its outputs in the notebook then.
        status, turns = self._look(self._notebook(actor, path))
        node, notebook = self._workspace.read_notebook(actor, path)
        waiting: dict[str, None] = {}
        for turn in turns:
            waiting.update(dict.fromkeys(turn.waiting(notebook)))
            if turn.progress is not None:
                put_outputs(notebook, turn.progress)
        return SessionView(node, notebook, status, tuple(waiting))

    def interrupt(self, actor: Principal, path: str) -> bool:
        """Stop what executes in the session and what waits for it; whether there was anything.

        The kernel stays, with its variables, unless it cannot be interrupted.
        """
        return self._runs.cancel_session(self._editable(actor, path).id)

    def stop(self, actor: Principal, path: str) -> None:
        """End the session with all that executes in it and waits for it."""
        node = self._editable(actor, path)
        with self._database.write() as connection:
            session_rows.request_end(connection, node.id, self._clock.now())
        self._runs.cancel_session(node.id)
        self._keeper.loop.wake()

    def restart(self, actor: Principal, path: str) -> RunView:
        """End the session and start another; the new kernel is there when the run has ended."""
        self.stop(actor, path)
        return self.start(actor, path)

    def _notebook(self, actor: Principal, path: str) -> Node:
        node = self._workspace.get(actor, path)
        if node.kind is not NodeKind.NOTEBOOK:
            raise InvalidValue("path", f"{path} is a {node.kind}, not a notebook.")
        return node

    def _editable(self, actor: Principal, path: str) -> Node:
        return self._workspace.require(actor, self._notebook(actor, path).id, Right.EDITOR)

    def _check_cells(self, actor: Principal, node: Node, cells: Sequence[str]) -> None:
        _, notebook = self._workspace.read_notebook(actor, node.path)
        kinds = {cell["id"]: cell["cell_type"] for cell in notebook["cells"]}
        for cell_id in cells:
            if cell_id not in kinds:
                raise NotFound("cell", cell_id)
            if kinds[cell_id] != "code":
                raise InvalidValue("cells", f"cell {cell_id} has no code to run.")

    def _look(self, node: Node) -> tuple[SessionStatus, list[_Turn]]:
        """The session's status, and the runs in it, in the order of their turn."""
        with self._database.read() as connection:
            active = run_rows.list_active_of_session(connection, node.id)
            row = session_rows.get_session(connection, node.id)
        if not active:
            ready = self._keeper.is_ready(row)
            return SessionStatus(SessionState.READY if ready else SessionState.NOT_STARTED), []
        turns = [
            _Turn(view, self._results.progress(view) if view.attempt.applied_sequence else None)
            for view in active
        ]
        running = (turn.progress.running for turn in turns if turn.progress is not None)
        return SessionStatus(SessionState.BUSY, next(running, None)), turns


@dataclass(frozen=True)
class _Turn:
    """A run of a session."""

    view: RunView
    progress: Progress | None  # None: it has not begun

    def waiting(self, notebook: Mapping[str, Any]) -> Iterator[str]:
        """The cells it has still before it; ``notebook``: the stored one."""
        if self.view.attempt.state is State.TERMINATING:
            return
        begun = frozenset(self.progress.begun) if self.progress is not None else frozenset()
        task = self.view.run.definition.task
        chosen = task.cells if isinstance(task, NotebookTask) else None
        if chosen is None:
            chosen = tuple(c["id"] for c in notebook["cells"] if c["cell_type"] == "code")
        yield from (cell_id for cell_id in chosen if cell_id not in begun)
