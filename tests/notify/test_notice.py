from __future__ import annotations

import pytest

from quire.engine.models import NotificationEvent, RunKind
from quire.engine.states import Outcome, State
from quire.notify.chat import slack_message, teams_message
from quire.notify.notice import Notice, quire_message, summary
from tests.notify.parts import failed, make_attempt, make_job, make_run


def about(event: NotificationEvent = NotificationEvent.FAILURE, **changes) -> Notice:
    run = make_run(name=changes.pop("name", "nightly"))
    return Notice.about_run(
        event, run, failed(run, **changes), workspace_id="1", root="https://quire.example.com/"
    )


def test_a_notice_survives_json() -> None:
    for notice in (about(), Notice.about_deleted_job(make_job(), workspace_id="1")):
        assert Notice.from_json(notice.to_json()) == notice


def test_the_form_named_quire() -> None:
    assert quire_message(about()) == {
        "event": "failure",
        "workspace_id": "1",
        "job": {"id": 45, "name": "nightly"},
        "run": {
            "id": 7,
            "name": "nightly",
            "attempt_id": 7,
            "attempt_number": 0,
            "url": "https://quire.example.com/runs/7",
            "state": "terminated",
            "outcome": "failed",
            "message": "Workload failed, see run output for details",
            "created_at": "2026-03-01T11:00:00+00:00",
            "started_at": "2026-03-01T11:00:01+00:00",
            "ended_at": "2026-03-01T11:00:05+00:00",
        },
    }
    deleted = quire_message(Notice.about_deleted_job(make_job(), workspace_id="1"))
    assert deleted["event"] == "job_deleted"
    assert deleted["run"] is None


def test_a_run_without_a_saved_job_goes_by_its_own_name() -> None:
    run = make_run()
    run = type(run)(**{**vars(run), "kind": RunKind.ONE_TIME, "name": "one time"})
    notice = Notice.about_run(
        NotificationEvent.SUCCESS, run, make_attempt(run), workspace_id="1", root=""
    )
    assert notice.job_name == "one time"
    assert notice.run_url is None


@pytest.mark.parametrize(
    ("event", "changes", "line"),
    [
        (NotificationEvent.START, {}, "nightly started (run 7)"),
        (NotificationEvent.SUCCESS, {"outcome": Outcome.SUCCESS}, "nightly succeeded (run 7)"),
        (NotificationEvent.FAILURE, {}, "nightly failed (run 7)"),
        (NotificationEvent.FAILURE, {"number": 2}, "nightly failed (run 7, retry 2)"),
        (NotificationEvent.FAILURE, {"outcome": Outcome.TIMED_OUT}, "nightly timed out (run 7)"),
        (
            NotificationEvent.FAILURE,
            {"outcome": None, "state": State.SKIPPED},
            "nightly was skipped (run 7)",
        ),
        (
            NotificationEvent.DURATION_WARNING,
            {},
            "nightly takes longer than expected (run 7)",
        ),
        (NotificationEvent.FAILURE, {"name": "a\r\nBcc: x\tb"}, "a Bcc: x b failed (run 7)"),
    ],
)
def test_the_line_that_says_it_all(event, changes, line) -> None:
    assert summary(about(event, **changes)) == line


def test_texts_that_no_database_takes_are_made_harmless() -> None:
    notice = about(name="a\0b", message="half \ud800 of a pair")
    assert notice.job_name == "ab"
    assert notice.message == "half ? of a pair"


def test_slack_gets_text_in_which_nobody_can_be_mentioned() -> None:
    text = slack_message(about(name="<!channel> & co"))["text"]
    assert text.splitlines() == [
        "&lt;!channel&gt; &amp; co failed (run 7)",
        "Workload failed, see run output for details",
        "<https://quire.example.com/runs/7|Open the run>",
    ]


def test_teams_gets_an_adaptive_card() -> None:
    [attachment] = teams_message(about())["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert [block["text"] for block in card["body"]] == [
        "nightly failed (run 7)",
        "Workload failed, see run output for details",
    ]
    assert card["actions"][0]["url"] == "https://quire.example.com/runs/7"
