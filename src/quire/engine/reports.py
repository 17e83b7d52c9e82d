"""Takes in what runners report: journal first, then state, each event number once."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from quire.clock import Clock
from quire.engine.conclusions import Conclusions
from quire.engine.states import EXECUTING, Cause, Outcome, State
from quire.engine.transitions import Step, Transitions
from quire.errors import InvalidState, InvalidValue, QuireError
from quire.ids import AttemptId, RunId
from quire.observe.logs import bind_run
from quire.runner.protocol import Command, EventType, ReportAnswer
from quire.settings import Settings
from quire.store import runs as run_rows
from quire.store.blobs import BlobStore, BlobStoreFull
from quire.store.database import Database
from quire.store.journal import insert_chunk, run_prefix
from quire.store.runs import RunView

__all__ = ["AttemptGone", "Reports"]


class AttemptGone(QuireError):
    """The attempt is not this runner's any more."""

    code = "attempt_gone"
    http_status = 410


class Reports:
    """Applies runners' reports."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        clock: Clock,
        transitions: Transitions,
        settings: Settings,
        conclusions: Conclusions,
    ) -> None:
        """``conclusions``: what is stored before the end of an attempt may be seen."""
        self._conclusions = conclusions
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._transitions = transitions
        self._settings = settings

    def apply(
        self, run_id: RunId, attempt_id: AttemptId, reported: Sequence[Mapping[str, Any]]
    ) -> ReportAnswer:
        """Apply the events that are new, in order; an empty list just renews the lease.

        Raises AttemptGone when the attempt is over or another's, InvalidState for events that do
        not follow on what was applied, InvalidValue for events that cannot be read, Unavailable
        when they cannot be stored now.
        """
        with bind_run(run_id, attempt_id):
            return self._apply_all(run_id, attempt_id, reported)

    def _apply_all(
        self, run_id: RunId, attempt_id: AttemptId, reported: Sequence[Mapping[str, Any]]
    ) -> ReportAnswer:
        if not reported:
            return self._renew(attempt_id)
        batch = _Batch.of(reported)
        key = self._store(run_id, attempt_id, batch)
        answer = self._take(run_id, attempt_id, batch, key, concluded=False)
        if answer is None:
            with self._database.read() as connection:
                view = _executing(run_rows.get_view_of_any(connection, attempt_id), attempt_id)
            self._conclusions.draw(view, batch.events)
            answer = self._take(run_id, attempt_id, batch, key, concluded=True)
            assert answer is not None
        return answer

    def _take(
        self, run_id: RunId, attempt_id: AttemptId, batch: _Batch, key: str, *, concluded: bool
    ) -> ReportAnswer | None:
        """Apply what is new; None, and nothing is applied, when conclusions are drawn first."""
        with self._database.write() as connection:
            view = _executing(run_rows.lock_view(connection, attempt_id), attempt_id)
            applied = view.attempt.applied_sequence
            if batch.first <= applied + 1 <= batch.last:
                if not concluded and batch.finishes and self._conclusions.concern(view.run):
                    return None
                if batch.first <= applied:
                    batch = _Batch(batch.events[applied + 1 - batch.first :])
                    key = self._store(run_id, attempt_id, batch)
                view = self._apply(connection, view, batch, key)
            elif batch.first > applied + 1:
                raise InvalidState(f"Expected event {applied + 1}, got {batch.first}.")
            return _answer(view)

    def conclude(self, attempt_id: AttemptId) -> None:
        """Draw the conclusions of an attempt that is about to be ended without its runner's word.

        Raises Unavailable.
        """
        with self._database.read() as connection:
            view = run_rows.get_view_of_any(connection, attempt_id)
        if view is not None and view.attempt.state in EXECUTING:
            self._conclusions.draw(view)

    def _store(self, run_id: RunId, attempt_id: AttemptId, batch: _Batch) -> str:
        """Put a batch where the journal will find it; where that is.

        A blob that no row of the journal comes to name, because the batch was known already or the
        server died in between, goes with the run's other blobs.
        """
        folder = f"{run_prefix(run_id)}{attempt_id}/journal"
        key = f"{folder}/{batch.first:08}-{secrets.token_hex(4)}.jsonl"
        try:
            self._blobs.put(key, batch.lines)
        except BlobStoreFull as error:
            self._give_up(attempt_id, str(error))
            raise AttemptGone("The results of this run could not be stored.") from error
        return key

    def _apply(self, connection: Connection, view: RunView, batch: _Batch, key: str) -> RunView:
        attempt = view.attempt
        insert_chunk(
            connection,
            attempt.id,
            offset=attempt.journal_bytes,
            length=len(batch.lines),
            blob_key=key,
        )
        steps, facts = _read(batch.events)
        facts["applied_sequence"] = batch.last
        facts["journal_bytes"] = attempt.journal_bytes + len(batch.lines)
        if not any(step.target is State.TERMINATED for step in steps):
            facts["lease_expires_at"] = self._lease_end()
        return self._transitions.move_through(connection, view, steps, facts)

    def _renew(self, attempt_id: AttemptId) -> ReportAnswer:
        """A heartbeat; written down only now and then, since it says little."""
        with self._database.read() as connection:
            view = _executing(run_rows.get_view_of_any(connection, attempt_id), attempt_id)
        lease_end = self._lease_end()
        margin = timedelta(seconds=self._settings.lease_seconds / 4)
        known_end = view.attempt.lease_expires_at
        if known_end is None or lease_end - known_end > margin:
            with self._database.write() as connection:
                view = _executing(run_rows.lock_view(connection, attempt_id), attempt_id)
                run_rows.update_attempt(connection, attempt_id, {"lease_expires_at": lease_end})
        return _answer(view)

    def _give_up(self, attempt_id: AttemptId, why: str) -> None:
        with self._database.write() as connection:
            view = run_rows.lock_view(connection, attempt_id)
            if view is not None and view.attempt.state in EXECUTING:
                self._transitions.move(
                    connection,
                    view,
                    State.TERMINATED,
                    outcome=Outcome.INTERNAL_ERROR,
                    cause=Cause.STORAGE_FAILED,
                    message=f"The results of this run could not be stored: {why}",
                )

    def _lease_end(self) -> datetime:
        return self._clock.now() + timedelta(seconds=self._settings.lease_seconds)


class _Batch:
    """Events of one report, numbered without a gap."""

    def __init__(self, events: Sequence[Mapping[str, Any]]) -> None:
        self.events = events
        self.first: int = events[0]["sequence"]
        self.last: int = events[-1]["sequence"]
        self.finishes = any(event["type"] == EventType.FINISHED for event in events)
        self.lines = b"".join(
            json.dumps(event, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
            for event in events
        )

    @classmethod
    def of(cls, reported: Sequence[Mapping[str, Any]]) -> _Batch:
        """Raises InvalidValue for events that cannot be read."""
        try:
            for number, event in enumerate(reported, start=int(reported[0]["sequence"])):
                if event["sequence"] != number:
                    raise InvalidValue("events", f"expected event {number} in the list.")
                EventType(event["type"])
                datetime.fromisoformat(event["at"])
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidValue("events", f"an event cannot be read ({error!r}).") from error
        return cls(reported)


def _executing(view: RunView | None, attempt_id: AttemptId) -> RunView:
    if view is None:
        raise AttemptGone(f"Attempt {attempt_id} does not exist.")
    if view.attempt.state not in EXECUTING:
        raise AttemptGone(f"Attempt {attempt_id} is {view.attempt.state}.")
    return view


def _answer(view: RunView) -> ReportAnswer:
    asked = view.attempt.cancel_requested_at is not None
    return ReportAnswer(
        applied_sequence=view.attempt.applied_sequence,
        command=Command.CANCEL if asked else None,
        timeout_seconds=view.run.definition.timeout_seconds,
    )


def _read(events: Sequence[Mapping[str, Any]]) -> tuple[list[Step], dict[str, Any]]:
    """The steps that events mean, and the columns of the attempt they set besides."""
    steps: list[Step] = []
    facts: dict[str, Any] = {}
    for event in events:
        at = datetime.fromisoformat(event["at"])
        match event["type"]:
            case EventType.STARTED:
                steps.append(Step(State.RUNNING, at=at))
                facts["kernel_pid"] = event.get("kernel_pid")
            case EventType.CELL_STARTED:
                facts["last_cell"] = int(event["index"])
            case EventType.EXIT_VALUE:
                facts["exit_value"] = str(event["value"])
            case EventType.FINISHED:
                outcome, cause = Outcome(event["outcome"]), Cause(event["cause"])
                message = event.get("message") or ""
                steps.append(Step(State.TERMINATING, outcome, cause, message, at))
                facts.update(
                    (name, event[name])
                    for name in ("error", "error_trace", "last_cell")
                    if event.get(name) is not None
                )
            case EventType.TERMINATED:
                steps.append(Step(State.TERMINATED, message=event.get("message"), at=at))
            case _:
                pass
    return steps, facts
