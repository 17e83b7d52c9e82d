"""Who is told of an event, and when silence is wanted. Pure; sends nothing."""

from __future__ import annotations

from quire.engine.models import (
    Attempt,
    NotificationEvent,
    NotificationPolicy,
    NotificationTarget,
    TargetKind,
)
from quire.engine.states import Outcome, State

__all__ = ["recipients", "recipients_of_deletion"]


def recipients(
    policy: NotificationPolicy, attempt: Attempt, event: NotificationEvent, *, final: bool
) -> tuple[NotificationTarget, ...]:
    """Whom to tell, each once, in the order of the policy; nobody when silence is wanted.

    ``final`` says that no further attempt follows. Source: Databricks contract 6.1 to 6.3.
    """
    if policy.last_attempt_only:
        if event is NotificationEvent.START and attempt.number > 0:
            return ()
        if event is NotificationEvent.FAILURE and not final:
            return ()
    targets = _each_once(policy.targets.get(event, ()))
    if event is NotificationEvent.FAILURE:
        if attempt.outcome is Outcome.CANCELLED and policy.silent_when_cancelled:
            return ()
        if attempt.state is State.SKIPPED:
            if policy.silent_when_skipped:
                return ()
            if policy.silent_when_skipped_by_mail:
                return tuple(each for each in targets if each.kind is not TargetKind.EMAIL)
    return targets


def recipients_of_deletion(policy: NotificationPolicy) -> tuple[NotificationTarget, ...]:
    """Every mail address the policy names for any event, and whoever asked for this one."""
    addresses = (
        target
        for targets in policy.targets.values()
        for target in targets
        if target.kind is TargetKind.EMAIL
    )
    return _each_once((*addresses, *policy.targets.get(NotificationEvent.JOB_DELETED, ())))


def _each_once(targets: tuple[NotificationTarget, ...]) -> tuple[NotificationTarget, ...]:
    return tuple(dict.fromkeys(targets))
