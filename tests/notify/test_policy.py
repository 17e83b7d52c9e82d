"""Who is told of what (Databricks contract 6.1 to 6.3)."""

from __future__ import annotations

import pytest

from quire.engine.models import NotificationEvent, NotificationPolicy
from quire.engine.states import Outcome, State
from quire.notify.policy import recipients, recipients_of_deletion
from tests.notify.parts import mail_to, make_attempt, make_run, post_to

MAIL = mail_to("ops@example.com")
HOOK = post_to("hook")
BOTH = (*MAIL, *HOOK)
FAILED = {"outcome": Outcome.FAILED}
SKIPPED = {"state": State.SKIPPED, "outcome": None}
CANCELLED = {"outcome": Outcome.CANCELLED}
START, SUCCESS, FAILURE = (
    NotificationEvent.START,
    NotificationEvent.SUCCESS,
    NotificationEvent.FAILURE,
)


@pytest.mark.parametrize(
    ("rules", "event", "attempt", "final", "told"),
    [
        ({}, START, {"state": State.RUNNING, "outcome": None}, False, BOTH),
        ({}, SUCCESS, {}, True, BOTH),
        ({}, FAILURE, FAILED, True, BOTH),
        ({}, FAILURE, FAILED, False, BOTH),
        ({}, FAILURE, {"outcome": Outcome.TIMED_OUT}, True, BOTH),
        ({}, FAILURE, {"outcome": Outcome.INTERNAL_ERROR}, True, BOTH),
        ({}, FAILURE, {"outcome": Outcome.ABANDONED}, True, BOTH),
        ({}, FAILURE, CANCELLED, True, BOTH),
        ({}, FAILURE, SKIPPED, True, BOTH),
        ({"silent_when_skipped": True}, FAILURE, SKIPPED, True, ()),
        ({"silent_when_skipped": True}, FAILURE, FAILED, True, BOTH),
        ({"silent_when_cancelled": True}, FAILURE, CANCELLED, True, ()),
        ({"silent_when_cancelled": True}, FAILURE, FAILED, True, BOTH),
        # The older switch is about mail alone.
        ({"silent_when_skipped_by_mail": True}, FAILURE, SKIPPED, True, HOOK),
        ({"silent_when_skipped_by_mail": True}, FAILURE, FAILED, True, BOTH),
        ({"last_attempt_only": True}, START, {"number": 0}, False, BOTH),
        ({"last_attempt_only": True}, START, {"number": 1}, False, ()),
        ({"last_attempt_only": True}, FAILURE, FAILED, False, ()),
        ({"last_attempt_only": True}, FAILURE, {**FAILED, "number": 1}, True, BOTH),
        ({"last_attempt_only": True}, SUCCESS, {"number": 1}, True, BOTH),
        ({"last_attempt_only": True}, NotificationEvent.DURATION_WARNING, {}, False, BOTH),
    ],
)
def test_recipients(rules, event, attempt, final, told) -> None:
    policy = NotificationPolicy(targets={event: BOTH}, **rules)
    assert recipients(policy, make_attempt(make_run(), **attempt), event, final=final) == told


def test_nobody_is_told_of_other_events() -> None:
    policy = NotificationPolicy(targets={START: BOTH})
    assert recipients(policy, make_attempt(make_run()), SUCCESS, final=True) == ()


def test_each_target_is_told_once() -> None:
    policy = NotificationPolicy(targets={SUCCESS: (*BOTH, *BOTH)})
    assert recipients(policy, make_attempt(make_run()), SUCCESS, final=True) == BOTH


def test_a_deleted_job_tells_all_its_addresses_once() -> None:
    policy = NotificationPolicy(
        targets={
            START: (*mail_to("a@example.com"), *HOOK),
            FAILURE: mail_to("b@example.com", "a@example.com"),
        }
    )
    assert recipients_of_deletion(policy) == mail_to("a@example.com", "b@example.com")
