"""Between the vendor's settings, jobs and runs and the engine's: pure functions, no decisions.

Settings are kept as the client sent them, in the definition's ``vendor["databricks"]``, and shown
from there; what the engine has to know is derived from them here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from quire.compute.uses import UsedCluster
from quire.dialects.databricks import wire
from quire.dialects.databricks.mapping_clusters import cluster_instance, compute_of
from quire.dialects.databricks.mapping_tasks import described_task, meant_for, task_of
from quire.dialects.databricks.states import describe_state
from quire.dialects.databricks.times import milliseconds, moment
from quire.engine import cron
from quire.engine.models import (
    Attempt,
    Job,
    JobDefinition,
    NotificationEvent,
    NotificationPolicy,
    NotificationTarget,
    Overlap,
    Parameters,
    Run,
    RunKind,
    Schedule,
    TargetKind,
    TaskKind,
    Trigger,
)
from quire.errors import InvalidValue
from quire.notify.notice import Notice
from quire.store.runs import RunView
from quire.workspace.models import Node, NodeKind

__all__ = [
    "DIALECT",
    "IDEMPOTENCY_PREFIX",
    "RUN_KINDS",
    "describe_job",
    "describe_node",
    "describe_output",
    "describe_run",
    "has_logs",
    "job_definition",
    "milliseconds",
    "moment",
    "resolve_references",
    "run_definition",
    "stored_settings",
    "webhook_message",
]

DIALECT = "databricks"
IDEMPOTENCY_PREFIX = "databricks:"
RESULT_LIMIT = 5 * 1024 * 1024  # bytes of an exit value that get-output gives back
LOG_LIMIT = 5 * 1024 * 1024  # bytes at the end of what a program printed
_LOGGING = frozenset({TaskKind.JAR, TaskKind.PYTHON_FILE, TaskKind.SHELL})
_DEFAULT_NAME = "Untitled"

RUN_KINDS = {
    "JOB_RUN": RunKind.JOB,
    "SUBMIT_RUN": RunKind.ONE_TIME,
    "WORKFLOW_RUN": RunKind.CHILD,
}
_RUN_TYPES = {kind: name for name, kind in RUN_KINDS.items()}
_TRIGGERS = {
    Trigger.SCHEDULE: "PERIODIC",
    Trigger.REQUEST: "ONE_TIME",
    Trigger.RETRY: "RETRY",
    Trigger.PARENT_RUN: "ONE_TIME",
}
_EVENTS = {
    "on_start": NotificationEvent.START,
    "on_success": NotificationEvent.SUCCESS,
    "on_failure": NotificationEvent.FAILURE,
    "on_duration_warning_threshold_exceeded": NotificationEvent.DURATION_WARNING,
}
_EVENT_NAMES = {
    **{event: name for name, event in _EVENTS.items()},
    NotificationEvent.JOB_DELETED: "on_deleted",
}
_OBJECT_TYPES = {
    NodeKind.FOLDER: "DIRECTORY",
    NodeKind.NOTEBOOK: "NOTEBOOK",
    NodeKind.FILE: "FILE",
}
_LANGUAGES = {"python": "PYTHON", "sql": "SQL", "scala": "SCALA", "r": "R"}


# -- settings to definitions ----------------------------------------------------------------------


def job_definition(settings: wire.JobSettings) -> JobDefinition:
    """The engine's definition of a job with these checked settings.

    Raises InvalidValue for a schedule that cannot be read.
    """
    stored = settings.stored()
    if settings.schedule is not None:
        stored["schedule"].setdefault("pause_status", "UNPAUSED")
    stored.setdefault("name", _DEFAULT_NAME)
    name = settings.name or _DEFAULT_NAME
    declared = {each.name: each.default for each in settings.parameters or ()}
    return _definition(
        settings,
        stored,
        name=name,
        schedule=_schedule(settings.schedule),
        max_concurrent_runs=(
            1 if settings.max_concurrent_runs is None else settings.max_concurrent_runs
        ),
        job_parameters=declared,
    )


def run_definition(settings: wire.SubmitRun) -> JobDefinition:
    """The engine's definition of a one-time run with these checked settings."""
    stored = settings.stored()
    for name in ("idempotency_token", "run_name"):
        stored.pop(name, None)
    return _definition(
        settings,
        stored,
        name=settings.run_name or _DEFAULT_NAME,
        schedule=None,
        max_concurrent_runs=1,
        job_parameters={},
    )


