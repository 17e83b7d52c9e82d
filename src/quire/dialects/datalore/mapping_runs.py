"""Runs: the vendor's words in ours, and ours in the vendor's (contract 2 to 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from quire.dialects.datalore.decisions import RUN_STATUS_SHOWS_FULL_NOTEBOOK_ID
from quire.dialects.datalore.states import STATUS
from quire.dialects.datalore.wire_runs import InteractiveRun, RunNotebook
from quire.engine.artifacts import Artifact
from quire.engine.models import (
    Isolation,
    JobDefinition,
    NotebookTask,
    RunRequest,
    WorkingFiles,
)
from quire.engine.states import TERMINAL, Outcome
from quire.errors import InvalidValue
from quire.ids import AttemptId
from quire.store.runs import RunView
from quire.workspace.models import Node

__all__ = [
    "artifact_path",
    "describe_run",
    "interactive_request",
    "isolated_request",
    "read_parameters",
    "read_run_id",
    "shown_time",
    "stored_notebook_id",
]

_LONGEST_ID = 18  # digits; no number that long was ever given out


def read_parameters(body: RunNotebook) -> dict[str, Any]:
    """The values for controls, by name. Raises InvalidValue for a name that is given twice."""
    values: dict[str, Any] = {}
    for number, each in enumerate(body.parameters):
        if each.name in values:
            raise InvalidValue(f"parameters[{number}].name", f"{each.name!r} is given twice.")
        values[each.name] = each.value
    return values


def isolated_request(
    body: RunNotebook,
    parameters: Mapping[str, Any],
    node: Node,
    notebook_id: str,
    *,
    at: datetime,
    limit: int,
) -> RunRequest:
    """A run of the notebook as it is ``at`` this moment, on a copy."""
    direct = body.direct_file_storage_write
    definition = JobDefinition(
        task=NotebookTask(path=node.path, revision_at=at),
        name=node.name,
        working_files=WorkingFiles.WRITE_BACK if direct else WorkingFiles.ARTIFACTS,
        updates_publication=body.update_report == "on success",
        vendor={"datalore": {"notebook_id": notebook_id}},
    )
    return RunRequest(
        definition=definition,
        parameters=parameters,
        notebook_limit=limit,
    )


def interactive_request(
    _: InteractiveRun, node: Node, notebook_id: str, *, limit: int
) -> RunRequest:
    """A run in the notebook's own kernel, whose outputs go into the notebook."""
    definition = JobDefinition(
        task=NotebookTask(path=node.path),
        name=node.name,
        isolation=Isolation.IN_PLACE,
        working_files=WorkingFiles.WRITE_BACK,
        vendor={"datalore": {"notebook_id": notebook_id}},
    )
    return RunRequest(definition=definition, interactive=True, notebook_limit=limit)


def read_run_id(text: str) -> AttemptId | None:
    """Our id of a run; None for a text that is the id of none."""
    if not text.isascii() or not text.isdigit() or len(text) > _LONGEST_ID:
        return None
    return AttemptId(int(text))


def describe_run(
    view: RunView, notebook_id: str, artifacts: Sequence[Artifact], *, read_only: bool
) -> dict[str, Any]:
    """The status of a run. What does not apply is left out: clients test for its presence."""
    attempt, definition = view.attempt, view.run.definition
    user, _, short = notebook_id.partition("/")
    run_id = str(attempt.id)
    described: dict[str, Any] = {
        "runId": run_id,
        "userId": user,
        "notebookId": notebook_id if RUN_STATUS_SHOWS_FULL_NOTEBOOK_ID else short,
        "startTime": shown_time(attempt.created_at),
    }
    if attempt.state in TERMINAL:
        described["endTime"] = shown_time(attempt.ended_at or attempt.created_at)
        described["success"] = attempt.outcome is Outcome.SUCCESS
    else:
        described["status"] = STATUS[attempt.state]
    return {
        **described,
        "updateReport": "on success" if definition.updates_publication else "never",
        "directFileStorageWrite": definition.working_files is WorkingFiles.WRITE_BACK,
        "artifacts": [
            {"name": each.name, "path": artifact_path(notebook_id, run_id, each.name)}
            for each in artifacts
        ],
        "readOnly": read_only,
    }


def artifact_path(notebook_id: str, run_id: str, name: str) -> str:
    """Where an artifact is. Raw: clients encode it themselves (contract 4)."""
    return f"/notebook/{notebook_id}/artifacts/{run_id}/{name}"


def stored_notebook_id(vendor: Mapping[str, Any]) -> str | None:
    """The id a run was asked for with; None for a run of another API."""
    found = vendor.get("datalore", {}).get("notebook_id")
    return str(found) if found else None


def shown_time(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds (contract 1)."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
