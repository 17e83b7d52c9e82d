"""Other notebooks as runs of their own, started from this one and waited for."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from quire_runtime.errors import (
    NotebookNotFound,
    NotebookRunFailed,
    ServerError,
    ServerRefused,
)
from quire_runtime.session import Session

__all__ = ["run_child"]

POLL_SECONDS = 20


def run_child(
    session: Session,
    path: str,
    *,
    timeout_seconds: float | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> str | None:
    """Run the notebook at ``path`` as a child of this run; return its exit value, None without one.

    A relative path starts at the current notebook's folder. The child is cancelled when this
    notebook stops waiting. Raises NotebookNotFound, NotebookRunFailed, ServerError.
    """
    __tracebackhide__ = True
    full_path = session.resolve(path)
    request = {
        "path": full_path,
        "timeout_seconds": timeout_seconds,
        "arguments": dict(arguments or {}),
        "request_id": uuid.uuid4().hex,  # a repeated request is not a second child
    }
    run_id: int | None = None
    try:
        run_id = _submit(session, request)
        state = _wait(session, run_id)
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        if run_id is None:
            run_id = _submit(session, request)
        _cancel(session, run_id)
        raise
    if state["outcome"] == "success":
        value: str | None = state["exit_value"]
        return value
    reason = state.get("error") or state.get("message") or "no reason is known"
    raise NotebookRunFailed(
        f"The notebook {full_path} ended as {_name(state)}: {reason} (run {run_id})",
        run_id=run_id,
        outcome=state["outcome"],
        error=state.get("error"),
    )


def _submit(session: Session, request: Mapping[str, Any]) -> int:
    __tracebackhide__ = True
    try:
        answer = session.channel.post("/child-runs", request)
    except ServerRefused as refusal:
        if refusal.code == "not_found":
            raise NotebookNotFound(f"Notebook not found: {request['path']}") from None
        raise
    return int(answer["run_id"])


def _wait(session: Session, run_id: int) -> dict[str, Any]:
    __tracebackhide__ = True
    while True:
        state: dict[str, Any] = session.channel.get(
            f"/child-runs/{run_id}", {"wait_seconds": POLL_SECONDS}
        )
        if state["done"]:
            return state


def _cancel(session: Session, run_id: int) -> None:
    try:
        session.channel.post(f"/child-runs/{run_id}/cancel", {})
    except ServerError as error:
        print(f"The run {run_id} could not be cancelled: {error}")


def _name(state: Mapping[str, Any]) -> str:
    return str(state["outcome"] or state["state"]).upper()
