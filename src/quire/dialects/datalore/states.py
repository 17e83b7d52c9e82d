"""Our states as the vendor's: a pure table (contract 3)."""

from __future__ import annotations

from quire.engine.sessions import SessionState
from quire.engine.states import State

__all__ = ["KERNEL_STATE", "STATUS"]

STATUS = {
    State.BLOCKED: "WAITING",
    State.QUEUED: "WAITING",
    State.PENDING: "WAITING",
    State.RUNNING: "STARTED",
    State.TERMINATING: "PROCESSING_OUTPUT",
}
"""``status`` of a run that is not over; later there is none. The words are the product's for a cell
in progress."""

KERNEL_STATE = {
    SessionState.NOT_STARTED: "NOT_STARTED",
    SessionState.READY: "READY",
    SessionState.BUSY: "BUSY",
}
"""``state`` of a notebook's own kernel."""
