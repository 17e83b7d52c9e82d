"""What there is to tell about a run or a job, and the forms a webhook may receive it in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from quire.engine.models import Attempt, Job, NotificationEvent, Run, RunKind
from quire.engine.states import Outcome, State
from quire.ids import AttemptId, JobId, RunId

__all__ = ["MessageFormat", "Notice", "quire_message", "result_in_words", "storable", "summary"]

_LONGEST_TEXT = 4096
_MOMENTS = ("created_at", "started_at", "ended_at")


@dataclass(frozen=True)
class Notice:
    """One event, as it was when it happened. The run's fields are None for a deleted job."""

    event: NotificationEvent
    workspace_id: str
    job_id: JobId
    job_name: str
    run_id: RunId | None = None
    attempt_id: AttemptId | None = None
    attempt_number: int | None = None  # 0 for the first
    run_name: str | None = None
    state: State | None = None
    outcome: Outcome | None = None
    message: str = ""  # for people: why the run is where it is
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    run_url: str | None = None  # page of the attempt

    @classmethod
    def about_run(
        cls, event: NotificationEvent, run: Run, attempt: Attempt, *, workspace_id: str, root: str
    ) -> Notice:
        """``root`` is the URL under which people reach this server."""
        return cls(
            event=event,
            workspace_id=workspace_id,
            job_id=run.job_id,
            job_name=storable(run.definition.name if run.kind is RunKind.JOB else run.name),
            run_id=run.id,
            attempt_id=attempt.id,
            attempt_number=attempt.number,
            run_name=storable(run.name),
            state=attempt.state,
            outcome=attempt.outcome,
            message=storable(attempt.message),
            created_at=attempt.created_at,
            started_at=attempt.started_at,
            ended_at=attempt.ended_at,
            run_url=f"{root.rstrip('/')}/runs/{attempt.id}" if root else None,
        )

    @classmethod
    def about_deleted_job(cls, job: Job, *, workspace_id: str) -> Notice:
        return cls(
            event=NotificationEvent.JOB_DELETED,
            workspace_id=workspace_id,
            job_id=job.id,
            job_name=storable(job.definition.name),
            created_at=job.created_at,
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON object from which :meth:`from_json` makes an equal notice."""
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Notice:
        """The notice that :meth:`to_json` made this of."""
        fields = dict(value)
        for name in _MOMENTS:
            if fields[name] is not None:
                fields[name] = datetime.fromisoformat(fields[name])
        fields["event"] = NotificationEvent(fields["event"])
        fields["state"] = State(fields["state"]) if fields["state"] else None
        fields["outcome"] = Outcome(fields["outcome"]) if fields["outcome"] else None
        return cls(**fields)


MessageFormat = Callable[[Notice], dict[str, Any]]
"""Makes the JSON object that a webhook receives."""


def quire_message(notice: Notice) -> dict[str, Any]:
    """The server's own form, named ``quire``. Moments are ISO 8601 in UTC, ids are numbers."""
    value = notice.to_json()
    run = None
    if notice.run_id is not None:
        run = {
            "id": value["run_id"],
            "name": value["run_name"],
            "attempt_id": value["attempt_id"],
            "attempt_number": value["attempt_number"],
            "url": value["run_url"],
            **{name: value[name] for name in ("state", "outcome", "message", *_MOMENTS)},
        }
    return {
        "event": value["event"],
        "workspace_id": value["workspace_id"],
        "job": {"id": value["job_id"], "name": value["job_name"]},
        "run": run,
    }


_OUTCOMES = {
    Outcome.SUCCESS: "succeeded",
    Outcome.FAILED: "failed",
    Outcome.TIMED_OUT: "timed out",
    Outcome.CANCELLED: "was cancelled",
    Outcome.INTERNAL_ERROR: "ended with an internal error",
    Outcome.ABANDONED: "was abandoned",
}


def result_in_words(notice: Notice) -> str:
    """What happened, to follow the name of the job: "failed", "was deleted"."""
    match notice.event:
        case NotificationEvent.START:
            return "started"
        case NotificationEvent.DURATION_WARNING:
            return "takes longer than expected"
        case NotificationEvent.JOB_DELETED:
            return "was deleted"
        case NotificationEvent.SUCCESS | NotificationEvent.FAILURE:
            if notice.outcome is not None:
                return _OUTCOMES[notice.outcome]
            return "was skipped" if notice.state is State.SKIPPED else "failed"


def summary(notice: Notice) -> str:
    """One line that says it all."""
    line = f"{_one_line(notice.job_name)} {result_in_words(notice)}"
    if notice.attempt_id is None:
        return f"{line} (job {notice.job_id})"
    retry = f", retry {notice.attempt_number}" if notice.attempt_number else ""
    return f"{line} (run {notice.attempt_id}{retry})"


def storable(text: str, longest: int = _LONGEST_TEXT) -> str:
    """A text that any database and any receiver takes, whatever notebook or server it came from."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:longest]


def _one_line(text: str) -> str:
    """Free text without line breaks and other control characters, of bearable length."""
    shown = "".join(each if each.isprintable() else " " for each in text)
    shown = " ".join(shown.split())
    return shown if len(shown) <= 200 else f"{shown[:199]}…"
