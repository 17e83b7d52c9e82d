"""The vendor's requests as validated models, and the rules a field alone can be checked against.

A model knows its fields' types and limits; rules between fields are at the end of the file. What
clients really send is accepted as contract 1.3 lists it: numbers and booleans as text, null for
"absent", unknown fields ignored. Nothing here knows the engine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainValidator,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError, core_schema

from quire.dialects.databricks.locations import check_place
from quire.dialects.databricks.task_rules import check_submit_parameters, check_task
from quire.dialects.reading import describe_value
from quire.errors import InvalidValue, MissingField, Unsupported
from quire.notify.destinations import check_address

__all__ = [
    "CLUSTER_FIELDS",
    "TASK_FIELDS",
    "CancelAllRuns",
    "CreateJob",
    "CreateToken",
    "DeletePath",
    "DestinationFields",
    "DestinationId",
    "ExportPath",
    "ExportRun",
    "ImportPath",
    "JobId",
    "JobSettings",
    "ListPath",
    "ListRuns",
    "Model",
    "NewDestination",
    "Nothing",
    "Page",
    "PathOnly",
    "ResetJob",
    "RunId",
    "RunNow",
    "SubmitRun",
    "Token64",
    "TokenId",
    "UpdateJob",
    "Work",
    "check_cluster",
    "check_cluster_rule",
    "check_settings",
    "drop_nulls",
    "merge_settings",
]

_INT32 = 2**31 - 1
_INT64 = 2**63 - 1
_PARAMETER_LIMIT = 10_000  # bytes of JSON of one parameter field (contract 2.6)
_BASE_PARAMETER_LIMIT = 1024 * 1024
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_SPARK_VERSION = re.compile(
    r"[0-9]+\.([0-9]+|x)(\.([0-9]+|x))?(-[A-Za-z0-9._-]+)*|custom:[A-Za-z0-9._-]+"
)
_KEY = re.compile(r"[\w\-]{1,100}", re.ASCII)
_VARIABLE = re.compile(r"[^=\x00]+")


# -- values ---------------------------------------------------------------------------------------


def _read_integer(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        return int(value)
    raise ValueError(f"expected an integer, not {describe_value(value)}")


def _read_boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in {"true", "false"}:
        return value.strip().lower() == "true"
    raise PydanticCustomError(
        "boolean",
        "{found} is neither true nor false.",
        {"found": describe_value(value), "allowed": ["true", "false"]},
    )


def _read_text(value: Any) -> str:
    """A text, or the JSON text of a number or boolean (contract 2.2)."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise ValueError(f"expected a text, not {describe_value(value)}")


def _check_ascii(value: str) -> str:
    if not value.isascii():
        raise ValueError("only ASCII characters are allowed")
    return value


def _check_not_empty(value: str) -> str:
    if not value.strip():
        raise ValueError("may not be empty")
    return value


def _check_address(value: str) -> str:
    if not value.isascii():
        raise ValueError("only ASCII characters are allowed")
    try:
        return check_address(value, "address")
    except InvalidValue:
        raise ValueError(f"{describe_value(value)} is not a mail address") from None


def _at_most_bytes(limit: int) -> AfterValidator:
    def check(value: str) -> str:
        if len(value.encode()) > limit:
            raise ValueError(f"is longer than {limit} bytes")
        return value

    return AfterValidator(check)


def _matching(pattern: re.Pattern[str], wanted: str) -> AfterValidator:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(f"has to be {wanted}")
        return value

    return AfterValidator(check)


