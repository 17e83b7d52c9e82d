"""Takes in what runners report: journal first, then state, each event number once."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from quire.clock import Clock
from quire.engine.models import Attempt
from quire.engine.states import Cause, Outcome, State
from quire.engine.transitions import Transitions
from quire.errors import InvalidState, InvalidValue, QuireError
from quire.ids import AttemptId
from quire.runner.protocol import Command, EventType, ReportAnswer
from quire.settings import Settings
from quire.store import runs as run_rows
from quire.store.blobs import BlobStore, BlobStoreFull
from quire.store.database import Database
from quire.store.journal import insert_chunk, run_prefix

__all__ = ["AttemptGone", "Reports"]

_EXECUTING = frozenset({State.PENDING, State.RUNNING, State.TERMINATING})


class AttemptGone(QuireError):
    """The attempt is not this runner's any more."""

    code = "attempt_gone"


@dataclass(frozen=True)
class _Batch:
    """Events of one report that were not applied before."""

    events: Sequence[Mapping[str, Any]]
    first: int
    lines: bytes


class Reports:
    """Applies runners' reports."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        clock: Clock,
        transitions: Transitions,
        settings: Settings,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._transitions = transitions
        self._settings = settings

    def apply(self, attempt_id: AttemptId, reported: Sequence[Mapping[str, Any]]) -> ReportAnswer:
        """Apply the events that are new, in order; an empty list just renews the lease.

        Raises AttemptGone when the attempt is over or another's, InvalidValue for events that do
        not follow on what was applied, Unavailable when they cannot be stored now.
        """
        with self._database.read() as connection:
            attempt = _executing(run_rows.get_attempt(connection, attempt_id), attempt_id)
        batch = _new_events(attempt, reported)
        key = None
        if batch.events:
            key = f"{run_prefix(attempt.run_id)}{attempt_id}/journal/{batch.first:08}-" + (
                secrets.token_hex(4)
            )
            try:
                self._blobs.put(key, batch.lines)
            except BlobStoreFull as error:
                self._give_up(attempt_id, str(error))
                raise AttemptGone("The results of this run could not be stored.") from error
        elif not self._lease_needs_renewal(attempt):
            with self._database.read() as connection:
                return self._answer(connection, attempt)
        with self._database.write() as connection:
            attempt = _executing(
                run_rows.get_attempt(connection, attempt_id, lock=True), attempt_id
            )
            if key is not None and attempt.applied_sequence == batch.first - 1:
                attempt = self._apply(connection, attempt, batch, key)
            if attempt.state in _EXECUTING:
                run_rows.update_attempt(connection, attempt_id, lease_expires_at=self._lease_end())
            return self._answer(connection, attempt)

    def _apply(self, connection: Connection, attempt: Attempt, batch: _Batch, key: str) -> Attempt:
        insert_chunk(
            connection,
            attempt.id,
            offset=attempt.journal_bytes,
            length=len(batch.lines),
            blob_key=key,
        )
        run_rows.update_attempt(
            connection,
            attempt.id,
            applied_sequence=attempt.applied_sequence + len(batch.events),
            journal_bytes=attempt.journal_bytes + len(batch.lines),
            **_facts(batch.events),
        )
        current = run_rows.get_attempt(connection, attempt.id)
        assert current is not None
        for event in batch.events:
            current = self._move(connection, current, event)
        return current

    def _move(self, connection: Connection, attempt: Attempt, event: Mapping[str, Any]) -> Attempt:
        at = datetime.fromisoformat(event["at"])
        match event["type"]:
            case EventType.STARTED:
                return self._transitions.move(
                    connection,
                    attempt,
                    State.RUNNING,
                    at=at,
                    kernel_pid=event.get("kernel_pid"),
                )
            case EventType.FINISHED:
                return self._transitions.move(
                    connection,
                    attempt,
                    State.TERMINATING,
                    at=at,
                    outcome=Outcome(event["outcome"]),
                    cause=Cause(event["cause"]),
                    message=event.get("message") or "",
                    error=event.get("error"),
                    error_trace=event.get("error_trace"),
                    last_cell=event.get("last_cell"),
                )
            case EventType.TERMINATED:
                return self._transitions.move(connection, attempt, State.TERMINATED, at=at)
            case _:
                return attempt

    def _give_up(self, attempt_id: AttemptId, why: str) -> None:
        with self._database.write() as connection:
            attempt = run_rows.get_attempt(connection, attempt_id, lock=True)
            if attempt is not None and attempt.state in _EXECUTING:
                self._transitions.move(
                    connection,
                    attempt,
                    State.TERMINATED,
                    outcome=Outcome.INTERNAL_ERROR,
                    cause=Cause.STORAGE_FAILED,
                    message=f"The results of this run could not be stored: {why}",
                )

    def _lease_end(self) -> datetime:
        return self._clock.now() + timedelta(seconds=self._settings.lease_seconds)

    def _lease_needs_renewal(self, attempt: Attempt) -> bool:
        if attempt.lease_expires_at is None:
            return True
        return self._lease_end() - attempt.lease_expires_at > timedelta(
            seconds=self._settings.lease_seconds / 4
        )

    def _answer(self, connection: Connection, attempt: Attempt) -> ReportAnswer:
        run = run_rows.get_run(connection, attempt.run_id)
        assert run is not None
        return ReportAnswer(
            applied_sequence=attempt.applied_sequence,
            command=Command.CANCEL if attempt.cancel_requested_at is not None else None,
            timeout_seconds=run.definition.timeout_seconds,
        )


def _executing(attempt: Attempt | None, attempt_id: AttemptId) -> Attempt:
    if attempt is None:
        raise AttemptGone(f"Attempt {attempt_id} does not exist.")
    if attempt.state not in _EXECUTING:
        raise AttemptGone(f"Attempt {attempt_id} is {attempt.state}.")
    return attempt


def _new_events(attempt: Attempt, reported: Sequence[Mapping[str, Any]]) -> _Batch:
    """What is new in a report. Raises InvalidValue unless it follows on what was applied."""
    try:
        new = [event for event in reported if int(event["sequence"]) > attempt.applied_sequence]
        expected = attempt.applied_sequence + 1
        for number, event in enumerate(new, start=expected):
            if event["sequence"] != number:
                raise InvalidState(f"Expected event {number}, got {event['sequence']}.")
            EventType(event["type"])
            datetime.fromisoformat(event["at"])
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidValue("events", f"an event cannot be read ({error!r}).") from error
    lines = b"".join(json.dumps(event, ensure_ascii=False).encode() + b"\n" for event in new)
    return _Batch(new, expected, lines)


def _facts(events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Columns of the attempt that events set without a change of state."""
    facts: dict[str, Any] = {}
    for event in events:
        if event["type"] == EventType.EXIT_VALUE:
            facts["exit_value"] = str(event["value"])
        elif event["type"] == EventType.CELL_STARTED:
            facts["last_cell"] = int(event["index"])
    return facts
