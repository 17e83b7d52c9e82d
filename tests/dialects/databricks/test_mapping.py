"""Mapping that HTTP tests do not reach: references, other origins, webhook bodies."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from quire.dialects.databricks.mapping import (
    describe_run,
    milliseconds,
    moment,
    resolve_references,
    stored_settings,
    webhook_message,
)
from quire.engine.models import (
    JobDefinition,
    NotebookTask,
    NotificationEvent,
    RunKind,
    Schedule,
    Trigger,
)
from quire.engine.states import State
from quire.ids import AttemptId, JobId, RunId
from quire.notify.notice import Notice
from quire.store.runs import RunView
from tests.engine.records import make_attempt, make_run

AT = datetime(2026, 3, 1, 12, 34, 56, 789000, tzinfo=UTC)  # a Sunday


def view(**definition: Any) -> RunView:
    task = NotebookTask("/Shared/n", parameters={"a": 1})
    run = make_run(
        5,
        number_in_job=2,
        definition=JobDefinition(task=task, name="nightly", **definition),
        state=State.PENDING,
        outcome=None,
        attempt_id=AttemptId(7),
        created_at=AT - timedelta(hours=1),
        ended_at=None,
    )
    attempt = make_attempt(
        7,
        run_id=run.id,
        number=1,
        trigger=Trigger.RETRY,
        state=State.PENDING,
        outcome=None,
        cause=None,
        created_at=AT - timedelta(minutes=1),
        claimed_at=AT,
        started_at=None,
        finished_at=None,
        ended_at=None,
    )
    return RunView(run, attempt)


VENDOR = {
    "databricks": {
        "settings": {
            "notebook_task": {"notebook_path": "/Shared/n"},
            "parameters": [
                {"name": "day", "default": "monday"},
                {"name": "a-b", "default": "dashed"},
            ],
        }
    }
}


class TestReferences:
    @pytest.mark.parametrize(
        ("text", "resolved"),
        [
            ("{{job_id}}", "3"),
            ("{{run_id}}", "7"),  # the attempt, which is the run to this vendor
            ("{{start_date}}", "2026-03-01"),
            ("{{start_time}}", str(milliseconds(AT))),
            ("{{task_retry_count}}", "1"),
            ("{{job.id}}/{{job.run_id}}", "3/7"),
            ("{{job.name}}", "nightly"),
            ("{{job.repair_count}}", "0"),
            ("{{job.trigger.type}}", "one_time"),
            ("{{job.trigger.time.hour}}", "11"),
            ("{{task.run_id}}", "7"),
            ("{{task.execution_count}}", "2"),
            ("{{task.notebook_path}}", "/Shared/n"),
            ("{{workspace.id}}", "77"),
            ("{{workspace.url}}", "http://here"),
            ("{{job.parameters.day}}", "monday"),
            ("{{job.parameters.`a-b`}}", "dashed"),
            ("{{job.start_time.iso_weekday}}", "7"),
            ("{{job.start_time.is_weekday}}", "false"),
            ("{{job.start_time.iso_date}}", "2026-03-01"),
            ("{{job.start_time.iso_datetime}}", "2026-03-01T12:34:56"),
            ("{{job.start_time.year}}-{{job.start_time.month}}", "2026-3"),
            ("{{job.start_time.day}} {{job.start_time.hour}}", "1 12"),
            ("{{job.start_time.minute}}:{{job.start_time.second}}", "34:56"),
            ("{{job.start_time.timestamp_ms}}", str(milliseconds(AT))),
            ("a {{job_id}} b {{job_id}}", "a 3 b 3"),
        ],
    )
    def test_known(self, text: str, resolved: str) -> None:
        seen = view(vendor=VENDOR)
        found = resolve_references(
            seen.run,
            seen.attempt,
            {"p": text},
            workspace_id="77",
            workspace_url="http://here",
        )
        assert found == {"p": resolved}

    @pytest.mark.parametrize(
        "text",
        [
            "{{ job_id }}",  # white space is not stripped
            "{{job.naem}}",
            "{{job.parameters.unknown}}",
            "{{job.parameters.a-b}}",  # needs back-quotes
            "{{job.start_time.century}}",
            "{{job.start_time}}",
            "{{parent_run_id}}",  # runs of one task have none
            "{{task_key}}",
            "{{secrets/scope/key}}",
            "{{job..id}}",
            "{{}}",
            "{{job_id",
            "{job_id}",
        ],
    )
    def test_unknown_stays_as_it_is(self, text: str) -> None:
        seen = view(vendor=VENDOR)
        assert resolve_references(seen.run, seen.attempt, {"p": text}) == {"p": text}

    def test_what_was_passed_wins_over_the_default(self) -> None:
        seen = view(vendor=VENDOR)
        passed = {"overriding_parameters": {"job_parameters": {"day": "friday"}}}
        run = replace(seen.run, vendor={"databricks": passed})
        found = resolve_references(run, seen.attempt, {"p": "{{job.parameters.day}}"})
        assert found == {"p": "friday"}

    def test_a_replacement_is_not_looked_at_again(self) -> None:
        seen = view(vendor=VENDOR)
        passed = {"overriding_parameters": {"job_parameters": {"day": "{{job_id}}"}}}
        run = replace(seen.run, vendor={"databricks": passed})
        found = resolve_references(run, seen.attempt, {"p": "{{job.parameters.day}}"})
        assert found == {"p": "{{job_id}}"}

    def test_what_is_no_text_is_left_alone(self) -> None:
        seen = view(vendor=VENDOR)
        assert resolve_references(seen.run, seen.attempt, {"p": 5}) == {"p": 5}


class TestOtherOrigins:
    """What was made through another door is shown as this vendor would have it."""

    def test_settings(self) -> None:
        definition = view(
            timeout_seconds=60.0, max_retries=2, schedule=Schedule("0 0 0 * * ?", "UTC", True)
        ).run.definition
        assert stored_settings(definition) == {
            "name": "nightly",
            "notebook_task": {"notebook_path": "/Shared/n", "base_parameters": {"a": "1"}},
            "timeout_seconds": 60,
            "max_retries": 2,
            "schedule": {
                "quartz_cron_expression": "0 0 0 * * ?",
                "timezone_id": "UTC",
                "pause_status": "PAUSED",
            },
            "max_concurrent_runs": 1,
        }

    def test_run(self) -> None:
        described = describe_run(view(), "http://here")
        assert described["task"]["notebook_task"]["notebook_path"] == "/Shared/n"
        assert described["cluster_spec"] == {}
        assert described["original_attempt_run_id"] == 5
        assert described["run_page_url"] == "http://here/runs/7"

    def test_a_child_run_is_a_workflow_run(self) -> None:
        seen = view()
        run = replace(seen.run, kind=RunKind.CHILD, trigger=Trigger.PARENT_RUN, parameters={"x": 1})
        attempt = replace(seen.attempt, trigger=Trigger.PARENT_RUN, number=0)
        described = describe_run(RunView(run, attempt), "")
        assert (described["run_type"], described["trigger"]) == ("WORKFLOW_RUN", "ONE_TIME")
        assert described["overriding_parameters"] == {"notebook_params": {"x": "1"}}

    def test_a_scheduled_run_carries_its_schedule(self) -> None:
        seen = view(schedule=Schedule("0 0 0 * * ?", "UTC"))
        run = replace(seen.run, trigger=Trigger.SCHEDULE)
        attempt = replace(seen.attempt, trigger=Trigger.SCHEDULE, number=0)
        described = describe_run(RunView(run, attempt), "")
        assert described["trigger"] == "PERIODIC"
        assert described["schedule"]["quartz_cron_expression"] == "0 0 0 * * ?"

    def test_a_creator_who_is_gone_is_left_out(self) -> None:
        seen = view()
        run = replace(seen.run, creator_name=None)
        assert "creator_user_name" not in describe_run(RunView(run, seen.attempt), "")


class TestDurations:
    def test_attempt_that_never_began(self) -> None:
        seen = view()
        attempt = replace(seen.attempt, ended_at=AT + timedelta(seconds=2))
        described = describe_run(RunView(seen.run, attempt), "")
        assert [
            described[f"{phase}_duration"] for phase in ("setup", "execution", "cleanup", "run")
        ] == [0, 0, 0, 2000]

    def test_attempt_whose_end_came_at_once(self) -> None:
        seen = view()
        attempt = replace(
            seen.attempt,
            started_at=AT + timedelta(seconds=1),
            ended_at=AT + timedelta(seconds=4),
        )
        described = describe_run(RunView(seen.run, attempt), "")
        assert [
            described[f"{phase}_duration"] for phase in ("setup", "execution", "cleanup", "run")
        ] == [1000, 3000, 0, 4000]


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (NotificationEvent.START, "jobs.on_start"),
        (NotificationEvent.SUCCESS, "jobs.on_success"),
        (NotificationEvent.FAILURE, "jobs.on_failure"),
        (NotificationEvent.DURATION_WARNING, "jobs.on_duration_warning_threshold_exceeded"),
    ],
)
def test_webhook_message(event: NotificationEvent, name: str) -> None:
    notice = Notice(
        event=event,
        workspace_id="1",
        job_id=JobId(45),
        job_name="nightly",
        run_id=RunId(120),
        attempt_id=AttemptId(123),
    )
    assert webhook_message(notice) == {
        "event_type": name,
        "workspace_id": "1",
        "run": {"run_id": "123"},
        "job": {"job_id": "45", "name": "nightly"},
    }


@pytest.mark.parametrize("value", [0, 1, 1457570074236])
def test_milliseconds_and_back(value: int) -> None:
    assert milliseconds(moment(value)) == value
