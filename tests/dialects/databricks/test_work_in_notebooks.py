"""People's work in notebooks, as this API shows it: found by its id, and in no list."""

from __future__ import annotations

from quire.workspace.formats.document import code_cell, new_notebook
from tests.dialects.databricks.conftest import Door


def test_it_is_in_no_list_and_found_by_its_id(door: Door) -> None:
    door.workspace.ensure_roots()
    notebook = new_notebook("python", "databricks", [code_cell("1 + 1")])
    door.workspace.import_notebook(door.parts.user, "/Shared/at work", notebook)
    run_id = door.parts.sessions.run(door.parts.user, "/Shared/at work").attempt.id
    assert door.get("/jobs/runs/list", {"active_only": "true"}).get("runs", []) == []
    assert door.get("/jobs/runs/list").get("runs", []) == []
    run = door.get("/jobs/runs/get", {"run_id": run_id})
    assert run["state"]["life_cycle_state"] == "PENDING"
    assert run["run_type"] == "SUBMIT_RUN"
    assert run["task"] == {"notebook_task": {"notebook_path": "/Shared/at work"}}
