"""Tasks that are no notebooks over HTTP (contract 2.2, 2.8, 4); tests play the runner."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from quire.dialects.databricks.mapping import LOG_LIMIT
from quire.engine.models import JarTask, PythonFileTask, SubmitTask
from quire.ids import JobId
from tests.dialects.databricks import bad_input
from tests.dialects.databricks.conftest import CLUSTER, Door

NIGHTLY: dict[str, Any] = {
    "name": "Nightly model training",
    "new_cluster": {
        "spark_version": "7.5.x-scala2.12",
        "node_type_id": "n1-highmem-4",
        "aws_attributes": {"availability": "ON_DEMAND"},
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
    "spark_jar_task": {"main_class_name": "com.databricks.ComputeModels"},
}


def make_job(door: Door, **task: Any) -> int:
    job_id = door.post("/jobs/create", {"new_cluster": CLUSTER, **task})["job_id"]
    assert isinstance(job_id, int)
    return job_id


def finished(door: Door, *printed: str, outcome: str = "success", **task: Any) -> dict[str, Any]:
    """What get-output says of a run that printed some texts and ended."""
    body = {"new_cluster": CLUSTER, **task}
    run_id = door.post("/jobs/runs/submit", body)["run_id"]
    door.parts.start(run_id)
    for text in printed:
        output = {"output_type": "stream", "name": "stdout", "text": text}
        door.parts.report(run_id, {"type": "output", "index": 0, "output": output})
    facts = {"cause": "program_failed", "error": "E: x"} if outcome == "failed" else {}
    door.parts.finish(run_id, outcome, **facts)
    output = door.get("/jobs/runs/get-output", {"run_id": run_id})
    assert isinstance(output, dict)
    return output


class TestJobs:
    def test_the_seeds_example(self, door: Door) -> None:
        job_id = door.post("/jobs/create", NIGHTLY)["job_id"]
        settings = door.get("/jobs/get", {"job_id": job_id})["settings"]
        assert settings["spark_jar_task"] == NIGHTLY["spark_jar_task"]
        assert settings["libraries"] == NIGHTLY["libraries"]
        definition = door.parts.jobs.get(door.parts.admin, JobId(job_id)).definition
        assert definition.task == JarTask("com.databricks.ComputeModels")
        assert definition.compute is not None
        assert [each.value for each in definition.compute.libraries] == [
            "dbfs:/my-jar.jar",
            "org.jsoup:jsoup:1.7.2",
        ]

    @pytest.mark.parametrize("kind", bad_input.TASKS)
    def test_every_field_comes_back_as_it_was_sent(self, door: Door, kind: str) -> None:
        body = bad_input.with_task(kind, bad_input.SUBMIT)
        run_id = door.post("/jobs/runs/submit", body)["run_id"]
        run = door.get("/jobs/runs/get", {"run_id": run_id})
        assert run["task"] == {kind: body[kind]}

    def test_a_task_takes_the_place_of_a_notebook(self, door: Door) -> None:
        job_id = door.make_job()
        change = {"job_id": job_id, "new_settings": {"spark_python_task": {"python_file": "/a.py"}}}
        assert door.post("/jobs/update", change) == {}
        settings = door.get("/jobs/get", {"job_id": job_id})["settings"]
        assert "notebook_task" not in settings
        definition = door.parts.jobs.get(door.parts.admin, JobId(job_id)).definition
        assert definition.task == PythonFileTask("/a.py")


class TestRunNow:
    EVERY_SLOT: ClassVar[dict[str, Any]] = {
        "notebook_params": {},
        "jar_params": ["jar"],
        "python_params": ["python"],
        "spark_submit_params": ["--class", "a.B", "/dbfs/b.jar"],
    }

    @pytest.mark.parametrize(
        ("task", "words", "shown"),
        [
            (
                {"spark_jar_task": {"main_class_name": "a.B", "parameters": ["own"]}},
                ("jar",),
                {"jar_params": ["jar"]},
            ),
            (
                {"spark_python_task": {"python_file": "/a.py", "parameters": ["own"]}},
                ("python",),
                {"python_params": ["python"]},
            ),
            (
                {"spark_submit_task": {"parameters": ["dbfs:/own.jar"]}},
                ("--class", "a.B", "dbfs:/b.jar"),
                {"spark_submit_params": ["--class", "a.B", "/dbfs/b.jar"]},
            ),
        ],
    )
    def test_words_replace_the_tasks_own(
        self, door: Door, task: dict[str, Any], words: tuple[str, ...], shown: dict[str, Any]
    ) -> None:
        job_id = make_job(door, **task)
        run_id = door.post("/jobs/run-now", {"job_id": job_id, **self.EVERY_SLOT})["run_id"]
        assert door.parts.view(run_id).run.definition.task.arguments == words
        run = door.get("/jobs/runs/get", {"run_id": run_id})
        assert run["overriding_parameters"] == shown
        assert run["task"] == task  # what the job says stays as it is

    def test_without_words_the_tasks_own_hold(self, door: Door) -> None:
        job_id = make_job(door, spark_submit_task={"parameters": ["dbfs:/own.jar", "1"]})
        body = {"job_id": job_id, "jar_params": [], "spark_submit_params": []}
        run_id = door.post("/jobs/run-now", body)["run_id"]
        assert door.parts.view(run_id).run.definition.task == SubmitTask(("dbfs:/own.jar", "1"))
        assert "overriding_parameters" not in door.get("/jobs/runs/get", {"run_id": run_id})

    def test_a_retry_has_the_same_words(self, door: Door) -> None:
        task = {"python_file": "/a.py", "parameters": ["own"]}
        job_id = make_job(door, spark_python_task=task, max_retries=1)
        passed = {"job_id": job_id, "python_params": ["passed"]}
        run_id = door.post("/jobs/run-now", passed)["run_id"]
        door.parts.start(run_id)
        door.parts.finish(run_id, "failed")
        retry = door.get("/jobs/runs/list", {"job_id": job_id})["runs"][0]
        assert retry["run_id"] != run_id
        assert retry["overriding_parameters"] == {"python_params": ["passed"]}
        assert door.parts.view(retry["run_id"]).run.definition.task.arguments == ("passed",)


class TestOutput:
    @pytest.mark.parametrize(
        "task",
        [
            {"spark_jar_task": {"main_class_name": "a.B"}},
            {"spark_python_task": {"python_file": "/a.py"}},
            {"shell_command_task": {"command": ["ls"]}},
        ],
    )
    def test_logs(self, door: Door, task: dict[str, Any]) -> None:
        output = finished(door, "one\n", "two\n", **task)
        assert output["logs"] == "one\ntwo\n"
        assert output["logs_truncated"] is False
        assert not {"notebook_output", "error"} & set(output)

    def test_long_logs_keep_their_end(self, door: Door) -> None:
        task = {"shell_command_task": {"command": ["ls"]}}
        output = finished(door, "ü" * LOG_LIMIT, "\nthe end\n", **task)
        assert output["logs_truncated"] is True
        assert len(output["logs"].encode()) == LOG_LIMIT - 1  # half a character is left out
        assert output["logs"].endswith("ü\nthe end\n")

    def test_failure(self, door: Door) -> None:
        task = {"spark_jar_task": {"main_class_name": "a.B"}}
        output = finished(door, "one\n", outcome="failed", **task)
        assert output["error"] == "E: x"
        assert output["logs"] == "one\n"
        state = output["metadata"]["state"]
        assert state["life_cycle_state"] == "TERMINATED"
        assert state["state_message"].startswith("Workload failed, see run output for details")

    def test_spark_submit_has_none(self, door: Door) -> None:
        task = {"spark_submit_task": {"parameters": ["dbfs:/a.jar"]}}
        assert set(finished(door, "one\n", **task)) == {"metadata"}
        output = finished(door, "one\n", outcome="failed", **task)
        assert (set(output), output["error"]) == ({"metadata", "error"}, "E: x")

    def test_not_finished(self, door: Door) -> None:
        body = {"new_cluster": CLUSTER, "shell_command_task": {"command": ["ls"]}}
        run_id = door.post("/jobs/runs/submit", body)["run_id"]
        output = door.get("/jobs/runs/get-output", {"run_id": run_id})
        assert "not finished" in output["error"]
        assert "logs" not in output

    def test_no_export(self, door: Door) -> None:
        body = {"new_cluster": CLUSTER, "shell_command_task": {"command": ["ls"]}}
        run_id = door.post("/jobs/runs/submit", body)["run_id"]
        assert door.refuse("GET", "/jobs/runs/export", {"run_id": run_id}) == (
            400,
            "INVALID_PARAMETER_VALUE",
        )
        assert "ran no notebook" in door.said
