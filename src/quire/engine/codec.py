"""Definitions as JSON, the form they are stored in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from quire.compute.codec import compute_from_json, compute_to_json
from quire.engine.models import (
    Isolation,
    JobDefinition,
    NotebookTask,
    NotificationEvent,
    NotificationPolicy,
    NotificationTarget,
    Overlap,
    Schedule,
    TargetKind,
)

__all__ = ["definition_from_json", "definition_to_json"]


def definition_to_json(definition: JobDefinition) -> dict[str, Any]:
    """The definition as a JSON object; :func:`definition_from_json` reads it back unchanged."""
    task = definition.task
    schedule = definition.schedule
    policy = definition.notifications
    return {
        "task": {
            "kind": "notebook",
            "path": task.path,
            "revision_at": task.revision_at.isoformat() if task.revision_at else None,
            "parameters": dict(task.parameters),
        },
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
        "environment": dict(definition.environment),
        "compute": compute_to_json(definition.compute) if definition.compute else None,
        "notices": list(definition.notices),
        "vendor": dict(definition.vendor),
    }


def definition_from_json(value: Mapping[str, Any]) -> JobDefinition:
    """The definition that :func:`definition_to_json` made this of."""
    task = value["task"]
    schedule = value["schedule"]
    return JobDefinition(
        task=NotebookTask(
            path=task["path"],
            revision_at=(
                datetime.fromisoformat(task["revision_at"]) if task["revision_at"] else None
            ),
            parameters=task["parameters"],
        ),
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
        environment=value["environment"],
        compute=compute_from_json(compute) if (compute := value["compute"]) else None,
        notices=tuple(value["notices"]),
        vendor=value["vendor"],
    )


def _policy(value: Mapping[str, Any]) -> NotificationPolicy:
    targets = {
        NotificationEvent(event): tuple(
            NotificationTarget(TargetKind(target["kind"]), target["address"]) for target in listed
        )
        for event, listed in value["targets"].items()
    }
    return NotificationPolicy(**{**value, "targets": targets})