def stored_settings(definition: JobDefinition) -> dict[str, Any]:
    """The settings as this vendor's clients see them.

    For a definition that came another way they are made from what the engine knows.
    """
    own = definition.vendor.get(DIALECT)
    if own is not None:
        return dict(own["settings"])
    settings: dict[str, Any] = {"name": definition.name, **described_task(definition.task)}
    if definition.timeout_seconds:
        settings["timeout_seconds"] = int(definition.timeout_seconds)
    if definition.max_retries:
        settings["max_retries"] = definition.max_retries
    if definition.schedule is not None:
        settings["schedule"] = {
            "quartz_cron_expression": definition.schedule.cron,
            "timezone_id": definition.schedule.timezone,
            "pause_status": "PAUSED" if definition.schedule.paused else "UNPAUSED",
        }
    settings["max_concurrent_runs"] = definition.max_concurrent_runs
    return settings


def _definition(
    settings: wire.JobSettings | wire.SubmitRun,
    stored: dict[str, Any],
    *,
    name: str,
    schedule: Schedule | None,
    max_concurrent_runs: int,
    job_parameters: Mapping[str, str],
) -> JobDefinition:
    queue = settings.queue is not None and settings.queue.enabled
    cluster = settings.new_cluster
    compute = compute_of(settings.existing_cluster_id, cluster, settings.libraries)
    made = compute.new_cluster if compute is not None else None
    return JobDefinition(
        task=task_of(settings, job_parameters),
        name=name,
        timeout_seconds=float(settings.timeout_seconds) if settings.timeout_seconds else None,
        max_retries=settings.max_retries or 0,
        min_retry_interval_seconds=(settings.min_retry_interval_millis or 0) / 1000,
        retry_on_timeout=bool(settings.retry_on_timeout),
        schedule=schedule,
        max_concurrent_runs=max_concurrent_runs,
        overlap=Overlap.QUEUE if queue else Overlap.SKIP,
        notifications=_notifications(settings),
        environment=dict(cluster.spark_env_vars or {}) if cluster is not None else {},
        compute=compute,
        notices=made.notices if made is not None else (),
        vendor={DIALECT: {"settings": stored}},
    )


def _schedule(schedule: wire.CronSchedule | None) -> Schedule | None:
    if schedule is None:
        return None
    try:
        cron.parse(schedule.quartz_cron_expression)
    except InvalidValue as error:
        raise _renamed(error, "schedule.quartz_cron_expression") from None
    try:
        cron.resolve_timezone(schedule.timezone_id)
    except InvalidValue as error:
        raise _renamed(error, "schedule.timezone_id") from None
    return Schedule(
        cron=schedule.quartz_cron_expression,
        timezone=schedule.timezone_id,
        paused=schedule.pause_status == "PAUSED",
    )


def _renamed(error: InvalidValue, field: str) -> InvalidValue:
    reason = error.message.removeprefix(f"Invalid value for {error.field}: ")
    return InvalidValue(field, reason)