class Choice:
    """Marks a text that is one of ``names``."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "enum": list(self._names)}

    def _check(self, value: Any) -> str:
        if not isinstance(value, str) or value not in self._names:
            raise PydanticCustomError(
                "choice",
                "{found} is not known.",
                {"found": describe_value(value), "allowed": list(self._names)},
            )
        return value


class Integer:
    """Marks an integer within bounds, that may also come as decimal text."""

    def __init__(self, low: int = 0, high: int = _INT32) -> None:
        self._low = low
        self._high = high

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(
            _read_integer, core_schema.int_schema(ge=self._low, le=self._high)
        )


Boolean = Annotated[bool, BeforeValidator(_read_boolean)]
Text = str
Name = Annotated[str, _at_most_bytes(4096)]
Needed = Annotated[str, AfterValidator(_check_not_empty), _at_most_bytes(4096)]
AsciiText = Annotated[str, BeforeValidator(_read_text), AfterValidator(_check_ascii)]
PlainText = Annotated[str, BeforeValidator(_read_text)]
Address = Annotated[str, AfterValidator(_check_address)]
Moment = Annotated[int, Integer(0, 253_402_300_799_999)]  # milliseconds up to the year 9999
Identifier = Annotated[int, Integer(-_INT64, _INT64)]
JsonObject = dict[str, Any]
TextMap = dict[str, PlainText]
AsciiMap = dict[AsciiText, AsciiText]
BaseParameters = Annotated[
    AsciiMap, AfterValidator(lambda value: _check_json_size(value, _BASE_PARAMETER_LIMIT))
]
Variables = dict[Annotated[PlainText, _matching(_VARIABLE, "the name of a variable")], PlainText]
SparkEnvironment = dict[
    Annotated[AsciiText, _matching(_VARIABLE, "the name of a variable")], AsciiText
]


def _check_json_size(value: Any, limit: int) -> Any:
    if len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()) > limit:
        raise ValueError(f"its JSON is larger than {limit} bytes")
    return value


class Model(BaseModel):
    """Base of all wire models: unknown fields are ignored and not kept."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    def stored(self) -> dict[str, Any]:
        """What the client sent, in validated form; absent fields stay absent."""
        return self.model_dump(mode="json", exclude_unset=True)


class _OneOf(Model):
    """An object that holds exactly one of its fields."""

    noun: ClassVar[str] = "an entry"

    def model_post_init(self, _: Any) -> None:
        if len(self.model_fields_set) != 1:
            raise PydanticCustomError(
                "one_of",
                "{noun} holds exactly one of its fields.",
                {"noun": self.noun, "allowed": list(type(self).model_fields)},
            )


# -- clusters and libraries -----------------------------------------------------------------------


class AutoScale(Model):
    min_workers: Annotated[int, Integer(0, 100_000)]
    max_workers: Annotated[int, Integer(1, 100_000)]


class Location(Model):
    destination: Needed
    region: Text | None = None
    endpoint: Text | None = None


class ClusterLogConf(_OneOf):
    noun: ClassVar[str] = "it"
    dbfs: Location | None = None
    volumes: Location | None = None
    s3: Location | None = None


class InitScript(_OneOf):
    noun: ClassVar[str] = "an init script"
    workspace: Location | None = None
    dbfs: Location | None = None
    file: Location | None = None
    volumes: Location | None = None
    gcs: Location | None = None
    s3: Location | None = None
    abfss: Location | None = None


class GcpAttributes(Model):
    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    use_preemptible_executors: Boolean | None = None
    google_service_account: Text | None = None
    boot_disk_size: Annotated[int, Integer(100, 4096)] | None = None
    availability: Text | None = None
    zone_id: Text | None = None
    local_ssd_count: Annotated[int, Integer()] | None = None


class DockerImage(Model):
    url: Text | None = None


class NewCluster(Model):
    spark_version: Annotated[str, _matching(_SPARK_VERSION, "a version such as 15.4.x-scala2.12")]
    num_workers: Annotated[int, Integer(0, 100_000)] | None = None
    autoscale: AutoScale | None = None
    node_type_id: Name | None = None
    driver_node_type_id: Name | None = None
    spark_conf: TextMap | None = None
    spark_env_vars: SparkEnvironment | None = None
    init_scripts: list[InitScript] | None = None
    cluster_log_conf: ClusterLogConf | None = None
    custom_tags: TextMap | None = None
    gcp_attributes: GcpAttributes | None = None
    aws_attributes: JsonObject | None = None
    azure_attributes: JsonObject | None = None
    ssh_public_keys: list[Text] | None = None
    enable_elastic_disk: Boolean | None = None
    enable_local_disk_encryption: Boolean | None = None
    instance_pool_id: Name | None = None
    driver_instance_pool_id: Name | None = None
    policy_id: Name | None = None
    runtime_engine: Name | None = None
    data_security_mode: Name | None = None
    single_user_name: Name | None = None
    is_single_node: Boolean | None = None
    kind: Name | None = None
    workload_type: JsonObject | None = None
    docker_image: DockerImage | None = None


class PythonPackage(Model):
    package: Needed
    repo: Text | None = None


class MavenPackage(Model):
    coordinates: Needed
    repo: Text | None = None
    exclusions: list[Text] | None = None


