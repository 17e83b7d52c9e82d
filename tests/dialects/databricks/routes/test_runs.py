"""Runs over HTTP (contract 2.3 to 2.8, 3)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dialects.databricks.conftest import CLUSTER, Door


def run_of(door: Door, run_id: int) -> dict[str, Any]:
    run = door.get("/jobs/runs/get", {"run_id": run_id})
    assert isinstance(run, dict)
    return run


class TestGet:
    def test_settings_of_the_servers_own_are_named(self, door: Door) -> None:
        cluster = {**CLUSTER, "policy_id": "p", "spark_conf": {"spark.master": "yarn", "a": "b"}}
        said = run_of(door, door.submit(new_cluster=cluster))["state"]["state_message"]
        assert said == (
            "Clusters of this server do not honour policy_id. "
            "Set by the server, whatever spark_conf says: spark.master."
        )

    def test_a_submitted_run_from_beginning_to_end(self, door: Door) -> None:
        run_id = door.submit(
            run_name="my notebook",
            new_cluster={**CLUSTER, "policy_id": "p"},
            libraries=[{"jar": "dbfs:/a.jar"}],
        )
        created = 1772366400000
        run = run_of(door, run_id)
        notice = "Clusters of this server do not honour policy_id."
        assert run == {
            "job_id": run["job_id"],
            "run_id": run_id,
            "number_in_job": 1,
            "creator_user_name": "ada@example.com",
            "original_attempt_run_id": run_id,
            "attempt_number": 0,
            "state": {
                "life_cycle_state": "PENDING",
                "state_message": notice,
                "user_cancelled_or_timedout": False,
            },
            "task": {"notebook_task": {"notebook_path": "/Shared/n"}},
            "cluster_spec": {
                "new_cluster": {**CLUSTER, "policy_id": "p"},
                "libraries": [{"jar": "dbfs:/a.jar"}],
            },
            "start_time": created,
            "setup_duration": 0,
            "execution_duration": 0,
            "cleanup_duration": 0,
            "run_duration": 0,
            "end_time": 0,
            "trigger": "ONE_TIME",
            "run_name": "my notebook",
            "run_page_url": f"http://testserver/runs/{run_id}",
            "run_type": "SUBMIT_RUN",
            "format": "SINGLE_TASK",
        }
        door.parts.claim(run_id)
        door.clock.advance(1)
        door.parts.report(run_id, {"type": "accepted", "pid": 1000}, _STARTED)
        assert run_of(door, run_id)["state"]["life_cycle_state"] == "RUNNING"
        door.clock.advance(10)
        door.parts.report(run_id, {"type": "finished", "outcome": "success", "cause": "completed"})
        state = run_of(door, run_id)["state"]
        assert (state["life_cycle_state"], state["result_state"]) == ("TERMINATING", "SUCCESS")
        door.clock.advance(0.5)
        door.parts.report(run_id, {"type": "terminated"})
        run = run_of(door, run_id)
        assert run["state"] == {
            "life_cycle_state": "TERMINATED",
            "result_state": "SUCCESS",
            "state_message": notice,
            "user_cancelled_or_timedout": False,
        }
        assert (run["setup_duration"], run["execution_duration"]) == (1000, 10_000)
        assert (run["cleanup_duration"], run["run_duration"]) == (500, 11_500)
        assert run["end_time"] == created + 11_500

    def test_names_default_to_untitled(self, door: Door) -> None:
        assert run_of(door, door.submit())["run_name"] == "Untitled"
        job_id = door.make_job(name="nightly")
        run_id = door.post("/jobs/run-now", {"job_id": job_id})["run_id"]
        assert run_of(door, run_id)["run_name"] == "nightly"

    def test_a_submitted_run_has_a_job_id_but_no_saved_job(self, door: Door) -> None:
        job_id = run_of(door, door.submit())["job_id"]
        assert door.get("/jobs/list") == {"jobs": []}
        door.refuse("GET", "/jobs/get", {"job_id": job_id})
        assert door.said == f"Job {job_id} does not exist."

    def test_existing_cluster(self, door: Door) -> None:
        body = {
            "notebook_task": {"notebook_path": "/Shared/n"},
            "existing_cluster_id": "1201-my-cluster",
        }
        run_id = door.post("/jobs/runs/submit", body)["run_id"]
        run = run_of(door, run_id)
        assert run["cluster_spec"] == {"existing_cluster_id": "1201-my-cluster"}
        assert run["cluster_instance"] == {"cluster_id": "1201-my-cluster"}
        assert run["state"]["state_message"] == ""
        door.parts.claim(run_id)
        door.parts.ask(run_id)
        run = run_of(door, run_id)
        assert run["cluster_instance"] == {"cluster_id": "1201-my-cluster"}
        assert "There is no cluster 1201-my-cluster" in run["state"]["state_message"]

    def test_a_cluster_is_made_for_a_run(self, door: Door) -> None:
        run_id = door.submit(new_cluster={**CLUSTER, "num_workers": 1})
        assert "cluster_instance" not in run_of(door, run_id)
        door.parts.claim(run_id)
        cluster = door.parts.ask(run_id).cluster
        assert cluster is not None
        instance = run_of(door, run_id)["cluster_instance"]
        assert instance == {"cluster_id": cluster.id}
        shown = door.get("/clusters/get", instance)
        assert (shown["state"], shown["cluster_source"]) == ("PENDING", "JOB")
        assert door.get("/clusters/list") == {"clusters": []}
        door.parts.bring_up(cluster)
        door.parts.ask(run_id)
        instance = run_of(door, run_id)["cluster_instance"]
        assert instance["spark_context_id"] == str(cluster.number * 1_000_000 + 1)
        (listed,) = door.get("/jobs/runs/list")["runs"]
        assert listed["cluster_instance"] == instance

    def test_a_retry_is_a_run_of_its_own(self, door: Door) -> None:
        job_id = door.make_job(max_retries=1)
        answer = door.post("/jobs/run-now", {"job_id": job_id, "notebook_params": {"a": "b"}})
        first = answer["run_id"]
        door.parts.start(first)
        door.parts.finish(first, "failed", error="ValueError: x")
        runs = door.get("/jobs/runs/list", {"job_id": job_id})["runs"]
        assert [run["attempt_number"] for run in runs] == [1, 0]
        retry = runs[0]
        assert retry["run_id"] != first
        assert retry["original_attempt_run_id"] == first
        assert retry["trigger"] == "RETRY"
        assert retry["overriding_parameters"] == {"notebook_params": {"a": "b"}}
        assert retry["state"]["life_cycle_state"] == "PENDING"
        # who polls the first run sees how that one ended
        assert run_of(door, first)["state"]["result_state"] == "FAILED"
        assert run_of(door, first)["state"]["state_message"].startswith(
            "Workload failed, see run output for details"
        )

    def test_public_url_is_the_root_of_links(self, door: Door) -> None:
        object.__setattr__(door.parts.settings, "public_url", "https://quire.example.com/")
        run_id = door.submit()
        assert run_of(door, run_id)["run_page_url"] == f"https://quire.example.com/runs/{run_id}"

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/jobs/runs/get"),
            ("GET", "/jobs/runs/get-output"),
            ("GET", "/jobs/runs/export"),
            ("POST", "/jobs/runs/cancel"),
            ("POST", "/jobs/runs/delete"),
        ],
    )
    def test_missing_and_others_runs_do_not_exist(self, door: Door, method: str, path: str) -> None:
        run_id = door.submit()
        for missing, token in [(999, door.token), (run_id, door.stranger_token)]:
            assert door.refuse(method, path, {"run_id": missing}, token=token) == (
                400,
                "INVALID_PARAMETER_VALUE",
            )
            assert door.said == f"Run {missing} does not exist."


class TestList:
    def test_newest_first_in_pages(self, door: Door) -> None:
        ids = [door.submit() for _ in range(5)]
        page = door.get("/jobs/runs/list", {"limit": 2})
        assert [run["run_id"] for run in page["runs"]] == [ids[4], ids[3]]
        assert page["has_more"] is True
        page = door.get("/jobs/runs/list", {"limit": 2, "offset": 4})
        assert [run["run_id"] for run in page["runs"]] == [ids[0]]
        assert page["has_more"] is False
        assert len(door.get("/jobs/runs/list", {"limit": 0})["runs"]) == 5

    def test_twenty_by_default(self, door: Door) -> None:
        for _ in range(21):
            door.submit()
        page = door.get("/jobs/runs/list")
        assert (len(page["runs"]), page["has_more"]) == (20, True)

    def test_filters(self, door: Door) -> None:
        submitted = door.submit()
        job_id = door.make_job(max_concurrent_runs=2)
        first = door.post("/jobs/run-now", {"job_id": job_id})["run_id"]
        second = door.post("/jobs/run-now", {"job_id": job_id})["run_id"]
        door.post("/jobs/runs/cancel", {"run_id": first})

        def ids(**query: Any) -> list[int]:
            return [run["run_id"] for run in door.get("/jobs/runs/list", query)["runs"]]

        assert ids(active_only="True") == [second, submitted]
        assert ids(completed_only="true") == [first]
        assert ids(job_id=job_id) == [second, first]
        assert ids(run_type="SUBMIT_RUN") == [submitted]
        assert ids(run_type="JOB_RUN") == [second, first]
        assert ids(run_type="WORKFLOW_RUN") == []
        assert ids(start_time_from=1772366400000) == [second, first, submitted]
        assert ids(start_time_to=1772366399999) == []

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ({"active_only": "true", "completed_only": "true"}, "active_only"),
            ({"limit": 1000}, "limit"),
            ({"limit": -1}, "limit"),
            ({"limit": "x"}, "limit"),
            ({"offset": -1}, "offset"),
            ({"offset": "9" * 40}, "offset"),
            ({"job_id": "x"}, "job_id"),
            ({"run_type": "X"}, "run_type"),
            ({"active_only": "maybe"}, "active_only"),
            ({"start_time_from": "x"}, "start_time_from"),
            ({"start_time_to": 10**18}, "start_time_to"),
            ({"limit": [1, 2]}, "limit"),
        ],
    )
    def test_refusals(self, door: Door, query: dict[str, Any], field: str) -> None:
        assert door.refuse("GET", "/jobs/runs/list", query) == (400, "INVALID_PARAMETER_VALUE")
        assert field in door.said


class TestCancelAndDelete:
    def test_cancel_ends_a_waiting_run_and_later_does_nothing(self, door: Door) -> None:
        run_id = door.submit()
        assert door.post("/jobs/runs/cancel", {"run_id": run_id}) == {}
        state = run_of(door, run_id)["state"]
        assert (state["life_cycle_state"], state["result_state"]) == ("TERMINATED", "CANCELED")
        assert state["user_cancelled_or_timedout"] is True
        assert door.post("/jobs/runs/cancel", {"run_id": run_id}) == {}

    def test_cancel_all(self, door: Door) -> None:
        job_id = door.make_job(max_concurrent_runs=3)
        ids = [door.post("/jobs/run-now", {"job_id": job_id})["run_id"] for _ in range(3)]
        assert door.post("/jobs/runs/cancel-all", {"job_id": job_id}) == {}
        assert {run_of(door, run_id)["state"]["result_state"] for run_id in ids} == {"CANCELED"}
        assert door.refuse("POST", "/jobs/runs/cancel-all", {"job_id": 999}) == (
            400,
            "INVALID_PARAMETER_VALUE",
        )

    def test_delete_refuses_an_active_run(self, door: Door) -> None:
        run_id = door.submit()
        assert door.refuse("POST", "/jobs/runs/delete", {"run_id": run_id}) == (
            400,
            "INVALID_STATE",
        )
        door.post("/jobs/runs/cancel", {"run_id": run_id})
        assert door.post("/jobs/runs/delete", {"run_id": run_id}) == {}
        door.refuse("GET", "/jobs/runs/get", {"run_id": run_id})


class TestOutput:
    def output(self, door: Door, run_id: int) -> dict[str, Any]:
        output = door.get("/jobs/runs/get-output", {"run_id": run_id})
        assert output["metadata"] == run_of(door, run_id)
        assert isinstance(output, dict)
        return output

    def finished(self, door: Door, outcome: str = "success", **facts: Any) -> int:
        run_id = door.submit()
        door.parts.start(run_id)
        exit_value = facts.pop("exit_value", None)
        if exit_value is not None:
            door.parts.report(run_id, {"type": "exit_value", "value": exit_value})
        door.parts.finish(run_id, outcome, **facts)
        return run_id

    def test_exit_value(self, door: Door) -> None:
        output = self.output(door, self.finished(door, exit_value="the value"))
        assert output["notebook_output"] == {"result": "the value", "truncated": False}
        assert "error" not in output

    def test_without_an_exit_value(self, door: Door) -> None:
        output = self.output(door, self.finished(door))
        assert output["notebook_output"] == {"truncated": False}

    def test_long_values_are_cut_between_characters(self, door: Door) -> None:
        limit = 5 * 1024 * 1024
        output = self.output(door, self.finished(door, exit_value="x" + "ü" * limit))
        result = output["notebook_output"]["result"]
        assert output["notebook_output"]["truncated"] is True
        assert len(result.encode()) == limit - 1
        assert result.endswith("ü")

    def test_failure(self, door: Door) -> None:
        run_id = self.finished(
            door, "failed", error="ValueError:\n  message\n", error_trace="Traceback ..."
        )
        output = self.output(door, run_id)
        assert output["error"] == "ValueError: message"
        assert output["error_trace"] == "Traceback ..."

    def test_not_finished(self, door: Door) -> None:
        output = self.output(door, door.submit())
        assert "not finished" in output["error"]
        assert "notebook_output" not in output


class TestExport:
    def test_page_carries_the_notebook(self, door: Door) -> None:
        run_id = door.submit()
        views = door.get("/jobs/runs/export", {"run_id": run_id})["views"]
        assert [(view["name"], view["type"]) for view in views] == [("n", "NOTEBOOK")]
        assert "<!DOCTYPE html>" in views[0]["content"]
        assert "__DATABRICKS_NOTEBOOK_MODEL" in views[0]["content"]

    def test_views(self, door: Door) -> None:
        query = {"run_id": door.submit()}
        dashboards = {**query, "views_to_export": "DASHBOARDS"}
        assert door.get("/jobs/runs/export", dashboards) == {"views": []}
        everything = door.get("/jobs/runs/export", {**query, "views_to_export": "ALL"})
        assert len(everything["views"]) == 1
        door.refuse("GET", "/jobs/runs/export", {**query, "views_to_export": "NONE"})
        assert "CODE, DASHBOARDS, ALL" in door.said


_STARTED: dict[str, Any] = {
    "type": "started",
    "kernel_pid": 1001,
    "kernel_name": "python3",
    "language_info": {"name": "python"},
}