def _notifications(settings: wire.JobSettings | wire.SubmitRun) -> NotificationPolicy:
    targets: dict[NotificationEvent, tuple[NotificationTarget, ...]] = {}
    mails = settings.email_notifications
    webhooks = settings.webhook_notifications
    every_address: dict[str, None] = {}
    for name, event in _EVENTS.items():
        addresses = (getattr(mails, name) or []) if mails is not None else []
        hooks = (getattr(webhooks, name) or []) if webhooks is not None else []
        every_address.update(dict.fromkeys(addresses))
        listed = [NotificationTarget(TargetKind.EMAIL, address) for address in addresses]
        listed += [NotificationTarget(TargetKind.DESTINATION, hook.id) for hook in hooks]
        if listed:
            targets[event] = tuple(dict.fromkeys(listed))
    if every_address:
        targets[NotificationEvent.JOB_DELETED] = tuple(
            NotificationTarget(TargetKind.EMAIL, address) for address in every_address
        )
    quiet = settings.notification_settings or wire.NotificationSettings()
    durations = [
        rule.value
        for rule in (settings.health.rules if settings.health is not None else None) or ()
        if rule.metric == "RUN_DURATION_SECONDS"
    ]
    return NotificationPolicy(
        targets=targets,
        silent_when_skipped=bool(quiet.no_alert_for_skipped_runs),
        silent_when_cancelled=bool(quiet.no_alert_for_canceled_runs),
        last_attempt_only=bool(quiet.alert_on_last_attempt),
        silent_when_skipped_by_mail=bool(mails is not None and mails.no_alert_for_skipped_runs),
        duration_warning_seconds=float(min(durations)) if durations else None,
        format=DIALECT,
    )


# -- jobs and runs to the wire --------------------------------------------------------------------


def describe_job(job: Job) -> dict[str, Any]:
    """The Job object of contract 2.1."""
    described: dict[str, Any] = {"job_id": job.id}
    if job.creator_name is not None:
        described["creator_user_name"] = job.creator_name
        described["run_as_user_name"] = job.creator_name
    described["settings"] = {**stored_settings(job.definition), "format": "SINGLE_TASK"}
    described["created_time"] = milliseconds(job.created_at)
    return described


def describe_run(view: RunView, root: str, part: UsedCluster | None = None) -> dict[str, Any]:
    """The Run object of contract 2.5; ``root`` is the server's URL, for the link to the run's page.

    To this vendor each attempt is a run of its own, linked to the first by its id. ``part`` is
    what it has or had of a cluster.
    """
    run, attempt = view.run, view.attempt
    definition = run.definition
    settings = stored_settings(definition)
    described: dict[str, Any] = {
        "job_id": run.job_id,
        "run_id": attempt.id,
        "number_in_job": run.number_in_job,
        "original_attempt_run_id": run.id,
        "attempt_number": attempt.number,
        "state": describe_state(
            attempt.state,
            attempt.outcome,
            attempt.cause,
            attempt.message,
            overlap=definition.overlap,
            notices=(*definition.notices, *(part.use.notices if part is not None else ())),
        ),
        "task": {name: settings[name] for name in wire.TASK_FIELDS if name in settings},
        "cluster_spec": {
            name: settings[name]
            for name in ("existing_cluster_id", "new_cluster", "libraries")
            if name in settings
        },
        "start_time": milliseconds(attempt.created_at),
        **_durations(attempt),
        "end_time": milliseconds(attempt.ended_at) if attempt.ended_at is not None else 0,
        "trigger": _TRIGGERS[attempt.trigger],
        "run_name": run.name,
        "run_page_url": f"{root}/runs/{attempt.id}",
        "run_type": _RUN_TYPES[run.kind],
        "format": "SINGLE_TASK",
    }
    if run.creator_name is not None:
        described["creator_user_name"] = run.creator_name
    instance = cluster_instance(part) if part is not None else {}
    if "existing_cluster_id" in settings:
        # Also when there is no such cluster and a shared one took its place: clients know it so.
        instance["cluster_id"] = settings["existing_cluster_id"]
    if instance:
        described["cluster_instance"] = instance
    if run.trigger is Trigger.SCHEDULE and "schedule" in settings:
        described["schedule"] = settings["schedule"]
    overriding = _overriding_parameters(run)
    if overriding:
        described["overriding_parameters"] = overriding
    return described