class Library(_OneOf):
    noun: ClassVar[str] = "a library"
    jar: Needed | None = None
    egg: Needed | None = None
    whl: Needed | None = None
    requirements: Needed | None = None
    pypi: PythonPackage | None = None
    maven: MavenPackage | None = None
    cran: PythonPackage | None = None


# -- tasks ----------------------------------------------------------------------------------------


class NotebookTask(Model):
    notebook_path: Needed
    revision_timestamp: Moment | None = None
    base_parameters: BaseParameters | None = None
    source: Annotated[str, Choice("WORKSPACE", "GIT")] | None = None


class SparkJarTask(Model):
    main_class_name: Needed
    parameters: list[PlainText] | None = None
    jar_uri: Text | None = None
    run_as_repl: Boolean | None = None


class SparkPythonTask(Model):
    python_file: Needed
    parameters: list[AsciiText] | None = None
    source: Annotated[str, Choice("WORKSPACE", "GIT")] | None = None


class SparkSubmitTask(Model):
    parameters: list[AsciiText] | None = None


class PipelineTask(Model):
    pipeline_id: Needed
    full_refresh: Boolean | None = None


class RunJobTask(Model):
    job_id: Identifier


class ShellCommandTask(Model):
    command: Annotated[list[PlainText], Field(min_length=1)]
    env_vars: Variables | None = None


class Task(Model):
    """A member of ``tasks``; only its key is looked at here."""

    task_key: Annotated[str, _matching(_KEY, "1 to 100 letters, digits, '_' or '-'")]


# -- settings -------------------------------------------------------------------------------------


class CronSchedule(Model):
    quartz_cron_expression: Needed
    timezone_id: Needed
    pause_status: Annotated[str, Choice("UNPAUSED", "PAUSED")] | None = None


class EmailNotifications(Model):
    on_start: list[Address] | None = None
    on_success: list[Address] | None = None
    on_failure: list[Address] | None = None
    on_duration_warning_threshold_exceeded: list[Address] | None = None
    on_streaming_backlog_exceeded: list[Address] | None = None
    no_alert_for_skipped_runs: Boolean | None = None


class Webhook(Model):
    id: Needed


Webhooks = Annotated[list[Webhook], Field(max_length=3)]


class WebhookNotifications(Model):
    on_start: Webhooks | None = None
    on_success: Webhooks | None = None
    on_failure: Webhooks | None = None
    on_duration_warning_threshold_exceeded: Webhooks | None = None
    on_streaming_backlog_exceeded: Webhooks | None = None


class NotificationSettings(Model):
    no_alert_for_skipped_runs: Boolean | None = None
    no_alert_for_canceled_runs: Boolean | None = None
    alert_on_last_attempt: Boolean | None = None


class HealthRule(Model):
    metric: Annotated[
        str,
        Choice(
            "RUN_DURATION_SECONDS",
            "STREAMING_BACKLOG_BYTES",
            "STREAMING_BACKLOG_RECORDS",
            "STREAMING_BACKLOG_SECONDS",
            "STREAMING_BACKLOG_FILES",
        ),
    ]
    op: Annotated[str, Choice("GREATER_THAN")]
    value: Annotated[int, Integer(0, _INT64)]


class Health(Model):
    rules: list[HealthRule] | None = None


class AccessControl(Model):
    user_name: Name | None = None
    group_name: Name | None = None
    service_principal_name: Name | None = None
    permission_level: Annotated[str, Choice("IS_OWNER", "CAN_MANAGE", "CAN_MANAGE_RUN", "CAN_VIEW")]


class Queue(Model):
    enabled: Boolean


class JobParameter(Model):
    name: Annotated[AsciiText, AfterValidator(_check_not_empty), _at_most_bytes(100)]
    default: AsciiText


class RunAs(Model):
    user_name: Name | None = None
    service_principal_name: Name | None = None


class JobCluster(Model):
    job_cluster_key: Annotated[str, _matching(_KEY, "1 to 100 letters, digits, '_' or '-'")]
    new_cluster: NewCluster


