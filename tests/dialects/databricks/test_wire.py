"""Requests as models: what is accepted and kept, and that every field refuses what it must."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import pytest

from quire.dialects.databricks import wire
from quire.dialects.databricks.mapping import job_definition
from quire.dialects.reading import validate
from quire.errors import InvalidRequest, InvalidValue, MissingField, QuireError, Unsupported
from tests.dialects.databricks import bad_input

NOTEBOOK = {"notebook_task": {"notebook_path": "/a"}, "existing_cluster_id": "c-1"}


def job(**fields: Any) -> wire.JobSettings:
    settings = validate(wire.JobSettings, {**NOTEBOOK, **fields})
    wire.check_settings(settings)
    return settings


def test_everything_at_once_is_accepted_and_kept_as_sent() -> None:
    settings = validate(wire.CreateJob, bad_input.JOB)
    wire.check_settings(settings)
    assert settings.stored() == bad_input.JOB
    submitted = validate(wire.SubmitRun, bad_input.SUBMIT)
    wire.check_settings(submitted)
    assert submitted.stored() == bad_input.SUBMIT


def test_every_field_of_the_models_is_in_the_example_or_refused_by_it() -> None:
    tried = {path.split(".")[0] for path, _ in bad_input.JOB_CASES}
    assert set(wire.JobSettings.model_fields) - tried == {"git_source", "continuous", "trigger"}
    tried = {path.split(".")[0] for path, _ in bad_input.SUBMIT_CASES}
    assert set(wire.SubmitRun.model_fields) - tried == {"git_source"}
    tried = {path.split(".")[1] for path, _ in bad_input.JOB_CASES if "new_cluster." in path}
    assert set(wire.NewCluster.model_fields) - tried == {"autoscale", "docker_image"}
    tried = {path for path, _ in bad_input.RUN_NOW_CASES}
    assert set(wire.RunNow.model_fields) - tried == {"queue"}


def read_all(model: type[wire.Model], fields: dict[str, Any]) -> None:
    """What an endpoint does with a body, as far as no service is asked."""
    settings = validate(model, fields)
    if isinstance(settings, wire.JobSettings | wire.SubmitRun):
        wire.check_settings(settings)
        if settings.run_as is not None:
            raise InvalidValue("run_as", "is the endpoint's to check")
    if isinstance(settings, wire.JobSettings):
        job_definition(settings)


def refusal(model: type[wire.Model], fields: dict[str, Any]) -> InvalidRequest:
    with pytest.raises((InvalidRequest, Unsupported)) as refused:
        read_all(model, fields)
    return refused.value


@pytest.mark.parametrize(("path", "fields"), bad_input.JOB_CASES)
def test_bad_job_field_is_refused_by_name(path: str, fields: dict[str, Any]) -> None:
    assert bad_input.names(str(refusal(wire.CreateJob, fields)), path)


@pytest.mark.parametrize(("path", "fields"), bad_input.SUBMIT_CASES)
def test_bad_submit_field_is_refused_by_name(path: str, fields: dict[str, Any]) -> None:
    assert bad_input.names(str(refusal(wire.SubmitRun, fields)), path)


@pytest.mark.parametrize(("path", "fields"), bad_input.RUN_NOW_CASES)
def test_bad_run_now_field_is_refused_by_name(path: str, fields: dict[str, Any]) -> None:
    assert bad_input.names(str(refusal(wire.RunNow, fields)), path)


class TestCoercion:
    """What contract 1.3 says clients send."""

    def test_integers_come_as_text(self) -> None:
        settings = job(timeout_seconds="600", max_retries="-1", max_concurrent_runs=" 3 ")
        assert (settings.timeout_seconds, settings.max_retries) == (600, -1)
        assert settings.stored()["max_concurrent_runs"] == 3

    def test_integral_numbers_with_a_point_are_integers(self) -> None:
        assert job(timeout_seconds=600.0).timeout_seconds == 600

    @pytest.mark.parametrize("value", ["true", "True", "TRUE", True])
    def test_booleans_come_in_any_case(self, value: object) -> None:
        assert job(retry_on_timeout=value).stored()["retry_on_timeout"] is True

    def test_parameter_values_become_text(self) -> None:
        body = validate(wire.RunNow, {"job_id": "1", "notebook_params": {"age": 35, "x": True}})
        assert body.notebook_params == {"age": "35", "x": "true"}

    def test_empty_slots_beside_each_other_are_nothing(self) -> None:
        body = validate(
            wire.RunNow,
            {
                "job_id": 1,
                "jar_params": [],
                "notebook_params": {},
                "python_params": [],
                "spark_submit_params": [],
                "job_parameters": {},
            },
        )
        assert not body.notebook_params

    def test_null_is_absent(self) -> None:
        dropped = wire.drop_nulls({"a": None, "b": {"c": None, "d": 1}, "e": [{"f": None}]})
        assert dropped == {"b": {"d": 1}, "e": [{}]}

    def test_unknown_fields_are_not_kept(self) -> None:
        stored = job(unheard_of=1, notebook_task={"notebook_path": "/a", "x": 1}).stored()
        assert stored == {**NOTEBOOK, "notebook_task": {"notebook_path": "/a"}}

    def test_non_ascii_jar_params_are_allowed(self) -> None:
        assert validate(wire.RunNow, {"job_id": 1, "jar_params": ["grüße"]}).jar_params

    def test_parameters_may_take_exactly_ten_thousand_bytes(self) -> None:
        room = 10_000 - len('{"notebook_params":{"a":""}}')
        validate(wire.RunNow, {"job_id": 1, "notebook_params": {"a": "x" * room}})
        with pytest.raises(InvalidValue, match="10000 bytes"):
            validate(wire.RunNow, {"job_id": 1, "notebook_params": {"a": "x" * (room + 1)}})

    def test_token_of_64_characters_is_accepted(self) -> None:
        assert validate(wire.RunNow, {"job_id": 1, "idempotency_token": "x" * 64})


class TestRules:
    @pytest.mark.parametrize("kind", ["pipeline_task", "run_job_task", "tasks"])
    def test_other_kinds_of_task_are_refused_by_name(self, kind: str) -> None:
        tasks: dict[str, Any] = {
            "pipeline_task": {"pipeline_id": "p"},
            "run_job_task": {"job_id": 1},
            "tasks": [{"task_key": "a"}],
        }
        settings = validate(
            wire.SubmitRun,
            {"new_cluster": {"spark_version": "15.4.x-scala2.12"}, kind: tasks[kind]},
        )
        with pytest.raises(Unsupported, match=kind):
            wire.check_settings(settings)

    @pytest.mark.parametrize("kind", bad_input.TASKS)
    def test_every_kind_of_task_is_accepted_and_kept_as_sent(self, kind: str) -> None:
        body = bad_input.with_task(kind, bad_input.SUBMIT)
        settings = validate(wire.SubmitRun, body)
        wire.check_settings(settings)
        assert settings.stored() == body

    @pytest.mark.parametrize("name", ["git_source", "continuous", "trigger"])
    def test_what_would_be_ignored_is_refused(self, name: str) -> None:
        with pytest.raises(Unsupported, match=name):
            job(**{name: {"pause_status": "PAUSED"}})

    def test_no_task(self) -> None:
        unknown = {"existing_cluster_id": "c", "python_wheel_task": {"package_name": "p"}}
        for model, last in (
            (wire.JobSettings, "spark_submit_task"),
            (wire.SubmitRun, "shell_command_task"),
        ):
            wanted = f"notebook_task .or one of: spark_jar_task, .*{last}.$"
            with pytest.raises(MissingField, match=wanted):
                wire.check_settings(validate(model, unknown))

    def test_two_tasks(self) -> None:
        with pytest.raises(InvalidValue, match="spark_jar_task"):
            job(spark_jar_task={"main_class_name": "a.B"})

    def test_no_cluster(self) -> None:
        settings = validate(wire.JobSettings, {"notebook_task": {"notebook_path": "/a"}})
        with pytest.raises(InvalidValue, match=r"new_settings\.new_cluster"):
            wire.check_settings(settings, inside="new_settings")

    @pytest.mark.parametrize(
        ("cluster", "field"),
        [
            ({"autoscale": {"min_workers": 2, "max_workers": 2}}, "max_workers"),
            ({"autoscale": {"min_workers": 1, "max_workers": 2}, "num_workers": 1}, "autoscale"),
            ({"autoscale": {"min_workers": 1}}, "max_workers"),
            ({"docker_image": {"url": "x"}}, "docker_image"),
            ({"init_scripts": [{"gcs": {"destination": "gs://x"}}]}, "gcs"),
            ({"init_scripts": [{"dbfs": {"destination": "a.sh"}}]}, r"init_scripts\[0\]\.dbfs"),
            ({"init_scripts": [{"dbfs": {"destination": "s3://b/a.sh"}}]}, "dbfs:/ or /"),
            ({"init_scripts": [{"dbfs": {"destination": "dbfs:/../a.sh"}}]}, r"'\.\.'"),
            ({"init_scripts": [{"workspace": {"destination": "a.sh"}}]}, "workspace.destination"),
            ({"init_scripts": [{"file": {"destination": "a.sh"}}]}, "file:/ or /"),
            ({"init_scripts": [{"volumes": {"destination": "/tmp/a.sh"}}]}, "/Volumes/"),
            ({"cluster_log_conf": {"dbfs": {"destination": "logs"}}}, "log_conf.dbfs.destination"),
            ({"cluster_log_conf": {"volumes": {"destination": "s3://logs"}}}, "/Volumes/"),
            ({"spark_env_vars": {"A": "{{secrets/s/k}}"}}, "spark_env_vars.A"),
            ({"spark_conf": {"spark.a": "{{secrets/s/k}}"}}, r"spark_conf\.spark\.a"),
        ],
    )
    def test_clusters(self, cluster: dict[str, Any], field: str) -> None:
        settings = validate(
            wire.JobSettings,
            {
                "notebook_task": {"notebook_path": "/a"},
                "new_cluster": {"spark_version": "7.5.x-scala2.12"},
            },
        )
        assert settings.new_cluster is not None
        with pytest.raises(QuireError, match=field):
            wire.check_settings(
                validate(
                    wire.JobSettings,
                    {
                        "notebook_task": {"notebook_path": "/a"},
                        "new_cluster": {"spark_version": "7.5.x-scala2.12", **cluster},
                    },
                )
            )

    def test_places_of_scripts_and_logs(self) -> None:
        destinations = {
            "workspace": ["/Users/a/b.sh", "/Workspace/b.sh"],
            "dbfs": ["dbfs:/b.sh", "/dbfs/b.sh", "/b.sh"],
            "volumes": ["/Volumes/a/b/c/d.sh", "dbfs:/Volumes/a/b/c/d.sh"],
            "file": ["file:/opt/b.sh", "/opt/b.sh"],
        }
        scripts = [
            {kind: {"destination": each}} for kind, named in destinations.items() for each in named
        ]
        for logs in ({"dbfs": "dbfs:/logs"}, {"volumes": "/Volumes/a/b/c"}, {"s3": "s3://logs"}):
            ((kind, destination),) = logs.items()
            cluster = {
                "spark_version": "7.5.x-scala2.12",
                "init_scripts": scripts,
                "cluster_log_conf": {kind: {"destination": destination}},
            }
            wire.check_cluster(validate(wire.NewCluster, cluster), "")

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"existing_cluster_id": "c"}, "existing_cluster_id"),
            ({"libraries": [{"jar": "a"}]}, "libraries"),
            ({"new_cluster": {"spark_conf": {"a": "b"}}}, "spark_conf"),
            ({"spark_submit_task": {"parameters": ["--master", "local"]}}, "parameters"),
            ({"spark_submit_task": {"parameters": ["--executor-cores=4"]}}, "parameters"),
        ],
    )
    def test_spark_submit(self, fields: dict[str, Any], field: str) -> None:
        base: dict[str, Any] = {"spark_submit_task": {"parameters": ["a.jar"]}}
        if "existing_cluster_id" not in fields:
            base["new_cluster"] = {"spark_version": "7.5.x-scala2.12"}
        merged = copy.deepcopy(base)
        for name, value in fields.items():
            merged[name] = (
                {**merged[name], **value} if isinstance(merged.get(name), dict) else value
            )
        with pytest.raises(InvalidValue, match=field):
            wire.check_settings(validate(wire.SubmitRun, merged))

    @pytest.mark.parametrize("version", ["7.5.x-scala2.12", "15.4.x-gpu-ml-scala2.12", "16.1.x"])
    def test_spark_versions(self, version: str) -> None:
        assert validate(wire.NewCluster, {"spark_version": version})

    def test_runs_list_is_active_or_completed(self) -> None:
        with pytest.raises(InvalidValue, match="completed_only"):
            validate(wire.ListRuns, {"active_only": "True", "completed_only": "true"})

    @pytest.mark.parametrize("limit", [-1, 1000, "x"])
    def test_runs_list_limit(self, limit: object) -> None:
        with pytest.raises(InvalidValue, match="limit"):
            validate(wire.ListRuns, {"limit": limit})


class TestMerge:
    STORED: ClassVar[dict[str, Any]] = {
        "name": "a",
        "new_cluster": {"spark_version": "7.5.x"},
        "libraries": [{"jar": "x"}],
        "notebook_task": {"notebook_path": "/a"},
        "job_clusters": [{"job_cluster_key": "k"}, {"job_cluster_key": "l"}],
    }

    def test_the_seeds_update_replaces_the_cluster_and_removes_libraries(self) -> None:
        merged = wire.merge_settings(
            self.STORED, {"existing_cluster_id": "1201-my-cluster"}, ["libraries"]
        )
        assert merged["existing_cluster_id"] == "1201-my-cluster"
        assert "new_cluster" not in merged
        assert "libraries" not in merged
        assert merged["notebook_task"] == {"notebook_path": "/a"}

    def test_a_new_kind_of_task_takes_the_place_of_the_old_one(self) -> None:
        merged = wire.merge_settings(self.STORED, {"run_job_task": {"job_id": 1}}, [])
        assert "notebook_task" not in merged

    def test_fields_are_replaced_whole(self) -> None:
        merged = wire.merge_settings(
            self.STORED, {"new_cluster": {"spark_version": "8.0.x", "num_workers": 1}}, []
        )
        assert merged["new_cluster"] == {"spark_version": "8.0.x", "num_workers": 1}

    def test_a_single_job_cluster_can_be_removed(self) -> None:
        merged = wire.merge_settings(self.STORED, {}, ["job_clusters/k"])
        assert merged["job_clusters"] == [{"job_cluster_key": "l"}]

    @pytest.mark.parametrize("name", ["schedule.pause_status", "new_cluster/num_workers", "a[0]"])
    def test_nested_fields_cannot_be_removed(self, name: str) -> None:
        with pytest.raises(InvalidValue, match=r"fields_to_remove\[0\]"):
            wire.merge_settings(self.STORED, {}, [name])

    def test_what_is_stored_stays_untouched(self) -> None:
        before = copy.deepcopy(self.STORED)
        wire.merge_settings(self.STORED, {"name": "b"}, ["libraries", "unheard_of"])
        assert before == self.STORED
