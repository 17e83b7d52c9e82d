"""Jobs 2.0: runs (contract 2.3 to 2.8)."""

from __future__ import annotations

from typing import Any

from quire.compute.uses import UsedCluster
from quire.dialects.base import Call, Endpoint, Services
from quire.dialects.databricks import mapping, wire
from quire.dialects.databricks.routes.jobs import (
    check_run_as,
    check_webhooks,
    idempotency_token,
    token_of_deleted_run,
)
from quire.engine.models import NotebookTask, RunKind, RunRequest
from quire.engine.runs import RunFilter, RunView
from quire.errors import InvalidValue
from quire.ids import AttemptId, JobId
from quire.render.page import render_html
from quire.workspace.formats import databricks_html

__all__ = ["endpoints"]

_MOST_RUNS = 999


def endpoints(services: Services) -> list[Endpoint]:
    """The operations of this file."""
    runs = services.runs

    def used(view: RunView) -> UsedCluster | None:
        if view.run.definition.compute is None:
            return None
        return services.cluster_uses.find([view.attempt.id]).get(view.attempt.id)

    def submit(call: Call, body: wire.SubmitRun) -> dict[str, Any]:
        wire.check_settings(body)
        check_webhooks(services, body)
        check_run_as(call, body)
        request = RunRequest(
            definition=mapping.run_definition(body),
            name=body.run_name or None,
            kind=RunKind.ONE_TIME,
            idempotency_token=idempotency_token(body.idempotency_token),
        )
        with token_of_deleted_run():
            return {"run_id": runs.submit(call.principal, request).run.id}

    def list_some(call: Call, query: wire.ListRuns) -> dict[str, Any]:
        which = RunFilter(
            job_id=JobId(query.job_id) if query.job_id is not None else None,
            kind=mapping.RUN_KINDS[query.run_type] if query.run_type is not None else None,
            active_only=query.active_only,
            completed_only=query.completed_only,
            created_from=_moment(query.start_time_from),
            created_to=_moment(query.start_time_to),
        )
        limit = query.limit or _MOST_RUNS
        views, more = runs.list(call.principal, which, query.offset, limit)
        parts = services.cluster_uses.find(
            [view.attempt.id for view in views if view.run.definition.compute is not None]
        )
        return {
            "runs": [
                mapping.describe_run(view, call.root, parts.get(view.attempt.id)) for view in views
            ],
            "has_more": more,
        }

    def show(call: Call, query: wire.RunId) -> dict[str, Any]:
        view = runs.get(call.principal, AttemptId(query.run_id))
        return mapping.describe_run(view, call.root, used(view))

    def show_output(call: Call, query: wire.RunId) -> dict[str, Any]:
        view = runs.get(call.principal, AttemptId(query.run_id))
        wanted = mapping.has_logs(view) and not view.attempt.active
        log = services.results.log(view) if wanted else ""
        return mapping.describe_output(view, call.root, log, used(view))

    def export(call: Call, query: wire.ExportRun) -> dict[str, Any]:
        view = runs.get(call.principal, AttemptId(query.run_id))
        if query.views_to_export == "DASHBOARDS":
            return {"views": []}
        task = view.run.definition.task
        if not isinstance(task, NotebookTask):
            raise InvalidValue("run_id", f"run {query.run_id} ran no notebook; it has no export.")
        name = task.path.rpartition("/")[2]
        notebook = services.results.notebook(view)
        page = databricks_html.write(notebook, name, render_html).decode()
        return {"views": [{"content": page, "name": name, "type": "NOTEBOOK"}]}

    def cancel(call: Call, body: wire.RunId) -> dict[str, Any]:
        runs.cancel(call.principal, AttemptId(body.run_id))
        return {}

    def cancel_all(call: Call, body: wire.CancelAllRuns) -> dict[str, Any]:
        runs.cancel_all(call.principal, JobId(body.job_id))
        return {}

    def delete(call: Call, body: wire.RunId) -> dict[str, Any]:
        runs.delete(call.principal, AttemptId(body.run_id))
        return {}

    root = "/api/2.0/jobs/runs"
    return [
        Endpoint("POST", f"{root}/submit", "Submit a one-time run", wire.SubmitRun, submit),
        Endpoint("GET", f"{root}/list", "List runs", wire.ListRuns, list_some),
        Endpoint("GET", f"{root}/get", "Get a run", wire.RunId, show),
        Endpoint("GET", f"{root}/get-output", "Get a run's output", wire.RunId, show_output),
        Endpoint("GET", f"{root}/export", "Export a run", wire.ExportRun, export),
        Endpoint("POST", f"{root}/cancel", "Cancel a run", wire.RunId, cancel),
        Endpoint(
            "POST", f"{root}/cancel-all", "Cancel a job's runs", wire.CancelAllRuns, cancel_all
        ),
        Endpoint("POST", f"{root}/delete", "Delete a run", wire.RunId, delete),
    ]


def _moment(value: int | None) -> Any:
    return None if value is None else mapping.moment(value)
