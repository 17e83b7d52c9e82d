"""Requests with every field, and for each field the values it has to be refused with.

Used twice: against the wire models alone, and over HTTP with a look at what was stored.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

CLUSTER: dict[str, Any] = {
    "spark_version": "15.4.x-scala2.12",
    "num_workers": 2,
    "node_type_id": "n1-highmem-4",
    "driver_node_type_id": "n1-highmem-4",
    "spark_conf": {"spark.speculation": "true"},
    "spark_env_vars": {"MODE": "test"},
    "init_scripts": [{"workspace": {"destination": "/Shared/init.sh"}}],
    "cluster_log_conf": {"dbfs": {"destination": "dbfs:/logs"}},
    "custom_tags": {"team": "a"},
    "gcp_attributes": {
        "use_preemptible_executors": True,
        "google_service_account": "a@b",
        "boot_disk_size": 100,
    },
    "aws_attributes": {"availability": "ON_DEMAND"},
    "azure_attributes": {"availability": "ON_DEMAND_AZURE"},
    "ssh_public_keys": [],
    "enable_elastic_disk": False,
    "enable_local_disk_encryption": False,
    "instance_pool_id": "pool-1",
    "driver_instance_pool_id": "pool-1",
    "policy_id": "p",
    "runtime_engine": "STANDARD",
    "data_security_mode": "NONE",
    "single_user_name": "a@b.c",
    "is_single_node": False,
    "kind": "CLASSIC_PREVIEW",
    "workload_type": {"clients": {"jobs": True}},
}
COMMON: dict[str, Any] = {
    "new_cluster": CLUSTER,
    "libraries": [
        {"jar": "dbfs:/a.jar"},
        {"pypi": {"package": "simplejson", "repo": "https://example.com"}},
        {"maven": {"coordinates": "org.jsoup:jsoup:1.7.2", "repo": "r", "exclusions": ["a:b"]}},
        {"cran": {"package": "ada", "repo": "r"}},
    ],
    "notebook_task": {
        "notebook_path": "/Shared/report",
        "revision_timestamp": 1700000000000,
        "base_parameters": {"name": "john doe", "age": "35"},
        "source": "WORKSPACE",
    },
    "email_notifications": {
        "on_start": ["a@example.com"],
        "on_success": [],
        "on_failure": ["b@example.com"],
        "on_duration_warning_threshold_exceeded": ["a@example.com"],
        "no_alert_for_skipped_runs": True,
    },
    "webhook_notifications": {"on_start": [], "on_success": [], "on_failure": []},
    "notification_settings": {
        "no_alert_for_skipped_runs": True,
        "no_alert_for_canceled_runs": False,
        "alert_on_last_attempt": False,
    },
    "health": {"rules": [{"metric": "RUN_DURATION_SECONDS", "op": "GREATER_THAN", "value": 3600}]},
    "timeout_seconds": 3600,
    "access_control_list": [{"user_name": "a@b.c", "permission_level": "CAN_VIEW"}],
    "queue": {"enabled": False},
}
JOB: dict[str, Any] = {
    **COMMON,
    "name": "Nightly model training",
    "max_retries": 1,
    "min_retry_interval_millis": 2000,
    "retry_on_timeout": True,
    "schedule": {
        "quartz_cron_expression": "0 15 22 * * ?",
        "timezone_id": "America/Los_Angeles",
        "pause_status": "PAUSED",
    },
    "max_concurrent_runs": 2,
    "tags": {"cost": "1"},
    "parameters": [{"name": "day", "default": "today"}],
    "description": "d",
    "job_clusters": [
        {"job_cluster_key": "main", "new_cluster": {"spark_version": "15.4.x-scala2.12"}}
    ],
}
SUBMIT: dict[str, Any] = {**COMMON, "run_name": "one", "idempotency_token": "t-1"}

TEXT = [5, True, [], {}]
MAP = [5, "x", [], ["x"]]
OBJECT = [5, "x", [], True]
LIST = [5, "x", {}, True]
INTEGER = ["x", "", "1.5", 1.5, True, [], {}, -(10**30), 10**30, "9" * 30]
BOOLEAN = [5, "yes", "1", [], {}]
LONG = "x" * 5000
UMLAUT = "grüße"

_EMAILS = ["a@b", [5], ["nobody"], ["ü@example.com"], ["a@b\r\nBcc: c@d"], ["a b@c"], {}]
_CLUSTER_BAD: dict[str, list[Any]] = {
    "spark_version": [*TEXT, "", "latest", "x" * 20],
    "num_workers": [*INTEGER, -1],
    "node_type_id": [*TEXT, LONG],
    "driver_node_type_id": [*TEXT, LONG],
    "spark_conf": [*MAP, {"a": []}, {"a": {}}],
    "spark_env_vars": [*MAP, {"a": []}, {"a": UMLAUT}, {UMLAUT: "a"}, {"": "a"}, {"A=B": "a"}],
    "init_scripts": [*LIST, ["x"], [{}], [{"dbfs": {}}], [{"dbfs": {"destination": 5}}]],
    "cluster_log_conf": [*OBJECT, {}, {"dbfs": {}}, {"dbfs": {"destination": ""}}],
    "custom_tags": [*MAP, {"a": []}],
    "gcp_attributes": [5, "x", [], {"boot_disk_size": 99}, {"boot_disk_size": 4097}],
    "aws_attributes": [5, "x", []],
    "azure_attributes": [5, "x", []],
    "ssh_public_keys": [*LIST, [5]],
    "enable_elastic_disk": BOOLEAN,
    "enable_local_disk_encryption": BOOLEAN,
    "instance_pool_id": TEXT,
    "driver_instance_pool_id": TEXT,
    "policy_id": TEXT,
    "runtime_engine": TEXT,
    "data_security_mode": TEXT,
    "single_user_name": TEXT,
    "is_single_node": BOOLEAN,
    "kind": TEXT,
    "workload_type": [5, "x", []],
}
TASKS: dict[str, dict[str, Any]] = {
    "spark_jar_task": {
        "main_class_name": "org.example.Main$",
        "parameters": ["john doe", "grüße"],
        "jar_uri": "dbfs:/FileStore/a.jar",
        "run_as_repl": False,
    },
    "spark_python_task": {
        "python_file": "dbfs:/jobs/a.py",
        "parameters": ["--day", "today"],
        "source": "WORKSPACE",
    },
    "spark_submit_task": {
        "parameters": ["--class", "org.example.Main", "--jars", "dbfs:/a.jar", "dbfs:/b.jar", "10"]
    },
    "shell_command_task": {"command": ["bash", "-c", "ls"], "env_vars": {"A": "grüße"}},
}
"""Every kind of task but notebooks, with all its fields."""


def with_task(kind: str, base: dict[str, Any]) -> dict[str, Any]:
    """A request with one of ``TASKS`` in the place of its notebook."""
    body = {**base, kind: TASKS[kind]}
    del body["notebook_task"]
    if kind == "spark_submit_task":
        del body["libraries"]
        body["new_cluster"] = {name: each for name, each in CLUSTER.items() if name != "spark_conf"}
    return body


_FILES = [
    "",
    "relative.jar",
    "s3://bucket/a",
    "gs://bucket/a",
    "https://example.com/a",
    "file:/etc/passwd",
    "dbfs:/",
    "dbfs:/../a",
    "/Volumes/a/b",
    "/a/../b",
]
_TASKS_BAD: dict[str, dict[str, list[Any]]] = {
    "spark_jar_task": {
        "spark_jar_task": [*OBJECT, {}],
        "spark_jar_task.main_class_name": [*TEXT, "", "a b", "--class", "a..B", "a;b"],
        "spark_jar_task.parameters": [*LIST, [{}], [[]]],
        "spark_jar_task.jar_uri": [*TEXT, *_FILES[1:]],
        "spark_jar_task.run_as_repl": BOOLEAN,
    },
    "spark_python_task": {
        "spark_python_task": [*OBJECT, {}],
        "spark_python_task.python_file": [*TEXT, *_FILES],
        "spark_python_task.parameters": [*LIST, [{}], [UMLAUT]],
        "spark_python_task.source": [*TEXT, "git", "GIT"],
    },
    "spark_submit_task": {
        "spark_submit_task": OBJECT,
        "spark_submit_task.parameters": [
            *LIST,
            [{}],
            [UMLAUT],
            ["--master", "local", "dbfs:/a.jar"],
            ["--master=local", "dbfs:/a.jar"],
            ["--verbose", "--deploy-mode", "cluster", "dbfs:/a.jar"],
            ["--executor-cores", "4", "dbfs:/a.jar"],
            ["--remote", "sc://x", "dbfs:/a.jar"],
            ["--conf", "spark.master=local", "dbfs:/a.jar"],
            ["--conf=spark.submit.deployMode=cluster", "dbfs:/a.jar"],
            ["--jars", "dbfs:/a.jar,s3://b/c.jar", "dbfs:/a.jar"],
            ["--py-files", "file:/etc/passwd", "dbfs:/a.py"],
            ["--class", "a.B", "s3://b/c.jar"],
        ],
        "existing_cluster_id": ["c-1"],
        "libraries": [[{"jar": "dbfs:/a.jar"}]],
        "new_cluster.spark_conf": [{"a": "b"}],
    },
}
_SHELL_BAD: dict[str, list[Any]] = {
    "shell_command_task": [*OBJECT, {}],
    "shell_command_task.command": [*LIST, [], [""], [{}]],
    "shell_command_task.env_vars": [*MAP, {"a": []}, {"": "a"}, {"A=B": "a"}],
}
_COMMON_BAD: dict[str, list[Any]] = {
    "new_cluster": [5, "x", [], {}],
    "libraries": [
        *LIST,
        ["x"],
        [{}],
        [{"jar": 5}],
        [{"jar": ""}],
        [{"jar": "a", "egg": "b"}],
        [{"pypi": {}}],
        [{"pypi": "x"}],
        [{"maven": {}}],
        [{"cran": {"package": 5}}],
        [{"unheard": "of"}],
        *([{kind: file}] for kind in ("jar", "whl", "requirements") for file in _FILES),
        [{"whl": "dbfs:/a.tar.gz"}],
        [{"egg": "dbfs:/a.egg"}],
        [{"pypi": {"package": "--index-url=http://x"}}],
        [{"pypi": {"package": "a\nb"}}],
        [{"pypi": {"package": "a", "repo": "-x"}}],
        [{"cran": {"package": "-x"}}],
        [{"maven": {"coordinates": "a:b"}}],
        [{"maven": {"coordinates": "a:b:1,c:d:2"}}],
        [{"maven": {"coordinates": "a:b:1", "exclusions": ["a"]}}],
        [{"maven": {"coordinates": "a:b:1", "repo": "--conf"}}],
    ],
    "notebook_task": [5, "x", [], {}],
    "notebook_task.notebook_path": [*TEXT, "", "relative", "/a/../b", "/a\nb", "/" + LONG],
    "notebook_task.revision_timestamp": [*INTEGER, -1],
    "notebook_task.base_parameters": [
        5,
        "x",
        [],
        {"a": []},
        {"a": {}},
        {"a": UMLAUT},
        {UMLAUT: "a"},
        {"a": "x" * (1024 * 1024)},
    ],
    "notebook_task.source": [*TEXT, "git", "OTHER"],
    "email_notifications": OBJECT,
    "email_notifications.on_start": _EMAILS,
    "email_notifications.on_success": _EMAILS,
    "email_notifications.on_failure": _EMAILS,
    "email_notifications.on_duration_warning_threshold_exceeded": _EMAILS,
    "email_notifications.no_alert_for_skipped_runs": BOOLEAN,
    "webhook_notifications": OBJECT,
    **{
        f"webhook_notifications.{name}": [
            *LIST,
            ["x"],
            [{}],
            [{"id": 5}],
            [{"id": ""}],
            [{"id": "a"}] * 4,
        ]
        for name in ("on_start", "on_success", "on_failure")
    },
    "notification_settings": OBJECT,
    "notification_settings.no_alert_for_skipped_runs": BOOLEAN,
    "notification_settings.no_alert_for_canceled_runs": BOOLEAN,
    "notification_settings.alert_on_last_attempt": BOOLEAN,
    "health": OBJECT,
    "health.rules": [
        *LIST,
        [{}],
        [{"metric": "X", "op": "GREATER_THAN", "value": 1}],
        [{"metric": "RUN_DURATION_SECONDS", "op": "X", "value": 1}],
        [{"metric": "RUN_DURATION_SECONDS", "op": "GREATER_THAN", "value": "x"}],
        [{"metric": "RUN_DURATION_SECONDS", "op": "GREATER_THAN"}],
    ],
    "timeout_seconds": [*INTEGER, -1, 2**31],
    "access_control_list": [
        *LIST,
        [{}],
        [{"user_name": "a", "permission_level": "KING"}],
        [{"permission_level": "CAN_VIEW"}],
        [{"user_name": "a", "group_name": "b", "permission_level": "CAN_VIEW"}],
    ],
    "queue": [*OBJECT, {}, {"enabled": "maybe"}],
    "run_as": [*OBJECT, {"user_name": "somebody else"}, {"user_name": 5}],
    "tasks": [*LIST, [{}], [{"task_key": "a b"}], [{"task_key": "x" * 101}]],
    "pipeline_task": [*OBJECT, {}, {"pipeline_id": 5}],
    "run_job_task": [*OBJECT, {}, {"job_id": "x"}],
    "existing_cluster_id": [*TEXT, "", "beside-a-new-one"],
    "max_retries": [*INTEGER, -2],
    "min_retry_interval_millis": [*INTEGER, -1],
    "retry_on_timeout": BOOLEAN,
}
_JOB_BAD: dict[str, list[Any]] = {
    "name": [*TEXT, LONG],
    "schedule": [*OBJECT, {}],
    "schedule.quartz_cron_expression": [*TEXT, "", "* * * * *", "0 0 25 * * ?", "x" * 3000],
    "schedule.timezone_id": [*TEXT, "", "Mars/Olympus"],
    "schedule.pause_status": [*TEXT, "paused", "MAYBE"],
    "max_concurrent_runs": [*INTEGER, -1, 1001],
    "tags": [*MAP, {str(number): "x" for number in range(26)}],
    "parameters": [
        *LIST,
        [{}],
        [{"name": "a"}],
        [{"name": "", "default": "x"}],
        [{"name": UMLAUT, "default": "x"}],
    ],
    "description": [*TEXT, "x" * 30_000],
    "job_clusters": [*LIST, [{}], [{"job_cluster_key": "a b", "new_cluster": CLUSTER}]],
}
_SUBMIT_BAD: dict[str, list[Any]] = {
    "run_name": [*TEXT, LONG],
    "idempotency_token": [*TEXT, "x" * 65],
}
RUN_NOW: dict[str, Any] = {
    "job_id": 1,
    "notebook_params": {"name": "john doe"},
    "idempotency_token": "t-2",
}
_BIG = "x" * 10_000
RUN_NOW_BAD: dict[str, list[Any]] = {
    "job_id": INTEGER,
    "notebook_params": [
        5,
        "x",
        ["x"],
        {"a": []},
        {"a": {}},
        {"a": UMLAUT},
        {UMLAUT: "a"},
        {"a": _BIG},
    ],
    "jar_params": [5, "x", {"a": "b"}, [[]], [{}], ["beside notebook_params"]],
    "python_params": [5, "x", {"a": "b"}, [[]], [UMLAUT], [_BIG]],
    "spark_submit_params": [
        5,
        "x",
        {"a": "b"},
        [[]],
        [UMLAUT],
        [_BIG],
        ["--master", "local"],
        ["s3://a/b.jar"],
    ],
    "job_parameters": [5, "x", ["x"], {"a": UMLAUT}, {"a": _BIG}, {"a": "beside notebook_params"}],
    "idempotency_token": [*TEXT, "x" * 65],
}


def _with(base: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(base)
    holder = changed
    *above, last = path.split(".")
    for name in above:
        holder = holder.setdefault(name, {})
    holder[last] = value
    return changed


def _cases(
    base: dict[str, Any], table: dict[str, list[Any]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, values in table.items():
        for value in values:
            yield path, _with(base, path, value)


_CLUSTER_TABLE = {f"new_cluster.{name}": values for name, values in _CLUSTER_BAD.items()}


def _task_cases(base: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind, table in _TASKS_BAD.items():
        yield from _cases(with_task(kind, base), table)


JOB_CASES = [
    *_cases(JOB, {**_COMMON_BAD, **_CLUSTER_TABLE, **_JOB_BAD}),
    *_task_cases(JOB),
]
SUBMIT_CASES = [
    *_cases(SUBMIT, {**_COMMON_BAD, **_CLUSTER_TABLE, **_SUBMIT_BAD}),
    *_task_cases(SUBMIT),
    *_cases(with_task("shell_command_task", SUBMIT), _SHELL_BAD),
]
RUN_NOW_CASES = list(_cases(RUN_NOW, RUN_NOW_BAD))


def names(message: str, path: str) -> bool:
    """Whether a refusal names the field, or what is inside it, or the one it excludes."""
    return path.rsplit(".", 1)[-1] in message
