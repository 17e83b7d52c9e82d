"""The one state machine: every state, outcome and cause, and the moves between states.

An *attempt* moves through these states; a *run* always shows the state of its newest attempt.

    queued ──► pending ──► running ──► terminating ──► terminated
       │          │           │                            ▲
       │          │           └────────────────────────────┤
       │          └────────────────────────────────────────┤
       ├───────────────────────────────────────────────────┘
       └──► skipped                pending ──► queued  (its runner died before it began)
    blocked ──► queued | skipped | terminated
"""

from __future__ import annotations

from enum import StrEnum

from quire.errors import InvalidState

__all__ = ["ACTIVE", "EXECUTING", "TERMINAL", "Cause", "Outcome", "State", "check_move", "may_move"]


class State(StrEnum):
    """Where an attempt stands."""

    BLOCKED = "blocked"  # waits for other tasks of its run
    QUEUED = "queued"  # accepted; waits for a slot, or for the time of its retry
    PENDING = "pending"  # claimed by a server; its runner has not begun yet
    RUNNING = "running"  # the runner executes cells
    TERMINATING = "terminating"  # the cells are over; the kernel is being taken down
    TERMINATED = "terminated"  # over, with an outcome
    SKIPPED = "skipped"  # never started, because its job was busy or a dependency failed


class Outcome(StrEnum):
    """How an attempt ended. Set from TERMINATING on; never changes once set."""

    SUCCESS = "success"
    FAILED = "failed"  # the notebook's own doing: an error, a dead kernel, a limit
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    INTERNAL_ERROR = "internal_error"  # could not be started or finished, not the notebook's code
    ABANDONED = "abandoned"  # its runner vanished, and what it did last is not known


class Cause(StrEnum):
    """Why an attempt ended as it did, or why it waits."""

    COMPLETED = "completed"  # all cells ran
    EXITED = "exited"  # the notebook asked to stop, with success
    CELL_ERROR = "cell_error"  # a cell raised
    KERNEL_DIED = "kernel_died"  # the kernel ended by signal or exit code
    PROGRAM_FAILED = "program_failed"  # a program raised, or ended with an exit code
    PROGRAM_DIED = "program_died"  # a program was ended by a signal
    PROGRAM_NOT_STARTED = "program_not_started"  # no such program, class or interpreter
    OUT_OF_MEMORY = "out_of_memory"  # killed by, or stopped at, its memory limit
    OUTPUT_LIMIT = "output_limit"  # a cell printed more than allowed
    TIMEOUT = "timeout"
    CANCELLED_BY_USER = "cancelled_by_user"
    NOTEBOOK_MISSING = "notebook_missing"
    NOTEBOOK_INVALID = "notebook_invalid"
    FILE_MISSING = "file_missing"  # a file the task names is not there, or may not be read
    KERNEL_NOT_STARTED = "kernel_not_started"  # no such kernel, or it did not come up
    RUNNER_LOST = "runner_lost"  # the runner process died
    LEASE_EXPIRED = "lease_expired"  # the runner was not heard of in time
    SERVER_FAILED = "server_failed"  # a defect of the server
    STORAGE_FAILED = "storage_failed"  # results could not be stored
    OVERLAP = "overlap"  # the job had as many active runs as it allows
    CLUSTER_FAILED = "cluster_failed"  # its cluster is missing, could not be started, or ended
    DRIVER_LOST = "driver_lost"  # the Spark driver it worked with died
    LIBRARY_FAILED = "library_failed"  # a library it needs could not be installed
    UNSUPPORTED = "unsupported"  # asks for something this server does not run
    AWAITING_RETRY = "awaiting_retry"  # queued again until its retry interval is over
    AWAITING_SLOT = "awaiting_slot"  # queued because the server, or its job, is full


ACTIVE = frozenset({State.BLOCKED, State.QUEUED, State.PENDING, State.RUNNING, State.TERMINATING})
EXECUTING = frozenset({State.PENDING, State.RUNNING, State.TERMINATING})
"""States in which an attempt has a runner."""

TERMINAL = frozenset({State.TERMINATED, State.SKIPPED})

_MOVES: dict[State, frozenset[State]] = {
    State.BLOCKED: frozenset({State.QUEUED, State.SKIPPED, State.TERMINATED}),
    State.QUEUED: frozenset({State.PENDING, State.SKIPPED, State.TERMINATED}),
    State.PENDING: frozenset({State.RUNNING, State.QUEUED, State.TERMINATING, State.TERMINATED}),
    State.RUNNING: frozenset({State.TERMINATING, State.TERMINATED}),
    State.TERMINATING: frozenset({State.TERMINATED}),
    State.TERMINATED: frozenset(),
    State.SKIPPED: frozenset(),
}


def may_move(origin: State, target: State) -> bool:
    """Whether an attempt may go from ``origin`` to ``target``."""
    return target in _MOVES[origin]


def check_move(origin: State, target: State) -> None:
    """Raise :class:`~quire.errors.InvalidState` unless the move is allowed."""
    if not may_move(origin, target):
        raise InvalidState(f"A run cannot go from {origin} to {target}.")