class Work(Model):
    """What jobs and one-time runs have in common."""

    existing_cluster_id: Needed | None = None
    new_cluster: NewCluster | None = None
    libraries: list[Library] | None = None
    notebook_task: NotebookTask | None = None
    spark_jar_task: SparkJarTask | None = None
    spark_python_task: SparkPythonTask | None = None
    spark_submit_task: SparkSubmitTask | None = None
    pipeline_task: PipelineTask | None = None
    run_job_task: RunJobTask | None = None
    tasks: Annotated[list[Task], Field(max_length=1000)] | None = None
    email_notifications: EmailNotifications | None = None
    webhook_notifications: WebhookNotifications | None = None
    notification_settings: NotificationSettings | None = None
    health: Health | None = None
    timeout_seconds: Annotated[int, Integer()] | None = None
    max_retries: Annotated[int, Integer(-1)] | None = None
    min_retry_interval_millis: Annotated[int, Integer()] | None = None
    retry_on_timeout: Boolean | None = None
    access_control_list: list[AccessControl] | None = None
    queue: Queue | None = None
    git_source: JsonObject | None = None
    run_as: RunAs | None = None


class JobSettings(Work):
    """JobSettings (contract 2.1)."""

    name: Name | None = None
    schedule: CronSchedule | None = None
    max_concurrent_runs: Annotated[int, Integer(0, 1000)] | None = None
    tags: Annotated[TextMap, Field(max_length=25)] | None = None
    parameters: list[JobParameter] | None = None
    description: Annotated[str, _at_most_bytes(27_700)] | None = None
    job_clusters: Annotated[list[JobCluster], Field(max_length=100)] | None = None
    continuous: JsonObject | None = None
    trigger: JsonObject | None = None


class CreateJob(JobSettings):
    """Body of jobs/create."""


class JobId(Model):
    job_id: Identifier


class ResetJob(JobId):
    new_settings: JobSettings


class UpdateJob(JobId):
    new_settings: JobSettings | None = None
    fields_to_remove: list[Needed] | None = None


Token64 = Annotated[str, Field(max_length=64)]


class RunNow(JobId):
    """Body of jobs/run-now (contract 2.2)."""

    notebook_params: AsciiMap | None = None
    jar_params: list[PlainText] | None = None
    python_params: list[AsciiText] | None = None
    spark_submit_params: list[AsciiText] | None = None
    job_parameters: AsciiMap | None = None
    idempotency_token: Token64 | None = None
    queue: Queue | None = None

    def model_post_init(self, _: Any) -> None:
        for name in (
            "notebook_params",
            "jar_params",
            "python_params",
            "spark_submit_params",
            "job_parameters",
        ):
            value = getattr(self, name)
            if value:
                text = json.dumps({name: value}, ensure_ascii=False, separators=(",", ":"))
                if len(text.encode()) > _PARAMETER_LIMIT:
                    raise InvalidValue(
                        name, f"its JSON text is larger than {_PARAMETER_LIMIT} bytes."
                    )
        check_submit_parameters(self.spark_submit_params or (), "spark_submit_params")
        if self.notebook_params and self.jar_params:
            raise InvalidValue("notebook_params", "may not be given together with jar_params.")
        if self.job_parameters:
            for name in ("notebook_params", "jar_params", "python_params", "spark_submit_params"):
                if getattr(self, name):
                    raise InvalidValue("job_parameters", f"may not be given together with {name}.")


class SubmitRun(Work):
    """Body of jobs/runs/submit (contract 2.3)."""

    run_name: Name | None = None
    idempotency_token: Token64 | None = None
    shell_command_task: ShellCommandTask | None = None


class RunId(Model):
    run_id: Identifier


class ExportRun(RunId):
    views_to_export: Annotated[str, Choice("CODE", "DASHBOARDS", "ALL")] = "CODE"


class CancelAllRuns(Model):
    job_id: Identifier


class ListRuns(Model):
    """Query of jobs/runs/list (contract 2.4)."""

    active_only: Boolean = False
    completed_only: Boolean = False
    job_id: Identifier | None = None
    offset: Annotated[int, Integer(0, _INT64)] = 0
    limit: Annotated[int, Integer(0, 999)] = 20
    run_type: Annotated[str, Choice("JOB_RUN", "WORKFLOW_RUN", "SUBMIT_RUN")] | None = None
    start_time_from: Moment | None = None
    start_time_to: Moment | None = None

    def model_post_init(self, _: Any) -> None:
        if self.active_only and self.completed_only:
            raise InvalidValue("active_only", "may not be true together with completed_only.")


# -- workspace, tokens, destinations --------------------------------------------------------------