def has_logs(view: RunView) -> bool:
    """Whether get-output shows what a run printed (contract 2.8)."""
    return view.run.definition.task.kind in _LOGGING


def describe_output(
    view: RunView, root: str, log: str = "", part: UsedCluster | None = None
) -> dict[str, Any]:
    """The answer of get-output (contract 2.8). ``log``: what a run with logs printed."""
    attempt = view.attempt
    described: dict[str, Any] = {"metadata": describe_run(view, root, part)}
    if attempt.active:
        described["error"] = f"Run {attempt.id} has not finished; its output is not available yet."
        return described
    if view.run.definition.task.kind is TaskKind.NOTEBOOK:
        output: dict[str, Any] = {"truncated": False}
        if attempt.exit_value is not None:
            result, truncated = _first_bytes(attempt.exit_value, RESULT_LIMIT)
            output = {"result": result, "truncated": truncated}
        described["notebook_output"] = output
    elif has_logs(view):
        described["logs"], described["logs_truncated"] = _last_bytes(log, LOG_LIMIT)
    state = described["metadata"]["state"]
    if state.get("result_state") != "SUCCESS":
        error = attempt.error or attempt.message
        if error:
            described["error"] = " ".join(error.split())  # one line; the trace has them all
        if attempt.error_trace:
            described["error_trace"] = attempt.error_trace
    return described


def describe_node(node: Node) -> dict[str, Any]:
    """The ObjectInfo of contract 8.1."""
    described: dict[str, Any] = {
        "object_type": _OBJECT_TYPES[node.kind],
        "path": node.path,
        "object_id": node.id,
        "resource_id": str(node.id),
        "created_at": milliseconds(node.created_at),
        "modified_at": milliseconds(node.modified_at),
    }
    if node.kind is NodeKind.NOTEBOOK and node.language in _LANGUAGES:
        described["language"] = _LANGUAGES[node.language]
    if node.kind is NodeKind.FILE:
        described["size"] = node.size or 0
    return described


def webhook_message(notice: Notice) -> dict[str, Any]:
    """What a webhook receives (contract 6.2); every id is text."""
    message: dict[str, Any] = {
        "event_type": f"jobs.{_EVENT_NAMES[notice.event]}",
        "workspace_id": notice.workspace_id,
        "job": {"job_id": str(notice.job_id), "name": notice.job_name},
    }
    if notice.attempt_id is not None:
        message["run"] = {"run_id": str(notice.attempt_id)}
    return message


def _durations(attempt: Attempt) -> dict[str, int]:
    """The three phases, which add up to the attempt's length, and that length; 0 until known."""
    setup = _span(attempt.claimed_at, attempt.started_at)
    execution = _span(attempt.started_at, attempt.finished_at)
    cleanup = _span(attempt.finished_at, attempt.ended_at)
    whole = _span(attempt.claimed_at or attempt.created_at, attempt.ended_at)
    if attempt.started_at is not None and attempt.ended_at is not None and not attempt.finished_at:
        execution = _span(attempt.started_at, attempt.ended_at)
    return {
        "setup_duration": setup,
        "execution_duration": execution,
        "cleanup_duration": cleanup,
        "run_duration": whole,
    }


def _span(start: datetime | None, end: datetime | None) -> int:
    if start is None or end is None:
        return 0
    return max(0, milliseconds(end) - milliseconds(start))


def _overriding_parameters(run: Run) -> dict[str, Any]:
    own = run.vendor.get(DIALECT, {})
    if "overriding_parameters" in own:
        return meant_for(run.definition.task, own["overriding_parameters"])
    if run.kind is RunKind.ONE_TIME or not run.parameters:
        return {}
    return {"notebook_params": {key: str(value) for key, value in run.parameters.items()}}


def _last_bytes(text: str, limit: int) -> tuple[str, bool]:
    data = text.encode("utf-8", "surrogatepass")
    if len(data) <= limit:
        return text, False
    return data[-limit:].decode("utf-8", "ignore"), True


