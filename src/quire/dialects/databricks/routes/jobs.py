"""Jobs 2.0: saved jobs and starting them (contract 2, 2.1, 2.2)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from quire.dialects.base import Call, Endpoint, Services
from quire.dialects.databricks import mapping, wire
from quire.dialects.databricks.mapping_tasks import passed_parameters, task_arguments
from quire.dialects.reading import validate
from quire.engine.models import Job, JobDefinition, RunKind, RunRequest
from quire.errors import InvalidState, InvalidValue, NotFound
from quire.ids import JobId

__all__ = [
    "check_run_as",
    "check_webhooks",
    "endpoints",
    "idempotency_token",
    "token_of_deleted_run",
]


def endpoints(services: Services) -> list[Endpoint]:
    """The operations of this file."""
    jobs = services.jobs

    def create(call: Call, body: wire.CreateJob) -> dict[str, Any]:
        wire.check_settings(body)
        check_webhooks(services, body)
        check_run_as(call, body)
        return {"job_id": jobs.create(call.principal, mapping.job_definition(body)).id}

    def show(call: Call, query: wire.JobId) -> dict[str, Any]:
        return mapping.describe_job(jobs.get(call.principal, JobId(query.job_id)))

    def list_all(call: Call, _: wire.Nothing) -> dict[str, Any]:
        return {"jobs": [mapping.describe_job(job) for job in jobs.list(call.principal)]}

    def reset(call: Call, body: wire.ResetJob) -> dict[str, Any]:
        wire.check_settings(body.new_settings, inside="new_settings")
        check_webhooks(services, body.new_settings, inside="new_settings")
        check_run_as(call, body.new_settings, inside="new_settings")
        definition = mapping.job_definition(body.new_settings)
        jobs.replace(call.principal, JobId(body.job_id), definition)
        return {}

    def update(call: Call, body: wire.UpdateJob) -> dict[str, Any]:
        changes = body.new_settings.stored() if body.new_settings is not None else {}

        def edit(job: Job) -> JobDefinition:
            merged = wire.merge_settings(
                mapping.stored_settings(job.definition), changes, body.fields_to_remove or []
            )
            settings = validate(wire.JobSettings, merged, inside="new_settings")
            wire.check_settings(settings, inside="new_settings")
            return mapping.job_definition(settings)

        if body.new_settings is not None:
            check_webhooks(services, body.new_settings, inside="new_settings")
            check_run_as(call, body.new_settings, inside="new_settings")
        jobs.change(call.principal, JobId(body.job_id), edit)
        return {}

    def delete(call: Call, body: wire.JobId) -> dict[str, Any]:
        jobs.delete(call.principal, JobId(body.job_id))
        return {}

    def run_now(call: Call, body: wire.RunNow) -> dict[str, Any]:
        # Parameters meant for other kinds of task are ignored: some clients send every slot.
        request = RunRequest(
            job_id=JobId(body.job_id),
            parameters={**(body.notebook_params or {}), **(body.job_parameters or {})},
            arguments=task_arguments(body),
            kind=RunKind.JOB,
            idempotency_token=idempotency_token(body.idempotency_token),
            vendor={mapping.DIALECT: {"overriding_parameters": passed_parameters(body)}},
        )
        with token_of_deleted_run():
            view = services.runs.submit(call.principal, request)
        return {"run_id": view.run.id, "number_in_job": view.run.number_in_job}

    root = "/api/2.0/jobs"
    return [
        Endpoint("POST", f"{root}/create", "Create a job", wire.CreateJob, create),
        Endpoint("GET", f"{root}/list", "List jobs", wire.Nothing, list_all),
        Endpoint("GET", f"{root}/get", "Get a job", wire.JobId, show),
        Endpoint("POST", f"{root}/reset", "Replace a job's settings", wire.ResetJob, reset),
        Endpoint("POST", f"{root}/update", "Change a job's settings", wire.UpdateJob, update),
        Endpoint("POST", f"{root}/delete", "Delete a job", wire.JobId, delete),
        Endpoint("POST", f"{root}/run-now", "Run a job now", wire.RunNow, run_now),
    ]


def idempotency_token(text: str | None) -> str | None:
    """A client's token as the engine keeps it; an empty one is none."""
    return mapping.IDEMPOTENCY_PREFIX + text if text else None


@contextmanager
def token_of_deleted_run() -> Iterator[None]:
    """Turns "the run of this token was deleted" into an error about that field (contract 2.7)."""
    try:
        yield
    except InvalidState as error:
        raise InvalidValue("idempotency_token", error.message) from None


def check_webhooks(
    services: Services, settings: wire.JobSettings | wire.SubmitRun, *, inside: str = ""
) -> None:
    """Refuse destinations that do not exist. Raises InvalidValue."""
    hooks = settings.webhook_notifications
    if hooks is None:
        return
    for name in hooks.model_fields_set:
        for index, hook in enumerate(getattr(hooks, name) or ()):
            try:
                services.destinations.get(hook.id)
            except NotFound:
                where = f"webhook_notifications.{name}[{index}].id"
                raise InvalidValue(
                    f"{inside}.{where}" if inside else where,
                    f"there is no notification destination {hook.id[:100]!r}.",
                ) from None


def check_run_as(
    call: Call, settings: wire.JobSettings | wire.SubmitRun, *, inside: str = ""
) -> None:
    """Runs act for who made them; naming anybody else is refused. Raises InvalidValue."""
    run_as = settings.run_as
    if run_as is None:
        return
    for name in run_as.model_fields_set:
        if getattr(run_as, name) != call.principal.name:
            where = f"run_as.{name}"
            raise InvalidValue(
                f"{inside}.{where}" if inside else where,
                "runs act for the caller; nobody else can be named.",
            )
