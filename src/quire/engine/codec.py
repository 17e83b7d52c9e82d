"""Definitions as JSON, the form they are stored in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from quire.compute.codec import compute_from_json, compute_to_json
from quire.engine.models import (
    Isolation,
    JobDefinition,
    NotificationEvent,
    NotificationPolicy,
    NotificationTarget,
    Overlap,
    Schedule,
    TargetKind,
    Task,
    TaskKind,
    WorkingFiles,
)
from quire.engine.tasks import TASK_TYPES

__all__ = ["definition_from_json", "definition_to_json", "task_from_json", "task_to_json"]


def definition_to_json(definition: JobDefinition) -> dict[str, Any]:
    """The definition as a JSON object; :func:`definition_from_json` reads it back unchanged."""
    schedule = definition.schedule
    policy = definition.notifications
    return {
        "task": task_to_json(definition.task),
        "name": definition.name,
        "timeout_seconds": definition.timeout_seconds,
        "max_retries": definition.max_retries,
        "min_retry_interval_seconds": definition.min_retry_interval_seconds,
        "retry_on_timeout": definition.retry_on_timeout,
        "schedule": {
            "cron": schedule.cron,
            "timezone": schedule.timezone,
            "paused": schedule.paused,
        }
        if schedule
        else None,
        "max_concurrent_runs": definition.max_concurrent_runs,
        "overlap": definition.overlap,
        "notifications": {
            "targets": {
                event: [{"kind": target.kind, "address": target.address} for target in targets]
                for event, targets in policy.targets.items()
            },
            "silent_when_skipped": policy.silent_when_skipped,
            "silent_when_cancelled": policy.silent_when_cancelled,
            "last_attempt_only": policy.last_attempt_only,
            "silent_when_skipped_by_mail": policy.silent_when_skipped_by_mail,
            "duration_warning_seconds": policy.duration_warning_seconds,
            "format": policy.format,
        },
        "isolation": definition.isolation,
        "working_files": definition.working_files,
        "updates_publication": definition.updates_publication,
        "environment": dict(definition.environment),
        "compute": compute_to_json(definition.compute) if definition.compute else None,
        "notices": list(definition.notices),
        "vendor": dict(definition.vendor),
    }


def definition_from_json(value: Mapping[str, Any]) -> JobDefinition:
    """The definition that :func:`definition_to_json` made this of."""
    schedule = value["schedule"]
    return JobDefinition(
        task=task_from_json(value["task"]),
        name=value["name"],
        timeout_seconds=value["timeout_seconds"],
        max_retries=value["max_retries"],
        min_retry_interval_seconds=value["min_retry_interval_seconds"],
        retry_on_timeout=value["retry_on_timeout"],
        schedule=Schedule(**schedule) if schedule else None,
        max_concurrent_runs=value["max_concurrent_runs"],
        overlap=Overlap(value["overlap"]),
        notifications=_policy(value["notifications"]),
        isolation=Isolation(value["isolation"]),
        working_files=WorkingFiles(value["working_files"]),
        updates_publication=value["updates_publication"],
        environment=value["environment"],
        compute=compute_from_json(compute) if (compute := value["compute"]) else None,
        notices=tuple(value["notices"]),
        vendor=value["vendor"],
    )


def task_to_json(task: Task) -> dict[str, Any]:
    """The task as a JSON object: its kind and its fields."""
    plain = {each.name: _plain(getattr(task, each.name)) for each in fields(task)}
    return {"kind": task.kind, **plain}


def task_from_json(value: Mapping[str, Any]) -> Task:
    """The task that :func:`task_to_json` made this of."""
    given: dict[str, Any] = {
        name: tuple(each) if isinstance(each, list) else each
        for name, each in value.items()
        if name != "kind"
    }
    if given.get("revision_at"):
        given["revision_at"] = datetime.fromisoformat(given["revision_at"])
    return TASK_TYPES[TaskKind(value["kind"])](**given)


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.isoformat()
        case Mapping():
            return dict(value)
        case tuple():
            return list(value)
    return value


def _policy(value: Mapping[str, Any]) -> NotificationPolicy:
    targets = {
        NotificationEvent(event): tuple(
            NotificationTarget(TargetKind(target["kind"]), target["address"]) for target in listed
        )
        for event, listed in value["targets"].items()
    }
    return NotificationPolicy(**{**value, "targets": targets})