def _first_bytes(text: str, limit: int) -> tuple[str, bool]:
    if len(text) <= limit // 4:
        return text, False
    data = text.encode("utf-8", "surrogatepass")
    if len(data) <= limit:
        return text, False
    return data[:limit].decode("utf-8", "ignore"), True


# -- dynamic value references (contract 11) -------------------------------------------------------

_REFERENCE = re.compile(r"\{\{((?:`[^`{}]*`|[A-Za-z0-9_.])+)\}\}")
_PART = re.compile(r"`([^`]*)`|([A-Za-z0-9_]+)")


def resolve_references(
    run: Run,
    attempt: Attempt,
    parameters: Parameters,
    *,
    workspace_id: str = "",
    workspace_url: str = "",
) -> dict[str, Any]:
    """The parameters with ``{{...}}`` references replaced; unknown ones stay as they are.

    Called when an attempt starts. Values are text; what is not text is left alone.
    """

    def replace(found: re.Match[str]) -> str:
        value = _reference(found[1], run, attempt, workspace_id, workspace_url)
        return found[0] if value is None else value

    return {
        key: _REFERENCE.sub(replace, value) if isinstance(value, str) and "{{" in value else value
        for key, value in parameters.items()
    }


def _reference(
    name: str, run: Run, attempt: Attempt, workspace_id: str, workspace_url: str
) -> str | None:
    started = attempt.claimed_at or attempt.created_at
    fixed = {
        "job_id": run.job_id,
        "run_id": attempt.id,
        "start_date": started.strftime("%Y-%m-%d"),
        "start_time": milliseconds(started),
        "task_retry_count": attempt.number,
        "job.id": run.job_id,
        "job.name": run.definition.name,
        "job.run_id": attempt.id,
        "job.repair_count": 0,
        "job.trigger.type": _TRIGGERS[run.trigger].lower(),
        "task.run_id": attempt.id,
        "task.execution_count": attempt.number + 1,
        "task.notebook_path": run.definition.task.workspace_path,
        "workspace.id": workspace_id or None,
        "workspace.url": workspace_url or None,
    }
    if name in fixed:
        value = fixed[name]
        return None if value is None else str(value)
    parts = _split(name)
    if parts[:2] == ["job", "start_time"] and len(parts) == 3:
        return _time_part(started, parts[2])
    if parts[:3] == ["job", "trigger", "time"] and len(parts) == 4:
        return _time_part(run.created_at, parts[3])
    if parts[:2] == ["job", "parameters"] and len(parts) == 3:
        return _job_parameter(run, parts[2])
    return None


def _split(name: str) -> list[str]:
    """The parts between dots, back-quotes removed; empty when the name is malformed."""
    parts, position = [], 0
    while position < len(name):
        found = _PART.match(name, position)
        if found is None:
            return []
        parts.append(found[1] if found[1] is not None else found[2])
        position = found.end()
        if position < len(name):
            if name[position] != ".":
                return []
            position += 1
    return parts


def _job_parameter(run: Run, name: str) -> str | None:
    passed = _overriding_parameters(run).get("job_parameters", {})
    if name in passed:
        return str(passed[name])
    for each in stored_settings(run.definition).get("parameters", ()):
        if each["name"] == name:
            return str(each["default"])
    return None


def _time_part(at: datetime, argument: str) -> str | None:
    parts = {
        "iso_weekday": at.isoweekday(),
        "is_weekday": str(at.isoweekday() < 6).lower(),
        "iso_date": at.strftime("%Y-%m-%d"),
        "iso_datetime": at.strftime("%Y-%m-%dT%H:%M:%S"),
        "year": at.year,
        "month": at.month,
        "day": at.day,
        "hour": at.hour,
        "minute": at.minute,
        "second": at.second,
        "timestamp_ms": milliseconds(at),
    }
    return str(parts[argument]) if argument in parts else None
