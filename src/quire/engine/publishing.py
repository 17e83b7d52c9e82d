"""Lets a publication show what a run has left, when the run was asked to do so and succeeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from quire.engine.models import Run
from quire.engine.results import Results
from quire.engine.states import Outcome
from quire.errors import NotFound
from quire.identity.principals import Principals
from quire.runner.protocol import EventType
from quire.store.runs import RunView
from quire.workspace.publications import Publications
from quire.workspace.tree import Workspace

__all__ = ["Publishing"]

_LOG = structlog.get_logger(__name__)


class Publishing:
    """Implements :class:`quire.engine.conclusions.Conclusion`."""

    def __init__(
        self,
        publications: Publications,
        workspace: Workspace,
        principals: Principals,
        results: Results,
    ) -> None:
        self._publications = publications
        self._workspace = workspace
        self._principals = principals
        self._results = results

    def concerns(self, run: Run) -> bool:
        return run.definition.updates_publication

    def conclude(self, view: RunView, latest: Sequence[Mapping[str, Any]]) -> None:
        """Update the publication of the run's notebook; without one, do nothing."""
        node_id = view.run.notebook_id
        if node_id is None or view.attempt.snapshot_key is None or not _succeeds(view, latest):
            return
        try:
            actor = self._principals.get(view.run.creator_id)
            node = self._workspace.get_by_id(actor, node_id)
        except NotFound as error:
            _LOG.warning("publishing.refused", attempt=view.attempt.id, why=error.message)
            return
        if not self._publications.find([node.id]):
            return
        notebook = self._results.progress(view, latest).notebook
        self._publications.update_from_run(node.id, notebook, view.run.id)


def _succeeds(view: RunView, latest: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the attempt's outcome, known already or about to be, is success."""
    told = [event["outcome"] for event in latest if event["type"] == EventType.FINISHED]
    return (told[-1] if told else view.attempt.outcome) == Outcome.SUCCESS