def _check_content(value: Any) -> str | bytes:
    if isinstance(value, str | bytes):
        return value
    raise ValueError(f"expected base64 text, not {describe_value(value)}")


Content = Annotated[str | bytes, PlainValidator(_check_content), WithJsonSchema({"type": "string"})]
WorkspacePath = Annotated[str, AfterValidator(_check_not_empty), _at_most_bytes(4096)]


class Nothing(Model):
    """A request without fields."""


class PathOnly(Model):
    path: WorkspacePath


class ListPath(PathOnly):
    notebooks_modified_after: Moment | None = None


class DeletePath(PathOnly):
    recursive: Boolean = False


class ExportPath(PathOnly):
    format: Annotated[
        str, Choice("SOURCE", "JUPYTER", "HTML", "DBC", "AUTO", "RAW", "R_MARKDOWN")
    ] = "SOURCE"
    direct_download: Boolean = False


class ImportPath(PathOnly):
    content: Content | None = None
    format: Annotated[
        str, Choice("SOURCE", "JUPYTER", "HTML", "DBC", "AUTO", "RAW", "R_MARKDOWN")
    ] = "SOURCE"
    language: Annotated[str, Choice("PYTHON", "SQL", "SCALA", "R")] | None = None
    overwrite: Boolean = False


class CreateToken(Model):
    comment: Annotated[str, _at_most_bytes(1024)] = ""
    lifetime_seconds: Annotated[int, Integer(1, 100 * 366 * 86_400)] | None = None


class TokenId(Model):
    token_id: Needed


class Page(Model):
    page_size: Annotated[int, Integer(1, 1000)] | None = None
    page_token: Text | None = None


class WebhookConfig(Model):
    url: Needed
    username: Text | None = None
    password: Text | None = None


class UrlConfig(Model):
    url: Needed


class EmailConfig(Model):
    addresses: Annotated[list[Address], Field(min_length=1, max_length=100)]


class PagerDutyConfig(Model):
    integration_key: Needed


class DestinationConfig(_OneOf):
    noun: ClassVar[str] = "it"
    generic_webhook: WebhookConfig | None = None
    email: EmailConfig | None = None
    slack: UrlConfig | None = None
    microsoft_teams: UrlConfig | None = None
    pagerduty: PagerDutyConfig | None = None


class NewDestination(Model):
    display_name: Needed
    config: DestinationConfig


class DestinationId(Model):
    id: Needed


class DestinationFields(DestinationId):
    display_name: Needed | None = None
    config: DestinationConfig | None = None


# -- rules between fields -------------------------------------------------------------------------

TASK_FIELDS = (
    "notebook_task",
    "spark_jar_task",
    "spark_python_task",
    "spark_submit_task",
    "pipeline_task",
    "run_job_task",
    "shell_command_task",
    "tasks",
)
CLUSTER_FIELDS = ("existing_cluster_id", "new_cluster")
_NO_CLUSTER = frozenset({"pipeline_task", "run_job_task", "tasks"})
_CLOUD_SCRIPTS = ("gcs", "s3", "abfss")
_RUN = frozenset(
    {
        "notebook_task",
        "spark_jar_task",
        "spark_python_task",
        "spark_submit_task",
        "shell_command_task",
    }
)


