"""Puts what a run in place has shown into the stored notebook.

Cell by cell, by id: a cell that the run began gets the outputs of this run; everything else of the
notebook is as people have made it, also while the run went on. Cells they have deleted stay
deleted, and cells of the run that were never theirs, such as injected parameters, are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from quire.engine.models import Run
from quire.engine.results import Progress, Results
from quire.errors import InvalidState, InvalidValue, NotFound, PermissionDenied
from quire.identity.principals import Principals
from quire.store.runs import RunView
from quire.workspace.tree import Workspace

__all__ = ["WriteBack", "put_outputs"]

_LOG = structlog.get_logger(__name__)
_WIDGETS = "widgets"


class WriteBack:
    """Implements :class:`quire.engine.conclusions.Conclusion`."""

    def __init__(self, workspace: Workspace, principals: Principals, results: Results) -> None:
        self._workspace = workspace
        self._principals = principals
        self._results = results

    def concerns(self, run: Run) -> bool:
        return run.session_id is not None

    def conclude(self, view: RunView, latest: Sequence[Mapping[str, Any]]) -> None:
        """Write back; a notebook that is gone, or not the runner's to change any more, is left."""
        node_id = view.run.session_id
        if node_id is None or view.attempt.snapshot_key is None:
            return
        progress = self._results.progress(view, latest)
        if not progress.begun:
            return
        try:
            self._workspace.edit_notebook(
                self._principals.get(view.run.creator_id),
                node_id,
                lambda notebook: put_outputs(notebook, progress),
                only_outputs=True,
            )
        except (NotFound, PermissionDenied, InvalidState, InvalidValue) as error:
            _LOG.warning("write_back.refused", attempt=view.attempt.id, why=error.message)


def put_outputs(notebook: dict[str, Any], progress: Progress) -> None:
    """Give the cells of a notebook the outputs they have in a run, in place."""
    executed = {cell["id"]: cell for cell in progress.notebook["cells"]}
    for cell in notebook["cells"]:
        source = executed.get(cell.get("id"))
        if source is None or cell["id"] not in progress.begun or cell["cell_type"] != "code":
            continue
        cell["outputs"] = source["outputs"]
        cell["execution_count"] = source["execution_count"]
        cell["metadata"].pop("execution", None)
        if "execution" in source["metadata"]:
            cell["metadata"]["execution"] = source["metadata"]["execution"]
    _put_widgets(notebook["metadata"], progress.notebook["metadata"])


def _put_widgets(metadata: dict[str, Any], executed: Mapping[str, Any]) -> None:
    """The states of the run's widgets, beside those of cells that it did not run."""
    for mime, shown in executed.get(_WIDGETS, {}).items():
        known = metadata.setdefault(_WIDGETS, {}).get(mime, {})
        state = {**known.get("state", {}), **shown.get("state", {})}
        metadata[_WIDGETS][mime] = {**shown, "state": state}
