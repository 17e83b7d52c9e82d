"""Saved jobs over HTTP, against the seed's examples (contract 2.1, 2.2)."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from quire.engine.models import NotificationEvent, Overlap, TargetKind
from quire.ids import JobId
from tests.dialects.databricks import bad_input
from tests.dialects.databricks.conftest import CLUSTER, Door

NIGHTLY: dict[str, Any] = {
    "name": "Nightly model training",
    "new_cluster": {
        "spark_version": "7.5.x-scala2.12",
        "node_type_id": "n1-highmem-4",
        "num_workers": 10,
    },
    "libraries": [
        {"jar": "dbfs:/my-jar.jar"},
        {"maven": {"coordinates": "org.jsoup:jsoup:1.7.2"}},
    ],
    "timeout_seconds": 3600,
    "max_retries": 1,
    "schedule": {
        "quartz_cron_expression": "0 15 22 * * ?",
        "timezone_id": "America/Los_Angeles",
    },
    "notebook_task": {"notebook_path": "/Users/someone@example.com/my-notebook"},
}


def settings_of(door: Door, job_id: int) -> dict[str, Any]:
    settings = door.get("/jobs/get", {"job_id": job_id})["settings"]
    assert isinstance(settings, dict)
    return settings


class TestCreateAndRead:
    def test_the_seeds_example(self, door: Door) -> None:
        job_id = door.post("/jobs/create", NIGHTLY)["job_id"]
        shown = door.get("/jobs/get", {"job_id": job_id})
        expected = copy.deepcopy(NIGHTLY)
        expected["schedule"]["pause_status"] = "UNPAUSED"
        expected["format"] = "SINGLE_TASK"
        assert shown == {
            "job_id": job_id,
            "creator_user_name": "ada@example.com",
            "run_as_user_name": "ada@example.com",
            "settings": expected,
            "created_time": 1772366400000,
        }
        assert door.get("/jobs/list") == {"jobs": [shown]}

    def test_every_field_comes_back_as_it_was_sent(self, door: Door) -> None:
        job_id = door.post("/jobs/create", bad_input.JOB)["job_id"]
        assert settings_of(door, job_id) == {**bad_input.JOB, "format": "SINGLE_TASK"}

    def test_the_definition_says_the_same(self, door: Door) -> None:
        destination = door.post(
            "/notification-destinations",
            {"display_name": "d", "config": {"generic_webhook": {"url": "http://example.com"}}},
            token=door.admin_token,
        )["id"]
        job_id = door.make_job(
            name="n",
            notebook_task={
                "notebook_path": "/Workspace/Shared/n",
                "base_parameters": {"a": "1"},
                "revision_timestamp": 1000,
            },
            new_cluster={**CLUSTER, "spark_env_vars": {"MODE": "x"}},
            timeout_seconds=60,
            max_retries=-1,
            min_retry_interval_millis=1500,
            retry_on_timeout=True,
            max_concurrent_runs=0,
            queue={"enabled": True},
            parameters=[{"name": "b", "default": "2"}],
            email_notifications={"on_start": ["a@b.c"], "on_failure": ["a@b.c", "d@e.f"]},
            webhook_notifications={"on_success": [{"id": destination}]},
            notification_settings={"alert_on_last_attempt": True},
            health={
                "rules": [{"metric": "RUN_DURATION_SECONDS", "op": "GREATER_THAN", "value": 9}]
            },
        )
        definition = door.parts.jobs.get(door.parts.admin, JobId(job_id)).definition
        assert definition.task.path == "/Shared/n"
        assert definition.task.parameters == {"a": "1", "b": "2"}
        assert definition.task.revision_at is not None
        assert definition.task.revision_at.timestamp() == 1
        assert definition.environment == {"MODE": "x"}
        assert definition.timeout_seconds == 60
        assert definition.max_retries == -1
        assert definition.min_retry_interval_seconds == 1.5
        assert definition.retry_on_timeout
        assert definition.max_concurrent_runs == 0
        assert definition.overlap is Overlap.QUEUE
        policy = definition.notifications
        assert policy.format == "databricks"
        assert policy.last_attempt_only
        assert policy.duration_warning_seconds == 9
        told = {
            event: [(target.kind, target.address) for target in targets]
            for event, targets in policy.targets.items()
        }
        mail = TargetKind.EMAIL
        assert told == {
            NotificationEvent.START: [(mail, "a@b.c")],
            NotificationEvent.FAILURE: [(mail, "a@b.c"), (mail, "d@e.f")],
            NotificationEvent.SUCCESS: [(TargetKind.DESTINATION, destination)],
            NotificationEvent.JOB_DELETED: [(mail, "a@b.c"), (mail, "d@e.f")],
        }

    def test_what_clusters_cannot_do_is_noted(self, door: Door) -> None:
        job_id = door.post("/jobs/create", NIGHTLY)["job_id"]
        notices = door.parts.jobs.get(door.parts.admin, JobId(job_id)).definition.notices
        assert notices == ("Clusters of this server do not honour node_type_id.",)

    @pytest.mark.parametrize("job_id", [12345, -1, 2**62])
    def test_missing_job(self, door: Door, job_id: int) -> None:
        assert door.refuse("GET", "/jobs/get", {"job_id": job_id}) == (
            400,
            "INVALID_PARAMETER_VALUE",
        )
        assert door.said == f"Job {job_id} does not exist."

    def test_job_id_is_required(self, door: Door) -> None:
        for method, path in [("GET", "/jobs/get"), ("POST", "/jobs/run-now")]:
            assert door.refuse(method, path) == (400, "INVALID_PARAMETER_VALUE")
            assert "job_id" in door.said

    def test_others_jobs_do_not_exist(self, door: Door) -> None:
        job_id = door.make_job()
        other = door.stranger_token
        assert door.get("/jobs/list", token=other) == {"jobs": []}
        door.refuse("GET", "/jobs/get", {"job_id": job_id}, token=other)
        assert door.said == f"Job {job_id} does not exist."
        door.refuse("POST", "/jobs/run-now", {"job_id": job_id}, token=other)
        assert door.get("/jobs/get", {"job_id": job_id}, token=door.admin_token)

    def test_saved_jobs_are_limited(self, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
        object.__setattr__(door.parts.settings, "max_saved_jobs", 1)
        job_id = door.make_job()
        body = {"notebook_task": {"notebook_path": "/Shared/n"}, "new_cluster": CLUSTER}
        assert door.refuse("POST", "/jobs/create", body) == (400, "QUOTA_EXCEEDED")
        door.post("/jobs/delete", {"job_id": job_id})
        door.make_job()


class TestReset:
    def test_replaces_everything(self, door: Door) -> None:
        job_id = door.make_job(timeout_seconds=5, tags={"a": "b"})
        assert door.post("/jobs/reset", {"job_id": job_id, "new_settings": NIGHTLY}) == {}
        settings = settings_of(door, job_id)
        assert settings["name"] == "Nightly model training"
        assert "tags" not in settings

    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({}, "new_settings"),
            ({"new_settings": {}}, "new_settings.notebook_task"),
            ({"new_settings": "x"}, "new_settings"),
            ({"new_settings": {**NIGHTLY, "timeout_seconds": -1}}, "new_settings.timeout_seconds"),
            ({"new_settings": NIGHTLY, "job_id": "x"}, "job_id"),
        ],
    )
    def test_refusals_change_nothing(self, door: Door, fields: dict[str, Any], said: str) -> None:
        job_id = door.make_job(name="before")
        door.refuse("POST", "/jobs/reset", {"job_id": job_id, **fields})
        assert said in door.said
        assert settings_of(door, job_id)["name"] == "before"

    def test_missing_job(self, door: Door) -> None:
        door.refuse("POST", "/jobs/reset", {"job_id": 99, "new_settings": NIGHTLY})
        assert door.said == "Job 99 does not exist."


class TestUpdate:
    def test_the_seeds_example(self, door: Door) -> None:
        job_id = door.post("/jobs/create", NIGHTLY)["job_id"]
        mails = {"on_start": ["someone@example.com"], "on_success": [], "on_failure": []}
        update = {
            "job_id": job_id,
            "new_settings": {
                "existing_cluster_id": "1201-my-cluster",
                "email_notifications": mails,
            },
            "fields_to_remove": ["libraries"],
        }
        assert door.post("/jobs/update", update) == {}
        settings = settings_of(door, job_id)
        assert settings["existing_cluster_id"] == "1201-my-cluster"
        assert settings["email_notifications"] == mails
        assert not {"libraries", "new_cluster"} & set(settings)
        assert settings["timeout_seconds"] == 3600
        assert settings["notebook_task"] == NIGHTLY["notebook_task"]

    def test_removed_name_goes_back_to_the_default(self, door: Door) -> None:
        job_id = door.make_job(name="x")
        door.post("/jobs/update", {"job_id": job_id, "fields_to_remove": ["name"]})
        assert settings_of(door, job_id)["name"] == "Untitled"

    def test_an_administrator_may_change_a_job_that_names_its_maker(self, door: Door) -> None:
        job_id = door.make_job(run_as={"user_name": "ada@example.com"})
        change = {"job_id": job_id, "new_settings": {"timeout_seconds": 5}}
        assert door.post("/jobs/update", change, token=door.admin_token) == {}
        assert settings_of(door, job_id)["run_as"] == {"user_name": "ada@example.com"}

    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"fields_to_remove": ["notebook_task"]}, "new_settings.notebook_task"),
            ({"fields_to_remove": ["new_cluster"]}, "new_settings.new_cluster"),
            ({"fields_to_remove": ["schedule.timezone_id"]}, "fields_to_remove[0]"),
            ({"fields_to_remove": "name"}, "fields_to_remove"),
            ({"fields_to_remove": [5]}, "fields_to_remove[0]"),
            ({"new_settings": []}, "new_settings"),
            ({"new_settings": {"max_concurrent_runs": 1001}}, "new_settings.max_concurrent_runs"),
            ({"new_settings": {"run_job_task": {"job_id": 1}}}, "run_job_task"),
            (
                {"new_settings": {"webhook_notifications": {"on_start": [{"id": "x"}]}}},
                "new_settings.webhook_notifications.on_start[0].id",
            ),
        ],
    )
    def test_refusals_change_nothing(self, door: Door, fields: dict[str, Any], said: str) -> None:
        job_id = door.make_job(name="before")
        before = settings_of(door, job_id)
        door.refuse("POST", "/jobs/update", {"job_id": job_id, **fields})
        assert said in door.said
        assert settings_of(door, job_id) == before

    def test_runs_keep_the_settings_they_were_started_with(self, door: Door) -> None:
        job_id = door.make_job(name="before", notebook_task={"notebook_path": "/Shared/a"})
        run_id = door.post("/jobs/run-now", {"job_id": job_id})["run_id"]
        door.post(
            "/jobs/update",
            {"job_id": job_id, "new_settings": {"notebook_task": {"notebook_path": "/Shared/b"}}},
        )
        run = door.get("/jobs/runs/get", {"run_id": run_id})
        assert run["task"] == {"notebook_task": {"notebook_path": "/Shared/a"}}


class TestDelete:
    def test_job_and_runs_vanish_and_again_is_no_error(self, door: Door) -> None:
        job_id = door.make_job()
        run_id = door.post("/jobs/run-now", {"job_id": job_id})["run_id"]
        assert door.post("/jobs/delete", {"job_id": job_id}) == {}
        door.refuse("GET", "/jobs/get", {"job_id": job_id})
        door.refuse("GET", "/jobs/runs/get", {"run_id": run_id})
        assert door.said == f"Run {run_id} does not exist."
        assert door.get("/jobs/runs/list") == {"runs": [], "has_more": False}
        assert door.post("/jobs/delete", {"job_id": job_id}) == {}
        assert [job.id for job in door.parts.told.deleted] == [job_id]


class TestRunNow:
    def test_counts_runs_and_shows_parameters(self, door: Door) -> None:
        job_id = door.make_job(max_concurrent_runs=5)
        passed = {"name": "john doe", "age": "35"}
        first = door.post("/jobs/run-now", {"job_id": job_id, "notebook_params": passed})
        second = door.post("/jobs/run-now", {"job_id": str(job_id)})
        assert (first["number_in_job"], second["number_in_job"]) == (1, 2)
        run = door.get("/jobs/runs/get", {"run_id": first["run_id"]})
        assert run["overriding_parameters"] == {"notebook_params": passed}
        assert run["run_type"] == "JOB_RUN"
        assert "overriding_parameters" not in door.get(
            "/jobs/runs/get", {"run_id": second["run_id"]}
        )

    def test_parameters_win_over_the_jobs_key_by_key(self, door: Door) -> None:
        job_id = door.make_job(
            notebook_task={"notebook_path": "/Shared/n", "base_parameters": {"a": "1", "b": "2"}}
        )
        run_id = door.post("/jobs/run-now", {"job_id": job_id, "notebook_params": {"b": "3"}})
        view = door.parts.view(run_id["run_id"])
        assert view.run.definition.task.parameters == {"a": "1", "b": "2"}
        assert view.run.parameters == {"b": "3"}

    def test_job_parameters(self, door: Door) -> None:
        job_id = door.make_job(parameters=[{"name": "day", "default": "monday"}])
        answer = door.post("/jobs/run-now", {"job_id": job_id, "job_parameters": {"day": "friday"}})
        view = door.parts.view(answer["run_id"])
        assert view.run.definition.task.parameters == {"day": "monday"}
        assert view.run.parameters == {"day": "friday"}

    def test_slots_for_other_tasks_are_ignored(self, door: Door) -> None:
        job_id = door.make_job()
        answer = door.post("/jobs/run-now", {"job_id": job_id, "jar_params": ["a"]})
        assert "overriding_parameters" not in door.get(
            "/jobs/runs/get", {"run_id": answer["run_id"]}
        )

    def test_over_its_limit_a_run_is_skipped(self, door: Door) -> None:
        job_id = door.make_job(max_concurrent_runs=1)
        door.post("/jobs/run-now", {"job_id": job_id})
        second = door.post("/jobs/run-now", {"job_id": job_id})
        run = door.get("/jobs/runs/get", {"run_id": second["run_id"]})
        assert run["state"]["life_cycle_state"] == "SKIPPED"
        assert "result_state" not in run["state"]
        assert run["end_time"] > 0

    def test_same_token_same_run_whatever_else_is_said(self, door: Door) -> None:
        job_id = door.make_job(max_concurrent_runs=5)
        body = {"job_id": job_id, "idempotency_token": "t"}
        first = door.post("/jobs/run-now", body)
        assert door.post("/jobs/run-now", {**body, "notebook_params": {"a": "b"}}) == first
        # one namespace for both calls that start runs
        assert door.submit(idempotency_token="t") == first["run_id"]
        assert door.post("/jobs/run-now", {"job_id": job_id, "idempotency_token": ""}) != first

    def test_token_of_a_deleted_run_is_an_error(self, door: Door) -> None:
        run_id = door.submit(idempotency_token="t")
        door.post("/jobs/runs/cancel", {"run_id": run_id})
        door.post("/jobs/runs/delete", {"run_id": run_id})
        body = {
            "notebook_task": {"notebook_path": "/Shared/n"},
            "new_cluster": CLUSTER,
            "idempotency_token": "t",
        }
        assert door.refuse("POST", "/jobs/runs/submit", body) == (400, "INVALID_PARAMETER_VALUE")
        assert "idempotency_token" in door.said

    def test_somebody_elses_token_is_an_error(self, door: Door) -> None:
        body = {
            "notebook_task": {"notebook_path": "/Shared/n"},
            "existing_cluster_id": "c",
            "idempotency_token": "t",
        }
        door.post("/jobs/runs/submit", body)
        status, _ = door.refuse("POST", "/jobs/runs/submit", body, token=door.stranger_token)
        assert status == 400
        assert "idempotency_token" in door.said
        door.refuse("POST", "/jobs/runs/submit", {**body, "idempotency_token": "t" * 65})
        assert "idempotency_token: at most 64 characters" in door.said

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"spark_conf": {"": "x"}}, "new_cluster.spark_conf"),
            ({"spark_conf": {"spark.driver.memory": "much"}}, "spark_conf.spark.driver.memory"),
            ({"spark_env_vars": {"A B": "x"}}, "new_cluster.spark_env_vars"),
            ({"init_scripts": [{"dbfs": {"destination": "dbfs:/a"}}] * 11}, "new_cluster.init_"),
        ],
    )
    def test_clusters_that_could_never_be_made_are_not_saved(
        self, door: Door, fields: dict[str, Any], field: str
    ) -> None:
        body = {
            "notebook_task": {"notebook_path": "/Shared/n"},
            "new_cluster": {**CLUSTER, **fields},
        }
        job_id = door.make_job()
        for path, request in (
            ("/jobs/create", body),
            ("/jobs/reset", {"job_id": job_id, "new_settings": body}),
            ("/jobs/update", {"job_id": job_id, "new_settings": body}),
            ("/jobs/runs/submit", body),
        ):
            assert door.refuse("POST", path, request) == (400, "INVALID_PARAMETER_VALUE")
            assert field in door.said

    def test_too_many_active_runs_are_429_with_an_integer_wait(self, door: Door) -> None:
        object.__setattr__(door.parts.settings, "max_active_runs", 0)
        job_id = door.make_job()
        answer = door.client.post(
            "/api/2.0/jobs/run-now",
            json={"job_id": job_id},
            headers={"Authorization": f"Bearer {door.token}"},
        )
        assert answer.status_code == 429
        assert answer.json()["error_code"] == "REQUEST_LIMIT_EXCEEDED"
        assert int(answer.headers["Retry-After"]) >= 1


class TestBadInput:
    """Must show: every field with a wrong value is refused by name and nothing is stored."""

    def _check(self, door: Door, path: str, cases: list[tuple[str, dict[str, Any]]]) -> None:
        before = door.stored()
        for field, body in cases:
            status, answer = door.call("POST", path, body)
            assert 400 <= status < 500, (field, answer)
            assert answer["error_code"] in {"INVALID_PARAMETER_VALUE", "MALFORMED_REQUEST"}
            assert bad_input.names(answer["message"], field), (field, answer)
        assert door.stored() == before

    def test_create(self, door: Door) -> None:
        self._check(door, "/jobs/create", bad_input.JOB_CASES)

    def test_reset(self, door: Door) -> None:
        job_id = door.make_job(name="before")
        cases = [
            (path, {"job_id": job_id, "new_settings": body}) for path, body in bad_input.JOB_CASES
        ]
        self._check(door, "/jobs/reset", cases)
        assert settings_of(door, job_id)["name"] == "before"

    def test_update(self, door: Door) -> None:
        job_id = door.make_job(name="before")
        cases = [
            (path, {"job_id": job_id, "new_settings": body}) for path, body in bad_input.JOB_CASES
        ]
        self._check(door, "/jobs/update", cases)
        assert settings_of(door, job_id)["name"] == "before"

    def test_submit(self, door: Door) -> None:
        self._check(door, "/jobs/runs/submit", bad_input.SUBMIT_CASES)

    def test_run_now(self, door: Door) -> None:
        job_id = door.make_job()
        cases = [
            (path, body if path == "job_id" else {**body, "job_id": job_id})
            for path, body in bad_input.RUN_NOW_CASES
        ]
        self._check(door, "/jobs/run-now", cases)

    @pytest.mark.parametrize(
        ("method", "path", "field"),
        [
            ("GET", "/jobs/get", "job_id"),
            ("POST", "/jobs/delete", "job_id"),
            ("GET", "/jobs/runs/get", "run_id"),
            ("GET", "/jobs/runs/get-output", "run_id"),
            ("GET", "/jobs/runs/export", "run_id"),
            ("POST", "/jobs/runs/cancel", "run_id"),
            ("POST", "/jobs/runs/cancel-all", "job_id"),
            ("POST", "/jobs/runs/delete", "run_id"),
        ],
    )
    def test_ids(self, door: Door, method: str, path: str, field: str) -> None:
        values: list[Any] = ["x", "1.5", "", "ü", "1 2", "9" * 40, "1" * 5000]
        if method == "POST":
            values += [True, [], {}, 1.5, 10**30, [1]]
        for value in [*values, None]:
            status, code = door.refuse(method, path, {} if value is None else {field: value})
            assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
            assert field in door.said