def drop_nulls(value: Any) -> Any:
    """The value without fields that are null: to this vendor, null is the same as absent."""
    if isinstance(value, dict):
        return {key: drop_nulls(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [drop_nulls(each) for each in value]
    return value


def check_settings(settings: Work, *, inside: str = "") -> None:
    """The rules of contract 2.1 that need more than one field, and what this server refuses.

    ``inside`` is the field the settings came in. Raises MissingField, InvalidValue, and Unsupported
    for well-formed settings that ask for something this server does not run.
    """
    prefix = f"{inside}." if inside else ""
    given = [name for name in TASK_FIELDS if getattr(settings, name, None) is not None]
    if not given:
        others = [name for name in type(settings).model_fields if name in _RUN]
        others.remove("notebook_task")
        raise MissingField(f"{prefix}notebook_task", instead=others)
    if len(given) > 1:
        raise InvalidValue(
            f"{prefix}{given[1]}", f"may not be given together with {given[0]}: one task a job."
        )
    kind = given[0]
    check_cluster_rule(settings, kind, prefix)
    check_task(settings, prefix)
    if settings.new_cluster is not None:
        check_cluster(settings.new_cluster, f"{prefix}new_cluster.")
    for index, entry in enumerate(settings.access_control_list or ()):
        named = entry.model_fields_set & {"user_name", "group_name", "service_principal_name"}
        if len(named) != 1:
            raise InvalidValue(
                f"{prefix}access_control_list[{index}]",
                "names exactly one of user_name, group_name, service_principal_name.",
            )
    if kind not in _RUN:
        noun = "several tasks (tasks)" if kind == "tasks" else kind
        supported = ", ".join(name for name in TASK_FIELDS if name in _RUN)
        raise Unsupported(
            f"This server does not run {noun}; it runs {supported}.", field=f"{prefix}{kind}"
        )
    for name, meaning in (
        ("git_source", "notebooks from Git"),
        ("continuous", "continuous jobs"),
        ("trigger", "triggers other than a schedule"),
    ):
        if getattr(settings, name, None) is not None:
            raise Unsupported(
                f"This server does not support {meaning} ({prefix}{name}).", field=prefix + name
            )


def check_cluster_rule(settings: Work, kind: str, prefix: str) -> None:
    """Exactly one of the two cluster fields, except for tasks that need none."""
    given = [name for name in CLUSTER_FIELDS if getattr(settings, name) is not None]
    if len(given) > 1:
        raise InvalidValue(
            f"{prefix}existing_cluster_id", "may not be given together with new_cluster."
        )
    if not given and kind not in _NO_CLUSTER:
        raise InvalidValue(
            f"{prefix}new_cluster", "one of existing_cluster_id and new_cluster is required."
        )


def merge_settings(
    stored: Mapping[str, Any], changes: Mapping[str, Any], removed: list[str]
) -> dict[str, Any]:
    """Settings after jobs/update: top-level fields replaced, then those in ``removed`` dropped.

    A task or cluster in ``changes`` takes the place of the one of another kind, because a job has
    one of each (the seed's update example relies on it). Raises InvalidValue for a nested name.
    """
    merged = dict(stored)
    for group in (TASK_FIELDS, CLUSTER_FIELDS):
        if any(name in changes for name in group):
            for name in group:
                merged.pop(name, None)
    merged.update(changes)
    for index, name in enumerate(removed):
        head, slash, key = name.partition("/")
        if slash and head == "job_clusters":
            kept = [each for each in merged.get(head, ()) if each["job_cluster_key"] != key]
            merged[head] = kept
        elif "/" in name or "." in name or "[" in name:
            raise InvalidValue(
                f"fields_to_remove[{index}]",
                f"{name[:100]!r} is nested; only whole top-level fields can be removed.",
            )
        else:
            merged.pop(name, None)
    return merged


def check_cluster(cluster: NewCluster, prefix: str) -> None:
    """The rules of contract 2.9 that need more than one field. Raises InvalidValue, Unsupported."""
    if cluster.autoscale is not None:
        if cluster.num_workers is not None:
            raise InvalidValue(f"{prefix}autoscale", "may not be given together with num_workers.")
        if cluster.autoscale.max_workers <= cluster.autoscale.min_workers:
            raise InvalidValue(
                f"{prefix}autoscale.max_workers", "has to be greater than min_workers."
            )
    if cluster.docker_image is not None:
        raise Unsupported(
            f"This server does not run container images ({prefix}docker_image).",
            field=f"{prefix}docker_image",
        )
    for index, script in enumerate(cluster.init_scripts or ()):
        kind = next(iter(script.model_fields_set))
        where = f"{prefix}init_scripts[{index}].{kind}"
        if kind in _CLOUD_SCRIPTS:
            raise Unsupported(
                f"This server cannot read init scripts from {kind} ({where}).", field=where
            )
        check_place(kind, getattr(script, kind).destination, f"{where}.destination")
    logs = cluster.cluster_log_conf
    for kind in logs.model_fields_set - {"s3"} if logs is not None else ():
        where = f"{prefix}cluster_log_conf.{kind}.destination"
        check_place(kind, getattr(logs, kind).destination, where)
    for field, noun in (("spark_env_vars", "variables"), ("spark_conf", "Spark's configuration")):
        for name, value in (getattr(cluster, field) or {}).items():
            if "{{secrets/" in str(value):
                where = f"{prefix}{field}.{name}"
                raise Unsupported(
                    f"This server does not resolve secrets in {noun} ({where}).", field=where
                )
